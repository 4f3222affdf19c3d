import IR

// Functions of every element as a run evaluates them: infinities, values that are no numbers, rounding.
//
// A value that may be no number has the bounds -inf and inf, and no others; functions hand these on.
extension ElementwiseFunction {
  /// Whether the value may be no number for an argument within the bounds.
  @inline(__always)
  public func mayBeNaN(_ lower: Double, _ upper: Double) -> Bool {
    if lower > -.infinity && upper < .infinity {
      return lower < domain.lowerBound || upper > domain.upperBound
    }
    if absorbsNaN { return false }
    // Written so that NaN counts.
    if !(lower > -.infinity || upper < .infinity) { return true }
    let undefined = undefinedAtInfinity
    return lower < domain.lowerBound || upper > domain.upperBound
      || (lower == -.infinity && undefined.negative) || (upper == .infinity && undefined.positive)
  }

  /// Bounds of what is computed for an argument within the bounds; real numbers where `rounding` is nil.
  public func enclose(_ lower: Double, _ upper: Double, _ rounding: DeployedRounding?) -> (
    lower: Double, upper: Double
  ) {
    if mayBeNaN(lower, upper) { return (-.infinity, .infinity) }
    guard let rounding else { return range(lower, upper) }
    let (l, u) = flushed(lower, upper, rounding)
    let bounds = range(l, u)
    let error = kernelError
    if error.isExact { return rounding.overflowed(bounds.lower, bounds.upper) }
    guard let rest = error.independent(l, u, rounding) else { return (-.infinity, .infinity) }
    // y - r |y| increases with y for r < 1, so that the ends of the range decide. The factor covers these sums.
    let r = error.relative * rounding.unit * (1 + 0x1p-40)
    var low = bounds.lower - r * bounds.lower.magnitude - rest
    var high = bounds.upper + r * bounds.upper.magnitude + rest
    if low.isNaN || high.isNaN { return (-.infinity, .infinity) }
    low = low.nextDown
    high = high.nextUp
    if error.keepsSign {
      if bounds.lower >= 0 { low = max(low, 0) }
      if bounds.upper <= 0 { high = min(high, 0) }
    }
    low = min(max(low, error.range.lowerBound), error.range.upperBound)
    high = max(min(high, error.range.upperBound), error.range.lowerBound)
    return rounding.overflowed(low, high)
  }

  /// How far a computed value may be from the function; infinite where it may be infinite or no number.
  public func deployedError(_ lower: Double, _ upper: Double, _ rounding: DeployedRounding) -> Double {
    let computed = enclose(lower, upper, rounding)
    guard computed.lower.isFinite, computed.upper.isFinite else { return .infinity }
    let error = kernelError
    if error.isExact { return 0 }
    let (l, u) = flushed(lower, upper, rounding)
    let bounds = range(l, u)
    guard let rest = error.independent(l, u, rounding) else { return .infinity }
    let size = max(bounds.lower.magnitude, bounds.upper.magnitude)
    // What a flushed argument may change.
    let tiny = (max(l, -rounding.underflow), min(u, rounding.underflow))
    var flush = 0.0
    if tiny.0 < tiny.1 {
      let near = range(tiny.0, tiny.1)
      flush = near.upper - near.lower
    }
    return (error.relative * rounding.unit * size + rest + flush) * (1 + 0x1p-40)
  }

  /// Some runs take numbers below the normal range for 0.
  @inline(__always)
  private func flushed(_ lower: Double, _ upper: Double, _ rounding: DeployedRounding) -> (Double, Double) {
    (
      lower > 0 && lower < rounding.underflow ? 0 : lower,
      upper < 0 && upper > -rounding.underflow ? 0 : upper
    )
  }
}

extension KernelError {
  /// What does not depend on the value, for arguments within the bounds; nil where nothing can be said.
  fileprivate func independent(_ lower: Double, _ upper: Double, _ rounding: DeployedRounding) -> Double? {
    let size = max(lower.magnitude, upper.magnitude)
    if overflowsEarly && !(size <= rounding.largest / 64) { return nil }
    let error = (perArgument == 0 ? 0 : perArgument * size) + absolute
    return error * rounding.unit * (1 + 0x1p-40) + 2 * rounding.underflow
  }

  /// Whether a value of one sign is computed with that sign, or as 0.
  fileprivate var keepsSign: Bool { perArgument == 0 && absolute == 0 }
}
