import Foundation
import IR

/// x^p with a constant exponent.
///
/// An exponent that is not an integer restricts the function to x >= 0. Negative exponents have a pole at 0.
public struct Pow: SmoothFunction {
  public let exponent: Double
  private let zonesByShape: Zones
  private let isInteger: Bool
  private let isEven: Bool

  public init(_ exponent: Double) {
    self.exponent = exponent
    isInteger = exponent == exponent.rounded(.towardZero)
    isEven = isInteger && exponent.truncatingRemainder(dividingBy: 2) == 0
    // f'' = p (p - 1) x^(p - 2).
    let right: Curvature =
      exponent == 0 || exponent == 1 ? .linear : exponent > 1 || exponent < 0 ? .convex : .concave
    let left: Curvature = isEven ? right : right.mirrored
    zonesByShape = isInteger && left != right ? Zones(knots: [0], [left, right]) : Zones([right])
  }

  public var name: String { "Pow" }

  public func value(_ x: Double) -> Double { pow(x, exponent) }
  public func derivative(_ x: Double) -> Double {
    if exponent == 0 { return 0 }
    return exponent * pow(x, exponent - 1)
  }
  /// `exponent - 1` may round, by at most 2^-53 of it (for exponents below 2^-53 or so, where the derivative is not
  /// needed accurately); this changes the power by 2^-53 |exponent log x|.
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    let digits = isInteger ? 0 : max(1, exponent.magnitude) * 0x1p-52 * 1500
    return derivative.magnitude * (0x1p-46 + digits) + 0x1p-1000
  }

  public var domain: ClosedRange<Double> {
    isInteger ? -Double.infinity...Double.infinity : 0...Double.infinity
  }
  public func zones(_ lower: Double, _ upper: Double) -> Zones { zonesByShape }
  public func hasPole(_ lower: Double, _ upper: Double) -> Bool {
    exponent < 0 && lower <= 0 && upper >= 0
  }
  public var globalRange: ClosedRange<Double> {
    isEven || !isInteger ? 0...Double.infinity : -Double.infinity...Double.infinity
  }
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] {
    isEven && exponent > 0 && lower < 0 && upper > 0 ? [Extremum(0, 0)] : []
  }
  public var tableStep: Double { isInteger && exponent > 0 ? 0.01 : 0 }

  /// |x|^(p - 1) = |slope / p| on the zone's side of 0, or the end where the derivative comes nearest to the slope.
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if exponent == 0 || exponent == 1 { return a }
    let power = exponent - 1
    let ratio = slope / exponent
    if isEven && exponent > 0 {
      let x = pow(ratio.magnitude, 1 / power)
      return slope < 0 ? -x : x
    }
    let side: Double = a < 0 ? -1 : 1
    let needed = isEven ? ratio * side : ratio
    if needed > 0 { return side * pow(needed, 1 / power) }
    return (power > 0) == (side < 0) ? b : a
  }

  public var kernelError: KernelError {
    exponent == 1 || exponent == 0 ? .exact : DeployedKernel.pow.error
  }
  /// x^0 is 1 for every x.
  public var absorbsNaN: Bool { exponent == 0 }
}

/// x^2.
public struct Square: SmoothFunction {
  public init() {}
  public var name: String { "Square" }
  public var kernelError: KernelError { DeployedKernel.square.error }
  public func value(_ x: Double) -> Double { x * x }
  public func value(_ x: Float) -> Float { x * x }
  public func derivative(_ x: Double) -> Double { 2 * x }

  private static let zones = Zones([.convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.infinity }
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] {
    lower < 0 && upper > 0 ? [Extremum(0, 0)] : []
  }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double { slope / 2 }
}
