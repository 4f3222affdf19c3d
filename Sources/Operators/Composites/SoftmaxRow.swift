import Foundation
import IR
import Rigor
import Tensors

/// Bounds of the softmax of one row of n numbers x in a box.
///
/// Notation: u = 2^-53; all quantities below are computed in Double with at most the errors stated. Softmax does not
/// change when all inputs are shifted, so lines are found for x' = x - shift with the largest upper bound shifted to
/// about 0; the shifted box is rounded outward.
struct SoftmaxRow {
  let n: Int
  let lower: [Double]
  let upper: [Double]

  init(_ lower: Tensor<Double>, _ upper: Tensor<Double>, _ rows: AxisRows, _ start: Int) {
    n = rows.length
    var l = [Double](repeating: 0, count: n)
    var u = l
    lower.withPointer { rows.gather($0, start, into: &l) }
    upper.withPointer { rows.gather($0, start, into: &u) }
    self.lower = l
    self.upper = u
  }

  /// Whether the row may hold infinity, or minus infinity only: then all quotients may be 0/0 or the like.
  var mayBeNaN: Bool {
    upper.contains { !($0 < .infinity) } || (n > 0 && !lower.contains { $0 > -.infinity })
  }

  /// (n + 8) u plus the error of two calls, with room for second-order terms.
  private var relative: Double { Double(n + 8) * 0x1p-52 + 4 * ElementaryError.call }

  /// For every k: log of sum_{i != k} e^(move_i - stay_k), accurate to within `error`.
  ///
  /// With top = max move, e^(move_i - top) <= 1 and the sum over i != k comes from sums before and after k, without
  /// cancellation. It contains the term 1 unless k is the only maximum, for which the sum is formed anew from the second
  /// largest. Every argument of exp is rounded by u |t|, and |t| e^t <= 1/e, so a sum that contains 1 is off by at most
  /// relative + n u / e < 2 relative. The logarithm adds `call` of itself and the final sum u of its parts.
  private func logSums(_ move: [Double], _ stay: [Double]) -> [(log: Double, error: Double)] {
    var top = -Double.infinity
    var winner = 0
    for i in 0..<n where move[i] > top {
      top = move[i]
      winner = i
    }
    let scaled = move.map { exp($0 - top) }
    var before = [Double](repeating: 0, count: n + 1)
    var after = before
    for i in 0..<n { before[i + 1] = before[i] + scaled[i] }
    for i in stride(from: n - 1, through: 0, by: -1) { after[i] = after[i + 1] + scaled[i] }
    return (0..<n).map { k in
      var base = top
      var sum = before[k] + after[k + 1]
      if k == winner {
        base = -.infinity
        for i in 0..<n where i != k { base = max(base, move[i]) }
        sum = 0
        if base > -.infinity { for i in 0..<n where i != k { sum += exp(move[i] - base) } }
      }
      if sum == 0 || base == -.infinity { return (-.infinity, 0) }
      let logarithm = log(sum)
      let value = (base - stay[k]) + logarithm
      let size = (base - stay[k]).magnitude + logarithm.magnitude
      return (
        value, 2 * relative + 4 * ElementaryError.unit * size + ElementaryError.call * logarithm.magnitude
      )
    }
  }

  /// Bounds of log y_k: -log(1 + sum_{i != k} e^(x_i - x_k)) is least where x_k is least and the others are greatest.
  func logarithms() -> (lower: [Double], upper: [Double]) {
    func bound(_ t: Double) -> Double {
      // log(1 + e^t), relative error below 2^-46.
      t > 0 ? t + log1p(exp(-t)) : log1p(exp(t))
    }
    if mayBeNaN { return (Array(repeating: -.infinity, count: n), Array(repeating: .infinity, count: n)) }
    let far = logSums(upper, lower)
    let near = logSums(lower, upper)
    var low = [Double](repeating: -.infinity, count: n)
    var high = [Double](repeating: 0, count: n)
    for k in 0..<n {
      let a = -bound(far[k].log + far[k].error) * (1 + 0x1p-45) - 0x1p-1060
      let b = -bound(near[k].log - near[k].error) * (1 - 0x1p-45)
      if !a.isNaN { low[k] = a }
      if !b.isNaN { high[k] = min(b, 0) }
    }
    return (low, high)
  }

  /// Bounds of y_k = 1 / (1 + e^t) with t as above; e^t with an error `error` in t changes by at most that relative.
  func probabilities() -> (lower: [Double], upper: [Double]) {
    if mayBeNaN { return (Array(repeating: -.infinity, count: n), Array(repeating: .infinity, count: n)) }
    let far = logSums(upper, lower)
    let near = logSums(lower, upper)
    let sigmoid = Sigmoid()
    var low = [Double](repeating: 0, count: n)
    var high = [Double](repeating: 1, count: n)
    for k in 0..<n {
      let a = -(far[k].log + far[k].error)
      let b = -(near[k].log - near[k].error)
      if !a.isNaN { low[k] = sigmoid.range(a, a).lower }
      if !b.isNaN { high[k] = sigmoid.range(b, b).upper }
    }
    return (low, high)
  }

  // MARK: - Lines

  /// The shifted box, its middle and its radii, and chords of the exponential on it.
  private struct Frame {
    var shift: Double
    /// A point of the box.
    var point: [Double]
    /// At least |x'_i - point_i| over the box.
    var radius: [Double]
    /// max |x'_i| over the box.
    var size: [Double]
    /// e^x' <= slope x' + intercept on the box, exactly.
    var slope: [Double]
    var intercept: [Double]
  }

  private func frame() -> Frame? {
    guard let shift = upper.max(), shift.isFinite, lower.allSatisfy(\.isFinite), upper.allSatisfy(\.isFinite)
    else { return nil }
    var frame = Frame(shift: shift, point: [], radius: [], size: [], slope: [], intercept: [])
    let exponential = Exp()
    for i in 0..<n {
      let l = (lower[i] - shift).nextDown
      let u = (upper[i] - shift).nextUp
      guard l.isFinite, u.isFinite, l <= u else { return nil }
      let middle = l / 2 + u / 2
      let slope = exponential.slopes(l, u, .adaptive).above
      let intercept = exponential.support(slope: slope, side: .above, l, u).intercept
      frame.point.append(middle)
      frame.radius.append(max(u - middle, middle - l).nextUp)
      frame.size.append(max(l.magnitude, u.magnitude))
      frame.slope.append(slope)
      frame.intercept.append(intercept)
    }
    return frame
  }

  private func constants(_ low: [Double], _ high: [Double], _ indices: [Int32]) -> CompositeRelaxation.Group {
    let zeros = [Double](repeating: 0, count: n * n)
    return CompositeRelaxation.Group(
      outputs: indices, inputs: indices, below: zeros, above: zeros, belowIntercept: low, aboveIntercept: high
    )
  }

  /// The intercept, for x itself, of a line J x' + value: J x' = J x - shift sum J. All sums have at most n + 2 terms, so
  /// they err by at most (n + 4) 2u of the sum of magnitudes; `slack` >= 0 holds whatever else is unknown.
  /// - Parameter sign: 1 for a line below, -1 for a line above.
  private func intercept(
    value: Double, size: Double, line: UnsafePointer<Double>, at point: [Double], shift: Double,
    slack: Double,
    sign: Double
  ) -> Double {
    var sum = value
    var magnitude = size
    var total = 0.0
    var absolute = 0.0
    for i in 0..<n {
      let product = line[i] * point[i]
      sum -= product
      magnitude += product.magnitude
      total += line[i]
      absolute += line[i].magnitude
    }
    sum -= shift * total
    magnitude += shift.magnitude * absolute + sum.magnitude
    let error = Double(2 * n + 16) * 0x1p-52 * magnitude + slack * (1 + 0x1p-40) + 0x1p-1000
    let result = sum - sign * error
    return result.isNaN ? -sign * .infinity : result
  }

  /// Linear bounds of softmax (Wei et al., "Convex Bounds on the Softmax Function with Applications to Robustness
  /// Verification", 2023, the LSE form).
  ///
  /// Below: sum_i e^x'_i <= S(x') = sum_i slope_i x'_i + intercept_i, and e^x'_k / S(x') is convex, so its tangent at
  /// p is below y_k. S(p) is computed with relative error rho, the value g and the gradient with at most
  /// q = 3 rho + 2^-45 of the magnitudes of their terms; a gradient that is off by d_i lies below the function once
  /// sum d_i radius_i is subtracted.
  ///
  /// Above: y_k = e^w with w = x_k - LSE(x) in a known range; e^w <= c w + a there; w is concave, so its tangent at p is
  /// above it, and c >= 0.
  func softmaxLines(indices: [Int32]) -> CompositeRelaxation.Group {
    let (low, high) = probabilities()
    var group = constants(low, high, indices)
    guard let frame = frame() else { return group }
    let p = frame.point
    var bound = 0.0
    var terms = 0.0
    for i in 0..<n {
      let product = frame.slope[i] * p[i]
      bound += product + frame.intercept[i]
      terms += product.magnitude + frame.intercept[i].magnitude
    }
    let rho = Double(n + 4) * 0x1p-52 * terms / bound
    if bound > 0 && rho < 0x1p-10 {
      lowerLines(frame, bound: bound, q: 3 * rho + 0x1p-45, &group)
    }
    upperLines(frame, low, high, &group)
    return group
  }

  private func lowerLines(_ frame: Frame, bound: Double, q: Double, _ group: inout CompositeRelaxation.Group)
  {
    let share = frame.slope.map { $0 / bound }
    var spread = 0.0
    for i in 0..<n { spread += share[i] * frame.radius[i] }
    for k in 0..<n {
      let g = exp(frame.point[k]) / bound
      for i in 0..<n { group.below[k * n + i] = -g * share[i] }
      group.below[k * n + k] = g * (1 - share[k])
      let slack = q * g * (1 + (spread + frame.radius[k]) * (1 + 0x1p-40)) + 0x1p-1000 * frame.radius[k]
      group.belowIntercept[k] = group.below.withUnsafeBufferPointer { lines in
        // The buffer has n * n elements, so it has an address when there is a k.
        intercept(
          value: g, size: g, line: lines.baseAddress! + k * n, at: frame.point, shift: frame.shift,
          slack: slack, sign: 1)
      }
    }
  }

  /// softmax and log-sum-exp at the frame's point: shares s_i with |error| <= s_i (relative + u |t_i|) + 2^-1060, t_i the
  /// argument of exp; LSE relative to the largest element.
  private func pointShares(_ frame: Frame) -> (share: [Double], error: [Double], top: Double, log: Double) {
    let top = frame.point.max() ?? 0
    var share = frame.point.map { exp($0 - top) }
    var sum = 0.0
    for s in share { sum += s }
    var error = share
    for i in 0..<n {
      share[i] /= sum
      let t = min((frame.point[i] - top).magnitude, 800)
      error[i] = share[i] * (3 * relative + 2 * ElementaryError.unit * t) + 0x1p-1060
    }
    return (share, error, top, log(sum))
  }

  private func upperLines(
    _ frame: Frame, _ low: [Double], _ high: [Double], _ group: inout CompositeRelaxation.Group
  ) {
    let exponential = Exp()
    let (share, shareError, top, logSum) = pointShares(frame)
    var slackShares = 0.0
    for i in 0..<n { slackShares += shareError[i] * frame.radius[i] }
    for k in 0..<n {
      // log is accurate to `call`; both bounds of y_k are at most 1.
      let a = log(low[k]) * (1 + 0x1p-46)
      let b = min(0, log(high[k]) * (1 - 0x1p-46))
      guard a.isFinite, a < b else { continue }
      let c = max(0, exponential.slopes(a, b, .adaptive).above)
      let chord = exponential.support(slope: c, side: .above, a, b).intercept
      for i in 0..<n { group.above[k * n + i] = -c * share[i] }
      group.above[k * n + k] = c * (1 - share[k])
      let offset = frame.point[k] - top
      let w = offset - logSum
      // The sum in LSE is off by 2 relative, its logarithm by that plus `call` of itself, the differences by u each.
      let wError = 3 * relative + 0x1p-47 * logSum.magnitude + 4 * ElementaryError.unit * offset.magnitude
      // The gradient errs by c (shareError + 2u |its terms|).
      let gradientError = slackShares + 4 * ElementaryError.unit * frame.radius[k]
      let slack = c * (wError + gradientError * (1 + 0x1p-40)) + 0x1p-1000 * frame.radius[k]
      group.aboveIntercept[k] = group.above.withUnsafeBufferPointer { lines in
        // As above.
        intercept(
          value: chord + c * w, size: chord.magnitude + (c * w).magnitude, line: lines.baseAddress! + k * n,
          at: frame.point, shift: frame.shift, slack: slack, sign: -1)
      }
    }
  }

  /// Linear bounds of log-softmax w_k = x'_k - log sum e^x'_i.
  ///
  /// Above: the tangent of the concave w_k at p. Below: log sum e^x' <= log S(x') <= log s + (S(x') - s) / s for any s > 0,
  /// with S as for softmax and s its computed value at p.
  func logSoftmaxLines(indices: [Int32]) -> CompositeRelaxation.Group {
    let (low, high) = logarithms()
    var group = constants(low, high, indices)
    guard let frame = frame() else { return group }
    let (share, shareError, top, logSum) = pointShares(frame)
    var slackShares = 0.0
    var bound = 0.0
    var constant = 0.0
    for i in 0..<n {
      slackShares += shareError[i] * frame.radius[i]
      bound += frame.slope[i] * frame.point[i] + frame.intercept[i]
      constant += frame.intercept[i]
    }
    let constantSize = frame.intercept.reduce(0) { $0 + $1.magnitude }
    let origin = [Double](repeating: 0, count: n)
    for k in 0..<n {
      for i in 0..<n { group.above[k * n + i] = -share[i] }
      group.above[k * n + k] = 1 - share[k]
      let offset = frame.point[k] - top
      let w = offset - logSum
      let wError = 3 * relative + 0x1p-47 * logSum.magnitude + 4 * ElementaryError.unit * offset.magnitude
      let slack = wError + slackShares * (1 + 0x1p-40) + 4 * ElementaryError.unit * frame.radius[k]
      group.aboveIntercept[k] = group.above.withUnsafeBufferPointer { lines in
        // n * n elements: there is an address when there is a k.
        intercept(
          value: w, size: w.magnitude + offset.magnitude, line: lines.baseAddress! + k * n, at: frame.point,
          shift: frame.shift, slack: slack, sign: -1)
      }
      guard bound > 0, bound.isFinite else { continue }
      // Slopes [i = k] - slope_i / s round by 2u of their terms, at points of magnitude `size`.
      var slopeSlack = 2 * ElementaryError.unit * frame.size[k]
      for i in 0..<n {
        let ratio = frame.slope[i] / bound
        group.below[k * n + i] = -ratio
        slopeSlack += 4 * ElementaryError.unit * ratio * frame.size[i] + 0x1p-1000 * frame.size[i]
      }
      let own = frame.slope[k] / bound
      group.below[k * n + k] = 1 - own
      if own == 0 { slopeSlack -= 2 * ElementaryError.unit * frame.size[k] }
      let value = 1 - log(bound) - constant / bound
      let size = 1 + log(bound).magnitude + 2 * constantSize / bound
      group.belowIntercept[k] = group.below.withUnsafeBufferPointer { lines in
        // As above. The logarithm's error is 2^-49 of itself.
        intercept(
          value: value, size: size, line: lines.baseAddress! + k * n, at: origin, shift: frame.shift,
          slack: slopeSlack * (1 + 0x1p-40) + 0x1p-48 * size, sign: 1)
      }
    }
    return group
  }
}
