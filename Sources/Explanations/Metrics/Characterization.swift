/// A value that a definition may leave undefined, with the reason.
public struct Defined: Sendable, Equatable {
  /// The value, or nil where the definition has none.
  public let value: Double?
  /// Why there is no value.
  public let reason: String?

  public init(_ value: Double) {
    self.value = value
    reason = nil
  }

  public init(undefined reason: String) {
    value = nil
    self.reason = reason
  }
}

/// Metrics that combine fidelities.
public enum CombinedFidelity {
  /// The weighted harmonic mean of Fid+ and 1 - Fid-: (w+ + w-)/(w+/Fid+ + w-/(1 - Fid-)).
  ///
  /// Amara et al., "GraphFramEx" (LoG 2022). Undefined when Fid+ <= 0 or Fid- >= 1.
  public static func characterization(
    plus: Double, minus: Double, plusWeight: Double = 0.5, minusWeight: Double = 0.5
  ) -> Defined {
    if plus <= 0 { return Defined(undefined: "fid+ is not positive") }
    if minus >= 1 { return Defined(undefined: "fid- is not below 1") }
    return Defined((plusWeight + minusWeight) / (plusWeight / plus + minusWeight / (1 - minus)))
  }

  /// Area under fid+/(1 - fid-) over sparsity, by the trapezoid rule.
  public static func curveArea(_ points: [(sparsity: Double, plus: Double, minus: Double)]) -> Defined {
    if points.count < 2 { return Defined(undefined: "fewer than two points") }
    if points.contains(where: { $0.minus >= 1 }) { return Defined(undefined: "fid- is not below 1") }
    let sorted = points.sorted { $0.sparsity < $1.sparsity }
    var area = 0.0
    for (a, b) in zip(sorted, sorted.dropFirst()) {
      let left = a.plus / (1 - a.minus)
      let right = b.plus / (1 - b.minus)
      area += (b.sparsity - a.sparsity) * (left + right) / 2
    }
    return Defined(area)
  }

  /// 1 - exp(-KL): 0 when the masked network answers like the full one, towards 1 when it does not.
  public static func unfaithfulness(from reference: [Double], to other: [Double]) -> Double {
    1 - exponential(-Probability.divergence(reference, other))
  }
}
