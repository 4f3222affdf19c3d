import Domains
import IR
import Rigor
import Tensors

/// Linear bounds of a composite that is treated whole: small matrices per group of outputs, for every example.
struct GroupLines: Sendable {
  var examples: [CompositeRelaxation]
  /// First element of each input in the concatenation, and the total.
  var offsets: [Int]
  /// `[B] + output shape`: what rounding can do per unit of coefficient.
  var charge: Tensor<Double>

  /// nil if the composite has no lines on this box.
  ///
  /// - Parameter rounding: how a deployed evaluation rounds; nil for real numbers.
  init?(_ composite: any RelaxedComposite, inputs: [Interval], rounding: DeployedRounding?) {
    guard let c = rounding == nil ? composite : composite.deployed else { return nil }
    let batch = inputs.map(\.batch).max() ?? 1
    var offsets = [0]
    for shape in c.inputShapes { offsets.append(offsets[offsets.count - 1] + shape.count) }
    let outputs = c.outputShape.count
    var charge = Tensor<Double>.zeros([batch] + c.outputShape)
    examples = []
    for b in 0..<batch {
      let pick = { (t: Tensor<Double>) in t.example(t.batch == 1 ? 0 : b).reshaped(t.exampleShape) }
      let lower = inputs.map { pick($0.lower) }
      let upper = inputs.map { pick($0.upper) }
      guard let lines = c.relax(lower: lower, upper: upper) else { return nil }
      let bounds = rounding == nil ? nil : c.enclose(lower: lower, upper: upper)
      let sizes = zip(lower, upper).flatMap { l, u in
        zip(l.elements, u.elements).map { max(abs($0), abs($1)) }
      }
      for group in lines.groups {
        // A covector element is a sum over the group's outputs of one product each, of which an outer product makes
        // two and adds a third; the intercepts join a sum over all outputs.
        let g = Rounding.gamma(group.outputs.count + 8)
        let sum = Rounding.gamma(outputs + 3)
        let own = group.inputs.map { sizes[Int($0)] }
        let below = group.below.reach(own)
        let above = group.above.reach(own)
        for (j, output) in group.outputs.enumerated() {
          let intercept = max(abs(group.belowIntercept[j]), abs(group.aboveIntercept[j]))
          let reach = max(below[j], above[j])
          var error = (g * reach + sum * intercept) * (1 + 0x1p-20)
          if let rounding, let bounds {
            let size = max(abs(bounds.lower[flat: Int(output)]), abs(bounds.upper[flat: Int(output)]))
            error += c.deployedError(size, unit: rounding.unit, underflow: rounding.underflow)
          }
          charge[flat: b * outputs + Int(output)] = error
        }
      }
      examples.append(lines)
    }
    self.offsets = offsets
    self.charge = charge
  }

  /// Pulls rows of coefficients on the outputs back to the concatenated inputs: `[rows, total]` and what is added to
  /// every row's constant. `below` says that positive coefficients take the line below.
  func pull(_ a: Tensor<Double>, below: Bool, rows: Int) -> (inputs: [Double], constants: [Double]) {
    let total = offsets[offsets.count - 1]
    let outputs = rows == 0 ? 0 : a.count / rows
    let each = max(1, rows / examples.count)
    var result = [Double](repeating: 0, count: rows * total)
    var constants = [Double](repeating: 0, count: rows)
    guard rows > 0, outputs > 0 else { return (result, constants) }
    a.withPointer { x in
      result.withUnsafeMutableBufferPointer { y in
        constants.withUnsafeMutableBufferPointer { sums in
          guard let y = y.baseAddress, let sums = sums.baseAddress else { return }
          for (b, first) in stride(from: 0, to: rows, by: each).enumerated() {
            for group in examples[min(b, examples.count - 1)].groups {
              Self.pull(
                group, below: below, rows: min(each, rows - first), x + first * outputs, outputs,
                into: y + first * total, total, sums + first)
            }
          }
        }
      }
    }
    return (result, constants)
  }

  /// One group: the coefficients that take the lines below and those that take the lines above, each a matrix product.
  /// Every output is in one of the two, so an element is still a sum of at most as many products as there are outputs.
  private static func pull(
    _ group: CompositeRelaxation.Group, below: Bool, rows: Int, _ x: UnsafePointer<Double>, _ outputs: Int,
    into y: UnsafeMutablePointer<Double>, _ total: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    let k = group.outputs.count
    let n = group.inputs.count
    guard k > 0, n > 0 else { return }
    var parts = [[Double](repeating: 0, count: rows * k), [Double](repeating: 0, count: rows * k)]
    var isUsed = [false, false]
    for (j, output) in group.outputs.enumerated() {
      let intercepts = (group.belowIntercept[j], group.aboveIntercept[j])
      for r in 0..<rows {
        let value = x[r * outputs + Int(output)]
        if value == 0 { continue }
        let isBelow = (value > 0) == below
        parts[isBelow ? 0 : 1][r * k + j] = value
        isUsed[isBelow ? 0 : 1] = true
        sums[r] += value * (isBelow ? intercepts.0 : intercepts.1)
      }
    }
    let start = Int(group.inputs[0])
    let isContiguous = group.inputs.indices.allSatisfy { Int(group.inputs[$0]) == start + $0 }
    var scattered = isContiguous ? [] : [Double](repeating: 0, count: rows * n)
    for (side, lines) in [group.below, group.above].enumerated() where isUsed[side] {
      parts[side].withUnsafeBufferPointer { part in
        scattered.withUnsafeMutableBufferPointer { spread in
          guard let part = part.baseAddress, let target = isContiguous ? y + start : spread.baseAddress
          else { return }
          lines.accumulate(part, rows: rows, outputs: k, inputs: n, into: target, isContiguous ? total : n)
        }
      }
    }
    if isContiguous { return }
    for r in 0..<rows {
      for (i, input) in group.inputs.enumerated() { y[r * total + Int(input)] += scattered[r * n + i] }
    }
  }

  /// The lines of single outputs, `[B * units, total]` and their intercepts: what `pull` makes of unit rows.
  func rows(_ units: [Int], batch: Int) -> (
    below: (inputs: [Double], constants: [Double]), above: (inputs: [Double], constants: [Double])
  ) {
    let total = offsets[offsets.count - 1]
    var below = (
      inputs: [Double](repeating: 0, count: batch * units.count * total),
      constants: [Double](repeating: 0, count: batch * units.count)
    )
    var above = below
    var places: [Int: [Int]] = [:]
    for (r, unit) in units.enumerated() { places[unit, default: []].append(r) }
    for b in 0..<batch {
      for group in examples[examples.count == 1 ? 0 : b].groups {
        for (j, output) in group.outputs.enumerated() {
          for r in places[Int(output)] ?? [] {
            let row = b * units.count + r
            below.constants[row] = group.belowIntercept[j]
            above.constants[row] = group.aboveIntercept[j]
            for (i, input) in group.inputs.enumerated() {
              below.inputs[row * total + Int(input)] = group.below[j, i]
              above.inputs[row * total + Int(input)] = group.above[j, i]
            }
          }
        }
      }
    }
    return (below, above)
  }

  /// What rounding can do to such rows.
  func charges(_ units: [Int], batch: Int) -> [Double] {
    let n = charge.count / max(charge.batch, 1)
    return (0..<batch).flatMap { b in
      units.map { charge[flat: (charge.batch == 1 ? 0 : b) * n + $0] }
    }
  }

  /// Splits `[rows, total]` into one tensor per input.
  func split(_ values: [Double], rows: Int, shapes: [Shape]) -> [Tensor<Double>] {
    let total = offsets[offsets.count - 1]
    if shapes.count == 1 { return [Tensor([rows] + shapes[0], values)] }
    return shapes.enumerated().map { index, shape in
      Tensor(
        [rows] + shape,
        (0..<rows).flatMap {
          values[($0 * total + offsets[index])..<($0 * total + offsets[index] + shape.count)]
        })
    }
  }

  /// The chosen line of every output at the given inputs, for rows whose coefficients on the outputs are `a`.
  func evaluate(_ x: [Tensor<Double>], coefficients a: Tensor<Double>, rows: Int, shape: Shape) -> Tensor<
    Double
  > {
    let outputs = shape.count
    let each = max(1, rows / examples.count)
    return Tensor(writing: [rows] + shape) { z in
      for r in 0..<rows {
        for group in examples[examples.count == 1 ? 0 : r / each].groups {
          let values = group.inputs.map { element(x, Int($0), r) }
          let (below, above) = (group.below.products(values), group.above.products(values))
          for (j, output) in group.outputs.enumerated() {
            let isBelow = a[flat: r * outputs + Int(output)] > 0
            z[r * outputs + Int(output)] =
              isBelow ? group.belowIntercept[j] + below[j] : group.aboveIntercept[j] + above[j]
          }
        }
      }
    }
  }

  private func element(_ x: [Tensor<Double>], _ index: Int, _ row: Int) -> Double {
    // Offsets start at 0 and increase, so some input contains the index.
    let input = x.count == 1 ? 0 : offsets.lastIndex { $0 <= index } ?? 0
    let tensor = x[min(input, x.count - 1)]
    let size = tensor.count / max(tensor.batch, 1)
    return tensor[flat: (tensor.batch == 1 ? 0 : row) * size + index - offsets[input]]
  }
}
