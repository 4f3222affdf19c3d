import IR
import Tensors

/// A map whose stored coefficients are themselves rounded results, such as a weight that was scaled when the model was
/// read. The true coefficients differ from those of `base` by at most `coefficientRoundings` * 2^-53, relatively.
public struct RoundedCoefficients: LinearMap {
  public let base: any LinearMap
  public let coefficientRoundings: Int

  public init(_ base: any LinearMap, roundings: Int) {
    self.base = base
    coefficientRoundings = base.coefficientRoundings + roundings
  }

  public var inputShape: Shape { base.inputShape }
  public var outputShape: Shape { base.outputShape }
  public var fanIn: Int { base.fanIn }
  public var fanOut: Int { base.fanOut }
  public var isNonnegative: Bool { base.isNonnegative }
  public var isNonpositive: Bool { base.isNonpositive }
  public var denominator: Int { base.denominator }
  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { base.apply(x) }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { base.adjoint(y) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { base.applyMagnitude(x) }
  public func row(_ output: Int) -> [SparseEntry] { base.row(output) }
  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    base.weightGradients(input: x, covector: y)
  }
}
