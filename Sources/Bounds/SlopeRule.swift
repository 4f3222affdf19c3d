import Domains
import IR
import Tensors

/// The lower forms of rows whose slopes are being optimised: the search part of alpha-CROWN, without any account of
/// rounding. What it finds are slopes; `CrownRule` then proves the bound they give.
struct SlopeRule: AdjointRule {
  typealias Covector = Tensor<Double>

  let relaxed: RelaxedGraph
  let rows: Int
  /// Lines per row of nodes with free slopes.
  let rowLines: [NodeID: RowLines]
  let multipliers: [NodeID: Tensor<Double>]
  private(set) var constant: [Double]
  /// Coefficients on the outputs of relaxed nodes and on perturbed inputs.
  private(set) var arrivals: [NodeID: Tensor<Double>] = [:]

  init(
    _ relaxed: RelaxedGraph, rows: Int, rowLines: [NodeID: RowLines],
    multipliers: [NodeID: Tensor<Double>] = [:]
  ) {
    self.relaxed = relaxed
    self.rows = rows
    self.rowLines = rowLines
    self.multipliers = multipliers
    constant = [Double](repeating: 0, count: rows)
  }

  func isLeaf(_ node: Node) -> Bool { !relaxed.varies[node.id] }

  /// constant[r] += A[r] . v, v of one example or of every row's example.
  private mutating func addDot(_ a: Tensor<Double>, _ v: Tensor<Double>) {
    guard rows > 0 else { return }
    let n = a.count / rows
    let each = max(1, rows / max(v.batch, 1))
    a.withPointer { x in
      v.withPointer { y in
        for r in 0..<rows {
          let o = v.batch == 1 ? 0 : (r / each) * n
          var sum = 0.0
          for j in 0..<n { sum += x[r * n + j] * y[o + j] }
          constant[r] += sum
        }
      }
    }
  }

  mutating func leaf(_ node: Node, _ c: Tensor<Double>) throws {
    if case .input = node.operation, relaxed.varies[node.id] {
      arrivals[node.id] = c
      return
    }
    if let interval = relaxed.intervals[node.id] { addDot(c, interval.midpointRadius.mid) }
  }

  mutating func affine(_ map: Affine, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    if let bias = map.bias { addDot(c, bias.values.reshaped([1] + bias.shape)) }
    return map.maps.map { $0.adjoint(c) }
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ c: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>?
  {
    arrivals[node.id] = c
    guard case .lines(let shared)? = relaxed.relaxations[node.id] else { return nil }
    let n = node.shape.count
    let each = max(1, rows / max(shared.charge.batch, 1))
    var result = c
    result.withMutablePointer { a in
      shared.belowSlope.withPointer { bs in
        shared.belowIntercept.withPointer { bt in
          shared.aboveSlope.withPointer { us in
            shared.aboveIntercept.withPointer { ut in
              for r in 0..<rows {
                let o = (r / each) * n
                let row = a + r * n
                var sum = 0.0
                for j in 0..<n {
                  let x = row[j]
                  if x == 0 { continue }
                  sum += x * (x > 0 ? bt[o + j] : ut[o + j])
                  row[j] = x * (x > 0 ? bs[o + j] : us[o + j])
                }
                constant[r] += sum
              }
            }
          }
        }
      }
    }
    if let own = rowLines[node.id] {
      own.correct(&result, original: c, constant: &constant, rows: rows, n: n)
    }
    if let beta = multipliers[node.id] { result += beta }
    return result
  }

  mutating func product(_ form: any BilinearForm, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    switch relaxed.relaxations[node.id] {
    case .knownFactor(let known)?:
      return known.isLeft
        ? [nil, form.adjointRight(c, left: known.value)] : [form.adjointLeft(c, right: known.value), nil]
    case .product(let planes)?:
      arrivals[node.id] = c
      let (positive, negative) = signParts(c)
      let (aL, bL, bU) = (planes.left.lower, planes.right.lower, planes.right.upper)
      addDot(positive, form.apply(aL, bL).map { -$0 })
      addDot(negative, form.apply(aL, bU).map { -$0 })
      return [
        form.adjointLeft(positive, right: bL) + form.adjointLeft(negative, right: bU),
        form.adjointRight(c, left: aL),
      ]
    default: return [nil, nil]
    }
  }

  mutating func selection(_ s: Selection, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    guard case .selection(let lines)? = relaxed.relaxations[node.id] else {
      return node.inputs.map { _ in nil }
    }
    arrivals[node.id] = c
    let outputs = s.outputShape.count
    let offsets = s.offsets
    let each = max(1, rows / max(lines.batch, 1))
    var results = s.inputShapes.map { Tensor<Double>.zeros([rows] + $0) }
    for r in 0..<rows {
      let example = lines.batch == 1 ? 0 : r / each
      for o in 0..<outputs {
        let x = c[flat: r * outputs + o]
        if x == 0 { continue }
        let pick = lines.pick(x > 0, example * outputs + o)
        // Offsets start at 0 and increase, so some input contains the candidate.
        let input = offsets.lastIndex { $0 <= pick.index } ?? 0
        results[input][flat: r * s.inputShapes[input].count + pick.index - offsets[input]] += x * pick.slope
        constant[r] += x * pick.intercept
      }
    }
    return results
  }

  mutating func discrete(_ f: any DiscreteFunction, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    guard case .copies(let copies)? = relaxed.relaxations[node.id] else {
      return node.inputs.map { _ in nil }
    }
    arrivals[node.id] = c
    let outputs = f.outputShape.count
    let each = max(1, rows / max(copies.tables.count, 1))
    var results: [Tensor<Double>?] = f.inputShapes.indices.map { input in
      copies.tables.contains { $0[input] != nil } ? Tensor.zeros([rows] + f.inputShapes[input]) : nil
    }
    for r in 0..<rows {
      let example = copies.tables.count == 1 ? 0 : r / each
      for o in 0..<outputs {
        let x = c[flat: r * outputs + o]
        if x == 0 { continue }
        if let (input, index) = copies.source(example, o) {
          results[input]?[flat: r * f.inputShapes[input].count + index] += x
        } else {
          let place = (copies.bounds.batch == 1 ? 0 : example) * outputs + o
          constant[r] += x * (x > 0 ? copies.bounds.lower[flat: place] : copies.bounds.upper[flat: place])
        }
      }
    }
    return results
  }

  mutating func composite(_ composite: any Composite, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    guard case .matrices(let lines)? = relaxed.relaxations[node.id] else {
      return node.inputs.map { _ in nil }
    }
    arrivals[node.id] = c
    let pulled = lines.pull(c, below: true, rows: rows)
    for r in 0..<rows { constant[r] += pulled.constants[r] }
    return lines.split(pulled.inputs, rows: rows, shapes: composite.inputShapes)
  }

  mutating func merge(_ a: Tensor<Double>, _ b: Tensor<Double>, at node: Node) -> Tensor<Double> { a + b }
}

extension SelectionLines {
  /// The line used for a coefficient on an output: below for a positive one, above for a negative one.
  func pick(_ below: Bool, _ place: Int) -> (index: Int, slope: Double, intercept: Double) {
    below
      ? (Int(belowIndex[place]), belowSlope[place], belowIntercept[place])
      : (Int(aboveIndex[place]), aboveSlope[place], aboveIntercept[place])
  }
}

extension CopyTables {
  /// The element that an output copies, if it does.
  func source(_ example: Int, _ output: Int) -> (input: Int, index: Int)? {
    for (input, table) in tables[tables.count == 1 ? 0 : example].enumerated() {
      if let table, table[output] >= 0 { return (input, Int(table[output])) }
    }
    return nil
  }
}
