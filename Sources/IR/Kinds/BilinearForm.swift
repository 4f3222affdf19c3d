import Tensors

/// A form that is linear in each of two inputs: elementwise products, matrix products of two variable tensors,
/// aggregation with variable edge weights.
///
/// All tensors carry a leading batch axis. Where two tensors meet, either batch may be 1 or a divisor of the other:
/// example r of the longer one meets example r / (R / B) of the shorter one, so a covector of R = B * S rows grouped
/// by example meets the B examples it belongs to.
public protocol BilinearForm: Sendable {
  var leftShape: Shape { get }
  var rightShape: Shape { get }
  var outputShape: Shape { get }

  /// Upper bound on the number of products accumulated into one output.
  var fanIn: Int { get }
  /// Upper bound on the number of products accumulated into one element by either adjoint.
  var fanOut: Int { get }

  func apply<T: Real>(_ a: Tensor<T>, _ b: Tensor<T>) -> Tensor<T>
  /// The covector on the left input: sum over outputs of y times the right factor.
  func adjointLeft<T: Real>(_ y: Tensor<T>, right b: Tensor<T>) -> Tensor<T>
  /// The covector on the right input.
  func adjointRight<T: Real>(_ y: Tensor<T>, left a: Tensor<T>) -> Tensor<T>

  /// The linear map that remains when one side is constant.
  func fixing(left: Weight) -> any LinearMap
  func fixing(right: Weight) -> any LinearMap

  /// The pairs of factors (flat indices) whose products sum to one output, for exact evaluation and encodings.
  func terms(_ output: Int) -> [(left: Int, right: Int)]
}

/// How the examples of two batches meet: the longer batch, and the divisor for each side.
public func batchRatio(_ a: Int, _ b: Int) -> (batch: Int, left: Int, right: Int) {
  if a == b { return (a, 1, 1) }
  if a > b {
    precondition(b > 0 && a % b == 0, "batches \(a) and \(b) do not meet")
    return (a, 1, a / b)
  }
  precondition(a > 0 && b % a == 0, "batches \(a) and \(b) do not meet")
  return (b, b / a, 1)
}
