/// The synthetic graphs of the field, from a seed.
///
/// Ying et al., "GNNExplainer" (NeurIPS 2019) for BA-Shapes, BA-Community, Tree-Cycles and Tree-Grid; Luo et al.,
/// "PGExplainer" (NeurIPS 2020) for BA-2motifs.
public enum GraphGenerator: String, Sendable, CaseIterable {
  case baShapes = "ba-shapes"
  case baCommunity = "ba-community"
  case treeCycles = "tree-cycles"
  case treeGrid = "tree-grid"
  case ba2motifs = "ba-2motifs"

  /// The data set for a seed. `count` is the number of graphs of BA-2motifs (default 1000) and is ignored by
  /// the node data sets.
  public func dataset(seed: UInt64, count: Int? = nil) -> GraphDataset {
    let random = CounterRandom(seed: seed)
    switch self {
    case .baShapes: return Self.shapes(random)
    case .baCommunity: return Self.community(random)
    case .treeCycles: return Self.tree(random, name: "tree_cycles", motifs: 60, motif: .cycle(6), noise: 41)
    case .treeGrid: return Self.tree(random, name: "tree_grid", motifs: 80, motif: .grid(3), noise: 15)
    case .ba2motifs: return Self.twoMotifs(random, count: count ?? 1000)
    }
  }

  /// Preferential attachment: every new node links to `links` different earlier nodes, chosen in proportion to
  /// their degree (Barabasi and Albert 1999).
  static func barabasiAlbert(_ nodes: Int, links: Int, _ generator: inout CounterGenerator) -> [GraphEdge] {
    var edges: [GraphEdge] = []
    var ends: [Int] = []
    var targets = Array(0..<links)
    for node in links..<nodes {
      for target in targets {
        edges.append(GraphEdge(target, node))
        ends.append(target)
        ends.append(node)
      }
      var chosen: Set<Int> = []
      targets = []
      while targets.count < links {
        let pick = ends[generator.index(below: ends.count)]
        if chosen.insert(pick).inserted { targets.append(pick) }
      }
    }
    return edges
  }

  /// Roles of a motif's nodes and its edges, node 0 being the one that is joined to the base.
  struct Motif {
    var roles: [Int]
    var edges: [(Int, Int)]

    /// Four walls and a roof; role 1 the upper corners, 2 the lower corners, 3 the roof.
    static let house = Motif(
      roles: [1, 1, 2, 2, 3], edges: [(0, 1), (1, 2), (2, 3), (0, 3), (0, 4), (1, 4)])
    static func cycle(_ n: Int) -> Motif {
      Motif(roles: Array(repeating: 1, count: n), edges: (0..<n).map { ($0, ($0 + 1) % n) })
    }
    static func grid(_ n: Int) -> Motif {
      var edges: [(Int, Int)] = []
      for i in 0..<n {
        for j in 0..<n {
          if j + 1 < n { edges.append((i * n + j, i * n + j + 1)) }
          if i + 1 < n { edges.append((i * n + j, (i + 1) * n + j)) }
        }
      }
      return Motif(roles: Array(repeating: 1, count: n * n), edges: edges)
    }
  }

  /// A base graph with motifs attached, before it becomes a document.
  struct Draft {
    var labels: [Int]
    var edges: [GraphEdge]
    var marked: Set<GraphEdge> = []

    mutating func attach(_ motif: Motif, toBase base: Int, roleOffset: Int = 0) {
      let first = labels.count
      labels += motif.roles.map { $0 + roleOffset }
      for (a, b) in motif.edges {
        let edge = GraphEdge(first + min(a, b), first + max(a, b))
        edges.append(edge)
        marked.insert(edge)
      }
      edges.append(GraphEdge(base, first))
    }

    /// Adds random edges between different nodes that are not yet adjacent.
    mutating func addRandomEdges(_ count: Int, _ generator: inout CounterGenerator) {
      var present = Set(edges)
      var added = 0
      while added < count {
        let a = generator.index(below: labels.count)
        let b = generator.index(below: labels.count)
        let edge = GraphEdge(min(a, b), max(a, b))
        if a != b, present.insert(edge).inserted {
          edges.append(edge)
          added += 1
        }
      }
    }

    func graph(id: InstanceID, features: [Double], featureCount: Int, label: Int? = nil) -> AttributedGraph {
      let sorted = edges.sorted { ($0.source, $0.target) < ($1.source, $1.target) }
      return AttributedGraph(
        id: id, nodeCount: labels.count, edges: sorted, features: features, featureCount: featureCount,
        label: label, nodeLabels: label == nil ? labels : nil,
        explanation: sorted.map { marked.contains($0) })
    }
  }

  private static func shapesDraft(_ generator: inout CounterGenerator) -> Draft {
    let base = 300
    var draft = Draft(
      labels: Array(repeating: 0, count: base), edges: barabasiAlbert(base, links: 5, &generator))
    // Houses hang at evenly spaced base nodes.
    for i in 0..<80 { draft.attach(.house, toBase: i * base / 80) }
    draft.addRandomEdges(20, &generator)
    return draft
  }

  private static func constantFeatures(_ nodes: Int, _ value: Double = 0.1) -> [Double] {
    [Double](repeating: value, count: nodes * 10)
  }

  private static func shapes(_ random: CounterRandom) -> GraphDataset {
    var generator = random.generator()
    let draft = shapesDraft(&generator)
    let graph = draft.graph(
      id: .text("ba_shapes"), features: constantFeatures(draft.labels.count), featureCount: 10)
    return GraphDataset(name: "ba_shapes", task: .node, classCount: 4, graphs: [graph])
  }

  private static func community(_ random: CounterRandom) -> GraphDataset {
    var generator = random.generator()
    var draft = shapesDraft(&generator)
    let second = shapesDraft(&generator)
    let shift = draft.labels.count
    draft.labels += second.labels.map { $0 + 4 }
    draft.edges += second.edges.map { GraphEdge($0.source + shift, $0.target + shift) }
    draft.marked.formUnion(second.marked.map { GraphEdge($0.source + shift, $0.target + shift) })
    var present = Set(draft.edges)
    var added = 0
    while added < 350 {
      let edge = GraphEdge(generator.index(below: shift), shift + generator.index(below: second.labels.count))
      if present.insert(edge).inserted {
        draft.edges.append(edge)
        added += 1
      }
    }
    // Gaussian features around -1 and +1 by community in the two last columns, 0 around the rest; rows divided
    // by their sum, sign kept.
    var features: [Double] = []
    for node in draft.labels.indices {
      let mean = node < shift ? -1.0 : 1.0
      var row = (0..<8).map { _ in 0.5 * generator.normal() }
      row += (0..<2).map { _ in mean + 0.5 * generator.normal() }
      let sum = row.reduce(0, +)
      features += sum == 0 ? row : row.map { $0 / sum }
    }
    let graph = draft.graph(id: .text("ba_community"), features: features, featureCount: 10)
    return GraphDataset(name: "ba_community", task: .node, classCount: 8, graphs: [graph])
  }

  private static func tree(
    _ random: CounterRandom, name: String, motifs: Int, motif: Motif, noise: Int
  ) -> GraphDataset {
    var generator = random.generator()
    let base = 511
    var draft = Draft(
      labels: Array(repeating: 0, count: base), edges: (1..<base).map { GraphEdge(($0 - 1) / 2, $0) })
    for i in 0..<motifs { draft.attach(motif, toBase: i * base / motifs) }
    // `noise` is what brings the published sets to 971 (cycles) and 1565 (grids) edges.
    draft.addRandomEdges(noise, &generator)
    let graph = draft.graph(
      id: .text(name), features: constantFeatures(draft.labels.count), featureCount: 10)
    return GraphDataset(name: name, task: .node, classCount: 2, graphs: [graph])
  }

  private static func twoMotifs(_ random: CounterRandom, count: Int) -> GraphDataset {
    let graphs = (0..<count).map { index -> AttributedGraph in
      var generator = random.stream(UInt64(index)).generator()
      let label = index % 2 == 0 ? 1 : 0
      var draft = Draft(
        labels: Array(repeating: 0, count: 20), edges: barabasiAlbert(20, links: 1, &generator))
      draft.attach(label == 1 ? .house : .cycle(5), toBase: generator.index(below: 20))
      let name = String(index)
      let padded = String(repeating: "0", count: max(0, 4 - name.count)) + name
      return draft.graph(
        id: .text("ba2_\(padded)"), features: constantFeatures(25), featureCount: 10, label: label)
    }
    return GraphDataset(
      name: "ba2motif", task: .graph, classCount: 2, classNames: ["cycle", "house"], graphs: graphs)
  }
}
