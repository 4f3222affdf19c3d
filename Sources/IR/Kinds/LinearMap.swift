import Tensors

/// A linear map between the values of two nodes; one small type per family of operators.
///
/// Arguments and results carry a leading batch axis: `[B] + inputShape` and `[B] + outputShape`. The backward walk
/// calls `adjoint` with one row per specification, so both directions must be as fast.
public protocol LinearMap: Sendable {
  var inputShape: Shape { get }
  var outputShape: Shape { get }

  /// Upper bound on the number of terms accumulated into one output; 0 says that every output is a copy of at most
  /// one input, so that applying the map does not round.
  var fanIn: Int { get }
  /// The same for the adjoint: terms accumulated into one input.
  var fanOut: Int { get }
  /// Relative error of the stored coefficients in units of 2^-53, as a number of roundings; 0 if they are exact.
  var coefficientRoundings: Int { get }

  func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T>
  /// The transpose: `[R] + outputShape` to `[R] + inputShape`.
  func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T>
  /// The map with every coefficient replaced by its absolute value.
  func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double>

  /// Whether all coefficients are non-negative, so that the map is monotone.
  var isNonnegative: Bool { get }
  /// Whether all coefficients are 0 or less.
  var isNonpositive: Bool { get }
  /// The matrix rows of the given outputs, `[outputs.count] + inputShape`: the adjoint of unit covectors, which needs
  /// no matrix product.
  func rows(_ outputs: [Int]) -> Tensor<Double>

  /// The coefficients of one output (flat index), multiplied by `denominator`. Indices are flat and may repeat.
  func row(_ output: Int) -> [SparseEntry]
  /// The true coefficients are those of `row` divided by this; it is an integer (1 but for averages).
  var denominator: Int { get }

  /// Gradients with respect to the map's weights for input `x` and covector `y`, summed over the batch.
  func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient]
}

/// A coefficient of a linear map.
public struct SparseEntry: Sendable, Equatable {
  public var index: Int
  public var coefficient: Double
  public init(_ index: Int, _ coefficient: Double) {
    self.index = index
    self.coefficient = coefficient
  }
}

/// The gradient of a scalar in one weight.
public struct WeightGradient: Sendable {
  public var weight: Weight
  public var gradient: Tensor<Double>
  public init(_ weight: Weight, _ gradient: Tensor<Double>) {
    self.weight = weight
    self.gradient = gradient
  }
}

extension LinearMap {
  public var coefficientRoundings: Int { 0 }
  public var denominator: Int { 1 }
  public var isNonnegative: Bool { false }
  public var isNonpositive: Bool { false }
  public func rows(_ outputs: [Int]) -> Tensor<Double> {
    var units = Tensor<Double>.zeros([outputs.count] + outputShape)
    let n = outputShape.count
    for (r, output) in outputs.enumerated() { units[flat: r * n + output] = 1 }
    return adjoint(units)
  }
  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] { [] }
  /// Whether applying the map moves data without arithmetic.
  public var isCopy: Bool { fanIn == 0 && coefficientRoundings == 0 }
}

/// y = sum over inputs i of map_i(x_i), plus a bias.
///
/// Add, Sub, Concat, Gemm, Conv and all data movement are affine nodes. An affine node without inputs does not occur.
public struct Affine: Sendable {
  /// One map per input of the node, all with the same output shape.
  public var maps: [any LinearMap]
  /// Added to every example; its shape is the output shape.
  public var bias: Weight?

  public init(_ maps: [any LinearMap], bias: Weight? = nil) {
    self.maps = maps
    self.bias = bias
  }

  /// Roundings of one output: products, sums over inputs, the bias.
  public var roundings: Int {
    var terms = 0
    var copies = 0
    for map in maps {
      terms += map.fanIn + map.coefficientRoundings
      if map.isCopy { copies += 1 }
    }
    if terms == 0 && copies <= 1 && bias == nil { return 0 }
    // Disjoint copies (Concat) are summed with zeros, which is exact, but saying so would need the maps' supports;
    // `disjoint` is set by operators that know.
    if disjoint && bias == nil { return terms }
    return terms + copies + (bias == nil ? 0 : 1)
  }

  /// Every output is reached by at most one of the maps (Concat): adding their results does not round.
  public var disjoint = false
}
