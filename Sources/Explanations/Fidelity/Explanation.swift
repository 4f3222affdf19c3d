/// An explanation of one instance, resolved to elements of the running graph.
struct Explanation: Sendable {
  let elements: MaskElements
  /// The explanation S.
  let selected: [Int]
  /// The rest N of the candidates.
  let others: [Int]
  /// Factors for soft metrics: per arc for edges (so that directions may differ), per element otherwise; nil for hard
  /// explanations.
  let softFactors: [Double]?
  let agreement: GroundTruthAgreement?
  let pooled: (scores: [Double], truth: [Bool])?
  private(set) var notes: [String] = []

  init(
    _ instance: ExplanationInstance, network: MaskedNetwork, depth: Int, options: FidelityOptions
  ) throws {
    let graph = network.graph
    let truth = Self.localTruth(instance, network)
    var notes: [String] = []
    var candidates = Self.candidates(network, depth: depth)
    var directed: [Double]?
    var scores: [Double]
    var kind = MaskElements.edges
    if let item = instance.item {
      if let features = item.features {
        kind = features.count == graph.featureCount ? .columns : .entries
        scores = kind.count(graph) == features.count ? features : []
        if scores.isEmpty {
          throw ExplanationError.notApplicable(
            "entry-wise feature scores need the whole graph, not a neighbourhood")
        }
        candidates = Array(0..<scores.count)
      } else if let edges = item.edges {
        let per = edges.count / max(1, instance.graph.edges.count)
        let local = network.edgeIndex.flatMap { edge in (0..<per).map { edges[edge * per + $0] } }
        if per == 2 && !graph.isDirected {
          directed = local
          scores = options.pairing.join(local)
          let differing = (0..<graph.edges.count).filter { local[2 * $0] != local[2 * $0 + 1] }.count
          if differing > 0 {
            notes.append(
              "\(differing) edges score differently in their two directions (\(options.pairing.rawValue) taken)"
            )
          }
        } else {
          scores = local
        }
      } else {
        // Node scores: `nodes` is present, as the reader has checked.
        let nodes = Self.localNodes(item.nodes ?? [], instance, network)
        if options.semantics == .featureZero {
          kind = .nodes
          scores = nodes
        } else {
          scores = graph.edges.map { edge in
            let (a, b) = (nodes[edge.source], nodes[edge.target])
            return options.nodeMasksInduce ? min(a, b) : max(a, b)
          }
        }
      }
    } else {
      guard let truth else {
        throw ExplanationError.notApplicable("instance \(instance.id) has no true explanation")
      }
      scores = truth.map { $0 ? 1 : 0 }
    }
    if options.semantics == .featureZero, case .edges = kind {
      // Nodes of the scored edges.
      var perNode = [Double](repeating: 0, count: graph.nodeCount)
      for (index, edge) in graph.edges.enumerated() {
        perNode[edge.source] = max(perNode[edge.source], scores[index])
        perNode[edge.target] = max(perNode[edge.target], scores[index])
      }
      scores = perNode
      directed = nil
      kind = .nodes
    }
    if case .nodes = kind { candidates = Self.nodeCandidates(network, depth: depth) }
    var chosen = options.selection.selected(scores, among: candidates)
    if options.connectedToNode, let node = network.node, case .edges = kind {
      chosen = Self.connected(chosen, to: node, graph)
    }
    if chosen.isEmpty { notes.append("the explanation is empty: fid+ is 0 by definition") }
    let inside = Set(chosen)
    elements = kind
    selected = chosen
    others = candidates.filter { !inside.contains($0) }
    if others.isEmpty { notes.append("the explanation covers all candidates: fid- is 0 by definition") }
    let isHard =
      scores.allSatisfy { $0 == 0 || $0 == 1 } && (directed ?? []).allSatisfy { $0 == 0 || $0 == 1 }
    let isScored = instance.item != nil
    let isShare = (directed ?? scores).allSatisfy { $0 >= 0 && $0 <= 1 }
    if isScored && !isShare { notes.append("scores lie outside 0...1: soft metrics are undefined") }
    if isScored && !isHard && isShare {
      if case .edges = kind {
        softFactors = directed ?? scores.flatMap { [Double](repeating: $0, count: network.arcsPerEdge) }
      } else {
        softFactors = scores
      }
    } else {
      softFactors = nil
    }
    if isScored, case .edges = kind, let truth {
      let scope = Self.groundTruthScope(network, depth: depth)
      let flags = scope.map { inside.contains($0) }
      // Ranking is against all explanation edges in reach, as published tools do, not the node's component alone.
      let marked = instance.graph.explanation ?? []
      let real = scope.map { marked.isEmpty ? truth[$0] : marked[network.edgeIndex[$0]] }
      var measured = GroundTruthAgreement(scores: scope.map { scores[$0] }, selected: flags, truth: real)
      if let directed {
        // Rank both directions of every edge, as published tools do.
        let both = scope.flatMap { [directed[2 * $0], directed[2 * $0 + 1]] }
        let doubled = real.flatMap { [$0, $0] }
        measured = measured.replacingAUC(GroundTruthAgreement.auc(scores: both, truth: doubled))
        pooled = (both, doubled)
      } else {
        pooled = (scope.map { scores[$0] }, real)
      }
      agreement = measured
    } else {
      agreement = nil
      pooled = nil
    }
    self.notes = notes
  }

  /// Metrics of the scores as soft masks, or nil for a hard explanation.
  func soft(_ masked: MaskedElements, fullLogits: [Double], target: Int) throws -> SoftFidelity? {
    guard let factors = softFactors else { return nil }
    if masked.network.semantics == .remove { return nil }
    if factors.contains(where: { $0 < 0 || $0 > 1 }) { return nil }
    let complement = factors.map { 1 - $0 }
    let without: [Double]
    let with: [Double]
    if case .edges = elements {
      without = try masked.network.logits(arcFactors: complement, rows: 1)
      with = try masked.network.logits(arcFactors: factors, rows: 1)
    } else {
      without = try masked.logits(complement, rows: 1)
      with = try masked.logits(factors, rows: 1)
    }
    let full = Probability.softmax(fullLogits)[target]
    let predicted = Probability.argmax(fullLogits)
    let hit = predicted == target ? 1.0 : 0.0
    let a = Probability.argmax(without)
    let b = Probability.argmax(with)
    let plusPrediction = a == predicted ? 0.0 : 1.0
    let minusPrediction = b == predicted ? 0.0 : 1.0
    return SoftFidelity(
      plusProbability: full - Probability.softmax(without)[target],
      minusProbability: full - Probability.softmax(with)[target],
      plusAccuracy: hit - (a == target ? 1 : 0), minusAccuracy: hit - (b == target ? 1 : 0),
      plusPrediction: plusPrediction, minusPrediction: minusPrediction,
      unfaithfulness: CombinedFidelity.unfaithfulness(from: fullLogits, to: with),
      reverseUnfaithfulness: CombinedFidelity.unfaithfulness(from: with, to: fullLogits),
      characterization: CombinedFidelity.characterization(plus: plusPrediction, minus: minusPrediction))
  }

  /// Edges that may matter: all of a graph, or those with an end within the network's depth of the node.
  static func candidates(_ network: MaskedNetwork, depth: Int) -> [Int] {
    guard let node = network.node else { return Array(network.graph.edges.indices) }
    let distance = network.graph.distances(from: node)
    return network.graph.edges.indices.filter { index in
      let edge = network.graph.edges[index]
      return min(distance[edge.source] ?? .max, distance[edge.target] ?? .max) <= depth
    }
  }

  static func nodeCandidates(_ network: MaskedNetwork, depth: Int) -> [Int] {
    guard let node = network.node else { return Array(0..<network.graph.nodeCount) }
    let distance = network.graph.distances(from: node)
    return (0..<network.graph.nodeCount).filter { distance[$0].map { $0 <= depth } ?? false }
  }

  /// Edges that are ranked against the truth: those of the induced subgraph within the network's depth.
  private static func groundTruthScope(_ network: MaskedNetwork, depth: Int) -> [Int] {
    guard let node = network.node else { return Array(network.graph.edges.indices) }
    let distance = network.graph.distances(from: node)
    return network.graph.edges.indices.filter { index in
      let edge = network.graph.edges[index]
      return max(distance[edge.source] ?? .max, distance[edge.target] ?? .max) <= depth
    }
  }

  /// The true explanation on the edges of the running graph: of a node, the component that contains it.
  private static func localTruth(_ instance: ExplanationInstance, _ network: MaskedNetwork) -> [Bool]? {
    guard let flags = instance.graph.explanation else { return nil }
    guard let node = instance.node else { return network.edgeIndex.map { flags[$0] } }
    let component = Set(instance.graph.explanationComponent(of: node) ?? [])
    return network.edgeIndex.map { component.contains($0) }
  }

  private static func localNodes(
    _ scores: [Double], _ instance: ExplanationInstance, _ network: MaskedNetwork
  ) -> [Double] {
    network.nodeIndex.map { scores[$0] }
  }

  private static func connected(_ edges: [Int], to node: Int, _ graph: AttributedGraph) -> [Int] {
    var incident: [Int: [Int]] = [:]
    for index in edges {
      incident[graph.edges[index].source, default: []].append(index)
      incident[graph.edges[index].target, default: []].append(index)
    }
    var found: Set<Int> = []
    var visited: Set<Int> = [node]
    var stack = [node]
    while let u = stack.popLast() {
      for index in incident[u] ?? [] {
        found.insert(index)
        for v in [graph.edges[index].source, graph.edges[index].target] where visited.insert(v).inserted {
          stack.append(v)
        }
      }
    }
    return found.sorted()
  }
}
