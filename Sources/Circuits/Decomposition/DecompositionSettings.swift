/// The rules of a contextual decomposition.
public struct DecompositionSettings: Sendable, Hashable {
  /// How a bias is divided between the relevant and the irrelevant part.
  public enum BiasRule: String, Sendable, Hashable, CaseIterable {
    /// Parts add up to the bias exactly.
    case exact
    /// The published rule, which loses a little of the bias.
    case reference
  }

  /// What attention patterns do.
  public enum AttentionMode: String, Sendable, Hashable, CaseIterable {
    /// The relevant part has a pattern of its own: softmax of relevant queries and keys.
    case split
    /// The pattern of the whole counts as a constant.
    case frozen
  }

  /// Where cancelling pairs are removed.
  public enum SignCleaning: String, Sendable, Hashable, CaseIterable {
    /// After the MLP's maps, and in post-norm models throughout the attention block.
    case all
    /// After the MLP's maps.
    case mlp
    case none
  }

  /// The arithmetic of matrix products; everything else is always Double.
  public enum Precision: String, Sendable, Hashable, CaseIterable {
    case double
    /// Single precision; the rules amplify its rounding.
    case float
  }

  public var biasRule: BiasRule
  public var attention: AttentionMode
  public var signCleaning: SignCleaning
  /// The small number in the denominator of the bias rule.
  public var tolerance: Double
  public var precision: Precision

  public init(
    biasRule: BiasRule = .exact, attention: AttentionMode = .split, signCleaning: SignCleaning = .mlp,
    tolerance: Double = 1e-8, precision: Precision = .double
  ) {
    self.precision = precision
    self.biasRule = biasRule
    self.attention = attention
    self.signCleaning = signCleaning
    self.tolerance = tolerance
  }

  var isExact: Int32 { biasRule == .exact ? 1 : 0 }

  /// The largest conservation error that is accepted.
  public var conservationLimit: Double {
    biasRule == .exact && precision == .double ? 1e-10 : 1e-3
  }

  /// The tolerance must not be so large that the rule stops dividing biases.
  public static let toleranceRange: ClosedRange<Double> = 0...1e-2
}
