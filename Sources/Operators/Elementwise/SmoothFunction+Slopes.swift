import IR
import Rigor

extension SmoothFunction {
  /// The default lines.
  ///
  /// On one zone: the chord on one side, the tangent at `tangentPoint` on the other. Otherwise, on each side, the line that
  /// supports the envelope above or below the middle, which leaves the least area: for S-shapes the chord, the tangent
  /// through an end point, or the tangent in the middle (compare Zhang et al., "Efficient Neural Network Robustness
  /// Certification with General Activation Functions", 2018). With a `tableStep` the end point is rounded outward.
  public func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) { zonewiseSlopes(lower, upper, policy) }

  func zonewiseSlopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) {
    guard let (l, u) = clipped(lower, upper), l < u, l > -1e100, u < 1e100 else { return (0, 0) }
    let zones = zones(l, u)
    let first = zones.knots.firstIndex { $0 > l } ?? zones.knots.count
    let last = zones.knots.firstIndex { $0 >= u } ?? zones.knots.count
    if u - l <= 0x1p-30 * max(l.magnitude, u.magnitude) {
      // The chord of so narrow an interval is all rounding.
      let slope = finite(derivative(l / 2 + u / 2))
      return (slope, slope)
    }
    if first == last {
      let chord = chordSlope(l, u)
      let tangent = policy == .same ? chord : finite(derivative(tangentPoint(l, u)))
      switch zones.curvatures[first] {
      case .convex: return (tangent, chord)
      case .concave: return (chord, tangent)
      case .linear: return (chord, chord)
      }
    }
    let below: Double
    let above: Double
    if tableStep > 0, last == first + 1, zones.curvatures[first] != .linear,
      zones.curvatures[last] != .linear,
      zones.curvatures[first] != zones.curvatures[last]
    {
      let rising = zones.curvatures[first] == .convex
      let knot = zones.knots[first]
      below = endTangent(.below, l, u, knot: knot, fromLower: !rising)
      above = endTangent(.above, l, u, knot: knot, fromLower: rising)
    } else {
      let middle = l / 2 + u / 2
      below = envelopeSlope(.below, l, u, at: middle)
      above = envelopeSlope(.above, l, u, at: middle)
    }
    if policy == .same {
      let slope = below.magnitude < above.magnitude ? below : above
      return (slope, slope)
    }
    return (below, above)
  }

  public func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double> {
    guard let (l, u) = clipped(lower, upper), l < u, l > -1e100, u < 1e100,
      u - l > 0x1p-30 * max(l.magnitude, u.magnitude)
    else {
      let (below, above) = slopes(lower, upper, .adaptive)
      let slope = side == .below ? below : above
      return slope...slope
    }
    // The slopes of the envelope increase from end to end if it is convex, else decrease. A little inside of the ends,
    // where roots and logarithms are vertical.
    let margin = (u - l) * 0x1p-10
    let first = envelopeSlope(side, l, u, at: isSteep(l) ? l + margin : l)
    let second = envelopeSlope(side, l, u, at: isSteep(u) ? u - margin : u)
    return min(first, second)...max(first, second)
  }

  private func isSteep(_ x: Double) -> Bool {
    let d: Double = derivative(x)
    return !(d.magnitude < 1e8)
  }

  private func finite(_ x: Double) -> Double { x.isFinite ? x : 0 }

  func chordSlope(_ l: Double, _ u: Double) -> Double {
    let low: Double = value(l)
    let high: Double = value(u)
    return finite((high - low) / (u - l))
  }

  /// The chord where it lies on the right side; else the tangent through one end, rounded outward as in the published
  /// tables, or the tangent in the middle if that touches nearer to this end.
  private func endTangent(_ side: Side, _ l: Double, _ u: Double, knot: Double, fromLower: Bool) -> Double {
    let sign: Double = side == .below ? 1 : -1
    let chord = chordSlope(l, u)
    // The chord carries the function if it leaves the far end on the right side.
    let farDerivative: Double = derivative(fromLower ? u : l)
    let leaves = fromLower ? sign * (farDerivative - chord) < 0 : sign * (farDerivative - chord) > 0
    if leaves { return chord }
    let end = fromLower ? l : u
    let steps = (end.magnitude / tableStep).rounded(.down) + 1
    let rounded = end < 0 ? -steps * tableStep : steps * tableStep
    let far = farEnd(beyond: fromLower ? u : l, from: rounded)
    let slope =
      fromLower
      ? envelopeSlope(side, rounded, far, at: rounded) : envelopeSlope(side, far, rounded, at: rounded)
    // In the zone that carries the tangent the derivative is monotone, so slopes compare as touching points do.
    let middle = l / 2 + u / 2
    guard fromLower ? middle > knot : middle < knot else { return slope }
    let atMiddle: Double = derivative(middle)
    return (side == .below) != fromLower ? min(slope, atMiddle) : max(slope, atMiddle)
  }

  private func farEnd(beyond x: Double, from end: Double) -> Double {
    x < end ? min(x, -end.magnitude) * 2 - 1 : max(x, end.magnitude) * 2 + 1
  }

  /// The slope of a line that supports the convex (below) or concave (above) envelope of the function on [l, u] at
  /// `target`.
  ///
  /// The envelope at `target` is either the function itself or a segment between two touching points; the segment is
  /// found by replacing one of two points by the point that their chord cuts off most, which converges quadratically.
  func envelopeSlope(_ side: Side, _ l: Double, _ u: Double, at target: Double) -> Double {
    let sign: Double = side == .below ? 1 : -1
    var x1 = l
    var x2 = u
    func tolerance(_ v: Double, _ p: Double) -> Double { 0x1p-40 * (v.magnitude + p.magnitude) }
    if target > l && target < u {
      let slope: Double = derivative(target)
      if slope.isFinite {
        let (t, x) = support(slope: slope, side: side, l, u)
        let v: Double = value(target)
        if sign * (slope * target + t - v) >= -tolerance(v, slope * target) { return slope }
        if x < target { x1 = max(x1, x) } else if x > target { x2 = min(x2, x) }
      }
    } else {
      // At an end the function's own tangent supports if its curvature there is right.
      let slope: Double = derivative(target)
      if slope.isFinite {
        let t = support(slope: slope, side: side, l, u).intercept
        let v: Double = value(target)
        if sign * (slope * target + t - v) >= -tolerance(v, slope * target) { return slope }
      }
    }
    var slope = chordSlope(x1, x2)
    for _ in 0..<50 {
      let (t, x) = support(slope: slope, side: side, l, u)
      let v: Double = value(x1)
      if sign * (slope * x1 + t - v) >= -0x1p-46 * (v.magnitude + (slope * x1).magnitude) { break }
      if x <= x1 || x >= x2 || x == target { break }
      if x < target || target >= u { x1 = x } else { x2 = x }
      if x2 - x1 <= 0x1p-40 * max(x1.magnitude, x2.magnitude) { break }
      let next = chordSlope(x1, x2)
      if (next - slope).magnitude <= 0x1p-50 * slope.magnitude { return next }
      slope = next
    }
    return finite(slope)
  }
}
