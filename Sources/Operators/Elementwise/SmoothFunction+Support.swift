import IR
import Rigor

extension SmoothFunction {
  /// The extremum of f(x) - slope x over [lower, upper], zone by zone.
  ///
  /// Let s = 1 below and -1 above, and g(x) = s (f(x) - slope x), whose minimum is sought. On a zone where g is concave
  /// or linear it is attained at an end. On a zone [a, b] where g is convex, for any p and any x1 <= p <= x2 of the zone
  ///  - g(x) >= g(p) + g'(p)(x - p) on [x1, x2], hence g >= g(p) - max(g'(p)(p - x1), -g'(p)(x2 - p), 0) there;
  ///  - if x1 = a or g'(x1) <= 0, then g decreases on [a, x1]; if x2 = b or g'(x2) >= 0, then g increases on [x2, b];
  ///    so that the bound holds on all of [a, b].
  /// g'(p), g'(x1) and g'(x2) are taken with their proven errors, so that the bound is valid wherever p was found.
  public func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) { zonewiseSupport(slope: slope, side: side, lower, upper) }

  func zonewiseSupport(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) {
    let sign: Double = side == .below ? 1 : -1
    guard let (l, u) = clipped(lower, upper), slope.isFinite else { return (-sign * .infinity, lower) }
    if slope == 0 && (l < -1e100 || u > 1e100) {
      let bounds = range(l, u)
      return side == .below ? (bounds.lower, l) : (bounds.upper, u)
    }
    if l == u { return (sign * min(pointBound(l, slope, sign), .greatestFiniteMagnitude), l) }
    let zones = zones(l, u)
    var best = Double.infinity
    var touch = l
    var a = l
    for (index, curvature) in zones.curvatures.enumerated() {
      let knot = index < zones.knots.count ? zones.knots[index] : u
      if knot <= a && index < zones.knots.count { continue }
      let b = min(knot, u)
      let searched = side == .below ? curvature == .convex : curvature == .concave
      let bound: Double
      let point: Double
      if searched {
        (bound, point) = searchedBound(
          a, b, slope, sign, leftKnot: a > l || (index > 0 && zones.knots[index - 1] == a))
      } else {
        let atA = pointBound(a, slope, sign)
        let atB = pointBound(b, slope, sign)
        bound = min(atA, atB)
        point = atA <= atB ? a : b
      }
      if bound < best {
        best = bound
        touch = point
      }
      a = b
      if b >= u { break }
    }
    return (sign * min(best, .greatestFiniteMagnitude), touch)
  }

  /// A lower bound of s (f(x) - slope x) at one point.
  @inline(__always)
  func pointBound(_ x: Double, _ slope: Double, _ sign: Double) -> Double {
    var v: Double = value(x)
    let p = slope == 0 ? 0 : slope * x
    if v.isInfinite {
      if x.isInfinite {
        // The limit of f(x) - slope x is clear only if both parts pull the same way.
        let pull = sign * p
        return v == sign * .infinity && pull <= 0 ? .infinity : -.infinity
      }
      // Overflow: the true value is at least near the largest number.
      if v == sign * .infinity { v = sign * 0x1p1022 }
    }
    // The product and the difference round once each, by at most u |p| and u (|v| + |p|); the factor 4 covers these, the
    // rounding of this line and the second-order terms.
    let error = valueError(x, v) + 4 * ElementaryError.unit * (v.magnitude + p.magnitude) + 0x1p-1060
    let bound = sign * (v - p) - error
    return bound.isNaN ? -.infinity : bound
  }

  /// A lower bound of the convex function s (f(x) - slope x) over the zone [a, b], and where it is about attained.
  func searchedBound(_ a: Double, _ b: Double, _ slope: Double, _ sign: Double, leftKnot: Bool) -> (
    Double, Double
  ) {
    let found = touchedBound(touch(slope: slope, a, b), a, b, slope, sign, leftKnot: leftKnot)
    if found.isTight { return (found.bound, found.touch) }
    // Where the derivative is constant to the last digit, or its errors hide its sign, an end may do better.
    let atA = touchedBound(a, a, b, slope, sign, leftKnot: leftKnot)
    let atB = touchedBound(b, a, b, slope, sign, leftKnot: leftKnot)
    // All three hold. Those that cost only rounding tell where the function is touched.
    let bound = max(found.bound, atA.bound, atB.bound)
    if atA.isTight || atB.isTight { return (bound, atA.isTight ? atA.touch : atB.touch) }
    return (bound, bound == found.bound ? found.touch : bound == atA.bound ? atA.touch : atB.touch)
  }

  /// The bound from the tangent at (about) one point, and whether it costs no more than rounding does.
  private func touchedBound(
    _ point: Double, _ a: Double, _ b: Double, _ slope: Double, _ sign: Double, leftKnot: Bool
  ) -> (bound: Double, touch: Double, isTight: Bool) {
    var p = point.isNaN ? a / 2 + b / 2 : point
    p = min(max(p, a), b)
    if p.isInfinite { p = p < 0 ? -.greatestFiniteMagnitude : .greatestFiniteMagnitude }
    // The derivative at a knot may be that of the neighbouring zone.
    if p <= a { p = a.nextUp < b ? max(a.nextUp, -.greatestFiniteMagnitude) : (leftKnot ? b : a) }
    if p >= b { p = b.nextDown > a ? min(b.nextDown, .greatestFiniteMagnitude) : (leftKnot ? b : a) }
    let g = pointBound(p, slope, sign)
    let d: Double = derivative(p)
    // g'(p) with the error of its own subtraction.
    let rate = sign * (d - slope)
    let error = derivativeError(p, d) + 4 * ElementaryError.unit * rate.magnitude
    var loss = Self.loss(rate, error, p - a, b - p)
    let size = g.magnitude + (slope * p).magnitude
    if !(loss <= 0x1p-51 * size) {
      // Far ends would cost too much: find near points beyond which g is known to rise.
      let start = max(p.magnitude, min(b - a, 1)) * 0x1p-20
      let left = p - rise(from: p, to: a, start: start, slope, sign)
      let right = rise(from: p, to: b, start: start, slope, sign) - p
      loss = Self.loss(rate, error, left, right)
    }
    // The subtractions that gave the distances and the products round once each.
    let bound = (g - loss * (1 + 8 * ElementaryError.unit)) - 0x1p-52 * g.magnitude
    return (bound.isNaN ? -.infinity : bound, p, loss <= 0x1p-48 * size)
  }

  /// How far below g(p) the tangent at p, of slope `rate` give or take `error`, comes within the given distances.
  @inline(__always)
  private static func loss(_ rate: Double, _ error: Double, _ left: Double, _ right: Double) -> Double {
    let l = (rate + error) * left
    let r = (error - rate) * right
    // NaN (0 times infinity) stays NaN: then nothing is known.
    return l.isNaN || r.isNaN ? .nan : max(0, l, r)
  }

  /// A point between p and `end` beyond which g surely rises towards `end`, or `end`.
  private func rise(from p: Double, to end: Double, start: Double, _ slope: Double, _ sign: Double) -> Double
  {
    var step = start
    let direction: Double = end < p ? -1 : 1
    for _ in 0..<24 {
      let x = p + direction * step
      if direction < 0 ? x <= end : x >= end { return end }
      let d: Double = derivative(x)
      // Both the difference's rounding and the derivative's error must not turn the sign.
      let margin = derivativeError(x, d) + 4 * ElementaryError.unit * (d.magnitude + slope.magnitude)
      if direction * sign * (d - slope) > margin { return x }
      step *= 32
    }
    return end
  }
}

extension SmoothFunction {
  /// The derivative is monotone in every zone, so its extrema are at the ends, at the knots and, where a knot is a kink, beside it.
  /// A knot is off by at most an ulp, which moves the derivative there by next to nothing; the relative 2^-40 covers it.
  public func derivativeRange(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double)? {
    guard let (l, u) = clipped(lower, upper), l == lower, u == upper, l.isFinite, u.isFinite else {
      return nil
    }
    var low = Double.infinity
    var high = -Double.infinity
    let knots = zones(l, u).knots.filter { $0 >= l && $0 <= u }
    for x in [l, u] + knots.flatMap({ [max(l, $0.nextDown), $0, min(u, $0.nextUp)] }) {
      let value = derivative(x)
      let error = derivativeError(x, value)
      low = min(low, value - error)
      high = max(high, value + error)
    }
    let slack = 0x1p-40 * max(low.magnitude, high.magnitude) + 0x1p-1000
    guard (low - slack).isFinite, (high + slack).isFinite else { return nil }
    return (low - slack, high + slack)
  }
}
