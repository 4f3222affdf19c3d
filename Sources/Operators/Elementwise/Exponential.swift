import Foundation
import IR

/// e^x.
public struct Exp: SmoothFunction {
  public init() {}
  public var name: String { "Exp" }
  public var kernelError: KernelError { DeployedKernel.exp.error }
  public func value(_ x: Double) -> Double { exp(x) }
  public func derivative(_ x: Double) -> Double { exp(x) }

  private static let zones = Zones([.convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double { slope > 0 ? log(slope) : a }
  /// A tangent that stays within 1 of the lower end is positive there, as the function is.
  public func tangentPoint(_ lower: Double, _ upper: Double) -> Double {
    min(lower / 2 + upper / 2, lower + 0.99)
  }
}

/// The natural logarithm, on positive arguments.
public struct Log: SmoothFunction {
  public init() {}
  public var name: String { "Log" }
  public var kernelError: KernelError { DeployedKernel.log.error }
  public func value(_ x: Double) -> Double { log(x) }
  public func derivative(_ x: Double) -> Double { 1 / x }
  public var domain: ClosedRange<Double> { 0...Double.infinity }

  private static let zones = Zones([.concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double { slope > 0 ? 1 / slope : b }
}

/// The square root, on arguments that are not negative.
public struct Sqrt: SmoothFunction {
  public init() {}
  public var name: String { "Sqrt" }
  public var kernelError: KernelError { DeployedKernel.sqrt.error }
  public func value(_ x: Double) -> Double { x.squareRoot() }
  public func value(_ x: Float) -> Float { x.squareRoot() }
  public func derivative(_ x: Double) -> Double { 0.5 / x.squareRoot() }
  public var domain: ClosedRange<Double> { 0...Double.infinity }

  private static let zones = Zones([.concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    let r = 0.5 / slope
    return slope > 0 ? r * r : b
  }
}

/// 1 / x. On an interval that contains 0 nothing is known.
public struct Reciprocal: SmoothFunction {
  public init() {}
  public var name: String { "Reciprocal" }
  public var kernelError: KernelError { DeployedKernel.reciprocal.error }
  public func value(_ x: Double) -> Double { 1 / x }
  public func value(_ x: Float) -> Float { 1 / x }
  public func derivative(_ x: Double) -> Double {
    let r = 1 / x
    return -r * r
  }

  private static let zones = Zones(knots: [0], [.concave, .convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public func hasPole(_ lower: Double, _ upper: Double) -> Bool { lower <= 0 && upper >= 0 }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope >= 0 { return a < 0 ? a : b }
    let x = 1 / (-slope).squareRoot()
    return a < 0 ? -x : x
  }
}

/// log(1 + e^x).
public struct Softplus: SmoothFunction {
  public init() {}
  public var name: String { "Softplus" }
  public var kernelError: KernelError { DeployedKernel.softplus.error }
  public func value(_ x: Double) -> Double { max(x, 0) + log1p(exp(-x.magnitude)) }
  public func derivative(_ x: Double) -> Double { Sigmoid().value(x) }

  private static let zones = Zones([.convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.infinity }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope <= 0 { return a }
    if slope >= 1 { return b }
    return log(slope / (1 - slope))
  }
}
