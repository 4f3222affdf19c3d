import CKernels
import Foundation
import IR
import Tensors

/// The Gaussian error linear unit x Phi(x), exact or in its tanh approximation (Hendrycks & Gimpel, 2016).
public struct Gelu: SmoothFunction {
  public init() {}
  public var name: String { "Gelu" }
  public var kernelError: KernelError { DeployedKernel.gelu.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, false) }

  private static let rootHalf = 0.7071067811865476
  /// 1 / sqrt(2 pi).
  private static let density = 0.3989422804014327

  /// With erfc there is no cancellation on the negative side.
  public func value(_ x: Double) -> Double {
    if x == -.infinity { return 0 }
    return 0.5 * x * erfc(-x * Self.rootHalf)
  }
  /// The argument of erfc carries a relative error of 2 * 2^-53, and |z erfc'(z) / erfc(z)| is at most 1 for z < 0 (x > 0)
  /// and at most 2 z^2 + 2 = x^2 + 2 for z > 0.
  public func valueError(_ x: Double, _ value: Double) -> Double {
    if x > 0 { return value * 0x1p-45 + 0x1p-1040 }
    return value.magnitude * (0x1p-46 + 0x1p-50 * min(x * x, 2000)) + 0x1p-1040
  }
  public func derivative(_ x: Double) -> Double {
    if x.isInfinite { return x < 0 ? 0 : 1 }
    return 0.5 * erfc(-x * Self.rootHalf) + x * Self.density * exp(-0.5 * x * x)
  }
  /// Phi(x) + x phi(x) with relative errors of 2^-46 (1 + x^2 / 8) in both terms. Below -1, Phi(x) <= phi(x) <= |x| phi(x).
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    if x > -1 { return 0x1p-44 }
    let square = min(x * x, 2000)
    return 0x1p-46 * (1 + square / 8) * -x * exp(-0.5 * square) + 0x1p-1000
  }

  /// f'' = phi(x) (2 - x^2).
  private static let zones = Zones(
    knots: [-1.4142135623730951, 1.4142135623730951], [.concave, .convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  private static let minimum = [Extremum(-0.7517915246935645, -0.16997120747990370)]
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { Self.minimum }
  public var globalRange: ClosedRange<Double> { -0.16997120747990370...Double.infinity }
  public var searchLimit: Double { 40 }
}

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
public struct GeluTanh: SmoothFunction {
  public init() {}
  public var name: String { "Gelu" }
  public var kernelError: KernelError { DeployedKernel.gelu.error }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (true, false) }

  /// 2 sqrt(2 / pi).
  private static let scale = 1.5957691216057308
  private static let cubic = 0.044715

  private func argument(_ x: Double) -> Double { Self.scale * (x + Self.cubic * x * x * x) }

  /// x sigmoid(z) with z twice the argument of tanh: no cancellation on the negative side.
  public func value(_ x: Double) -> Double {
    if x == -.infinity { return 0 }
    return x * Sigmoid().value(argument(x))
  }
  /// Within a few units in the last place of ``value(_:)``, several elements at a time.
  public func apply(_ x: Tensor<Double>) -> Tensor<Double> {
    Tensor(writing: x.shape) { y in x.withPointer { ck_gelu_tanh(Int64(x.count), $0, y) } }
  }
  /// z carries at most 8 roundings, and the sigmoid's relative error is |z| (1 - sigmoid(z)) times that, at most 1/3 of it
  /// for z > 0; z below -745 gives 0.
  public func valueError(_ x: Double, _ value: Double) -> Double {
    if x > 0 { return value.magnitude * 0x1p-45 + 0x1p-1040 }
    return value.magnitude * (0x1p-46 + 0x1p-49 * min(argument(x).magnitude, 800)) + 0x1p-1040
  }
  public func derivative(_ x: Double) -> Double {
    if x.magnitude > 50 { return x < 0 ? 0 : 1 }
    let z = argument(x)
    let slope = Self.scale * (1 + 3 * Self.cubic * x * x)
    return Sigmoid().value(z) + x * Sigmoid().derivative(z) * slope
  }
  public func derivativeError(_ x: Double, _ derivative: Double) -> Double {
    if x.magnitude > 50 { return 0x1p-1000 }
    let z = argument(x)
    let tail = exp(-z.magnitude)
    let slope = Self.scale * (1 + 3 * Self.cubic * x * x)
    // sigmoid(z) for z > 0 is 1 - sigmoid(-z): only the tail feels the error of z.
    let own = z < 0 ? 0 : 0x1p-46
    return own + (0x1p-46 + 0x1p-48 * z.magnitude) * tail * (1 + x.magnitude * slope) + 0x1p-1000
  }

  /// Roots of f'' (60 digits, then rounded); f'' keeps its sign elsewhere: x sigmoid(z(x)) decays like x e^z to the left
  /// and differs from x by such a tail to the right.
  private static let zones = Zones(
    knots: [-1.4185040087908284, 1.4185040087908284], [.concave, .convex, .concave])
  public func zones(_ lower: Double, _ upper: Double) -> Zones { Self.zones }
  private static let minimum = [Extremum(-0.7524614220710163, -0.17004075057125407)]
  public func extrema(_ lower: Double, _ upper: Double) -> [Extremum] { Self.minimum }
  public var globalRange: ClosedRange<Double> { -0.17004075057125407...Double.infinity }
  public var searchLimit: Double { 40 }
}
