import FileFormats

/// Reads and writes the JSON graph documents (docs/guides/fidelity.md gives the format).
///
/// A document holds either `graphs` (graph classification) or one graph with `num_nodes`, `labels` and `edges`
/// (node classification). Edges are undirected, listed once as `[u, v]` with `u < v`, unless `directed` is true.
public enum GraphDocument {
  static let nodeLimit = ReaderLimits.graphNodes

  /// Reads a document.
  /// - Throws: `FileError` naming the member and what is wrong with it.
  public static func read(_ path: String) throws -> GraphDataset {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    return try read(root)
  }

  /// Reads a document that is already parsed.
  public static func read(_ root: JSONField) throws -> GraphDataset {
    _ = try root.object()
    let name = try root.optional("dataset")?.string() ?? "graphs"
    let list = try root.optional("graphs")
    let task = try readTask(root, hasList: list != nil)
    let classNames = try root.optional("classes")?.elements().map { try $0.string() }
    let directed = try root.optional("directed")?.bool() ?? false
    let padding = try root.optional("padding").map(readPadding)
    let features = try root.optional("features")
    var graphs: [AttributedGraph] = []
    var described = Described()
    if let list {
      var seen: Set<InstanceID> = []
      for (index, item) in try list.elements().enumerated() {
        let graph = try readGraph(
          item, id: try readID(item) ?? .number(index), task: task, directed: directed, features: features,
          padding: padding, &described)
        if !seen.insert(graph.id).inserted { throw item.error("the id \(graph.id) occurs twice") }
        graphs.append(graph)
      }
      if graphs.isEmpty { throw list.error("the document holds no graph") }
    } else {
      graphs = [
        try readGraph(
          root, id: .text(name), task: task, directed: directed, features: features, padding: padding,
          &described)
      ]
    }
    let width = graphs[0].featureCount
    for (index, graph) in graphs.enumerated() where graph.featureCount != width {
      throw root.error("graph \(index) has \(graph.featureCount) features a node, graph 0 has \(width)")
    }
    let largest = graphs.flatMap { ($0.nodeLabels ?? []) + [$0.label ?? 0] }.max() ?? 0
    let classes = try root.optional("num_classes")?.int() ?? max(2, largest + 1)
    if classes < 1 || largest >= classes {
      throw root.error("a label is \(largest) but the document has \(classes) classes")
    }
    return GraphDataset(
      name: name, task: task, classCount: classes, classNames: classNames, graphs: graphs)
  }

  private static func readTask(_ root: JSONField, hasList: Bool) throws -> GraphTask {
    guard let field = try root.optional("task") else { return hasList ? .graph : .node }
    guard let task = GraphTask(rawValue: try field.string()) else {
      throw field.error("the task is \"graph\" or \"node\"")
    }
    return task
  }

  private static func readID(_ item: JSONField) throws -> InstanceID? {
    guard let field = try item.optional("id") else { return nil }
    return try readID(value: field)
  }

  static func readID(value field: JSONField) throws -> InstanceID {
    if let text = field.value.stringValue { return .text(text) }
    if let number = field.value.intValue { return .number(number) }
    throw field.error("an id is a string or an integer")
  }

  private static func readPadding(_ field: JSONField) throws -> GraphPadding {
    let nodes = try field.member("nodes")
    let count = try nodes.int()
    guard count >= 1, count <= nodeLimit else { throw nodes.error("\(count) is no sensible number of nodes") }
    return GraphPadding(
      nodes: count, feature: try field.optional("features")?.double() ?? 0,
      selfLoops: try field.optional("explicit_self_loop_on_padding_nodes")?.bool() ?? false)
  }

  /// What the graphs of a document hold together.
  private struct Described {
    /// Nodes that no edge names.
    var isolatedNodes = 0
    var featureEntries = 0
  }

  private static func readGraph(
    _ item: JSONField, id: InstanceID, task: GraphTask, directed: Bool, features: JSONField?,
    padding: GraphPadding?, _ described: inout Described
  ) throws -> AttributedGraph {
    let nodesField = try item.member("num_nodes")
    let nodes = try nodesField.int()
    guard nodes >= 1, nodes <= nodeLimit else {
      throw nodesField.error("\(nodes) is no sensible number of nodes")
    }
    let edgeField = try item.member("edges")
    let list = try readEdges(edgeField, nodes: nodes)
    let edges = try EdgeList(list, directed: directed, nodes: nodes) {
      try edgeField.lazyElements()[$0].error($1)
    }
    described.isolatedNodes += nodes - edges.namedNodes
    if described.isolatedNodes > ReaderLimits.isolatedNodes {
      throw nodesField.error(
        "\(described.isolatedNodes) nodes up to here have no edge, more than \(ReaderLimits.isolatedNodes)")
    }
    var weights: [Double]?
    if let field = try item.optional("edge_weights") {
      let all = try finiteNumbers(field)
      guard all.count == list.count else {
        throw field.error("\(all.count) weights for \(list.count) edges")
      }
      weights = try edges.merged(all) {
        try field.lazyElements()[$0].error("both directions need the same weight")
      }
    }
    let (values, width) = try readFeatures(item, shared: features, nodes: nodes)
    described.featureEntries += values.count
    if described.featureEntries > ReaderLimits.featureEntries {
      throw item.error("the graphs up to here have more than \(ReaderLimits.featureEntries) features")
    }
    if let padding, padding.nodes < nodes {
      throw nodesField.error("\(nodes) nodes are more than the \(padding.nodes) that graphs are padded to")
    }
    var labels: [Int]?
    if task == .node, let field = try item.optional("labels") {
      labels = try field.lazyElements().map { try readClass($0) }
      if labels?.count != nodes { throw field.error("\(labels?.count ?? 0) labels for \(nodes) nodes") }
    }
    return AttributedGraph(
      id: id, nodeCount: nodes, edges: edges.edges, isDirected: directed, edgeWeights: weights,
      selfLoops: try readSelfLoops(item, nodes: nodes), features: values, featureCount: width,
      label: task == .graph ? try item.optional("label").map(readClass) : nil, nodeLabels: labels,
      explanation: try item.optional("explanation").map { field in
        let flags = try readFlags(field, count: list.count)
        return try edges.merged(flags) { _ in field.error("both directions of an edge need the same flag") }
      },
      padding: padding, listedArcs: edges.arcs)
  }

  private static func readClass(_ field: JSONField) throws -> Int {
    let value = try field.int()
    guard value >= 0, value < 1_000_000 else { throw field.error("a class is a small non-negative integer") }
    return value
  }

  private static func readEdges(_ field: JSONField, nodes: Int) throws -> [GraphEdge] {
    try field.lazyElements().map { item in
      guard let pair = item.value.ints, pair.count == 2 else {
        throw item.error("an edge is a pair of node numbers")
      }
      return GraphEdge(pair[0], pair[1])
    }
  }

  private static func readSelfLoops(_ item: JSONField, nodes: Int) throws -> [(node: Int, weight: Double)] {
    guard let field = try item.optional("self_loops") else { return [] }
    var seen: Set<Int> = []
    return try field.elements().map { loop in
      let parts = loop.value.doubles ?? []
      guard parts.count == 2, let node = Int(exactly: parts[0]), node >= 0, node < nodes else {
        throw loop.error("a self-loop is a pair of an existing node and a weight")
      }
      if !seen.insert(node).inserted { throw loop.error("node \(node) has two self-loops") }
      return (node, parts[1])
    }
  }

  private static func readFlags(_ field: JSONField, count: Int) throws -> [Bool] {
    let flags: [Bool]
    if let text = field.value.stringValue {
      flags = try text.utf8.map { byte in
        guard byte == 0x30 || byte == 0x31 else { throw field.error("an explanation is a string of 0 and 1") }
        return byte == 0x31
      }
    } else {
      flags = try field.lazyElements().map { item in
        if let flag = item.value.boolValue { return flag }
        guard let number = item.value.intValue, number == 0 || number == 1 else {
          throw item.error("expected 0 or 1")
        }
        return number == 1
      }
    }
    if flags.count != count {
      throw field.error("\(flags.count) flags for \(count) edges: the explanation belongs to another graph")
    }
    return flags
  }

  static func finiteNumbers(_ field: JSONField) throws -> [Double] {
    try field.lazyElements().map { item in
      let value = try item.double()
      if !value.isFinite { throw item.error("the number is not finite") }
      return value
    }
  }
}
