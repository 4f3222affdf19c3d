import CGMP

extension Rational {
  /// The double nearest to zero's side of the number: GMP truncates.
  private var truncated: Double { __gmpq_get_d(q) }

  /// The greatest double that is not above the number (`-infinity` below all finite doubles).
  public var roundedDown: Double { directed(up: false) }

  /// The least double that is not below the number (`+infinity` above all finite doubles).
  public var roundedUp: Double { directed(up: true) }

  private func directed(up: Bool) -> Double {
    let t = truncated
    guard t.isFinite else {
      if t > 0 { return up ? .infinity : .greatestFiniteMagnitude }
      return up ? -.greatestFiniteMagnitude : -.infinity
    }
    // Decide by comparison only, so that nothing rests on how the conversion treats tiny numbers.
    var candidate = t
    if up {
      while candidate.isFinite, Rational(candidate) < self { candidate = candidate.nextUp }
      while candidate.nextDown.isFinite, Rational(candidate.nextDown) >= self {
        candidate = candidate.nextDown
      }
    } else {
      while candidate.isFinite, Rational(candidate) > self { candidate = candidate.nextDown }
      while candidate.nextUp.isFinite, Rational(candidate.nextUp) <= self { candidate = candidate.nextUp }
    }
    return candidate
  }

  /// The nearest double, ties to the even mantissa, as IEEE 754 conversion gives it.
  public var nearestDouble: Double {
    let down = roundedDown
    if down.isFinite, Rational(down) == self { return down }
    let up = roundedUp
    // Past the largest finite number, IEEE rounds to infinity from half a unit beyond it on.
    let gap = Rational(Double.greatestFiniteMagnitude.ulp)
    let low = down.isFinite ? Rational(down) : Rational(-Double.greatestFiniteMagnitude) - gap
    let high = up.isFinite ? Rational(up) : Rational(Double.greatestFiniteMagnitude) + gap
    let below = self - low
    let above = high - self
    if below < above { return down }
    if above < below { return up }
    if !down.isFinite || !up.isFinite { return down.isFinite ? up : down }
    return down.significandBitPattern % 2 == 0 ? down : up
  }

  /// The greatest float that is not above the number.
  public var roundedDownToFloat: Float {
    let d = roundedDown
    let f = Float(d)
    if Double(f) <= d { return f }
    return f.nextDown
  }

  /// The least float that is not below the number.
  public var roundedUpToFloat: Float {
    let d = roundedUp
    let f = Float(d)
    if Double(f) >= d { return f }
    return f.nextUp
  }

  /// The nearest float, ties to the even mantissa.
  public var nearestFloat: Float {
    let down = roundedDownToFloat
    let up = roundedUpToFloat
    if down == up { return down }
    guard down.isFinite, up.isFinite else { return Float(nearestDouble) }
    let below = self - Rational(down)
    let above = Rational(up) - self
    if below < above { return down }
    if above < below { return up }
    return down.significandBitPattern % 2 == 0 ? down : up
  }
}

extension Double {
  /// The nearest double to a rational number.
  public init(_ value: Rational) {
    self = value.nearestDouble
  }
}
