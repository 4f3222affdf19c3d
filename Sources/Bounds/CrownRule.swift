import CKernels
import Domains
import IR
import Rigor
import Tensors

/// The backward walk of linear bounds (Zhang et al. 2018, CROWN; Xu et al. 2020 for general graphs).
///
/// Row r ends as lower[r] <= value <= upper[r] over the region; the constants and what rounding may have done are kept
/// here, once per node that produces them.
struct CrownRule: AdjointRule {
  let relaxations: [Relaxation?]
  let intervals: [Interval?]
  let region: Region
  let graph: Graph
  /// Whether a node depends on a perturbed input.
  let varies: [Bool]
  /// Nodes at which the walk ends on interval bounds, besides those that do not vary.
  let ends: [Bool]
  /// Examples of the region.
  let batch: Int
  let rows: Int

  /// Running constants of the lower and upper forms, and what rounding may add to either.
  private(set) var lowerConstant: [Double]
  private(set) var upperConstant: [Double]
  private(set) var lowerSlack: [Double]
  private(set) var upperSlack: [Double]
  /// The concretised part of perturbed inputs: to be subtracted from the lower and added to the upper constant.
  private(set) var coefficients: [NodeID: (lower: Tensor<Double>, upper: Tensor<Double>)] = [:]
  let keepsCoefficients: Bool
  private let accountsForRounding: Bool
  /// Lines of its own for every row, `[R] + shape`, where slopes were optimised.
  var rowLines: [NodeID: Lines] = [:]
  /// Added to the lower form on the argument of an elementwise node: -s beta of split constraints s z >= 0. Upper
  /// bounds are not to be used then.
  var multipliers: [NodeID: Tensor<Double>] = [:]
  /// What the perturbed inputs contributed to the constants when they were concretised.
  private var inputLower: [Double]
  private var inputUpper: [Double]
  /// Coefficient arrivals per node, for branching scores and optimisation; recorded only if asked for.
  let recording: Bool
  private(set) var arrivals: [NodeID: Covector] = [:]

  init(
    relaxations: [Relaxation?], intervals: [Interval?], region: Region, graph: Graph, varies: [Bool],
    ends: [Bool],
    rows: Int, accountsForRounding: Bool = true, keepsCoefficients: Bool = false, recording: Bool = false
  ) {
    self.accountsForRounding = accountsForRounding
    self.relaxations = relaxations
    self.intervals = intervals
    self.region = region
    self.graph = graph
    self.varies = varies
    self.ends = ends
    batch = region.batch
    self.rows = rows
    self.keepsCoefficients = keepsCoefficients
    self.recording = recording
    lowerConstant = [Double](repeating: 0, count: rows)
    upperConstant = lowerConstant
    lowerSlack = lowerConstant
    upperSlack = lowerConstant
    inputLower = lowerConstant
    inputUpper = lowerConstant
  }

  func isLeaf(_ node: Node) -> Bool { !varies[node.id] || (!ends.isEmpty && ends[node.id]) }

  // MARK: Constants

  /// Adds to the constants; the sum may be off by one rounding, which goes to the slack.
  private mutating func addConstants(lower: [Double], upper: [Double]?) {
    for r in 0..<rows {
      lowerConstant[r] += lower[r]
      lowerSlack[r] += Rounding.unit * abs(lowerConstant[r])
      upperConstant[r] += upper?[r] ?? lower[r]
      upperSlack[r] += Rounding.unit * abs(upperConstant[r])
    }
  }

  /// slack[r] += |A[r]| . charge, for both forms.
  private mutating func charge(
    _ c: (lower: Tensor<Double>, upper: Tensor<Double>?), _ charge: Tensor<Double>?
  ) {
    guard let charge, accountsForRounding else { return }
    absoluteDot(c.lower, charge, into: &lowerSlack)
    if let upper = c.upper {
      absoluteDot(upper, charge, into: &upperSlack)
    } else {
      absoluteDot(c.lower, charge, into: &upperSlack)
    }
  }

  private func absoluteDot(_ a: Tensor<Double>, _ v: Tensor<Double>, into result: inout [Double]) {
    forEachExample(a, v) { rows, n, a, v, first in
      result.withUnsafeMutableBufferPointer {
        ck_abs_dot_d(Int64(rows), Int64(n), a, v, $0.baseAddress! + first)
      }
    }
  }

  private func dot(_ a: Tensor<Double>, _ v: Tensor<Double>) -> [Double] {
    var result = [Double](repeating: 0, count: rows)
    forEachExample(a, v) { rows, n, a, v, first in
      result.withUnsafeMutableBufferPointer { ck_dot_d(Int64(rows), Int64(n), a, v, $0.baseAddress! + first) }
    }
    return result
  }

  /// Calls `body` with the rows of each example and that example's part of `v`. There is at least one row.
  private func forEachExample(
    _ a: Tensor<Double>, _ v: Tensor<Double>,
    _ body: (Int, Int, UnsafePointer<Double>, UnsafePointer<Double>, Int) -> Void
  ) {
    guard rows > 0, a.count > 0 else { return }
    let n = a.count / rows
    a.withPointer { a0 in
      v.withPointer { v0 in
        if v.batch == 1 {
          body(rows, n, a0, v0, 0)
        } else {
          let each = rows / batch
          for b in 0..<batch { body(each, n, a0 + b * each * n, v0 + b * n, b * each) }
        }
      }
    }
  }

  // MARK: Leaves

  mutating func leaf(_ node: Node, _ c: Covector) throws {
    if recording { arrivals[node.id] = c }
    if case .input = node.operation, varies[node.id], let position = graph.inputs.firstIndex(of: node.id) {
      let dense = c.dense(node.shape, batch: batch)
      if keepsCoefficients { coefficients[node.id] = (dense.lower, dense.upper ?? dense.lower) }
      let (lower, upper) = concretize(dense, over: region.inputs[position])
      for r in 0..<rows {
        inputLower[r] += lower[r]
        inputUpper[r] += upper[r]
      }
      return
    }
    // A value that does not vary, or where the walk was told to end: an interval.
    guard let interval = intervals[node.id] else {
      throw GraphError(node: node.name, reason: "its bounds are not available")
    }
    if case .units(let units) = c.form {
      let n = node.shape.count
      let each = units.count
      var lower = [Double](repeating: 0, count: rows)
      var upper = lower
      for b in 0..<batch {
        for (r, unit) in units.enumerated() {
          let place = (interval.batch == 1 ? 0 : b) * n + unit
          lower[b * each + r] = interval.lower[flat: place]
          upper[b * each + r] = interval.upper[flat: place]
        }
      }
      addConstants(lower: lower, upper: upper)
      return
    }
    _ = concretize(
      c.dense(node.shape, batch: batch), over: .box(lower: interval.lower, upper: interval.upper))
  }

  /// The extreme values of the forms over a set: A m -+ |A| r for boxes, A c -+ radius ||A||_dual for balls.
  /// Returns what was added to the constants.
  private mutating func concretize(_ c: (lower: Tensor<Double>, upper: Tensor<Double>?), over set: InputSet)
    -> (
      lower: [Double], upper: [Double]
    )
  {
    let upperRows = c.upper ?? c.lower
    let n = rows == 0 ? 0 : c.lower.count / rows
    let g = Rounding.gamma(n + 3)
    let mid: Tensor<Double>
    var lower: [Double]
    var upper: [Double]
    switch set {
    case .fixed(let value):
      mid = value
      lower = dot(c.lower, mid)
      upper = c.upper == nil ? lower : dot(upperRows, mid)
    case .box(let low, let high):
      let parts = Interval(lower: low, upper: high).midpointRadius
      mid = parts.mid
      lower = dot(c.lower, mid)
      upper = c.upper == nil ? lower : dot(upperRows, mid)
      var spread = [Double](repeating: 0, count: rows)
      absoluteDot(c.lower, parts.rad, into: &spread)
      var upperSpread = spread
      if c.upper != nil {
        upperSpread = [Double](repeating: 0, count: rows)
        absoluteDot(upperRows, parts.rad, into: &upperSpread)
      }
      for r in 0..<rows {
        lowerSlack[r] += g * spread[r]
        upperSlack[r] += g * upperSpread[r]
        lower[r] -= spread[r]
        upper[r] += upperSpread[r]
      }
    case .ball(let center, let radius, let norm):
      mid = center
      lower = dot(c.lower, mid)
      upper = c.upper == nil ? lower : dot(upperRows, mid)
      for r in 0..<rows {
        // The dual norm: a maximum is exact, a root of a sum of squares rounds n + 2 times in all.
        let low = radius * dualNorm(c.lower, r, n, norm)
        let high = radius * dualNorm(upperRows, r, n, norm)
        lowerSlack[r] += g * low
        upperSlack[r] += g * high
        lower[r] -= low
        upper[r] += high
      }
    }
    let sizes = mid.magnitude.map { g * $0 }
    charge(c, sizes)
    addConstants(lower: lower, upper: upper)
    return (lower, upper)
  }

  private func dualNorm(_ a: Tensor<Double>, _ row: Int, _ n: Int, _ norm: BallNorm) -> Double {
    a.withPointer { a0 in
      let x = a0 + row * n
      switch norm {
      case .l1:
        var largest = 0.0
        for i in 0..<n { largest = max(largest, abs(x[i])) }
        return largest
      case .l2:
        // Scaled by the largest entry so that squares neither overflow nor vanish.
        var largest = 0.0
        for i in 0..<n { largest = max(largest, abs(x[i])) }
        guard largest > 0, largest.isFinite else { return largest }
        var sum = 0.0
        for i in 0..<n {
          let y = x[i] / largest
          sum += y * y
        }
        return largest * sum.squareRoot() * (1 + 8 * Rounding.unit)
      }
    }
  }

  // MARK: Kinds

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
      return map.maps.map { linear in
        let rows = linear.rows(units)
        return batch == 1 ? .same(rows) : .same(.concatenatingBatches((0..<batch).map { _ in rows }))
      }
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
    let dense = c.dense(node.shape, batch: batch)
    let upperRows = dense.upper ?? dense.lower
    let n = node.shape.count
    var lower = dense.lower
    var upper = upperRows
    var lowerSum = [Double](repeating: 0, count: rows)
    var upperSum = lowerSum
    guard rows > 0, n > 0 else { return .pair(lower, upper) }
    if lines.isFinite {
      relax(&lower, below: true, lines, n, &lowerSum, &lowerSlack)
      relax(&upper, below: false, lines, n, &upperSum, &upperSlack)
    } else {
      relaxSkippingZeros(&lower, below: true, lines, n, &lowerSum, &lowerSlack)
      relaxSkippingZeros(&upper, below: false, lines, n, &upperSum, &upperSlack)
    }
    addConstants(lower: lowerSum, upper: upperSum)
    if let multipliers = multipliers[node.id] {
      // f >= f - beta s z wherever s z >= 0: the multiplier of a split joins the lower form. One rounding each.
      lower += multipliers
      if let size = intervals[node.inputs[0]]?.magnitude {
        absoluteDot(lower, size.map { Rounding.unit * $0 }, into: &lowerSlack)
      }
    }
    return .pair(lower, upper)
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
    let each = max(1, rows / max(batch, 1))
    let g = Rounding.gamma(outputs + s.width + 3)
    func side(_ a: Tensor<Double>, below: Bool, _ slack: inout [Double]) -> ([Tensor<Double>], [Double]) {
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
          let reach = candidateSize(node.inputs[input], example, local, size)
          slack[r] += g * abs(x) * (abs(slope) * reach + abs(intercept))
        }
      }
      return (results, sums)
    }
    var slack = (lower: [Double](repeating: 0, count: rows), upper: [Double](repeating: 0, count: rows))
    let low = side(dense.lower, below: true, &slack.lower)
    let high = side(dense.upper ?? dense.lower, below: false, &slack.upper)
    for r in 0..<rows {
      lowerSlack[r] += slack.lower[r]
      upperSlack[r] += slack.upper[r]
    }
    addConstants(lower: low.1, upper: high.1)
    return zip(low.0, high.0).map { .pair($0, $1) }
  }

  private func candidateSize(_ id: NodeID, _ example: Int, _ local: Int, _ size: Int) -> Double {
    guard let interval = intervals[id] else { return .infinity }
    let place = (interval.batch == 1 ? 0 : example) * size + local
    return max(abs(interval.lower[flat: place]), abs(interval.upper[flat: place]))
  }

  mutating func discrete(_ f: any DiscreteFunction, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .copies(let copies)? = relaxations[node.id] else { throw missing(node) }
    let dense = c.dense(node.shape, batch: batch)
    let outputs = f.outputShape.count
    let each = max(1, rows / max(batch, 1))
    let g = Rounding.gamma(outputs + 3)
    func side(_ a: Tensor<Double>, below: Bool, _ slack: inout [Double]) -> ([Tensor<Double>?], [Double]) {
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
            slack[r] += g * abs(x) * candidateSize(node.inputs[input], example, Int(table[o]), size)
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
    var slack = (lower: [Double](repeating: 0, count: rows), upper: [Double](repeating: 0, count: rows))
    let low = side(dense.lower, below: true, &slack.lower)
    let high = side(dense.upper ?? dense.lower, below: false, &slack.upper)
    for r in 0..<rows {
      lowerSlack[r] += slack.lower[r]
      upperSlack[r] += slack.upper[r]
    }
    addConstants(lower: low.1, upper: high.1)
    return zip(low.0, high.0).map { a, b in
      guard let a, let b else { return nil }
      return .pair(a, b)
    }
  }

  mutating func composite(_ composite: any Composite, _ c: Covector, at node: Node) throws -> [Covector?] {
    if recording { arrivals[node.id] = c }
    guard case .matrices(let lines)? = relaxations[node.id] else { throw missing(node) }
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

  // MARK: Result

  /// The forms in the perturbed inputs before they are concretised: constants with every rounding inside.
  struct Linear: Sendable {
    var coefficients: [NodeID: (lower: Tensor<Double>, upper: Tensor<Double>)]
    var lowerConstant: [Double]
    var upperConstant: [Double]
  }

  /// lower rows: constant - slack without the part that concretisation subtracted; rounding of the coefficients was
  /// charged on the values they multiply, so it is part of the slack.
  var linearBounds: Linear {
    let lower = (0..<rows).map { r in
      (lowerConstant[r] - inputLower[r]
        - (lowerSlack[r] * (1 + 0x1p-20) + 4 * Rounding.unit * abs(inputLower[r])))
        .nextDown
    }
    let upper = (0..<rows).map { r in
      (upperConstant[r] - inputUpper[r]
        + (upperSlack[r] * (1 + 0x1p-20) + 4 * Rounding.unit * abs(inputUpper[r])))
        .nextUp
    }
    return Linear(coefficients: coefficients, lowerConstant: lower, upperConstant: upper)
  }

  /// Bounds of every row. Slack is a sum of non-negative terms computed with far fewer than 2^30 roundings, so a
  /// factor 1 + 2^-20 covers its own rounding; a product that vanished below the normal range is covered by the last
  /// term.
  var bounds: (lower: [Double], upper: [Double]) {
    let tiny = 0x1p-1000
    let lower = (0..<rows).map { r -> Double in
      let value = (lowerConstant[r] - (lowerSlack[r] * (1 + 0x1p-20) + tiny)).nextDown
      return value.isNaN ? -.infinity : value
    }
    let upper = (0..<rows).map { r -> Double in
      let value = (upperConstant[r] + (upperSlack[r] * (1 + 0x1p-20) + tiny)).nextUp
      return value.isNaN ? .infinity : value
    }
    return (lower, upper)
  }
}
