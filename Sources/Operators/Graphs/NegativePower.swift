import IR
import Tensors

/// 1/x or 1/sqrt(x) on x > 0: degree normalisation, inverse norms. Convex and decreasing there.
public struct NegativePower: ElementwiseFunction {
  public enum Exponent: Sendable { case one, half }
  public let exponent: Exponent

  public init(_ exponent: Exponent) { self.exponent = exponent }

  public var name: String { exponent == .one ? "Reciprocal" : "InverseSquareRoot" }

  public func value(_ x: Double) -> Double { exponent == .one ? 1 / x : 1 / x.squareRoot() }
  public func value(_ x: Float) -> Float { exponent == .one ? 1 / x : 1 / x.squareRoot() }
  public func derivative(_ x: Double) -> Double {
    exponent == .one ? -1 / (x * x) : -0.5 / (x * x.squareRoot())
  }

  public var domain: ClosedRange<Double> { 0...Double.infinity }

  /// Division and square root are correctly rounded: two steps outward cover both.
  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    let low = upper > 0 ? max(0, value(upper).nextDown.nextDown) : 0
    let high = lower > 0 ? value(lower).nextUp.nextUp : Double.infinity
    return (low, high)
  }

  public func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) {
    guard lower > 0, upper.isFinite, upper > lower else { return (0, 0) }
    let chord = (value(upper) - value(lower)) / (upper - lower)
    return (derivative(lower + (upper - lower) / 2), chord.isFinite ? chord : 0)
  }

  public func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double> {
    guard lower > 0, upper.isFinite, upper > lower else { return 0...0 }
    if side == .below { return derivative(lower)...max(derivative(lower), derivative(upper)) }
    let chord = slopes(lower, upper, .adaptive).above
    return chord...chord
  }

  public func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) {
    guard lower > 0 else { return side == .below && slope == 0 ? (0, upper) : unbounded(side, upper) }
    func end(_ x: Double) -> Double {
      // Value, product and difference: fewer than six roundings of the two terms, plus the second-order error of
      // a touching point that is off by a few units in the last place.
      let f = value(x)
      let error = 8 * 0x1p-53 * (f.magnitude + (slope * x).magnitude) + 0x1p-1060
      return side == .below ? f - slope * x - error : f - slope * x + error
    }
    if side == .above {
      guard upper.isFinite else { return slope >= 0 ? (end(lower), lower) : unbounded(side, upper) }
      let (a, b) = (end(lower), end(upper))
      return a >= b ? (a, lower) : (b, upper)
    }
    var touch = upper
    if slope < 0 {
      // f'(x) = slope: x = (-slope)^(-1/2) for 1/x and (-2 slope)^(-2/3) for 1/sqrt(x).
      touch = exponent == .one ? (1 / -slope).squareRoot() : twoThirdsPower(1 / (-2 * slope))
      touch = max(lower, min(upper, touch))
    }
    if !touch.isFinite { return slope == 0 ? (0, upper) : unbounded(side, upper) }
    return (end(touch), touch)
  }

  private func unbounded(_ side: Side, _ touch: Double) -> (intercept: Double, touch: Double) {
    (side == .below ? -Double.infinity : Double.infinity, touch)
  }

  private func twoThirdsPower(_ x: Double) -> Double {
    let root = cubeRoot(x)
    return root * root
  }

  public var kernelError: KernelError { DeployedKernel.pow.error }
}
