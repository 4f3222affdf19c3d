import Foundation
import IR

/// The inverse sine, on [-1, 1].
public struct Asin: SmoothFunction {
  public init() {}
  public var name: String { "Asin" }
  public var kernelError: KernelError { DeployedKernel.asin.error }
  public func value(_ x: Double) -> Double { asin(x) }
  public func derivative(_ x: Double) -> Double { 1 / ((1 - x) * (1 + x)).squareRoot() }
  public var domain: ClosedRange<Double> { -1...1 }

  private static let zones = Zones(knots: [0], [.concave, .convex])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { -(Double.pi / 2).nextUp...(Double.pi / 2).nextUp }
  /// 1 - x^2 = 1 / slope^2.
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    if slope <= 1 { return 0 }
    let r = 1 / slope
    let x = ((1 - r) * (1 + r)).squareRoot()
    return a < 0 ? -x : x
  }
}

/// The inverse cosine, on [-1, 1].
public struct Acos: SmoothFunction {
  public init() {}
  public var name: String { "Acos" }
  public var kernelError: KernelError { DeployedKernel.acos.error }
  public func value(_ x: Double) -> Double { acos(x) }
  public func derivative(_ x: Double) -> Double { -1 / ((1 - x) * (1 + x)).squareRoot() }
  public var domain: ClosedRange<Double> { -1...1 }

  private static let zones = Zones(knots: [0], [.convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  public var globalRange: ClosedRange<Double> { 0...Double.pi.nextUp }
  public func touch(slope: Double, _ a: Double, _ b: Double) -> Double {
    Asin().touch(slope: -slope, a, b)
  }
}
