import Foundation
import IR

/// 1 / (1 + e^-x).
public struct Sigmoid: SmoothFunction {
  public init() {}
  public var name: String { "Sigmoid" }
  public var kernelError: KernelError { DeployedKernel.sigmoid.error }

  public func value(_ x: Double) -> Double {
    if x >= 0 { return 1 / (1 + exp(-x)) }
    let e = exp(x)
    return e / (1 + e)
  }
  public func derivative(_ x: Double) -> Double {
    let e = exp(-x.magnitude)
    return e / ((1 + e) * (1 + e))
  }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...1 }
  public var tableStep: Double { 0.01 }

  /// t(1 - t) = slope for the tail t <= 1/2, without cancellation.
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 0.25 { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let tail = 2 * slope / (1 + (1 - 4 * slope).squareRoot())
    let x = log((1 - tail) / tail)
    return a < 0 ? -x : x
  }
}

/// The hyperbolic tangent.
public struct Tanh: SmoothFunction {
  public init() {}
  public var name: String { "Tanh" }
  public var kernelError: KernelError { DeployedKernel.tanh.error }
  public func value(_ x: Double) -> Double { tanh(x) }
  public func derivative(_ x: Double) -> Double {
    let c = cosh(x)
    return 1 / (c * c)
  }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { -1...1 }
  public var tableStep: Double { 0.01 }

  /// sinh(x)^2 = 1 / slope - 1.
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 1 { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let x = asinh(((1 - slope) / slope).squareRoot())
    return a < 0 ? -x : x
  }
}

/// The inverse tangent.
public struct Atan: SmoothFunction {
  public init() {}
  public var name: String { "Atan" }
  public var kernelError: KernelError { DeployedKernel.atan.error }
  public func value(_ x: Double) -> Double { atan(x) }
  public func derivative(_ x: Double) -> Double { 1 / (1 + x * x) }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  /// The next number above pi/2.
  public var globalRange: ClosedRange<Double> { -(Double.pi / 2).nextUp...(Double.pi / 2).nextUp }
  public var tableStep: Double { 0.01 }

  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 1 { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let x = ((1 - slope) / slope).squareRoot()
    return a < 0 ? -x : x
  }
}

/// x / (1 + |x|).
public struct Softsign: SmoothFunction {
  public init() {}
  public var name: String { "Softsign" }
  public var kernelError: KernelError { DeployedKernel.softsign.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, true) }
  public func value(_ x: Double) -> Double {
    x.isInfinite ? (x < 0 ? -1 : 1) : x / (1 + x.magnitude)
  }
  public func derivative(_ x: Double) -> Double {
    let r = 1 / (1 + x.magnitude)
    return r * r
  }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { -1...1 }

  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 1 { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let x = 1 / slope.squareRoot() - 1
    return a < 0 ? -x : x
  }
}

/// The error function.
public struct Erf: SmoothFunction {
  public init() {}
  public var name: String { "Erf" }
  public var kernelError: KernelError { DeployedKernel.erf.error }
  public func value(_ x: Double) -> Double { erf(x) }
  /// 2 / sqrt(pi).
  private static let scale = 1.1283791670955126
  public func derivative(_ x: Double) -> Double { Self.scale * exp(-x * x) }
  /// The square rounds by 2^-53 x^2, which the exponential turns into a relative error of that size.
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    let square = min(x * x, 1e6)
    return derivative * (0x1p-46 + 0x1p-51 * square) + 0x1p-1000
  }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { -1...1 }

  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= Self.scale { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let x = log(Self.scale / slope).squareRoot()
    return a < 0 ? -x : x
  }
}
