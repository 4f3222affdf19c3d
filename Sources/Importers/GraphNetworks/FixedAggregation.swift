import IR
import Operators
import Tensors

/// Aggregation with coefficients that were computed (degree normalisation) rather than stored: they carry a rounding
/// error of their own.
struct FixedAggregation: WeightedMap {
  let base: FixedFactor<Aggregation>
  let coefficientRoundings: Int

  init(_ form: Aggregation, _ coefficients: Weight, roundings: Int) {
    base = FixedFactor(form, .left, coefficients)
    coefficientRoundings = roundings
  }

  var inputShape: Shape { base.inputShape }
  var outputShape: Shape { base.outputShape }
  var fanIn: Int { base.fanIn }
  var fanOut: Int { base.fanOut }
  var weights: [Weight] { base.weights }
  func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { base.apply(x) }
  func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { base.adjoint(y) }
  func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { base.applyMagnitude(x) }
  func row(_ output: Int) -> [SparseEntry] { base.row(output) }
}
