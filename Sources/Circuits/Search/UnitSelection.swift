/// How many of the scored units go on.
public enum UnitSelection: Sendable, Hashable {
  case top(Int)
  /// The best p percent, at least one.
  case percent(Double)
  /// Scores above mean + c standard deviations.
  case deviations(Double)
  /// Scores of at least x.
  case threshold(Double)

  /// Reads `top:2`, `percent:5`, `sd:3`, `threshold:0.1`; nil if the text is none of these.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return nil }
    switch parts[0] {
    case "top":
      guard let k = Int(parts[1]), k > 0 else { return nil }
      self = .top(k)
    case "percent":
      guard let p = Double(parts[1]), p > 0, p <= 100 else { return nil }
      self = .percent(p)
    case "sd":
      guard let c = Double(parts[1]), c.isFinite else { return nil }
      self = .deviations(c)
    case "threshold":
      guard let x = Double(parts[1]), x.isFinite else { return nil }
      self = .threshold(x)
    default: return nil
    }
  }

  /// The chosen indices, best first; ties go to the lower index.
  public func choose(_ scores: [Double]) -> [Int] {
    let order = Self.order(scores)
    switch self {
    case .top(let k): return Array(order.prefix(k))
    case .percent(let p):
      let count = max(1, Int((Double(scores.count) * p / 100).rounded()))
      return Array(order.prefix(count))
    case .deviations(let c):
      let mean = scores.reduce(0, +) / Double(max(1, scores.count))
      let variance = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, scores.count))
      let bar = mean + c * variance.squareRoot()
      return order.filter { scores[$0] > bar }
    case .threshold(let x): return order.filter { scores[$0] >= x }
    }
  }

  /// Indices by descending score.
  public static func order(_ scores: [Double]) -> [Int] {
    scores.indices.sorted { scores[$0] > scores[$1] || scores[$0] == scores[$1] && $0 < $1 }
  }
}
