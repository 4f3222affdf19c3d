/// Agreement of edge (or node) scores with a true explanation.
public struct GroundTruthAgreement: Sendable {
  /// Area under the ROC curve, ties by average rank; nil when all elements are true or all are false.
  public private(set) var auc: Double?
  public let precision: Double?
  public let recall: Double?
  public let f1: Double?
  public let accuracy: Double?
  /// Intersection over union; nil when both sets are empty.
  public let jaccard: Double?

  /// - Parameters:
  ///   - scores: one score per element.
  ///   - selected: the hard selection the counts refer to.
  ///   - truth: membership in the true explanation.
  public init(scores: [Double], selected: [Bool], truth: [Bool]) {
    auc = Self.auc(scores: scores, truth: truth)
    var both = 0
    var chosen = 0
    var real = 0
    var right = 0
    for i in truth.indices {
      if selected[i] { chosen += 1 }
      if truth[i] { real += 1 }
      if selected[i] && truth[i] { both += 1 }
      if selected[i] == truth[i] { right += 1 }
    }
    precision = chosen == 0 ? nil : Double(both) / Double(chosen)
    recall = real == 0 ? nil : Double(both) / Double(real)
    f1 = chosen + real == 0 ? nil : 2 * Double(both) / Double(chosen + real)
    accuracy = truth.isEmpty ? nil : Double(right) / Double(truth.count)
    let union = chosen + real - both
    jaccard = union == 0 ? nil : Double(both) / Double(union)
  }

  /// The same agreement with another AUC.
  func replacingAUC(_ auc: Double?) -> GroundTruthAgreement {
    var copy = self
    copy.auc = auc
    return copy
  }

  /// The probability that a true element scores above a false one, ties counting one half (Mann and Whitney).
  public static func auc(scores: [Double], truth: [Bool]) -> Double? {
    let positives = truth.reduce(0) { $0 + ($1 ? 1 : 0) }
    let negatives = truth.count - positives
    guard positives > 0, negatives > 0, scores.count == truth.count else { return nil }
    let ranks = Correlation.ranks(scores)
    var sum = 0.0
    for i in truth.indices where truth[i] { sum += ranks[i] }
    let p = Double(positives)
    return (sum - p * (p + 1) / 2) / (p * Double(negatives))
  }
}
