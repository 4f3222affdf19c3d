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

  /// The coefficients `scale_k vector_i`, plus `diagonal_k` where i = k, and the intercepts of one side's lines.
  private struct Side {
    var scale: [Double]
    var vector: [Double]
    var diagonal: [Double]
    var intercept: [Double]

    /// Constant lines.
    init(_ values: [Double]) {
      scale = [Double](repeating: 0, count: values.count)
      vector = scale
      diagonal = scale
      intercept = values
    }

    var coefficients: LineCoefficients { .outer(scale: scale, vector: vector, diagonal: diagonal) }
  }

  private func group(_ below: Side, _ above: Side, _ indices: [Int32]) -> CompositeRelaxation.Group {
    CompositeRelaxation.Group(
      outputs: indices, inputs: indices, below: below.coefficients, above: above.coefficients,
      belowIntercept: below.intercept, aboveIntercept: above.intercept)
  }

  /// Sums over a vector that every line of a side shares: of its products with a point and of its elements, and of their
  /// magnitudes.
  private struct Sums {
    var product = 0.0
    var productSize = 0.0
    var total = 0.0
    var totalSize = 0.0

    init(_ vector: [Double], at point: [Double]) {
      for (v, p) in zip(vector, point) {
        product += v * p
        productSize += (v * p).magnitude
        total += v
        totalSize += v.magnitude
      }
    }
  }

  /// The intercept, for x itself, of a line J x' + value with J_i = scale vector_i + [i = k] diagonal:
  /// J x' = J x - shift sum J, so it is value - J point - shift sum J. All sums have at most n + 4 terms, so they err by at
  /// most (n + 8) 2u of the sum of magnitudes; `slack` >= 0 holds whatever else is unknown.
  /// - Parameter sign: 1 for a line below, -1 for a line above.
  private func intercept(
    value: Double, size: Double, scale: Double, diagonal: Double, _ sums: Sums, at point: Double,
    shift: Double, slack: Double, sign: Double
  ) -> Double {
    let product = scale * sums.product
    let own = diagonal * point
    let total = scale * sums.total + diagonal
    let sum = value - product - own - shift * total
    let magnitude =
      size + scale.magnitude * sums.productSize + own.magnitude
      + shift.magnitude * (scale.magnitude * sums.totalSize + diagonal.magnitude) + sum.magnitude
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
    var (below, above) = (Side(low), Side(high))
    guard let frame = frame() else { return group(below, above, indices) }
    let p = frame.point
    var bound = 0.0
    var terms = 0.0
    for i in 0..<n {
      let product = frame.slope[i] * p[i]
      bound += product + frame.intercept[i]
      terms += product.magnitude + frame.intercept[i].magnitude
    }
    let rho = Double(n + 4) * 0x1p-52 * terms / bound
    if bound > 0 && rho < 0x1p-10 { lowerLines(frame, bound: bound, q: 3 * rho + 0x1p-45, &below) }
    upperLines(frame, low, high, &above)
    return group(below, above, indices)
  }

  /// Gradient -g share_i, plus g where i = k.
  private func lowerLines(_ frame: Frame, bound: Double, q: Double, _ below: inout Side) {
    below.vector = frame.slope.map { $0 / bound }
    let sums = Sums(below.vector, at: frame.point)
    var spread = 0.0
    for i in 0..<n { spread += below.vector[i] * frame.radius[i] }
    for k in 0..<n {
      let g = exp(frame.point[k]) / bound
      below.scale[k] = -g
      below.diagonal[k] = g
      let slack = q * g * (1 + (spread + frame.radius[k]) * (1 + 0x1p-40)) + 0x1p-1000 * frame.radius[k]
      below.intercept[k] = intercept(
        value: g, size: g, scale: -g, diagonal: g, sums, at: frame.point[k], shift: frame.shift,
        slack: slack, sign: 1)
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

  private func upperLines(_ frame: Frame, _ low: [Double], _ high: [Double], _ above: inout Side) {
    let exponential = Exp()
    let (share, shareError, top, logSum) = pointShares(frame)
    above.vector = share
    let sums = Sums(share, at: frame.point)
    var slackShares = 0.0
    for i in 0..<n { slackShares += shareError[i] * frame.radius[i] }
    for k in 0..<n {
      // log is accurate to `call`; both bounds of y_k are at most 1.
      let a = log(low[k]) * (1 + 0x1p-46)
      let b = min(0, log(high[k]) * (1 - 0x1p-46))
      guard a.isFinite, a < b else { continue }
      let c = max(0, exponential.slopes(a, b, .adaptive).above)
      let chord = exponential.support(slope: c, side: .above, a, b).intercept
      above.scale[k] = -c
      above.diagonal[k] = c
      let offset = frame.point[k] - top
      let w = offset - logSum
      // The sum in LSE is off by 2 relative, its logarithm by that plus `call` of itself, the differences by u each.
      let wError = 3 * relative + 0x1p-47 * logSum.magnitude + 4 * ElementaryError.unit * offset.magnitude
      // The gradient errs by c (shareError + 2u |its terms|).
      let gradientError = slackShares + 4 * ElementaryError.unit * frame.radius[k]
      let slack = c * (wError + gradientError * (1 + 0x1p-40)) + 0x1p-1000 * frame.radius[k]
      above.intercept[k] = intercept(
        value: chord + c * w, size: chord.magnitude + (c * w).magnitude, scale: -c, diagonal: c, sums,
        at: frame.point[k], shift: frame.shift, slack: slack, sign: -1)
    }
  }

  /// Linear bounds of log-softmax w_k = x'_k - log sum e^x'_i.
  ///
  /// Above: the tangent of the concave w_k at p. Below: log sum e^x' <= log S(x') <= log s + (S(x') - s) / s for any s > 0,
  /// with S as for softmax and s its computed value at p.
  func logSoftmaxLines(indices: [Int32]) -> CompositeRelaxation.Group {
    let (low, high) = logarithms()
    var (below, above) = (Side(low), Side(high))
    guard let frame = frame() else { return group(below, above, indices) }
    let (share, shareError, top, logSum) = pointShares(frame)
    var slackShares = 0.0
    var bound = 0.0
    var constant = 0.0
    for i in 0..<n {
      slackShares += shareError[i] * frame.radius[i]
      bound += frame.slope[i] * frame.point[i] + frame.intercept[i]
      constant += frame.intercept[i]
    }
    above.vector = share
    let sums = Sums(share, at: frame.point)
    for k in 0..<n {
      above.scale[k] = -1
      above.diagonal[k] = 1
      let offset = frame.point[k] - top
      let w = offset - logSum
      let wError = 3 * relative + 0x1p-47 * logSum.magnitude + 4 * ElementaryError.unit * offset.magnitude
      let slack = wError + slackShares * (1 + 0x1p-40) + 4 * ElementaryError.unit * frame.radius[k]
      above.intercept[k] = intercept(
        value: w, size: w.magnitude + offset.magnitude, scale: -1, diagonal: 1, sums, at: frame.point[k],
        shift: frame.shift, slack: slack, sign: -1)
    }
    if bound > 0, bound.isFinite {
      lowerLogLines(frame, bound: bound, constant: constant, &below)
    }
    return group(below, above, indices)
  }

  /// Slopes [i = k] - slope_i / s; the quotients round by 2u of themselves, at points of magnitude `size`.
  private func lowerLogLines(_ frame: Frame, bound: Double, constant: Double, _ below: inout Side) {
    below.vector = frame.slope.map { $0 / bound }
    var slopeSlack = 0.0
    for i in 0..<n {
      slopeSlack += 4 * ElementaryError.unit * below.vector[i] * frame.size[i] + 0x1p-1000 * frame.size[i]
    }
    let sums = Sums(below.vector, at: [Double](repeating: 0, count: n))
    let value = 1 - log(bound) - constant / bound
    let constantSize = frame.intercept.reduce(0) { $0 + $1.magnitude }
    let size = 1 + log(bound).magnitude + 2 * constantSize / bound
    for k in 0..<n {
      below.scale[k] = -1
      below.diagonal[k] = 1
      // The logarithm's error is 2^-49 of itself.
      below.intercept[k] = intercept(
        value: value, size: size, scale: -1, diagonal: 1, sums, at: 0, shift: frame.shift,
        slack: slopeSlack * (1 + 0x1p-40) + 0x1p-48 * size, sign: 1)
    }
  }
}
