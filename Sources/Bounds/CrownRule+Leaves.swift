import Domains
import IR
import Rigor
import Tensors

/// Where a walk ends: forms become numbers.
extension CrownRule {
  /// Whole rows; picked rows of a linear map and forms on a part of a grid are as small as what they hold.
  func numbersStored(_ c: Covector, at node: Node) -> Int {
    switch (c.form, node.operation) {
    case (.window, _), (.units, .affine): return 0
    default:
      let (count, overflow) = rows.multipliedReportingOverflow(by: node.shape.count)
      return overflow ? .max : count
    }
  }

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
}
