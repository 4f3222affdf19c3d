import Domains
import IR
import Importers
import Tensors

/// Evaluates every deletion of at most `budget` edges.
///
/// All nodes share the evaluations: one pass over a masked graph answers for all of them. The minimum of every node is
/// then enclosed by interval arithmetic, so that its sign is proven.
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

  func certify(nodes: [Int]?, budget: Int) throws -> [NodeCertificate] {
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
      try single(node: nodes[$0], id: .number(nodes[$0]), budget: budget)
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
    var margin: [Double]
    var deletion: [[Int]]
    var evaluations: Int
  }

  private func minima(
    _ bound: Graph, arcsPerEdge per: Int, edges: Int, candidates: [Int], budget: Int, readouts: Int
  ) throws -> Minima {
    let classes = certifier.classCount
    let arcs = edges * per
    let size = readouts * classes
    var domain = ConcreteDomain(.float64)
    let full = try bound.interpret([.double(Tensor(repeating: 1, [1, arcs]))], in: &domain).outputs[0].float64
    let target = (0..<readouts).map { r in
      Probability.argmax(full.elements[(r * classes)..<((r + 1) * classes)])
    }
    // Deletions in blocks: all sets of one size in lexicographic order.
    var blocks: [[[Int]]] = []
    var block: [[Int]] = []
    for k in 0...min(budget, candidates.count) {
      var flags = Array(0..<k)
      while true {
        block.append(flags.map { candidates[$0] })
        if block.count == 512 {
          blocks.append(block)
          block = []
        }
        var i = k - 1
        while i >= 0 && flags[i] == candidates.count - k + i { i -= 1 }
        if i < 0 { break }
        flags[i] += 1
        var j = i + 1
        while j < k {
          flags[j] = flags[j - 1] + 1
          j += 1
        }
      }
    }
    if !block.isEmpty { blocks.append(block) }
    let all = blocks
    let parts = try Parallel.map(all.count) { index -> (margin: [Double], deletion: [Int]) in
      let sets = all[index]
      var factors = [Double](repeating: 1, count: sets.count * arcs)
      for (row, set) in sets.enumerated() {
        for edge in set { for k in 0..<per { factors[row * arcs + edge * per + k] = 0 } }
      }
      var domain = ConcreteDomain(.float64)
      var margin = [Double](repeating: .infinity, count: readouts)
      var deletion = [Int](repeating: 0, count: readouts)
      let rowsAtOnce = 64
      for first in stride(from: 0, to: sets.count, by: rowsAtOnce) {
        let count = min(rowsAtOnce, sets.count - first)
        let mask = Tensor<Double>([count, arcs], Array(factors[(first * arcs)..<((first + count) * arcs)]))
        let logits = try bound.interpret([.double(mask)], in: &domain).outputs[0].float64.elements
        for row in 0..<count {
          for r in 0..<readouts {
            let base = row * size + r * classes
            var rival = -Double.infinity
            for c in 0..<classes where c != target[r] { rival = max(rival, logits[base + c]) }
            let value = logits[base + target[r]] - rival
            if value < margin[r] {
              margin[r] = value
              deletion[r] = first + row
            }
          }
        }
      }
      return (margin, deletion)
    }
    var result = Minima(
      target: target, margin: Array(repeating: .infinity, count: readouts),
      deletion: Array(repeating: [], count: readouts), evaluations: 0)
    for (index, part) in parts.enumerated() {
      result.evaluations += all[index].count
      for r in 0..<readouts where part.margin[r] < result.margin[r] {
        result.margin[r] = part.margin[r]
        result.deletion[r] = all[index][part.deletion[r]]
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
    let outputs = try bound.intervals(over: Region([.fixed(Tensor([1, edges * per], mask))])).outputs[0]
    let target = found.target[readout]
    let base = readout * classes
    var low = Double.infinity
    var high = Double.infinity
    for c in 0..<classes where c != target {
      low = min(low, (outputs.lower.elements[base + target] - outputs.upper.elements[base + c]).nextDown)
      high = min(high, (outputs.upper.elements[base + target] - outputs.lower.elements[base + c]).nextUp)
    }
    // The other evaluations err as little as this one: its own width bounds by how much the true minimum may lie
    // below the one that Float64 found.
    let width = high - low
    let lower = low - width
    let verdict: RobustnessVerdict = lower > 0 ? .robust : high <= 0 ? .vulnerable : .unknown
    return NodeCertificate(
      id: id, target: target, marginLower: lower, marginReached: found.margin[readout], verdict: verdict,
      witness: verdict == .vulnerable
        ? .deletedEdges(found.deletion[readout].map { names[$0] }.sorted()) : nil,
      evaluations: found.evaluations)
  }
}
