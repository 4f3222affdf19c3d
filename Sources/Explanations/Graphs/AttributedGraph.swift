/// An instance's name in a data set: graph files use texts or numbers.
public enum InstanceID: Sendable, Hashable, CustomStringConvertible {
  case number(Int)
  case text(String)

  public var description: String {
    switch self {
    case .number(let n): return String(n)
    case .text(let t): return t
    }
  }
}

/// What the model answers: one row of logits per graph, or one per node.
public enum GraphTask: String, Sendable {
  case graph
  case node
}

/// An edge as it stands in the file. Undirected edges stand for both directions.
public struct GraphEdge: Sendable, Hashable {
  public var source: Int
  public var target: Int

  public init(_ source: Int, _ target: Int) {
    self.source = source
    self.target = target
  }
}

/// Nodes beyond the listed ones that a model was trained with. All of them have the same state, so one
/// representative with a multiplicity stands for them.
public struct GraphPadding: Sendable, Equatable {
  /// The total number of nodes after padding.
  public var nodes: Int
  /// The value of every feature entry of a padding node.
  public var feature: Double
  /// Whether each padding node carries an explicit self-loop of weight 1.
  public var selfLoops: Bool

  public init(nodes: Int, feature: Double, selfLoops: Bool) {
    self.nodes = nodes
    self.feature = feature
    self.selfLoops = selfLoops
  }
}

/// A graph with node features, and what is known about it.
public struct AttributedGraph: Sendable {
  public var id: InstanceID
  public var nodeCount: Int
  /// Edges in file order; masks and scores refer to this order.
  public var edges: [GraphEdge]
  /// Whether every edge is one direction only.
  public var isDirected: Bool
  /// One weight per edge; nil means 1.
  public var edgeWeights: [Double]?
  /// Explicit self-loops: node and weight. They are never masked.
  public var selfLoops: [(node: Int, weight: Double)]
  /// Row-major [nodeCount, featureCount].
  public var features: [Double]
  public var featureCount: Int
  /// The graph's class.
  public var label: Int?
  /// The nodes' classes.
  public var nodeLabels: [Int]?
  /// One flag per edge: the true explanation.
  public var explanation: [Bool]?
  public var padding: GraphPadding?
  /// Where the file lists undirected edges in both directions: for every listed one its arc, 2 i for edge i from its
  /// first node to its second and 2 i + 1 back. Scores per direction come in the order of the list.
  public var listedArcs: [Int]?

  public init(
    id: InstanceID, nodeCount: Int, edges: [GraphEdge], isDirected: Bool = false,
    edgeWeights: [Double]? = nil,
    selfLoops: [(node: Int, weight: Double)] = [], features: [Double], featureCount: Int, label: Int? = nil,
    nodeLabels: [Int]? = nil, explanation: [Bool]? = nil, padding: GraphPadding? = nil,
    listedArcs: [Int]? = nil
  ) {
    self.id = id
    self.nodeCount = nodeCount
    self.edges = edges
    self.isDirected = isDirected
    self.edgeWeights = edgeWeights
    self.selfLoops = selfLoops
    self.features = features
    self.featureCount = featureCount
    self.label = label
    self.nodeLabels = nodeLabels
    self.explanation = explanation
    self.padding = padding
    self.listedArcs = listedArcs
  }
}

/// A set of graphs, or one graph whose nodes are the instances.
public struct GraphDataset: Sendable {
  public var name: String
  public var task: GraphTask
  public var classCount: Int
  public var classNames: [String]?
  public var graphs: [AttributedGraph]

  public init(
    name: String, task: GraphTask, classCount: Int, classNames: [String]? = nil, graphs: [AttributedGraph]
  ) {
    self.name = name
    self.task = task
    self.classCount = classCount
    self.classNames = classNames
    self.graphs = graphs
  }
}

extension AttributedGraph {
  /// Neighbours of every node along edges of either direction.
  public var neighbours: [[Int]] {
    var result = [[Int]](repeating: [], count: nodeCount)
    for edge in edges {
      result[edge.source].append(edge.target)
      result[edge.target].append(edge.source)
    }
    return result
  }

  /// Number of hops from `node` to every node, counting edges in either direction; nil where unreachable.
  public func distances(from node: Int) -> [Int?] {
    let adjacent = neighbours
    var result = [Int?](repeating: nil, count: nodeCount)
    result[node] = 0
    var queue = [node]
    var head = 0
    while head < queue.count {
      let u = queue[head]
      head += 1
      for v in adjacent[u] where result[v] == nil {
        result[v] = (result[u] ?? 0) + 1
        queue.append(v)
      }
    }
    return result
  }

  /// The true explanation of a node: the connected component of explanation edges that contains it, as edge
  /// indices in ascending order.
  public func explanationComponent(of node: Int) -> [Int]? {
    guard let explanation else { return nil }
    var incident: [Int: [Int]] = [:]
    for (index, edge) in edges.enumerated() where explanation[index] {
      incident[edge.source, default: []].append(index)
      incident[edge.target, default: []].append(index)
    }
    var found: Set<Int> = []
    var visited: Set<Int> = [node]
    var stack = [node]
    while let u = stack.popLast() {
      for index in incident[u] ?? [] {
        found.insert(index)
        let edge = edges[index]
        for v in [edge.source, edge.target] where visited.insert(v).inserted { stack.append(v) }
      }
    }
    return found.sorted()
  }

  /// The subgraph induced on `nodes` (in their order), with the old index of every kept edge.
  public func induced(on nodes: [Int]) -> (graph: AttributedGraph, edgeIndex: [Int]) {
    var position = [Int: Int]()
    for (new, old) in nodes.enumerated() { position[old] = new }
    var kept: [GraphEdge] = []
    var index: [Int] = []
    for (i, edge) in edges.enumerated() {
      guard let u = position[edge.source], let v = position[edge.target] else { continue }
      kept.append(GraphEdge(u, v))
      index.append(i)
    }
    var rows: [Double] = []
    rows.reserveCapacity(nodes.count * featureCount)
    for node in nodes { rows += features[(node * featureCount)..<((node + 1) * featureCount)] }
    let graph = AttributedGraph(
      id: id, nodeCount: nodes.count, edges: kept, isDirected: isDirected,
      edgeWeights: edgeWeights.map { w in index.map { w[$0] } },
      selfLoops: selfLoops.compactMap { loop in position[loop.node].map { ($0, loop.weight) } },
      features: rows, featureCount: featureCount, label: label,
      nodeLabels: nodeLabels.map { l in nodes.map { l[$0] } },
      explanation: explanation.map { e in index.map { e[$0] } }, padding: padding)
    return (graph, index)
  }
}
