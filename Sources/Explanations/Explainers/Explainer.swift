import Importers

/// How edges get scores.
public enum ExplainerMethod: String, Sendable, CaseIterable {
  /// The probability lost when the edge alone is removed.
  case occlusion
  /// Shapley values of the edges in the game "probability of the target class".
  case shapley
  /// Banzhaf values of the same game.
  case banzhaf
  /// The derivative of the probability in the edge's factor.
  case gradient
  case gnnExplainer = "gnnexplainer"
  case pgExplainer = "pgexplainer"
  /// Uniform random scores: the baseline every explainer must beat.
  case random
}

/// What explainers are configured by.
public struct ExplainerOptions: Sendable {
  public var method: ExplainerMethod
  public var target: TargetClass = .predicted
  /// Semantics of masks; GNNExplainer and PGExplainer were defined with `message`.
  public var semantics: MaskSemantics = .edgeWeight
  /// Evaluations of sampled Shapley and Banzhaf values.
  public var samples = 2000
  /// Up to this many edges Shapley and Banzhaf values are exact.
  public var exactLimit = 12
  public var seed: UInt64 = 0
  public var gnn = GNNExplainer.Settings()
  public var pg = PGExplainer.Settings()

  public init(_ method: ExplainerMethod) {
    self.method = method
    if method == .gnnExplainer || method == .pgExplainer { semantics = .message }
  }
}

/// Scores of one instance with what they cost.
public struct ExplainedInstance: Sendable {
  public var id: InstanceID
  /// One score per edge of the graph in the file; edges that cannot matter get 0.
  public var scores: [Double]
  public var target: Int
  public var evaluations: Int
  /// `exact`, `sampled` or `trained`.
  public var method: String
}

/// Runs an explainer over instances.
public struct Explainer: Sendable {
  public let model: any GraphModel
  public let classCount: Int
  public let options: ExplainerOptions

  public init(model: any GraphModel, classCount: Int, options: ExplainerOptions) {
    self.model = model
    self.classCount = classCount
    self.options = options
  }

  /// Explains all instances, in parallel where they are independent.
  ///
  /// - Parameters:
  ///   - finished: called with the place of every instance that is done, from any thread.
  ///   - progress: called with the number of finished training steps and their total (PGExplainer).
  /// - Throws: `Stopped` when `Cancellation.current` says so; `ExplanationError`.
  public func explain(
    _ instances: [ExplanationInstance], finished: (@Sendable (Int, ExplainedInstance) -> Void)? = nil,
    progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws -> [ExplainedInstance] {
    let root = CounterRandom(seed: options.seed)
    if options.method == .pgExplainer {
      let prepared = try Parallel.map(instances.count) { try prepare(instances[$0]) }
      return try PGExplainer(model: model, settings: options.pg).explain(
        prepared, random: root, progress: progress)
    }
    return try Parallel.map(instances.count) { index in
      let result = try explain(prepare(instances[index]), random: root.stream(UInt64(index)))
      finished?(index, result)
      return result
    }
  }

  /// An instance bound to the engine with its target class.
  struct Prepared: Sendable {
    var instance: ExplanationInstance
    var network: MaskedNetwork
    var candidates: [Int]
    var target: Int
    var full: [Double]

    /// Scores of the running graph's edges as scores of the file's graph.
    func spread(_ local: [Double]) -> [Double] {
      var result = [Double](repeating: 0, count: instance.graph.edges.count)
      for (position, edge) in network.edgeIndex.enumerated() { result[edge] = local[position] }
      return result
    }
  }

  private func prepare(_ instance: ExplanationInstance) throws -> Prepared {
    let network = try MaskedNetwork(
      model, graph: instance.graph, node: instance.node, semantics: options.semantics, classCount: classCount)
    let full = try network.fullLogits()
    var target = Probability.argmax(full)
    if options.target == .label {
      guard let label = instance.label, label < classCount else {
        throw ExplanationError.notApplicable("instance \(instance.id) has no label: use --target predicted")
      }
      target = label
    }
    return Prepared(
      instance: instance, network: network,
      candidates: Explanation.candidates(network, depth: model.depth), target: target, full: full)
  }

  private func explain(_ item: Prepared, random: CounterRandom) throws -> ExplainedInstance {
    var local = [Double](repeating: 0, count: item.network.edgeCount)
    var evaluations = 1
    var method = "exact"
    let game = MaskedElements(item.network, .edges, baseline: .zero).game(
      universe: item.candidates, target: item.target)
    switch options.method {
    case .random:
      for (position, edge) in item.candidates.enumerated() {
        local[edge] = random.uniform(at: UInt64(position))
      }
      method = "random"
    case .occlusion:
      let m = item.candidates.count
      var flags = [UInt8](repeating: 0, count: m * m)
      for e in 0..<m { flags[e * m + e] = 1 }
      let values = try game.values(flags, rows: m)
      let full = Probability.softmax(item.full)[item.target]
      for (position, edge) in item.candidates.enumerated() { local[edge] = full - values[2 * position] }
      evaluations += m
    case .shapley, .banzhaf:
      let kind: CoalitionValue = options.method == .shapley ? .shapley : .banzhaf
      let estimate = try kind.values(
        game, samples: options.samples, exactLimit: options.exactLimit, random: random)
      for (position, edge) in item.candidates.enumerated() { local[edge] = estimate.values[position] }
      evaluations += estimate.evaluations
      method = estimate.isExact ? "exact" : "sampled"
    case .gradient:
      let ones = [Double](repeating: 1, count: item.network.arcCount)
      let classes = classCount
      let (_, gradient) = try item.network.gradients(arcFactors: ones, rows: 1) { logits in
        let p = Probability.softmax(logits)
        // d p_y / d z_c = p_y (1[c = y] - p_c)
        return (0..<classes).map { p[item.target] * (($0 == item.target ? 1 : 0) - p[$0]) }
      }
      let per = item.network.arcsPerEdge
      for edge in item.candidates {
        for k in 0..<per { local[edge] += gradient[edge * per + k] }
      }
      method = "gradient"
    case .gnnExplainer:
      let trained = try GNNExplainer(settings: options.gnn).train(
        item.network, target: item.target, random: random)
      local = trained.scores
      evaluations += trained.steps
      method = "trained"
    case .pgExplainer:
      // Trained over all instances at once by the caller.
      break
    }
    return ExplainedInstance(
      id: item.instance.id, scores: item.spread(local), target: item.target, evaluations: evaluations,
      method: method)
  }
}
