import IR
import Tensors

/// A linear map between the same elements under other shapes.
struct ReshapedMap: LinearMap {
  let base: any LinearMap
  let inputShape: Shape
  let outputShape: Shape

  /// Precondition: equal counts.
  init(_ base: any LinearMap, from inputShape: Shape, to outputShape: Shape) {
    precondition(base.inputShape.count == inputShape.count && base.outputShape.count == outputShape.count)
    self.base = base
    self.inputShape = inputShape
    self.outputShape = outputShape
  }

  var fanIn: Int { base.fanIn }
  var fanOut: Int { base.fanOut }
  var coefficientRoundings: Int { base.coefficientRoundings }
  var denominator: Int { base.denominator }
  var isNonnegative: Bool { base.isNonnegative }
  func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> {
    base.apply(x.reshaped([x.batch] + base.inputShape)).reshaped([x.batch] + outputShape)
  }
  func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    base.adjoint(y.reshaped([y.batch] + base.outputShape)).reshaped([y.batch] + inputShape)
  }
  func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> {
    base.applyMagnitude(x.reshaped([x.batch] + base.inputShape)).reshaped([x.batch] + outputShape)
  }
  func row(_ output: Int) -> [SparseEntry] { base.row(output) }
}
