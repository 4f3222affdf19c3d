import FileFormats
import Importers

/// Finding a circuit from start to end: ranking, search, growth, pruning, faithfulness, truth.
///
/// Without a selection this is the default method, the same for every model: units are ranked by the magnitude of their
/// CD-T output score, added in that order until the circuit reaches F >= 0.9, and those it can do without are taken out
/// again (``Faithfulness/minimise(_:goal:slack:protected:)``). With a selection it is the search of the CD-T paper.
public struct CircuitDiscovery: Sendable {
  /// Where the ranking comes from.
  public enum Method: String, Sendable, Hashable, CaseIterable {
    /// Output scores of contextual decomposition.
    case cdt
    /// What replacing a unit costs.
    case ablation
    /// First-order estimates of that.
    case attribution
    /// Path patching to the output.
    case path
    case random
  }

  public enum Pruning: String, Sendable, Hashable, CaseIterable {
    case none
    /// As published: while the metric rises strictly.
    case greedy
    /// Everything the goal can do without.
    case minimal
  }

  public var method: Method = .cdt
  public var byHead = false
  /// nil: the default method.
  public var selection: UnitSelection?
  public var score: CircuitSearch.TargetScore = .l1
  public var normalisation: CircuitSearch.Normalisation = .none
  public var maxRounds = 100
  /// nil: minimal in the default method, none with a selection.
  public var pruning: Pruning?
  /// The faithfulness that growth aims at; nil: 0.9 in the default method, no growth with a selection.
  public var goal: Double?
  public var protected: [CircuitUnit] = []
  public var truth: Set<CircuitUnit>?
  /// Method path: a head that paths lead into; nil: the output.
  public var receiver: Receiver?
  /// Random orders beside the curve.
  public var randomRuns = 10
  public var seed: UInt64 = 0
  /// Steps of integrated gradients for the attribution method; 0 takes the gradient at the clean prompt.
  public var gradientSteps = 0
  /// The F that growth reaches for by default.
  public static let defaultGoal = 0.9
  /// What minimal pruning may cost per removed unit.
  public static let slack = 0.02

  /// Units whose score is below this share of the largest count as noise when pruning.
  public static let negligible = 0.01

  public init() {}

  /// A head, and which of its inputs paths may enter.
  public struct Receiver: Sendable, CustomStringConvertible {
    public var unit: CircuitUnit
    public var inputs: Set<Ablator.HeadInput>
    public init(unit: CircuitUnit, inputs: Set<Ablator.HeadInput>) {
      self.unit = unit
      self.inputs = inputs
    }
    public var description: String {
      "\(unit):\(Ablator.HeadInput.allCases.filter(inputs.contains).map(\.rawValue).joined())"
    }
  }

  /// A stage of the work, for progress displays.
  public struct Stage: Sendable {
    public var name: String
    public var total: Int
  }

  /// Runs the search.
  ///
  /// - Parameters:
  ///   - stage: called when a stage begins.
  ///   - advance: called with the number of finished pieces of the stage; from any thread.
  public func run(
    _ task: CircuitTask, stage: (Stage) -> Void = { _ in }, advance: (@Sendable (Int) -> Void)? = nil
  ) throws -> CircuitDocument {
    let units = task.units(byHead: byHead)
    let ablator = task.ablator(progress: advance)
    let search = task.search(progress: advance)
    stage(Stage(name: "metric", total: 1))
    let faithfulness = try Faithfulness(ablator)

    stage(Stage(name: "scores", total: units.count))
    let scores = try self.scores(task, units, search, ablator)
    let magnitudes = scores.map(\.magnitude)
    let ranking = UnitSelection.order(magnitudes).map { units[$0] }

    // The published search; the default method runs it too, for its rounds.
    var rounds: [[CircuitUnit]] = []
    var circuit: [CircuitUnit] = []
    if method == .cdt {
      let found = try search.search(
        units, scores: scores, selection: selection ?? .top(2), score: score, normalisation: normalisation,
        maxRounds: maxRounds, report: { stage(Stage(name: $0 == 0 ? "search" : "round \($0)", total: $1)) })
      rounds = found.rounds
      if selection != nil { circuit = found.circuit }
    } else if let selection {
      circuit = selection.choose(magnitudes).map { units[$0] }
      rounds = [circuit]
    }
    let guarded = Set(protected)
    circuit += protected.filter { !circuit.contains($0) }

    let goal = goal ?? (selection == nil ? Self.defaultGoal : nil)
    if let goal, faithfulness.isDefined {
      stage(Stage(name: "growth", total: 16))
      circuit = try faithfulness.grow(ranking, from: circuit, goal: goal)
    }
    var removed: [CircuitUnit] = []
    if faithfulness.isDefined, !circuit.isEmpty {
      switch pruning ?? (selection == nil ? .minimal : .none) {
      case .none: break
      case .greedy:
        stage(Stage(name: "pruning", total: circuit.count))
        let result = try faithfulness.pruneGreedily(circuit, protected: guarded)
        circuit = result.circuit
        removed = result.removed
      case .minimal:
        stage(Stage(name: "pruning", total: circuit.count))
        let result = try faithfulness.minimise(
          circuit, goal: goal ?? Self.defaultGoal, slack: Self.slack,
          negligible: Set(
            zip(units, magnitudes).filter { $0.1 < Self.negligible * (magnitudes.max() ?? 0) }.map(\.0)),
          protected: guarded)
        circuit = result.circuit
        removed = result.removed
      }
    }

    let sizes = Faithfulness.sizes(upTo: units.count)
    let coarse = Faithfulness.coarseSizes(upTo: units.count)
    stage(Stage(name: "curves", total: sizes.count + coarse.count * randomRuns))
    var document = CircuitDocument()
    document.curve = try faithfulness.curve(ranking, sizes: sizes)
    if randomRuns > 1 {
      document.random = try faithfulness.randomCurve(units, sizes: coarse, runs: randomRuns, seed: seed)
    }
    let place = Dictionary(uniqueKeysWithValues: units.enumerated().map { ($0.element, $0.offset) })
    document.nodes = circuit.map { unit in
      CircuitDocument.Node(unit: unit, score: place[unit].map { scores[$0] } ?? 0)
    }
    document.edges = try edges(task, circuit, search)
    document.rounds = rounds
    document.pruned = removed
    document.metricFull = faithfulness.full
    document.metricEmpty = faithfulness.empty
    document.faithfulness = try faithfulness.value(of: circuit)
    document.scores = zip(units, scores).map { CircuitDocument.Node(unit: $0, score: $1) }
    if let truth {
      document.truth = TruthScore(
        circuit: circuit, ranking: zip(units, scores).map { (unit: $0, score: $1) }, truth: truth)
    }
    stage(Stage(name: "check", total: 1))
    document.conservationError = try task.conservationError(of: Array(ranking.prefix(2)))
    describe(&document, task)
    return document
  }

  private func scores(
    _ task: CircuitTask, _ units: [CircuitUnit], _ search: CircuitSearch, _ ablator: Ablator
  ) throws -> [Double] {
    switch method {
    case .cdt: return try search.outputScores(units)
    case .ablation: return try ablator.importance(units)
    case .path:
      if let receiver {
        return try ablator.pathImportance(units, to: receiver.unit, inputs: receiver.inputs)
      }
      return try ablator.pathImportance(units)
    case .attribution:
      let attribution = try task.attribution()
      var corrupted: [[Int]] = []
      if gradientSteps > 0 {
        corrupted = try task.group.prompts.map { prompt in
          guard let ids = prompt.corrupted else {
            throw FileError(
              file: task.group.file, place: "line \(prompt.line)",
              reason: "integrated gradients need a corrupted counterpart")
          }
          return ids
        }
      }
      let nodes = try attribution.nodeScores(
        corrupted: corrupted.isEmpty
          ? nil : try task.model.embed(corrupted, values: task.group.prompts.map(\.corruptedValues)),
        steps: gradientSteps)
      if !byHead { return nodes }
      var sums = [Double](repeating: 0, count: units.count)
      let heads = task.transformer.heads
      let perLayer = task.transformer.positions * heads
      for (index, value) in nodes.enumerated() { sums[index / perLayer * heads + index % heads] += value }
      return sums
    case .random:
      var generator = SplitMix(seed: seed)
      return units.map { _ in Double.random(in: 0..<1, using: &generator) }
    }
  }

  /// Edges of the picture: the share of a node's z that comes from an earlier node (signed by its direction), and every
  /// node's own score to the output.
  private func edges(_ task: CircuitTask, _ circuit: [CircuitUnit], _ search: CircuitSearch) throws
    -> [CircuitDocument.Edge]
  {
    guard circuit.count <= 200, !circuit.isEmpty else { return [] }
    let shares = try search.targetScores(circuit, each: circuit, score: .l1)
    let directions = try search.targetScores(circuit, each: circuit, score: .dot)
    let outputs = try search.outputScores(circuit)
    var edges: [CircuitDocument.Edge] = []
    for (i, from) in circuit.enumerated() {
      for (j, to) in circuit.enumerated() where to.layer > from.layer {
        let share = shares[i][j]
        if share > 1e-6 {
          edges.append(.init(from: from, to: to, score: directions[i][j] < 0 ? -share : share))
        }
      }
      if outputs[i] != 0 { edges.append(.init(from: from, to: nil, score: outputs[i])) }
    }
    return edges
  }

  private func describe(_ document: inout CircuitDocument, _ task: CircuitTask) {
    document.model = task.model.folder.name
    document.prompts = task.group.file
    document.metric = task.metric.kind.rawValue
    document.method = method.rawValue
    document.unit = byHead ? "head" : "node"
    document.layers = task.transformer.layers.count
    document.heads = task.transformer.heads
    document.positions = task.transformer.positions
    document.tokens = task.group.tokens
    document.positionNames = task.group.commonPositions
    document.settings = [
      ("bias_rule", task.settings.biasRule.rawValue), ("attention", task.settings.attention.rawValue),
      ("sign_cleaning", task.settings.signCleaning.rawValue), ("baseline", task.baseline.kind.rawValue),
      ("score_prompts", String(task.scored)),
    ]
    if let receiver { document.settings.append(("receiver", receiver.description)) }
  }
}
