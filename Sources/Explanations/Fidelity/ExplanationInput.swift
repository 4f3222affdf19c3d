/// What is evaluated: the true explanation of the data set, or scores.
public enum ExplanationInput: Sendable {
  case truth
  case scores(ScoreFile)

  public var name: String {
    switch self {
    case .truth: return "truth"
    case .scores(let file): return file.file
    }
  }
}

/// One thing to explain: a graph, or a node of a graph, with an explanation.
public struct ExplanationInstance: Sendable {
  public var id: InstanceID
  public var graph: AttributedGraph
  /// For node tasks.
  public var node: Int?
  public var label: Int?
  /// Scores per edge, node or feature; nil where the true explanation is used.
  public var item: ScoreFile.Item?

  public init(
    id: InstanceID, graph: AttributedGraph, node: Int? = nil, label: Int? = nil, item: ScoreFile.Item? = nil
  ) {
    self.id = id
    self.graph = graph
    self.node = node
    self.label = label
    self.item = item
  }
}

/// Which nodes of a node data set are instances.
public enum NodeChoice: Sendable, Equatable {
  /// Those that the explanation covers: with scores all items, with the truth all nodes that have a true explanation.
  case explained
  case all
  case nodes([Int])
}

extension GraphDataset {
  /// The instances of an evaluation.
  /// - Throws: ``ExplanationError`` when nothing can be evaluated.
  public func instances(_ input: ExplanationInput?, nodes: NodeChoice = .explained) throws
    -> [ExplanationInstance]
  {
    switch (task, input) {
    case (.graph, .scores(let file)):
      let byID = Dictionary(graphs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
      return file.items.compactMap { item in
        byID[item.id].map { ExplanationInstance(id: item.id, graph: $0, label: $0.label, item: item) }
      }
    case (.graph, .truth):
      let found = graphs.filter { $0.explanation != nil }
      if found.isEmpty { throw ExplanationError.notApplicable("the graphs have no true explanation") }
      return found.map { ExplanationInstance(id: $0.id, graph: $0, label: $0.label) }
    case (.graph, nil):
      return graphs.map { ExplanationInstance(id: $0.id, graph: $0, label: $0.label) }
    case (.node, _):
      return try nodeInstances(input, nodes)
    }
  }

  private func nodeInstances(_ input: ExplanationInput?, _ choice: NodeChoice) throws -> [ExplanationInstance]
  {
    let graph = graphs[0]
    var items: [Int: ScoreFile.Item] = [:]
    if case .scores(let file) = input {
      for item in file.items {
        // The reader has checked that ids of node scores are node numbers.
        if case .number(let node) = item.id { items[node] = item }
      }
    }
    var chosen: [Int]
    switch choice {
    case .nodes(let list):
      if let bad = list.first(where: { $0 < 0 || $0 >= graph.nodeCount }) {
        throw ExplanationError.notApplicable("the graph has no node \(bad)")
      }
      chosen = list
    case .all: chosen = Array(0..<graph.nodeCount)
    case .explained:
      switch input {
      case .scores: chosen = items.keys.sorted()
      case .truth:
        let flags = graph.explanation ?? []
        var covered: Set<Int> = []
        for (index, edge) in graph.edges.enumerated() where flags.indices.contains(index) && flags[index] {
          covered.insert(edge.source)
          covered.insert(edge.target)
        }
        chosen = covered.sorted()
      case nil: chosen = Array(0..<graph.nodeCount)
      }
    }
    if case .truth = input, graph.explanation == nil {
      throw ExplanationError.notApplicable("the graph has no true explanation")
    }
    if case .scores = input { chosen = chosen.filter { items[$0] != nil } }
    if chosen.isEmpty {
      throw ExplanationError.notApplicable("no node to explain is covered by the explanation")
    }
    return chosen.map {
      ExplanationInstance(
        id: .number($0), graph: graph, node: $0, label: graph.nodeLabels?[$0], item: items[$0])
    }
  }
}
