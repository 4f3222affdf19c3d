import FileFormats

/// The scores of an explanation, per instance: `{"items":[{"id", "scores": [..]}]}`.
///
/// `scores` are in the graph's edge order, one per undirected edge, or two (u->v, v->u); where the graph lists both
/// directions, two per edge are in the order of that list. `node_scores` (one a
/// node) and `feature_scores` (one a feature, or one a node and feature) explain by nodes and features instead.
public struct ScoreFile: Sendable {
  /// The scores of one instance; at least one member is present.
  public struct Item: Sendable {
    public var id: InstanceID
    public var edges: [Double]?
    public var nodes: [Double]?
    public var features: [Double]?

    public init(id: InstanceID, edges: [Double]? = nil, nodes: [Double]? = nil, features: [Double]? = nil) {
      self.id = id
      self.edges = edges
      self.nodes = nodes
      self.features = features
    }
  }

  public var items: [Item]
  /// The path, for errors.
  public var file: String

  public init(items: [Item], file: String = "scores") {
    self.items = items
    self.file = file
  }

  /// Reads a score file and checks it against the data set it is meant for.
  public init(_ path: String, for dataset: GraphDataset) throws {
    try self.init(JSONField(root: try JSONValue.parse(contentsOf: path), file: path), for: dataset)
  }

  /// Checks a parsed score file: ids exist, lengths fit the graph, scores are numbers.
  public init(_ root: JSONField, for dataset: GraphDataset) throws {
    file = root.file
    items = []
    let byID = Dictionary(dataset.graphs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let list = try root.member("items")
    var seen: Set<InstanceID> = []
    for field in try list.elements() {
      let id = try GraphDocument.readID(value: try field.member("id"))
      if !seen.insert(id).inserted { throw field.error("the id \(id) occurs twice") }
      let graph: AttributedGraph
      switch dataset.task {
      case .graph:
        guard let found = byID[id] else {
          throw field.error("no graph \(id): the scores belong to other graphs")
        }
        graph = found
      case .node:
        graph = dataset.graphs[0]
        guard case .number(let node) = id, node >= 0, node < graph.nodeCount else {
          throw field.error("no node \(id): the scores belong to another graph")
        }
      }
      let edgeCount = graph.edges.count
      let edges = try field.optional("scores").map {
        try Self.ordered(
          Self.numbers($0, lengths: [edgeCount, 2 * edgeCount], what: "\(edgeCount) edges"), graph)
      }
      let nodes = try field.optional("node_scores").map {
        try Self.numbers($0, lengths: [graph.nodeCount], what: "\(graph.nodeCount) nodes")
      }
      let width = graph.featureCount
      let features = try field.optional("feature_scores").map {
        try Self.numbers($0, lengths: [width, width * graph.nodeCount], what: "\(width) features")
      }
      if edges == nil && nodes == nil && features == nil {
        throw field.error("expected scores, node_scores or feature_scores")
      }
      items.append(Item(id: id, edges: edges, nodes: nodes, features: features))
    }
    if items.isEmpty { throw list.error("the file holds no scores") }
  }

  /// Scores per direction of a graph that lists both: from the list's order to pairs of directions.
  private static func ordered(_ scores: [Double], _ graph: AttributedGraph) -> [Double] {
    guard let arcs = graph.listedArcs, scores.count == arcs.count else { return scores }
    var result = scores
    for (score, arc) in zip(scores, arcs) { result[arc] = score }
    return result
  }

  private static func numbers(_ field: JSONField, lengths: [Int], what: String) throws -> [Double] {
    let values = try GraphDocument.finiteNumbers(field)
    if !lengths.contains(values.count) {
      throw field.error("\(values.count) scores for a graph of \(what): the scores belong to another graph")
    }
    return values
  }

  /// The document, as ``init(_:for:)-(String,_)`` reads it.
  public var value: JSONValue {
    let list = items.map { item -> JSONValue in
      var entries: [JSONObject.Entry] = []
      switch item.id {
      case .text(let text): entries.append(.init(key: "id", value: .string(text)))
      case .number(let number): entries.append(.init(key: "id", value: JSONValue(number)))
      }
      if let edges = item.edges { entries.append(.init(key: "scores", value: JSONValue(edges))) }
      if let nodes = item.nodes { entries.append(.init(key: "node_scores", value: JSONValue(nodes))) }
      if let features = item.features {
        entries.append(.init(key: "feature_scores", value: JSONValue(features)))
      }
      return .object(JSONObject(entries))
    }
    return .object(JSONObject([.init(key: "items", value: .array(list))]))
  }
}
