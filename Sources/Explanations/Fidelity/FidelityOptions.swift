/// Which class the metrics look at.
public enum TargetClass: String, Sendable, CaseIterable {
  /// The true label: how faithful to the phenomenon.
  case label
  /// The class predicted on the full graph: how faithful to the model.
  case predicted
}

/// Everything that defines a fidelity value.
public struct FidelityOptions: Sendable {
  public var target: TargetClass = .label
  public var semantics: MaskSemantics = .edgeWeight
  /// Removal probability of explanation edges in the robust Fid+.
  public var alpha1 = 0.1
  /// Keep probability of other edges in the robust Fid-.
  public var alpha2 = 0.9
  /// With a curve: removal strengths a, each evaluated at alpha1 = a and alpha2 = 1 - a.
  public var curve: [Double]?
  /// How a hard explanation is read off scores.
  public var selection: HardSelection = .threshold(0.5)
  public var pairing: DirectionPairing = .max
  /// Whether an edge belongs to a node explanation with both ends in it (induced) or with any.
  public var nodeMasksInduce = true
  /// Keep only the selected edges that are connected to the node (node tasks).
  public var connectedToNode = false
  /// Replacement of masked features.
  public var baseline: FeatureBaseline = .zero
  public var plan = EstimationPlan()
  /// Evaluate masked terms on the k-hop induced subgraph, as some tools do; nil is exact.
  public var hops: Int?
  public var seed: UInt64 = 0

  public init() {}
}

/// What masked features are replaced by.
public enum FeatureBaseline: String, Sendable, CaseIterable {
  case zero
  /// The mean of each feature over the nodes of the graph.
  case mean
}

/// One fidelity, in probability and in accuracy.
public struct FidelityTerm: Sendable {
  public var probability: Double
  public var accuracy: Double
  public var method: EstimationMethod
  public var evaluations: Int
  /// Of the probability; 0 when exact.
  public var standardError: Double
  public var accuracyStandardError: Double
  /// Holds with 95 % probability whatever the distribution; nil when exact.
  public var guaranteed: ClosedRange<Double>?
}

/// A pair of fidelities, and their difference.
public struct FidelityPair: Sendable {
  public var plus: FidelityTerm
  public var minus: FidelityTerm
  /// Removal probability of explanation edges.
  public var alpha1: Double
  /// Keep probability of the other edges.
  public var alpha2: Double

  public var delta: (probability: Double, accuracy: Double, standardError: Double) {
    let error = plus.standardError * plus.standardError + minus.standardError * minus.standardError
    return (
      plus.probability - minus.probability, plus.accuracy - minus.accuracy, error.squareRoot()
    )
  }
}

/// Fidelity of soft masks: scores used as factors, not thresholded.
public struct SoftFidelity: Sendable {
  public var plusProbability: Double
  public var minusProbability: Double
  public var plusAccuracy: Double
  public var minusAccuracy: Double
  /// 1 - 1[masked prediction = full prediction], the definition of common libraries.
  public var plusPrediction: Double
  public var minusPrediction: Double
  /// 1 - exp(-KL(full || masked)).
  public var unfaithfulness: Double
  /// 1 - exp(-KL(masked || full)), what a common library computes under the same name.
  public var reverseUnfaithfulness: Double
  public var characterization: Defined
}

/// The metrics of one instance.
public struct InstanceFidelity: Sendable {
  public var id: InstanceID
  /// The target class.
  public var target: Int
  public var predicted: Int
  public var fullProbability: Double
  public var fullLogits: [Double]
  /// Sizes of the explanation S and of the rest N of the candidates.
  public var selectedCount: Int
  public var otherCount: Int
  public var sparsity: Double
  /// alpha1 = 1, alpha2 = 0.
  public var original: FidelityPair
  /// One pair, or one per point of the curve.
  public var robust: [FidelityPair]
  public var soft: SoftFidelity?
  public var characterization: Defined
  /// Unfaithfulness of the hard explanation in both directions, as in ``SoftFidelity``.
  public var unfaithfulness: Double
  public var reverseUnfaithfulness: Double
  public var agreement: GroundTruthAgreement?
  /// What was decided on the way (differing directions, an empty explanation).
  public var notes: [String]
  /// Scores and truth that enter a pooled ROC curve.
  public var pooled: (scores: [Double], truth: [Bool])?
}
