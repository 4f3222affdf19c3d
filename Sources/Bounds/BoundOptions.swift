import Domains
import IR

/// The bound methods, from cheapest to dearest (names of the field).
public enum BoundMethod: String, Sendable, Hashable, CaseIterable {
  /// Interval propagation.
  case ibp
  /// Linear bounds of every node in the input, carried forward.
  case forward
  /// Backward linear bounds of the output on interval intermediate bounds.
  case crownIBP = "crown-ibp"
  /// Backward linear bounds of the output on forward intermediate bounds.
  case forwardCrown = "forward+crown"
  /// Backward linear bounds of the output and of every intermediate value that needs them.
  case crown
  /// CROWN with optimised slopes.
  case alphaCrown = "alpha-crown"
  /// The tightest of intervals, CROWN and alpha-CROWN that the time of a few CROWN passes buys; for networks so large that one
  /// pass would take hours, intervals, and CROWN on them if the outputs are few.
  case best
}

/// How bounds are computed. The defaults are what a user wants who only names a method.
public struct BoundOptions: Sendable {
  public var method: BoundMethod = .best
  /// Whether to leave out the intersection with interval bounds at every node, to compare with published numbers.
  public var isPlain = false
  /// The default line of ReLU-like functions.
  public var slope: SlopePolicy = .adaptive
  public var arithmetic: Arithmetic = .real
  /// alpha-CROWN: steps of the optimiser, its rate and the factor applied to the rate after each step.
  public var iterations = 20
  public var learningRate = 0.5
  public var decay = 0.98
  /// How many values the varying indices of one node may take in all before bounds are refused.
  public var choiceLimit = 1 << 20
  /// Threads to use; results do not depend on it.
  public var threads = 1
  /// Whether to return the linear functions of the input.
  public var keepsCoefficients = false
  /// Whether to tighten every node, not only those whose bounds an analysis needs.
  public var boundsEveryNode = false
  /// Called with every sound result on the way to the last one, tighter from call to call; from the bounding thread.
  public var progress: (@Sendable (BoundResult) -> Void)?
  /// Whether rounding is accounted for. Only benchmarks switch it off, to measure what the account costs: without it
  /// results are not proven.
  @_spi(Benchmarks) public var accountsForRounding = true

  public init(method: BoundMethod = .best) { self.method = method }
}
