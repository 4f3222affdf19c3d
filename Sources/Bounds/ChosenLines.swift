import Domains
import IR
import Tensors

/// Pushes the minimiser of every row forward through the lines the row's bound chose.
///
/// For fixed bounds of the arguments a lower bound is linear in what the walk produces, so its derivative in a slope
/// is the coefficient that met the line times the value at which the line was evaluated; this domain yields those
/// values without any tape.
struct ChosenLines: Domain {
  typealias Value = Tensor<Double>

  let relaxed: RelaxedGraph
  let rows: Int
  let rowLines: [NodeID: RowLines]
  /// Coefficients on the outputs of relaxed nodes.
  let arrivals: [NodeID: Tensor<Double>]

  private func fixed(_ node: Node) -> Tensor<Double>? {
    relaxed.varies[node.id] ? nil : relaxed.intervals[node.id]?.midpointRadius.mid
  }

  func constant(_ weight: Weight, at node: Node) -> Tensor<Double> {
    weight.values.reshaped([1] + weight.shape)
  }

  func affine(_ map: Affine, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    if let value = fixed(node) { return value }
    var sum = map.maps[0].apply(x[0])
    for (linear, value) in zip(map.maps, x).dropFirst() { sum = addBatches(sum, linear.apply(value)) }
    if let bias = map.bias { sum.addToEveryExample(bias.values) }
    return sum
  }

  func elementwise(_ f: any ElementwiseFunction, _ x: Tensor<Double>, at node: Node) throws -> Tensor<Double>
  {
    if let value = fixed(node) { return value }
    guard case .lines(let shared)? = relaxed.relaxations[node.id], let a = arrivals[node.id] else {
      // No coefficient arrived: the value reaches nothing that is bounded.
      return Tensor.zeros([rows] + node.shape)
    }
    let n = node.shape.count
    let each = max(1, rows / max(shared.charge.batch, 1))
    var result = x
    result.withMutablePointer { z in
      a.withPointer { c in
        for r in 0..<rows {
          let o = (r / each) * n
          for j in 0..<n {
            let isBelow = c[r * n + j] > 0
            let slope = isBelow ? shared.belowSlope.elements[o + j] : shared.aboveSlope.elements[o + j]
            let intercept =
              isBelow ? shared.belowIntercept.elements[o + j] : shared.aboveIntercept.elements[o + j]
            z[r * n + j] = slope * z[r * n + j] + intercept
          }
        }
      }
    }
    if let own = rowLines[node.id] {
      for free in [own.below, own.above] {
        guard let free else { continue }
        let m = free.elements.count
        for r in 0..<rows {
          for i in 0..<m {
            let at = r * n + free.elements[i]
            let coefficient = a[flat: at]
            if (coefficient > 0) != (free.side == .below) { continue }
            result[flat: at] = free.slope[r * m + i] * x[flat: at] + free.intercept[r * m + i]
          }
        }
      }
    }
    return result
  }

  func product(_ form: any BilinearForm, _ a: Tensor<Double>, _ b: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>
  {
    if let value = fixed(node) { return value }
    switch relaxed.relaxations[node.id] {
    case .knownFactor(let known)?:
      return known.isLeft ? form.apply(known.value, b) : form.apply(a, known.value)
    case .product(let planes)?:
      guard let c = arrivals[node.id] else { return Tensor.zeros([rows] + node.shape) }
      let (aL, bL, bU) = (planes.left.lower, planes.right.lower, planes.right.upper)
      let shared = form.apply(aL, b)
      let low = form.apply(a, bL)
      let high = form.apply(a, bU)
      let cornerLow = form.apply(aL, bL)
      let cornerHigh = form.apply(aL, bU)
      let n = node.shape.count
      let each = max(1, rows / max(cornerLow.batch, 1))
      return Tensor(writing: [rows] + node.shape) { z in
        for r in 0..<rows {
          let o = (r / each) * n
          for j in 0..<n {
            let at = r * n + j
            let isBelow = c[flat: at] > 0
            z[at] =
              shared[flat: at]
              + (isBelow ? low[flat: at] - cornerLow[flat: o + j] : high[flat: at] - cornerHigh[flat: o + j])
          }
        }
      }
    default: return Tensor.zeros([rows] + node.shape)
    }
  }

  func selection(_ s: Selection, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    if let value = fixed(node) { return value }
    guard case .selection(let lines)? = relaxed.relaxations[node.id], let c = arrivals[node.id] else {
      return Tensor.zeros([rows] + node.shape)
    }
    let outputs = s.outputShape.count
    let offsets = s.offsets
    let each = max(1, rows / max(lines.batch, 1))
    return Tensor(writing: [rows] + node.shape) { z in
      for r in 0..<rows {
        let example = lines.batch == 1 ? 0 : r / each
        for o in 0..<outputs {
          let pick = lines.pick(c[flat: r * outputs + o] > 0, example * outputs + o)
          let input = offsets.lastIndex { $0 <= pick.index } ?? 0
          let size = s.inputShapes[input].count
          let row = x[input].batch == 1 ? 0 : r
          z[r * outputs + o] =
            pick.slope * x[input][flat: row * size + pick.index - offsets[input]] + pick.intercept
        }
      }
    }
  }

  func discrete(_ f: any DiscreteFunction, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    if let value = fixed(node) { return value }
    guard case .copies(let copies)? = relaxed.relaxations[node.id], let c = arrivals[node.id] else {
      return Tensor.zeros([rows] + node.shape)
    }
    let outputs = f.outputShape.count
    let each = max(1, rows / max(copies.tables.count, 1))
    return Tensor(writing: [rows] + node.shape) { z in
      for r in 0..<rows {
        let example = copies.tables.count == 1 ? 0 : r / each
        for o in 0..<outputs {
          if let (input, index) = copies.source(example, o) {
            let size = f.inputShapes[input].count
            z[r * outputs + o] = x[input][flat: (x[input].batch == 1 ? 0 : r) * size + index]
          } else {
            let place = (copies.bounds.batch == 1 ? 0 : example) * outputs + o
            let isBelow = c[flat: r * outputs + o] > 0
            z[r * outputs + o] = isBelow ? copies.bounds.lower[flat: place] : copies.bounds.upper[flat: place]
          }
        }
      }
    }
  }

  func composite(_ c: any Composite, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    if let value = fixed(node) { return value }
    guard case .matrices(let lines)? = relaxed.relaxations[node.id], let a = arrivals[node.id] else {
      return Tensor.zeros([rows] + node.shape)
    }
    return lines.evaluate(x, coefficients: a, rows: rows, shape: node.shape)
  }
}
