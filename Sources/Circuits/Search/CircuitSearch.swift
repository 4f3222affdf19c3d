import IR
import Importers
import Tensors

/// Scores of sources and the search for circuits on them.
public struct CircuitSearch: Sendable {
  /// How much of a target a source accounts for.
  public enum TargetScore: String, Sendable, Hashable, CaseIterable {
    /// mean|zβ| / (mean|zβ| + mean|zγ|), summed over targets.
    case l1
    /// zβ · (z - m), summed over targets, mean over prompts.
    case dot
  }

  /// What scores are divided by.
  public enum Normalisation: String, Sendable, Hashable, CaseIterable {
    case none
    /// The sum over the units of the same layer.
    case layer
  }

  public let decomposer: Decomposer
  public let metric: Metric

  /// - Parameter metric: for the prompts of the decomposer's run.
  public init(_ decomposer: Decomposer, metric: Metric) {
    self.decomposer = decomposer
    self.metric = metric
  }

  private var transformer: Transformer { decomposer.plain.transformer }
  private var positions: Int { transformer.positions }

  /// The linear metric of β for each unit as a source, mean over prompts.
  public func outputScores(_ units: [CircuitUnit]) throws -> [Double] {
    let metric = metric
    let positions = positions
    return try decomposer.forEach(
      units.map { .nodes($0.nodes(positions: positions)) }, reading: [metric.readout]
    ) { _, pairs in Ablator.mean(metric.linear(pairs[0].beta)) }
  }

  /// How much of the targets each unit accounts for as a source. A unit that is a target scores 0.
  public func targetScores(_ units: [CircuitUnit], targets: [CircuitUnit], score: TargetScore) throws
    -> [Double]
  {
    let values = try targetScores(units, each: targets, score: score)
    let chosen = Set(targets)
    return zip(units, values).map { unit, own in chosen.contains(unit) ? 0 : own.reduce(0, +) }
  }

  /// The same for each target by itself: one row per unit.
  public func targetScores(_ units: [CircuitUnit], each targets: [CircuitUnit], score: TargetScore) throws
    -> [[Double]]
  {
    let layers = Array(Set(targets.map(\.layer))).sorted()
    let place = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.element, $0.offset) })
    let positions = positions
    let prompts = decomposer.plain.prompts
    let width = transformer.width
    let d = transformer.headWidth
    let baseline = decomposer.baseline
    let readers = targets.map { (pair: place[$0.layer] ?? 0, nodes: $0.nodes(positions: positions)) }
    return try decomposer.forEach(
      units.map { .nodes($0.nodes(positions: positions)) }, reading: layers.map { transformer.layers[$0].z }
    ) { _, pairs in
      readers.map { reader in
        let pair = pairs[reader.pair]
        var relevant = 0.0
        var irrelevant = 0.0
        var projection = 0.0
        for node in reader.nodes {
          for prompt in 0..<prompts {
            let at = (prompt * positions + node.position) * width + node.head * d
            let from = baseline.offset(node, prompt: prompt)
            for i in 0..<d {
              let b = pair.beta.elements[at + i]
              let g = pair.gamma.elements[at + i]
              relevant += b.magnitude
              irrelevant += g.magnitude
              projection += b * (b + g - baseline.layers[node.layer].elements[from + i])
            }
          }
        }
        switch score {
        case .l1:
          let whole = relevant + irrelevant
          return whole == 0 ? 0 : relevant / whole
        case .dot: return projection / Double(prompts)
        }
      }
    }
  }

  /// Divides scores by the sum over their layer; a sum of 0 counts as -1e-8.
  static func normalised(_ scores: [Double], _ units: [CircuitUnit], _ normalisation: Normalisation)
    -> [Double]
  {
    guard normalisation == .layer else { return scores }
    var sums: [Int: Double] = [:]
    for (unit, score) in zip(units, scores) { sums[unit.layer, default: 0] += score }
    return zip(units, scores).map { unit, score in
      let sum = sums[unit.layer] ?? 0
      return score / (sum == 0 ? -1e-8 : sum)
    }
  }

  /// The outcome of a search.
  public struct Result: Sendable {
    /// The output scores of all units, in their order.
    public var scores: [Double]
    /// The targets of every round, the ones nearest the output first.
    public var rounds: [[CircuitUnit]]
    /// By round from the second: the scores by which its targets were chosen.
    public var roundScores: [[Double]]
    /// The union of all rounds, first seen first.
    public var circuit: [CircuitUnit]
  }

  /// The search of the CD-T paper: from the output backwards, the units that account for the last round's targets.
  ///
  /// - Parameters:
  ///   - units: in the order (layer, position, head); ties go to the earlier.
  ///   - scores: the output scores of the units if they are known.
  ///   - report: called before each round with its number and how many sources it needs.
  public func search(
    _ units: [CircuitUnit], scores known: [Double]? = nil, selection: UnitSelection = .top(2),
    score: TargetScore = .l1,
    normalisation: Normalisation = .none, maxRounds: Int = 100, report: (Int, Int) -> Void = { _, _ in }
  ) throws -> Result {
    report(0, units.count)
    let scores = try known ?? outputScores(units)
    var targets = selection.choose(scores).map { units[$0] }
    var best = targets.isEmpty ? 0 : scores.max() ?? 0
    var rounds: [[CircuitUnit]] = []
    var roundScores: [[Double]] = []
    while !targets.isEmpty {
      rounds.append(targets)
      let highest = targets.map(\.layer).max() ?? 0
      if highest == 0 || best <= 0 || rounds.count >= maxRounds { break }
      let candidates = units.filter { $0.layer < highest }
      report(rounds.count, candidates.count)
      let own = Self.normalised(
        try targetScores(candidates, targets: targets, score: score), candidates, normalisation)
      best = own.max() ?? 0
      let chosen = selection.choose(own)
      targets = chosen.map { candidates[$0] }
      if !targets.isEmpty { roundScores.append(chosen.map { own[$0] }) }
    }
    var seen = Set<CircuitUnit>()
    let circuit = rounds.joined().filter { seen.insert($0).inserted }
    return Result(scores: scores, rounds: rounds, roundScores: roundScores, circuit: Array(circuit))
  }
}
