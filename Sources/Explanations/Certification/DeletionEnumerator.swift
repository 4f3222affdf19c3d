import Domains
import IR
import Importers
import Tensors

/// Evaluates every deletion of at most `budget` edges.
///
/// All nodes share the evaluations: one pass over a masked graph answers for all of them. Every evaluation runs in
/// interval arithmetic, so that the sign of the least margin is proven.
struct DeletionEnumerator {
  let certifier: GraphCertifier
  let graph: AttributedGraph

  init(_ certifier: GraphCertifier, _ graph: AttributedGraph) {
    self.certifier = certifier
    self.graph = graph
  }

  /// The number of deletions of at most `budget` of `edges` edges.
  static func count(edges: Int, budget: Int) -> Double {
    (0...min(budget, edges)).reduce(0.0) { $0 + Binomial.coefficient(edges, $1) }
  }

  func certify(
    nodes: [Int]?, budget: Int, _ finished: (@Sendable (NodeCertificate) -> Void)? = nil
  ) throws -> [NodeCertificate] {
    guard let nodes else {
      return [try single(node: nil, id: graph.id, budget: budget)]
    }
    // Sharing pays when most nodes are asked for; a few nodes need only their neighbourhoods.
    let shared = Self.count(edges: graph.edges.count, budget: budget)
    var separate = 0.0
    for node in nodes {
      let network = try MaskedNetwork(
        certifier.model, graph: graph, node: node, semantics: .remove, classCount: certifier.classCount)
      separate += Self.count(
        edges: Explanation.candidates(network, depth: certifier.model.depth).count, budget: budget)
      if separate > shared { break }
    }
    if shared <= separate && shared <= Double(certifier.limit) {
      return try together(nodes, budget: budget)
    }
    return try Parallel.map(nodes.count) {
      let certificate = try single(node: nodes[$0], id: .number(nodes[$0]), budget: budget)
      finished?(certificate)
      return certificate
    }
  }

  /// One node on its receptive field (or a graph task).
  private func single(node: Int?, id: InstanceID, budget: Int) throws -> NodeCertificate {
    let network = try MaskedNetwork(
      certifier.model, graph: graph, node: node, semantics: .remove, classCount: certifier.classCount)
    let candidates = Explanation.candidates(network, depth: certifier.model.depth)
    let total = Self.count(edges: candidates.count, budget: budget)
    guard total <= Double(certifier.limit) else {
      throw ExplanationError.notApplicable(
        "\(Int(min(total, 1e18))) deletions are beyond the limit of \(certifier.limit): use --method bab")
    }
    let found = try minima(
      network.bound, arcsPerEdge: network.arcsPerEdge, edges: network.edgeCount, candidates: candidates,
      budget: budget, readouts: 1)
    return try certificate(
      id, found, readout: 0, bound: network.bound, arcsPerEdge: network.arcsPerEdge, edges: network.edgeCount,
      names: network.edgeIndex)
  }

  /// All nodes on the whole graph.
  private func together(_ nodes: [Int], budget: Int) throws -> [NodeCertificate] {
    let bound = try certifier.model.bind(
      graph.structure, features: .constant(graph.paddedFeatures), masking: .removal, readout: .all)
    let per = graph.isDirected ? 1 : 2
    let found = try minima(
      bound, arcsPerEdge: per, edges: graph.edges.count, candidates: Array(graph.edges.indices),
      budget: budget,
      readouts: graph.paddedNodeCount)
    return try nodes.map { node in
      try certificate(
        .number(node), found, readout: node, bound: bound, arcsPerEdge: per, edges: graph.edges.count,
        names: Array(graph.edges.indices))
    }
  }

  /// The least margin of every readout and the deletion that reaches it.
  struct Minima: Sendable {
    var target: [Int]
    var lower: [Double]
    var deletion: [[Int]]
    var evaluations: Int
  }

  private func minima(
    _ bound: Graph, arcsPerEdge per: Int, edges: Int, candidates: [Int], budget: Int, readouts: Int
  ) throws -> Minima {
    let classes = certifier.classCount
    let ones = Tensor<Double>(repeating: 1, [1, edges * per])
    let full = try bound.run([ones])[0].float64.elements
    let target = (0..<readouts).map { r in Probability.argmax(full[(r * classes)..<((r + 1) * classes)]) }
    let sweep = DeletionSweep(
      bound: bound, arcsPerEdge: per, edgeCount: edges, classCount: classes, readouts: readouts)
    let sets = DeletionSweep.subsets(of: candidates, upTo: budget)
    let block = 1024
    let parts = try Parallel.map((sets.count + block - 1) / block) { index in
      try sweep.least(sets[(index * block)..<min(sets.count, (index + 1) * block)], targets: target)
    }
    var result = Minima(
      target: target, lower: Array(repeating: .infinity, count: readouts),
      deletion: Array(repeating: [], count: readouts), evaluations: sets.count)
    for part in parts {
      for r in 0..<readouts where part.lower[r] < result.lower[r] {
        result.lower[r] = part.lower[r]
        result.deletion[r] = sets[part.deletion[r]]
      }
    }
    return result
  }

  private func certificate(
    _ id: InstanceID, _ found: Minima, readout: Int, bound: Graph, arcsPerEdge per: Int, edges: Int,
    names: [Int]
  ) throws -> NodeCertificate {
    let classes = certifier.classCount
    var mask = [Double](repeating: 1, count: edges * per)
    for edge in found.deletion[readout] { for k in 0..<per { mask[edge * per + k] = 0 } }
    let point = Tensor([1, edges * per], mask)
    let outputs = try bound.intervals(over: Region([.fixed(point)])).outputs[0]
    let logits = try bound.run([point])[0].float64.elements
    let target = found.target[readout]
    let base = readout * classes
    var high = Double.infinity
    var reached = Double.infinity
    for c in 0..<classes where c != target {
      high = min(high, (outputs.upper.elements[base + target] - outputs.lower.elements[base + c]).nextUp)
      reached = min(reached, logits[base + target] - logits[base + c])
    }
    let lower = found.lower[readout]
    let verdict: RobustnessVerdict = lower > 0 ? .robust : high <= 0 ? .vulnerable : .unknown
    return NodeCertificate(
      id: id, target: target, marginLower: lower, marginReached: reached, verdict: verdict,
      witness: verdict == .vulnerable
        ? .deletedEdges(found.deletion[readout].map { names[$0] }.sorted()) : nil,
      evaluations: found.evaluations)
  }
}
