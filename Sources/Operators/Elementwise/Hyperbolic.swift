import Foundation
import IR

/// The hyperbolic sine.
public struct Sinh: SmoothFunction {
  public init() {}
  public var name: String { "Sinh" }
  public var kernelError: KernelError { DeployedKernel.sinh.error }
  public func value(_ x: Double) -> Double { sinh(x) }
  public func derivative(_ x: Double) -> Double { cosh(x) }

  private static let zones = Zones(knots: [0], [.concave, .convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope <= 1 { return 0 }
    let x = acosh(slope)
    return a < 0 ? -x : x
  }
}

/// The hyperbolic cosine.
public struct Cosh: SmoothFunction {
  public init() {}
  public var name: String { "Cosh" }
  public var kernelError: KernelError { DeployedKernel.cosh.error }
  public func value(_ x: Double) -> Double { cosh(x) }
  public func derivative(_ x: Double) -> Double { sinh(x) }

  private static let zones = Zones([.convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  private static let minimum = [Extremum(0, 1)]
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { Self.minimum }
  public var globalRange: ClosedRange<Double> { 1...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double { asinh(slope) }
}

/// The inverse hyperbolic sine.
public struct Asinh: SmoothFunction {
  public init() {}
  public var name: String { "Asinh" }
  public var kernelError: KernelError { DeployedKernel.asinh.error }
  public func value(_ x: Double) -> Double { asinh(x) }
  public func derivative(_ x: Double) -> Double { 1 / (1 + x * x).squareRoot() }
  /// x^2 overflows beyond 2^511, where the derivative is below 2^-511.
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    derivative * 0x1p-46 + (x.magnitude > 0x1p500 ? 0x1p-500 : 0x1p-1000)
  }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 1 { return 0 }
    if slope <= 0 { return a < 0 ? a : b }
    let x = ((1 - slope) * (1 + slope)).squareRoot() / slope
    return a < 0 ? -x : x
  }
}

/// The inverse hyperbolic cosine, on [1, inf).
public struct Acosh: SmoothFunction {
  public init() {}
  public var name: String { "Acosh" }
  public var kernelError: KernelError { DeployedKernel.acosh.error }
  public func value(_ x: Double) -> Double { acosh(x) }
  public func derivative(_ x: Double) -> Double { 1 / ((x - 1) * (x + 1)).squareRoot() }
  /// As for Asinh.
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    derivative * 0x1p-46 + (x.magnitude > 0x1p500 ? 0x1p-500 : 0x1p-1000)
  }
  public var domain: ClosedRange<Double> { 1...Double.infinity }

  private static let zones = Zones([.concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope <= 0 { return b }
    let r = 1 / slope
    return (1 + r * r).squareRoot()
  }
}

/// The inverse hyperbolic tangent, on [-1, 1].
public struct Atanh: SmoothFunction {
  public init() {}
  public var name: String { "Atanh" }
  public var kernelError: KernelError { DeployedKernel.atanh.error }
  public func value(_ x: Double) -> Double { atanh(x) }
  public func derivative(_ x: Double) -> Double { 1 / ((1 - x) * (1 + x)) }
  public var domain: ClosedRange<Double> { -1...1 }

  private static let zones = Zones(knots: [0], [.concave, .convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope <= 1 { return 0 }
    let x = (1 - 1 / slope).squareRoot()
    return a < 0 ? -x : x
  }
}
