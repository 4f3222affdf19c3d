import CKernels
import Domains
import IR
import Operators
import Rigor
import Tensors

/// What each kind of operation does to rows of linear forms.
extension CrownRule {
  mutating func affine(_ map: Affine, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .affine(let chargeAll, let unitCharge)? = relaxations[node.id] else { throw missing(node) }
    if case .units(let units) = c.form {
      if let bias = map.bias {
        let each = units.map { bias.values[flat: $0] }
        addConstants(lower: Array((0..<batch).map { _ in each }.joined()), upper: nil)
      }
      if let unitCharge {
        let n = node.shape.count
        for b in 0..<batch {
          for (r, unit) in units.enumerated() {
            let cost = unitCharge[flat: (unitCharge.batch == 1 ? 0 : b) * n + unit]
            lowerSlack[b * units.count + r] += cost
            upperSlack[b * units.count + r] += cost
          }
        }
      }
      return zip(map.maps, node.inputs).map { linear, input in
        if let boxed = boxedRows(of: linear, units, shape: graph[input].shape) { return boxed }
        let rows = linear.rows(units)
        return batch == 1 ? .same(rows) : .same(.concatenatingBatches((0..<batch).map { _ in rows }))
      }
    }
    if case .window(let window, let lower, let upper) = c.form, let whole = GridWindow(whole: node.shape) {
      return affine(map, window, of: whole, (lower, upper), charge: chargeAll, at: node)
    }
    let dense = c.dense(node.shape, batch: batch)
    charge(dense, chargeAll)
    if let bias = map.bias {
      let values = bias.values.reshaped([1] + bias.shape)
      addConstants(lower: dot(dense.lower, values), upper: dense.upper.map { dot($0, values) })
    }
    return zip(map.maps, node.inputs).map { linear, input in
      guard let upper = dense.upper else { return .same(linear.adjoint(dense.lower)) }
      return .pair(linear.adjoint(dense.lower), linear.adjoint(upper))
    }
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ c: Covector, at node: Node) throws -> Covector? {
    if recording { arrivals[node.id] = c }
    guard let lines = rowLines[node.id] ?? sharedLines(node) else { throw missing(node) }
    if case .window(let window, let lower, let upper) = c.form, rowLines[node.id] == nil,
      multipliers[node.id] == nil, let whole = GridWindow(whole: node.shape)
    {
      let sides = relax(
        (lower, upper), window.count * node.shape.dims[1], lines.cropped(to: window, of: whole))
      return Covector(form: .window(window, lower: sides.lower, upper: sides.upper))
    }
    let dense = c.dense(node.shape, batch: batch)
    var (lower, upper) = relax(dense, node.shape.count, lines)
    if let multipliers = multipliers[node.id] {
      // f >= f - beta s z wherever s z >= 0: the multiplier of a split joins the lower form. One rounding each.
      lower += multipliers
      if let size = intervals[node.inputs[0]]?.magnitude {
        absoluteDot(lower, size.map { Rounding.unit * $0 }, into: &lowerSlack)
      }
    }
    return .pair(lower, upper)
  }

  /// Both forms of rows of `n` coefficients through the lines; constants and slack are added.
  private mutating func relax(_ c: (lower: Tensor<Double>, upper: Tensor<Double>?), _ n: Int, _ lines: Lines)
    -> (lower: Tensor<Double>, upper: Tensor<Double>)
  {
    var lower = c.lower
    var upper = c.upper ?? c.lower
    guard rows > 0, n > 0 else { return (lower, upper) }
    var lowerSum = [Double](repeating: 0, count: rows)
    var upperSum = lowerSum
    if lines.isFinite {
      relax(&lower, below: true, lines, n, &lowerSum, &lowerSlack)
      relax(&upper, below: false, lines, n, &upperSum, &upperSlack)
    } else {
      relaxSkippingZeros(&lower, below: true, lines, n, &lowerSum, &lowerSlack)
      relaxSkippingZeros(&upper, below: false, lines, n, &upperSum, &upperSlack)
    }
    addConstants(lower: lowerSum, upper: upperSum)
    return (lower, upper)
  }

  private func sharedLines(_ node: Node) -> Lines? {
    if case .lines(let lines)? = relaxations[node.id] { return lines }
    return nil
  }

  private func relax(
    _ a: inout Tensor<Double>, below: Bool, _ lines: Lines, _ n: Int, _ sum: inout [Double],
    _ slack: inout [Double]
  ) {
    let positive = below ? (lines.belowSlope, lines.belowIntercept) : (lines.aboveSlope, lines.aboveIntercept)
    let negative = below ? (lines.aboveSlope, lines.aboveIntercept) : (lines.belowSlope, lines.belowIntercept)
    let each = max(1, rows / lines.charge.batch)
    a.withMutablePointer { a0 in
      positive.0.withPointer { ps in
        positive.1.withPointer { pt in
          negative.0.withPointer { ns in
            negative.1.withPointer { nt in
              lines.charge.withPointer { e in
                sum.withUnsafeMutableBufferPointer { sums in
                  slack.withUnsafeMutableBufferPointer { slacks in
                    guard let s = sums.baseAddress, let k = slacks.baseAddress else { return }
                    for (b, first) in stride(from: 0, to: rows, by: each).enumerated() {
                      let o = b * n
                      ck_relax_d(
                        Int64(each), Int64(n), a0 + first * n, ps + o, pt + o, ns + o, nt + o, e + o,
                        a0 + first * n, s + first, k + first)
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  /// An infinite line matters only to rows whose coefficient there is not 0.
  private func relaxSkippingZeros(
    _ a: inout Tensor<Double>, below: Bool, _ lines: Lines, _ n: Int, _ sum: inout [Double],
    _ slack: inout [Double]
  ) {
    let each = max(1, rows / lines.charge.batch)
    for r in 0..<rows {
      for j in 0..<n {
        let x = a[flat: r * n + j]
        if x == 0 { continue }
        let place = (r / each) * n + j
        let usesBelow = (x > 0) == below
        let slope = usesBelow ? lines.belowSlope[flat: place] : lines.aboveSlope[flat: place]
        let intercept = usesBelow ? lines.belowIntercept[flat: place] : lines.aboveIntercept[flat: place]
        a[flat: r * n + j] = x * slope
        sum[r] += x * intercept
        slack[r] += intercept.isFinite ? abs(x) * lines.charge[flat: place] : .infinity
      }
    }
  }

  mutating func product(_ form: any BilinearForm, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    let dense = c.dense(node.shape, batch: batch)
    switch relaxations[node.id] {
    case .knownFactor(let known)?:
      charge(dense, known.charge)
      let pull = { (a: Tensor<Double>) in
        known.isLeft ? form.adjointRight(a, left: known.value) : form.adjointLeft(a, right: known.value)
      }
      let result: Covector =
        dense.upper.map { .pair(pull(dense.lower), pull($0)) } ?? .same(pull(dense.lower))
      return known.isLeft ? [nil, result] : [result, nil]
    case .product(let planes)?:
      charge(dense, planes.charge)
      let (aL, bL, bU) = (planes.left.lower, planes.right.lower, planes.right.upper)
      let cornerLow = form.apply(aL, bL)
      let cornerHigh = form.apply(aL, bU)
      // Below p = ab: p >= bL a + aL b - aL bL; above: p <= bU a + aL b - aL bU (McCormick 1976).
      func side(_ a: Tensor<Double>, below: Bool) -> (Tensor<Double>, Tensor<Double>, [Double]) {
        let (positive, negative) = signParts(a)
        let left =
          form.adjointLeft(positive, right: below ? bL : bU)
          + form.adjointLeft(negative, right: below ? bU : bL)
        let right = form.adjointRight(a, left: aL)
        let p = dot(positive, below ? cornerLow : cornerHigh)
        let m = dot(negative, below ? cornerHigh : cornerLow)
        return (left, right, zip(p, m).map { -($0 + $1) })
      }
      let low = side(dense.lower, below: true)
      let high = side(dense.upper ?? dense.lower, below: false)
      addConstants(lower: low.2, upper: high.2)
      return [.pair(low.0, high.0), .pair(low.1, high.1)]
    default: throw missing(node)
    }
  }

  mutating func selection(_ s: Selection, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .selection(let lines)? = relaxations[node.id] else { throw missing(node) }
    let dense = c.dense(node.shape, batch: batch)
    let outputs = s.outputShape.count
    let offsets = s.offsets
    let rows = self.rows
    let each = max(1, rows / max(batch, 1))
    let values = node.inputs.map { intervals[$0] }
    let g = Rounding.gamma(outputs + s.width + 3)
    func side(_ a: Tensor<Double>, _ below: Bool, _ slack: inout [Double]) -> ([Tensor<Double>?], [Double]) {
      var results = s.inputShapes.map { Tensor<Double>.zeros([rows] + $0) }
      var sums = [Double](repeating: 0, count: rows)
      for r in 0..<rows {
        let example = lines.batch == 1 ? 0 : r / each
        for o in 0..<outputs {
          let x = a[flat: r * outputs + o]
          if x == 0 { continue }
          let place = example * outputs + o
          let usesBelow = (x > 0) == below
          let index = Int(usesBelow ? lines.belowIndex[place] : lines.aboveIndex[place])
          let slope = usesBelow ? lines.belowSlope[place] : lines.aboveSlope[place]
          let intercept = usesBelow ? lines.belowIntercept[place] : lines.aboveIntercept[place]
          // Offsets start at 0 and increase, so some input contains the candidate.
          let input = offsets.lastIndex { $0 <= index } ?? 0
          let local = index - offsets[input]
          let size = s.inputShapes[input].count
          results[input][flat: r * size + local] += x * slope
          sums[r] += x * intercept
          let reach = Self.reach(values[input], example, local, size)
          slack[r] += g * abs(x) * (abs(slope) * reach + abs(intercept))
        }
      }
      return (results, sums)
    }
    return bothSides(dense, side)
  }

  /// The covectors on the inputs and the constants that one side of a form leaves; slack is added to.
  private typealias Side = (_ a: Tensor<Double>, _ below: Bool, _ slack: inout [Double]) -> (
    [Tensor<Double>?], [Double]
  )

  /// Carries the lower form, then the upper one.
  private mutating func bothSides(_ c: (lower: Tensor<Double>, upper: Tensor<Double>?), _ side: Side)
    -> [Covector?]
  {
    let low = side(c.lower, true, &lowerSlack)
    let high = side(c.upper ?? c.lower, false, &upperSlack)
    addConstants(lower: low.1, upper: high.1)
    return zip(low.0, high.0).map { a, b in
      guard let a, let b else { return nil }
      return .pair(a, b)
    }
  }

  /// The largest size of one value.
  private static func reach(_ interval: Interval?, _ example: Int, _ local: Int, _ size: Int) -> Double {
    guard let interval else { return .infinity }
    let place = (interval.batch == 1 ? 0 : example) * size + local
    return max(abs(interval.lower[flat: place]), abs(interval.upper[flat: place]))
  }

  mutating func discrete(_ f: any DiscreteFunction, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .copies(let copies)? = relaxations[node.id] else { throw missing(node) }
    let dense = c.dense(node.shape, batch: batch)
    let outputs = f.outputShape.count
    let rows = self.rows
    let each = max(1, rows / max(batch, 1))
    let values = node.inputs.map { intervals[$0] }
    let g = Rounding.gamma(outputs + 3)
    func side(_ a: Tensor<Double>, _ below: Bool, _ slack: inout [Double]) -> ([Tensor<Double>?], [Double]) {
      var results: [Tensor<Double>?] = f.inputShapes.indices.map { input in
        copies.tables.contains { $0[input] != nil } ? Tensor.zeros([rows] + f.inputShapes[input]) : nil
      }
      var sums = [Double](repeating: 0, count: rows)
      for r in 0..<rows {
        let example = copies.tables.count == 1 ? 0 : r / each
        for o in 0..<outputs {
          let x = a[flat: r * outputs + o]
          if x == 0 { continue }
          var isCopied = false
          for (input, table) in copies.tables[example].enumerated() {
            guard let table, table[o] >= 0 else { continue }
            let size = f.inputShapes[input].count
            results[input]?[flat: r * size + Int(table[o])] += x
            slack[r] += g * abs(x) * Self.reach(values[input], example, Int(table[o]), size)
            isCopied = true
          }
          if isCopied { continue }
          let place = (copies.bounds.batch == 1 ? 0 : r / each) * outputs + o
          let value = (x > 0) == below ? copies.bounds.lower[flat: place] : copies.bounds.upper[flat: place]
          sums[r] += x * value
          slack[r] += g * abs(x * value)
        }
      }
      return (results, sums)
    }
    return bothSides(dense, side)
  }

  mutating func composite(_ composite: any Composite, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .matrices(let lines)? = relaxations[node.id] else { throw missing(node) }
    if case .units(let units) = c.form {
      let (below, above) = lines.rows(units, batch: batch)
      addConstants(lower: below.constants, upper: above.constants)
      for (r, cost) in lines.charges(units, batch: batch).enumerated() where accountsForRounding {
        lowerSlack[r] += cost
        upperSlack[r] += cost
      }
      let lowers = lines.split(below.inputs, rows: rows, shapes: composite.inputShapes)
      let uppers = lines.split(above.inputs, rows: rows, shapes: composite.inputShapes)
      return zip(lowers, uppers).map { .pair($0, $1) }
    }
    let dense = c.dense(node.shape, batch: batch)
    charge(dense, lines.charge)
    let low = lines.pull(dense.lower, below: true, rows: rows)
    let high = lines.pull(dense.upper ?? dense.lower, below: false, rows: rows)
    addConstants(lower: low.constants, upper: high.constants)
    let lowers = lines.split(low.inputs, rows: rows, shapes: composite.inputShapes)
    let uppers = lines.split(high.inputs, rows: rows, shapes: composite.inputShapes)
    return zip(lowers, uppers).map { .pair($0, $1) }
  }

  mutating func merge(_ a: Covector, _ b: Covector, at node: Node) throws -> Covector {
    if let boxed = mergeWindows(a, b, at: node) { return boxed }
    let x = a.dense(node.shape, batch: batch)
    let y = b.dense(node.shape, batch: batch)
    let result: (lower: Tensor<Double>, upper: Tensor<Double>?)
    if x.upper == nil && y.upper == nil {
      result = (x.lower + y.lower, nil)
    } else {
      result = (x.lower + y.lower, (x.upper ?? x.lower) + (y.upper ?? y.lower))
    }
    // One rounding of every coefficient, applied to the node's values.
    if let size = intervals[node.id]?.magnitude { charge(result, size.map { Rounding.unit * $0 }) }
    return result.upper.map { .pair(result.lower, $0) } ?? .same(result.lower)
  }

  private func missing(_ node: Node) -> GraphError {
    GraphError(node: node.name, reason: "its relaxation is not available")
  }
}
