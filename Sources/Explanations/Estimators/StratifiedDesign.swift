/// Stratified sampling of removals by the number of removed elements.
///
/// The number of removed elements K is binomial, and K explains much of what removal does to a network. Levels
/// that are small enough (K = 0, 1, ...) are enumerated, the others sampled: without replacement where a
/// stratum is one level, systematically in K where it joins several. The allocation depends on m, p and the
/// budget alone, never on sampled values, so the estimate is exactly unbiased and Hoeffding's inequality holds.
///
/// Where the level K = 1 (or K = m-1) is enumerated, the sum of single-removal effects serves as a control
/// variate whose coefficient in a stratum is fitted on the *other* strata, which keeps it unbiased.
public struct StratifiedDesign: Sendable {
  /// Levels that are enumerated.
  public let enumerated: [Int]
  /// Sampled strata.
  public let strata: [Stratum]
  let elementCount: Int
  let masses: [Double]

  /// A set of levels and the samples it gets.
  public struct Stratum: Sendable {
    public let levels: [Int]
    public let mass: Double
    public let samples: Int
  }

  /// A design of about `samples` evaluations for m elements, each removed with probability p in (0, 1).
  public init(elementCount m: Int, removing p: Double, samples: Int) {
    elementCount = m
    let masses = Binomial.masses(m, p)
    self.masses = masses
    var remaining = max(samples, 2)
    // Level 0 is the intact network, whose value the caller knows.
    var exact = [0]
    for level in [1, m - 1] where level > 0 && !exact.contains(level) {
      let size = Binomial.coefficient(m, level)
      if size <= Double(samples) / 2, masses[level] >= 0.02, Int(size) <= remaining {
        exact.append(level)
        remaining -= Int(size)
      }
    }
    var open = (0...m).filter { !exact.contains($0) }
    // Small levels whose share of the budget would cover them are enumerated as well.
    var changed = true
    while changed {
      changed = false
      let scores = open.map { Self.score($0, m, masses[$0]) }
      let total = scores.reduce(0, +)
      guard total > 0 else { break }
      for (index, level) in open.enumerated() {
        let size = Binomial.coefficient(m, level)
        let share = Double(remaining) * scores[index] / total
        if size <= share, Int(size) <= remaining {
          exact.append(level)
          remaining -= Int(size)
          open.remove(at: index)
          changed = true
          break
        }
      }
    }
    enumerated = exact.sorted()
    strata = Self.allocate(open, m: m, masses: masses, budget: remaining)
  }

  /// Levels are weighted by their mass and by the spread of a sum of pair effects within the level.
  private static func score(_ k: Int, _ m: Int, _ mass: Double) -> Double {
    let spread = Double(min(k, m - k)) + 0.5
    return mass * spread.squareRoot()
  }

  private static func allocate(_ open: [Int], m: Int, masses: [Double], budget: Int) -> [Stratum] {
    let scores = open.map { score($0, m, masses[$0]) }
    let total = scores.reduce(0, +)
    guard total > 0 else { return [] }
    var groups: [(levels: [Int], share: Double)] = []
    var current: (levels: [Int], share: Double) = ([], 0)
    for (index, level) in open.enumerated() {
      current.levels.append(level)
      current.share += scores[index] / total * Double(budget)
      if current.share >= 2 {
        groups.append(current)
        current = ([], 0)
      }
    }
    if !current.levels.isEmpty {
      if groups.isEmpty {
        groups.append(current)
      } else {
        groups[groups.count - 1].levels += current.levels
        groups[groups.count - 1].share += current.share
      }
    }
    return groups.map { group in
      let mass = group.levels.reduce(0.0) { $0 + masses[$1] }
      var count = max(2, Int(group.share.rounded()))
      if group.levels.count == 1 {
        let size = Binomial.coefficient(m, group.levels[0])
        if Double(count) > size { count = Int(size) }
      }
      return Stratum(levels: group.levels, mass: mass, samples: count)
    }
  }

  /// Evaluations the design costs.
  public var evaluations: Int {
    let listed = enumerated.filter { $0 > 0 }.reduce(0) { $0 + Int(Binomial.coefficient(elementCount, $1)) }
    return listed + strata.reduce(0) { $0 + $1.samples }
  }
}
