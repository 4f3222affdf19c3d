import Tensors

/// A unit made of other kinds: Softmax, LayerNormalization, attention.
///
/// An analysis may handle it whole; otherwise it takes the expansion.
public protocol Composite: Sendable {
  var name: String { get }
  var inputShapes: [Shape] { get }
  var outputShape: Shape { get }

  /// A graph with one input per input of the composite and one output. Built once, when the composite is made.
  var expansion: Graph { get }

  /// The value in one go, where that is faster or more accurate than the expansion; batch axis leading.
  func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>?

  /// The covectors on the inputs in one go, for inputs `x` and covector `y`; nil to use the expansion.
  func adjoint(_ y: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]?
}

extension Composite {
  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? { nil }
  public func adjoint(_ y: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? { nil }
}
