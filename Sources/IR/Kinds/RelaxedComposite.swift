import Tensors

/// A composite that bound analyses can treat whole, more tightly than its expansion.
///
/// Both functions speak of one example: tensors without a batch axis, one lower and one upper per input. What they
/// return holds for the real-valued function at every point of the box, their own rounding included.
public protocol RelaxedComposite: Composite {
  /// Bounds of the value; infinite where nothing is known, never NaN.
  func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  )

  /// Whether `relax` gives lines on every finite box, so that bound analyses need not expand the composite.
  var offersLines: Bool { get }

  /// Linear functions below and above every output. Coefficients are finite; an intercept may be infinite.
  ///
  /// Nil if the composite has none that beat its expansion on this box.
  func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation?

  /// The unit whose bounds, widened by ``deployedError(_:unit:underflow:)``, hold for a deployed evaluation; nil if only
  /// the steps of the expansion tell what that is.
  var deployed: (any RelaxedComposite)? { get }

  /// What a deployed evaluation may be off by, where the value is at most `magnitude`, in a type of the given unit
  /// roundoff.
  func deployedError(_ magnitude: Double, unit: Double, underflow: Double) -> Double
}

extension RelaxedComposite {
  public var deployed: (any RelaxedComposite)? { nil }
  public func deployedError(_ magnitude: Double, unit: Double, underflow: Double) -> Double { .infinity }
  public var offersLines: Bool { false }
  public func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation? { nil }
}

/// Linear bounds of the outputs of a composite on a box, in groups of outputs that depend on the same inputs.
public struct CompositeRelaxation: Sendable {
  /// For output j of the group (at `outputs[j]`) and every point x of the box,
  /// `sum_i below[j, i] * x[inputs[i]] + belowIntercept[j] <= y[outputs[j]]`, and likewise above.
  public struct Group: Sendable {
    /// Flat indices of the outputs.
    public var outputs: [Int32]
    /// Flat indices into the concatenation of the flattened inputs.
    public var inputs: [Int32]
    public var below: LineCoefficients
    public var above: LineCoefficients
    public var belowIntercept: [Double]
    public var aboveIntercept: [Double]

    public init(
      outputs: [Int32], inputs: [Int32], below: LineCoefficients, above: LineCoefficients,
      belowIntercept: [Double], aboveIntercept: [Double]
    ) {
      self.outputs = outputs
      self.inputs = inputs
      self.below = below
      self.above = above
      self.belowIntercept = belowIntercept
      self.aboveIntercept = aboveIntercept
    }
  }

  /// Every output is in exactly one group.
  public var groups: [Group]

  public init(groups: [Group]) { self.groups = groups }
}

/// The coefficients of a group's lines: one row per output, one column per input.
public enum LineCoefficients: Sendable {
  /// Row-major numbers.
  case dense([Double], columns: Int)
  /// `scale[j] * vector[i]`, plus `diagonal[j]` where i = j; as many rows as columns. Every element is this exact
  /// number, of which no rounded copy exists: a matrix would take memory quadratic in the width of a softmax.
  case outer(scale: [Double], vector: [Double], diagonal: [Double])

  /// An element, rounded to a Double.
  public subscript(row: Int, column: Int) -> Double {
    switch self {
    case .dense(let elements, let columns): return elements[row * columns + column]
    case .outer(let scale, let vector, let diagonal):
      let product = scale[row] * vector[column]
      return row == column ? product + diagonal[row] : product
    }
  }
}
