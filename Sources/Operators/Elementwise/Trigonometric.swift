import Foundation
import IR
import Rigor

/// sin(x + phase * pi / 2) for phase 0 (Sin) or 1 (Cos).
public protocol Sinusoid: SmoothFunction {
  var phase: Int { get }
}

extension Sinusoid {
  public var globalRange: ClosedRange<Double> { -1...1 }

  /// Knots are multiples of pi/2 rounded to within 2^-51 |x|, up to |x| = 2^20: between a knot and the true inflection
  /// point |f''| is at most their distance d <= 2^-31, so that the function bends by less than d^3 < 2^-92.
  public func valueError(_ x: Double, _ value: Double) -> Double {
    ElementaryError.formula * value.magnitude + 0x1p-90
  }

  /// Arguments above which only -1 <= f <= 1 is used.
  private var largest: Double { 0x1p20 }

  private func firstHalfWave(_ x: Double) -> Double {
    ((x + Double(phase) * (Double.pi / 2)) / Double.pi).rounded(.down)
  }

  public func zones(_ lower: Double, _ upper: Double) -> Zones {
    let first = firstHalfWave(lower)
    let last = min(firstHalfWave(upper), first + 16)
    // sin is positive, hence concave, on half waves with an even number.
    var curvatures: [Curvature] = [Self.curvature(first)]
    var knots: [Double] = []
    var k = first + 1
    while k <= last {
      knots.append((k - Double(phase) / 2) * Double.pi)
      curvatures.append(Self.curvature(k))
      k += 1
    }
    return Zones(knots: knots, curvatures)
  }

  private static func curvature(_ halfWave: Double) -> Curvature {
    halfWave.truncatingRemainder(dividingBy: 2) == 0 ? .concave : .convex
  }

  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    guard lower <= upper, lower >= -largest, upper <= largest, upper - lower < 6.28 else { return (-1, 1) }
    let a: Double = value(lower)
    let b: Double = value(upper)
    // Peaks at (1/2 + 2k) pi, troughs at (3/2 + 2k) pi of the sine; a slack for the rounding of the positions, which costs
    // nothing visible because the function is flat there.
    func meets(_ quarter: Double) -> Bool {
      let offset = (quarter - Double(phase)) * (Double.pi / 2)
      let slack = 0x1p-40 * (1 + max(lower.magnitude, upper.magnitude))
      let from = ((lower - slack - offset) / (2 * Double.pi)).rounded(.up)
      let to = ((upper + slack - offset) / (2 * Double.pi)).rounded(.down)
      return from <= to
    }
    let low = meets(3) ? -1 : max(-1, min(a, b) - ElementaryError.formula - 0x1p-80)
    let high = meets(1) ? 1 : min(1, max(a, b) + ElementaryError.formula + 0x1p-80)
    return (low, high)
  }

  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    let k = firstHalfWave(a / 2 + b / 2)
    let even = k.truncatingRemainder(dividingBy: 2) == 0
    let c = min(max(even ? slope : -slope, -1), 1)
    return (k - Double(phase) / 2) * Double.pi + acos(c)
  }

  public func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) {
    let sign: Double = side == .below ? 1 : -1
    guard lower <= upper, slope.isFinite else { return (-sign * .infinity, lower) }
    if lower < -largest || upper > largest {
      // From the range alone: -1 - slope x is least at an end.
      if slope == 0 { return (-sign, lower) }
      let a = sign * slope * lower
      let b = sign * slope * upper
      let worst = max(a, b)
      let bound = -1 - worst - 0x1p-50 * (1 + worst.magnitude)
      return (
        sign * (bound.isNaN ? -.infinity : min(bound, .greatestFiniteMagnitude)), a >= b ? lower : upper
      )
    }
    // A shift by whole periods towards the end where sign * (-slope x) is least only lowers the difference, so that one
    // period at that end decides (6.3 > 2 pi).
    var l = lower
    var u = upper
    if u - l > 6.3 { if sign * slope > 0 { l = u - 6.3 } else { u = l + 6.3 } }
    return zonewiseSupport(slope: slope, side: side, l, u)
  }

  public func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) {
    // Over two periods and more a slope hardly helps.
    guard upper - lower <= 12.6, lower >= -largest, upper <= largest else { return (0, 0) }
    return zonewiseSlopes(lower, upper, policy)
  }
}

/// The sine.
public struct Sin: Sinusoid {
  public init() {}
  public var name: String { "Sin" }
  public var kernelError: KernelError { DeployedKernel.sin.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, true) }
  public var phase: Int { 0 }
  public func value(_ x: Double) -> Double { sin(x) }
  public func derivative(_ x: Double) -> Double { cos(x) }
}

/// The cosine.
public struct Cos: Sinusoid {
  public init() {}
  public var name: String { "Cos" }
  public var kernelError: KernelError { DeployedKernel.sin.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, true) }
  public var phase: Int { 1 }
  public func value(_ x: Double) -> Double { cos(x) }
  public func derivative(_ x: Double) -> Double { -sin(x) }
}

/// The tangent. On an interval that contains a pole nothing is known.
public struct Tan: SmoothFunction {
  public init() {}
  public var name: String { "Tan" }
  public var kernelError: KernelError { DeployedKernel.tan.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, true) }
  public func value(_ x: Double) -> Double { tan(x) }
  public func derivative(_ x: Double) -> Double {
    let t = tan(x)
    return 1 + t * t
  }
  /// As for the sine: the knots are rounded by less than 2^-31 (|f''| <= 3 |x - knot| near them).
  public func valueError(_ x: Double, _ value: Double) -> Double {
    ElementaryError.formula * value.magnitude + 0x1p-88
  }

  private func period(_ x: Double) -> Double { (x / Double.pi).rounded() }
  public func zones(_ lower: Double, _ upper: Double) -> Zones {
    Zones(knots: [period(lower / 2 + upper / 2) * Double.pi], [.concave, .convex])
  }
  /// Poles at (k + 1/2) pi; a slack of 2^-30 covers the rounding of their positions for |x| < 2^20.
  public func hasPole(_ lower: Double, _ upper: Double) -> Bool {
    guard lower >= -0x1p20, upper <= 0x1p20 else { return true }
    let a = (lower - 0x1p-30) / Double.pi + 0.5
    let b = (upper + 0x1p-30) / Double.pi + 0.5
    return a.rounded(.down) != b.rounded(.down)
  }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    let middle = a / 2 + b / 2
    let center = period(middle) * Double.pi
    if slope <= 1 { return center }
    let x = atan((slope - 1).squareRoot())
    return middle < center ? center - x : center + x
  }
}
