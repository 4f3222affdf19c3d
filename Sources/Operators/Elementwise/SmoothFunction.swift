import IR
import Rigor

/// How a function bends on an interval.
public enum Curvature: Sendable, Hashable {
  case convex, concave, linear

  /// The curvature of the negated function.
  var mirrored: Curvature {
    switch self {
    case .convex: .concave
    case .concave: .convex
    case .linear: .linear
    }
  }
}

/// The division of a function's domain into intervals of one curvature each.
public struct Zones: Sendable, Equatable {
  /// Interior boundaries in ascending order: inflection points and kinks, rounded to Double.
  public var knots: [Double]
  /// One more than knots.
  public var curvatures: [Curvature]

  public init(knots: [Double] = [], _ curvatures: [Curvature]) {
    precondition(curvatures.count == knots.count + 1)
    self.knots = knots
    self.curvatures = curvatures
  }
}

/// A local minimum or maximum of a function.
public struct Extremum: Sendable {
  /// The point, rounded to Double.
  public var point: Double
  /// A lower bound of the value if it is a minimum, an upper bound if it is a maximum.
  public var bound: Double
  public init(_ point: Double, _ bound: Double) {
    self.point = point
    self.bound = bound
  }
}

/// A continuous function that is convex, concave or linear between a few known points.
///
/// A conforming type states its value and derivative with proven error bounds and where its curvature changes. Ranges,
/// default lines, conjugates and slope limits follow from these.
///
/// A knot stored in Double differs from the true inflection point by at most one ulp, d. Between the two the function
/// bends the wrong way, by at most d^2 sup|f''| <= 2^-100 sup|f''| x^2, which `valueError` covers.
public protocol SmoothFunction: ElementwiseFunction {
  /// Where the function is convex and where it is concave, as far as this matters on [lower, upper].
  func zones(_ lower: Double, _ upper: Double) -> Zones

  /// A bound of |value(x) - f(x)|, given the computed value.
  func valueError(_ x: Double, _ value: Double) -> Double
  /// A bound of |derivative(x) - f'(x)|, given the computed derivative.
  func derivativeError(_ x: Double, _ derivative: Double) -> Double

  /// A point of [a, b], which lies in one zone, at which the derivative is about `slope`. Nothing depends on its
  /// accuracy but tightness.
  func touch(slope: Double, _ a: Double, _ b: Double) -> Double

  /// Local extrema that may lie in [lower, upper]; monotone functions have none.
  func extrema(_ lower: Double, _ upper: Double) -> [Extremum]
  /// Bounds that hold everywhere on the domain.
  var globalRange: ClosedRange<Double> { get }

  /// Where the line on the curved side touches by default if [lower, upper] lies in one zone.
  func tangentPoint(_ lower: Double, _ upper: Double) -> Double

  /// End points are rounded outward to a multiple of this before the tangent through an end point is sought; 0 for
  /// none. Published bounds of S-shaped functions are computed with tables of step 1/100.
  var tableStep: Double { get }

  /// Beyond this magnitude `touch` need not look.
  var searchLimit: Double { get }

  /// Points at which the function is infinite or undefined inside its domain.
  func hasPole(_ lower: Double, _ upper: Double) -> Bool
}

extension SmoothFunction {
  public func valueError(_ x: Double, _ value: Double) -> Double {
    ElementaryError.formula * value.magnitude + ElementaryError.underflow
  }
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    ElementaryError.formula * derivative.magnitude + 0x1p-1000
  }
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { [] }
  public var globalRange: ClosedRange<Double> { -Double.infinity...Double.infinity }
  public func tangentPoint(_ lower: Double, _ upper: Double) -> Double { lower / 2 + upper / 2 }
  public var tableStep: Double { 0 }
  public var searchLimit: Double { 1e6 }
  public func hasPole(_ lower: Double, _ upper: Double) -> Bool { false }

  /// [lower, upper] within the domain; nil if nothing is left, if the function has a pole there, or for NaN.
  @inline(__always)
  func clipped(_ lower: Double, _ upper: Double) -> (Double, Double)? {
    let l = max(lower, domain.lowerBound)
    let u = min(upper, domain.upperBound)
    // Written so that NaN fails.
    guard l <= u, lower <= upper, !hasPole(l, u) else { return nil }
    return (l, u)
  }

  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    guard let (l, u) = clipped(lower, upper) else {
      return (globalRange.lowerBound, globalRange.upperBound)
    }
    let atLower: Double = value(l)
    let atUpper: Double = value(u)
    let errorLower = atLower.isInfinite ? 0 : valueError(l, atLower)
    let errorUpper = atUpper.isInfinite ? 0 : valueError(u, atUpper)
    var low = min(atLower - errorLower, atUpper - errorUpper)
    var high = max(atLower + errorLower, atUpper + errorUpper)
    if atLower.isNaN || atUpper.isNaN {
      return (globalRange.lowerBound, globalRange.upperBound)
    }
    // A finite argument has a finite value: an overflow says only that the value is large.
    if low == .infinity { low = 0x1p1022 }
    if high == -.infinity { high = -0x1p1022 }
    for extremum in extrema(l, u) {
      // One ulp of slack: the true extremum may lie inside although its rounded position does not.
      if extremum.point >= l.nextDown && extremum.point <= u.nextUp {
        low = min(low, extremum.bound)
        high = max(high, extremum.bound)
      }
    }
    return (max(low, globalRange.lowerBound), min(high, globalRange.upperBound))
  }

  /// Illinois variant of regula falsi on the derivative, which is monotone on [a, b].
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    var x0 = max(a, -searchLimit)
    var x1 = min(b, searchLimit)
    if x0 >= x1 { return a > searchLimit ? a : b }
    // The knots belong to the neighbours too, where the derivative may be another.
    x0 = x0.nextUp
    x1 = x1.nextDown
    var y0 = derivative(x0) - slope
    var y1 = derivative(x1) - slope
    if y0 == 0 { return x0 }
    if y1 == 0 { return x1 }
    if (y0 > 0) == (y1 > 0) { return y0.magnitude < y1.magnitude ? a : b }
    var last = 0
    for step in 0..<60 {
      var x = x0 - y0 * (x1 - x0) / (y1 - y0)
      // Every fifth step bisects, so that the search ends whatever the function's shape.
      if !(x > x0 && x < x1) || step % 5 == 4 { x = x0 / 2 + x1 / 2 }
      if !(x > x0 && x < x1) { return x0 }
      let y = derivative(x) - slope
      if y == 0 { return x }
      if (y > 0) == (y1 > 0) {
        x1 = x
        y1 = y
        if last == 1 { y0 /= 2 }
        last = 1
      } else {
        x0 = x
        y0 = y
        if last == -1 { y1 /= 2 }
        last = -1
      }
      if x1 - x0 <= 0x1p-46 * max(x0.magnitude, x1.magnitude) { break }
    }
    return x0 / 2 + x1 / 2
  }
}
