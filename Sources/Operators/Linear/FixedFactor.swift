import IR
import Tensors

/// What remains of a bilinear form when one side is constant: `A X` of graph convolutions, batched constants.
public struct FixedFactor<Form: BilinearForm>: WeightedMap {
  public enum Side: Sendable { case left, right }
  public let form: Form
  public let side: Side
  public let weight: Weight

  public init(_ form: Form, _ side: Side, _ weight: Weight) {
    self.form = form
    self.side = side
    self.weight = weight
  }

  public var inputShape: Shape { side == .left ? form.rightShape : form.leftShape }
  public var outputShape: Shape { form.outputShape }
  public var fanIn: Int { form.fanIn }
  public var fanOut: Int { form.fanOut }
  public var weights: [Weight] { [weight] }

  private func batched<T: Real>(_ w: Tensor<T>) -> Tensor<T> { w.reshaped([1] + w.shape) }

  private func product<T: Real>(_ x: Tensor<T>, _ w: Tensor<T>) -> Tensor<T> {
    side == .left ? form.apply(batched(w), x) : form.apply(x, batched(w))
  }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { product(x, weight.tensor(as: T.self)) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { product(x, weight.magnitude) }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    let w = batched(weight.tensor(as: T.self))
    return side == .left ? form.adjointRight(y, left: w) : form.adjointLeft(y, right: w)
  }

  public func row(_ output: Int) -> [SparseEntry] {
    form.terms(output).map {
      side == .left
        ? SparseEntry($0.right, weight.values[flat: $0.left])
        : SparseEntry($0.left, weight.values[flat: $0.right])
    }
  }

  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    let perExample = side == .left ? form.adjointLeft(y, right: x) : form.adjointRight(y, left: x)
    var sum = Tensor<Double>.zeros(weight.shape)
    for r in 0..<perExample.batch { sum += perExample.example(r).reshaped(weight.shape) }
    return [WeightGradient(weight, sum)]
  }
}
