/// Agreement of two circuits.
public struct CircuitComparison: Sendable {
  /// Units in both.
  public var common: Int
  /// Common units over all units of either.
  public var jaccard: Double
  /// Spearman's correlation of |score| over the units that both rank; nil for fewer than two.
  public var rankCorrelation: Double?

  public init(_ a: CircuitDocument, _ b: CircuitDocument) {
    let first = Set(a.nodes.map(\.unit))
    let second = Set(b.nodes.map(\.unit))
    common = first.intersection(second).count
    let union = first.union(second).count
    jaccard = union == 0 ? 1 : Double(common) / Double(union)
    func scores(_ document: CircuitDocument) -> [CircuitUnit: Double] {
      let nodes = document.scores.isEmpty ? document.nodes : document.scores
      return Dictionary(nodes.map { ($0.unit, $0.score.magnitude) }, uniquingKeysWith: { x, _ in x })
    }
    let x = scores(a)
    let y = scores(b)
    let shared = x.keys.filter { y[$0] != nil }.sorted()
    rankCorrelation = Self.correlation(
      Self.ranks(shared.map { x[$0] ?? 0 }), Self.ranks(shared.map { y[$0] ?? 0 }))
  }

  /// Ranks from 1, ties sharing their mean.
  static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var result = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      for place in start..<end { result[order[place]] = Double(start + end + 1) / 2 }
      start = end
    }
    return result
  }

  static func correlation(_ x: [Double], _ y: [Double]) -> Double? {
    guard x.count > 1 else { return nil }
    let n = Double(x.count)
    let mx = x.reduce(0, +) / n
    let my = y.reduce(0, +) / n
    var xy = 0.0
    var xx = 0.0
    var yy = 0.0
    for (a, b) in zip(x, y) {
      xy += (a - mx) * (b - my)
      xx += (a - mx) * (a - mx)
      yy += (b - my) * (b - my)
    }
    return xx > 0 && yy > 0 ? xy / (xx * yy).squareRoot() : nil
  }
}
