import Foundation
import IR

/// scale x for x >= 0 and factor (e^(rate x) - 1) for x < 0: Elu, Celu, Selu.
public struct Elu: SmoothFunction {
  public let name: String
  /// The slope on the positive side.
  public let scale: Double
  public let factor: Double
  public let rate: Double
  private let zonesByShape: Zones

  /// - Parameters: see the type; `rate` > 0 for a function that levels off.
  public init(name: String, scale: Double, factor: Double, rate: Double) {
    self.name = name
    self.scale = scale
    self.factor = factor
    self.rate = rate
    // f'' = factor rate^2 e^(rate x) on the negative side.
    let left: Curvature = factor == 0 || rate == 0 ? .linear : factor > 0 ? .convex : .concave
    zonesByShape = Zones(knots: [0], [left, .linear])
  }

  /// alpha (e^x - 1) for x < 0 (Clevert et al., 2015).
  public static func elu(alpha: Double = 1) -> Elu { Elu(name: "Elu", scale: 1, factor: alpha, rate: 1) }
  /// max(0, x) + min(0, alpha (e^(x / alpha) - 1)) (Barron, 2017).
  ///
  /// For alpha < 0 the second term is alpha (e^(x / alpha) - 1) for x < 0 as well.
  public static func celu(alpha: Double = 1) -> Elu {
    Elu(name: "Celu", scale: 1, factor: alpha, rate: 1 / alpha)
  }
  /// gamma x or gamma alpha (e^x - 1) (Klambauer et al., 2017). The defaults are ONNX's.
  public static func selu(
    alpha: Double = 1.67326319217681884765625, gamma: Double = 1.05070102214813232421875
  )
    -> Elu
  { Elu(name: "Selu", scale: gamma, factor: gamma * alpha, rate: 1) }

  public func value(_ x: Double) -> Double {
    if x >= 0 { return scale * x }
    return factor == 0 ? 0 : factor * expm1(rate * x)
  }
  /// `factor` and `rate` of Selu and Celu are rounded once, and rate x once more; |y e^y / (e^y - 1)| <= 1 + |y| for y > 0
  /// and <= 1 for y < 0.
  public func valueError(_ x: Double, _ value: Double) -> Double {
    if x >= 0 { return scale == 1 ? 0 : 0x1p-52 * value.magnitude + 0x1p-1070 }
    let y = rate * x
    return value.magnitude * (0x1p-46 + (y > 0 ? min(y, 800) * 0x1p-50 : 0)) + 0x1p-1040
  }
  /// The absolute part is that of e^x - 1, `factor` times.
  public var kernelError: KernelError {
    var error = DeployedKernel.elu.error
    error.absolute *= factor.magnitude
    return error
  }
  public func derivative(_ x: Double) -> Double {
    if x > 0 { return scale }
    return factor == 0 || rate == 0 ? 0 : factor * rate * exp(rate * x)
  }
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    if x > 0 { return 0 }
    return derivative.magnitude * (0x1p-46 + 0x1p-50 * min((rate * x).magnitude, 800)) + 0x1p-1000
  }

  public func zones(_ lower: Double, _ upper: Double) -> Zones { zonesByShape }
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { [Extremum(0, 0)] }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    let ratio = slope / (factor * rate)
    if !(ratio > 0) { return rate > 0 ? a : b }
    return log(ratio) / rate
  }
  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? {
    lower >= 0 ? (scale, 0) : nil
  }
}
