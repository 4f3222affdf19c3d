/// How a hard explanation is read off scores.
public enum HardSelection: Sendable, Equatable {
  /// Scores strictly above the threshold.
  case threshold(Double)
  /// The k best elements, ties to the lowest index.
  case top(Int)
  /// The best ceil((1 - q) n) elements.
  case sparsity(Double)

  /// Parses `threshold:T`, `top:K` or `sparsity:S`.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return nil }
    switch parts[0] {
    case "threshold":
      guard let t = Double(parts[1]), t.isFinite else { return nil }
      self = .threshold(t)
    case "top", "topk":
      guard let k = Int(parts[1]), k >= 0 else { return nil }
      self = .top(k)
    case "sparsity":
      guard let q = Double(parts[1]), q >= 0, q <= 1 else { return nil }
      self = .sparsity(q)
    default: return nil
    }
  }

  /// The selected elements among `candidates`.
  public func selected(_ scores: [Double], among candidates: [Int]) -> [Int] {
    switch self {
    case .threshold(let t): return candidates.filter { scores[$0] > t }
    case .top(let k): return Self.best(k, scores, candidates)
    case .sparsity(let q):
      let count = ((1 - q) * Double(candidates.count) - 1e-9).rounded(.up)
      return Self.best(Int(max(0, count)), scores, candidates)
    }
  }

  private static func best(_ k: Int, _ scores: [Double], _ candidates: [Int]) -> [Int] {
    let order = candidates.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
    return order.prefix(k).sorted()
  }
}

/// How the two directions of an undirected edge are joined.
public enum DirectionPairing: String, Sendable, CaseIterable {
  case max
  case mean
  case min

  /// One score per undirected edge from scores listed as (u->v, v->u) pairs.
  public func join(_ directed: [Double]) -> [Double] {
    (0..<(directed.count / 2)).map { i in
      let a = directed[2 * i]
      let b = directed[2 * i + 1]
      switch self {
      case .max: return Swift.max(a, b)
      case .mean: return (a + b) / 2
      case .min: return Swift.min(a, b)
      }
    }
  }
}

/// What a mask does to an edge.
public enum MaskSemantics: String, Sendable, CaseIterable {
  /// The factor multiplies the edge weight before normalisation: degrees change, a zero is true deletion for
  /// sum and degree-normalised aggregation. For mean, maximum and attention it multiplies the message.
  case edgeWeight = "edge-weight"
  /// The normalisation of the full graph is kept and messages are multiplied.
  case message
  /// The edge is deleted for every aggregator: means, maxima and attention no longer see it. Hard masks only.
  case remove
  /// The features of nodes outside the mask are replaced by a baseline; edges stay.
  case featureZero = "feature-zero"
}
