import Foundation
import IR

/// x sigmoid(alpha x): SiLU (alpha = 1) and Swish (Ramachandran et al., 2017).
public struct Silu: SmoothFunction {
  public let alpha: Double
  private let zonesByShape: Zones
  private let extremum: [Extremum]

  /// f(x) = h(alpha x) / alpha with h(y) = y sigmoid(y), whose inflection points are the roots +-2.3993... of
  /// y tanh(y / 2) = 2 and whose minimum is -0.2784... at -1.2784... .
  public init(alpha: Double = 1) {
    self.alpha = alpha
    if alpha == 0 {
      zonesByShape = Zones([.linear])
      extremum = []
      return
    }
    let knot = 2.3993572805154668 / alpha.magnitude
    zonesByShape = Zones(
      knots: [-knot, knot], alpha > 0 ? [.concave, .convex, .concave] : [.convex, .concave, .convex])
    // Scaled outward by four ulps for the division.
    let bound = -0.27846454276107380 / alpha * (1 + 0x1p-50)
    extremum = [Extremum(-1.2784645427610738 / alpha, bound)]
  }

  public var name: String { alpha == 1 ? "Silu" : "Swish" }
  public var kernelError: KernelError { DeployedKernel.silu.error }
  /// The infinity at which the sigmoid is 0.
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (alpha >= 0, alpha <= 0) }

  public func value(_ x: Double) -> Double {
    if x.isInfinite && x * alpha < 0 { return 0 }
    return x * Sigmoid().value(alpha * x)
  }
  /// alpha x rounds once, which changes the sigmoid by |alpha x| 2^-53 relative, up to 745, where it vanishes.
  public func valueError(_ x: Double, _ value: Double) -> Double {
    let argument = alpha == 1 ? 0 : min((alpha * x).magnitude, 800) * 0x1p-52
    return value.magnitude * (0x1p-46 + argument) + 0x1p-1040
  }
  public func derivative(_ x: Double) -> Double {
    let y = alpha * x
    if y.isInfinite { return y < 0 ? 0 : 1 }
    return Sigmoid().value(y) + y * Sigmoid().derivative(y)
  }
  /// Both terms to 2^-46 (and the rounding of alpha x); for y < 0 they are at most e^y and |y| e^y.
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    let y = alpha * x
    let size = y.magnitude
    if size > 800 { return 0x1p-1000 }
    let decay = exp(-size)
    let first = y < 0 ? decay : 1
    return (0x1p-46 + 0x1p-50 * size) * (first + size * decay) + 0x1p-1000
  }

  public func zones(_ lower: Double, _ upper: Double) -> Zones { zonesByShape }
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { extremum }
  public var globalRange: ClosedRange<Double> {
    guard let bound = extremum.first?.bound else { return -Double.infinity...Double.infinity }
    return alpha > 0 ? bound...Double.infinity : -Double.infinity...bound
  }
  public var searchLimit: Double { 800 / alpha.magnitude }
}

/// x tanh(softplus(x)) (Misra, 2019).
public struct Mish: SmoothFunction {
  public init() {}
  public var name: String { "Mish" }
  public var kernelError: KernelError { DeployedKernel.mish.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, false) }

  /// tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), for e = e^x.
  private func gate(_ x: Double) -> Double {
    if x > 300 { return 1 }
    let e = exp(x)
    let n = e * (e + 2)
    return n / (n + 2)
  }
  private func gateDerivative(_ x: Double) -> Double {
    if x > 300 { return 0 }
    let e = exp(x)
    let m = e * (e + 2) + 2
    return 4 * (e * (e + 1)) / (m * m)
  }

  public func value(_ x: Double) -> Double { x == -.infinity ? 0 : x * gate(x) }
  public func valueError(_ x: Double, _ value: Double) -> Double { value.magnitude * 0x1p-46 + 0x1p-1040 }
  public func derivative(_ x: Double) -> Double {
    if x.isInfinite { return x < 0 ? 0 : 1 }
    return gate(x) + x * gateDerivative(x)
  }
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    if x.isInfinite { return 0x1p-1000 }
    return 0x1p-46 * (gate(x) + x.magnitude * gateDerivative(x)) + 0x1p-400
  }

  /// Roots of f'' (60 digits, then rounded). f'' is about (x + 2) e^x far to the left and -8 (x - 1) e^-2x far to the right.
  private static let zones = Zones(
    knots: [-2.256376396360793, 1.4905711794854284], [.concave, .convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  private static let minimum = [Extremum(-1.1924312145154952, -0.30884341301725048)]
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { Self.minimum }
  public var globalRange: ClosedRange<Double> { -0.30884341301725048...Double.infinity }
  public var searchLimit: Double { 800 }
}

/// x max(0, min(1, x / 6 + 1 / 2)).
public struct HardSwish: SmoothFunction {
  public init() {}
  public var name: String { "HardSwish" }
  public var kernelError: KernelError { DeployedKernel.hardSwish.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, false) }

  public func value(_ x: Double) -> Double { x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6 }
  public func value(_ x: Float) -> Float { x * max(0, min(1, x / 6 + 0.5)) }
  public func derivative(_ x: Double) -> Double { x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6 }
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double { x.magnitude >= 3 ? 0 : 0x1p-50 }

  /// The kink at 3 bends downward, from slope 3/2 to 1; that at -3 too, from 0 to -1/2.
  private static let zones = Zones(knots: [-3, 3], [.linear, .convex, .linear])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  private static let minimum = [Extremum(-1.5, -0.375)]
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { Self.minimum }
  public var globalRange: ClosedRange<Double> { -0.375...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double { (6 * slope - 3) / 2 }
  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? {
    if upper <= -3 { return (0, 0) }
    if lower >= 3 { return (1, 0) }
    return nil
  }
}
