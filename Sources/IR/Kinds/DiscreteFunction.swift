import Tensors

/// A function whose value jumps or whose arguments are indices: comparisons, logic, ArgMax, TopK, Where with a
/// variable condition, Gather and Scatter with run-time indices, integer arithmetic.
///
/// Integers and booleans are carried as Double (exact up to 2^53).
public protocol DiscreteFunction: Sendable {
  var name: String { get }
  var inputShapes: [Shape] { get }
  var outputShape: Shape { get }

  /// The value on one example each; shapes without a batch axis. Throws if an index is out of range or an integer
  /// is beyond what Double holds.
  func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double>

  /// Sound bounds of the value over the boxes, one example each.
  func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  )

  /// If the boxes decide where outputs come from: for every input either nil (it only decides) or a table that names
  /// for every output the element of that input it copies, or -1. Outputs that no table names are bounded by
  /// `enclose`. The default decides nothing.
  func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?]

  /// How often a deployed evaluation rounds on the way to one output; 0 if it only copies, decides, or computes with
  /// integers.
  var deployedRoundings: Int { get }

  /// By output: what the magnitudes of everything that is added up or multiplied come to, for inputs of at most the given
  /// magnitudes; nil if that is the magnitude of the output.
  func deployedSizes(_ magnitudes: [Tensor<Double>]) -> Tensor<Double>?
}

extension DiscreteFunction {
  public var deployedRoundings: Int { 0 }
  public func deployedSizes(_ magnitudes: [Tensor<Double>]) -> Tensor<Double>? { nil }
  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    inputShapes.map { _ in nil }
  }
}
