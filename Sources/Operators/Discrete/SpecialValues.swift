import IR
import Tensors

/// Tests for values that are no ordinary numbers: IsNaN, IsInf. Bounded values are ordinary, so bounds say no.
public struct SpecialValueTest: DiscreteFunction {
  public enum Test: String, Sendable { case isNaN, isPositiveInfinity, isNegativeInfinity, isInfinity }
  public let test: Test
  public let outputShape: Shape

  public init(_ test: Test, _ shape: Shape) {
    self.test = test
    outputShape = shape
  }

  public var inputShapes: [Shape] { [outputShape] }
  public var name: String { test == .isNaN ? "IsNaN" : "IsInf" }

  private func holds(_ x: Double) -> Bool {
    switch test {
    case .isNaN: x.isNaN
    case .isPositiveInfinity: x == .infinity
    case .isNegativeInfinity: x == -.infinity
    case .isInfinity: x.isInfinite
    }
  }

  public func evaluate(_ x: [Tensor<Double>]) -> Tensor<Double> { x[0].map { holds($0) ? 1 : 0 } }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    let pairs = zip(lower[0].elements, upper[0].elements)
    let certain = pairs.map { $0 == $1 && holds($0) ? 1.0 : 0.0 }
    let possible = pairs.map { $0.isFinite && $1.isFinite ? 0.0 : 1.0 }
    return (Tensor(outputShape, certain), Tensor(outputShape, possible))
  }
}
