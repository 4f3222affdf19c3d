import FileFormats

extension GraphDocument {
  /// The features of one graph: row-major values and the number of features a node.
  static func readFeatures(
    _ item: JSONField, shared: JSONField?, nodes: Int
  ) throws -> (values: [Double], width: Int) {
    // A graph of a list may bring its own rows.
    if let own = try item.optional("features"), own.value.arrayValue != nil {
      return try readRows(own, nodes: nodes)
    }
    guard let shared else { throw item.error("the document has no features") }
    if shared.value.arrayValue != nil { return try readRows(shared, nodes: nodes) }
    let kindField = try shared.member("kind")
    let kind = try kindField.string()
    switch kind {
    case "constant":
      let width = try readWidth(shared, nodes: nodes)
      let value = try shared.member("value").double()
      return ([Double](repeating: value, count: nodes * width), width)
    case "identity":
      let width = try shared.optional("dim") == nil ? nodes : try readWidth(shared, nodes: nodes)
      guard width == nodes, nodes <= 7000 else {
        throw kindField.error("identity features need as many features as nodes (and at most 7000)")
      }
      var values = [Double](repeating: 0, count: nodes * nodes)
      for i in 0..<nodes { values[i * nodes + i] = 1 }
      return (values, nodes)
    case "one_hot":
      let width = try readWidth(shared, nodes: nodes)
      let field = try item.member(try shared.optional("field")?.string() ?? "nodes")
      let codes = try field.lazyElements()
      if codes.count != nodes { throw field.error("\(codes.count) entries for \(nodes) nodes") }
      var values = [Double](repeating: 0, count: nodes * width)
      for (i, code) in codes.enumerated() {
        let index = try code.int()
        guard index >= 0, index < width else {
          throw code.error("\(index) is not among the \(width) features")
        }
        values[i * width + index] = 1
      }
      return (values, width)
    case "dense":
      if let rows = try shared.optional("rows") { return try readRows(rows, nodes: nodes) }
      let name = try shared.optional("field")?.string() ?? "rows"
      return try readRows(try item.member(name), nodes: nodes)
    default:
      throw kindField.error("features are constant, one_hot, identity or dense, not \"\(kind)\"")
    }
  }

  private static func readWidth(_ shared: JSONField, nodes: Int) throws -> Int {
    let field = try shared.member("dim")
    let width = try field.int()
    let limit = ReaderLimits.describedFeatureEntries
    guard width >= 1, width <= limit / nodes else {
      throw field.error("\(nodes) nodes of \(width) features are beyond the limit of \(limit) entries")
    }
    return width
  }

  private static func readRows(_ field: JSONField, nodes: Int) throws -> (values: [Double], width: Int) {
    let rows = try field.lazyElements()
    if rows.count != nodes { throw field.error("\(rows.count) rows of features for \(nodes) nodes") }
    var values: [Double] = []
    var width: Int?
    for row in rows {
      let numbers = try finiteNumbers(row)
      if numbers.count != width ?? numbers.count || numbers.isEmpty {
        throw row.error("\(numbers.count) features where other nodes have \(width ?? 1)")
      }
      width = numbers.count
      values += numbers
      guard values.count <= ReaderLimits.featureEntries else {
        throw row.error("the features have more than \(ReaderLimits.featureEntries) entries")
      }
    }
    return (values, width ?? 0)
  }

  /// The document of a data set, in the format that ``read(_:)-(String)`` reads.
  public static func value(of dataset: GraphDataset) -> JSONValue {
    var entries: [JSONObject.Entry] = [
      .init(key: "dataset", value: .string(dataset.name)),
      .init(key: "task", value: .string(dataset.task.rawValue)),
      .init(key: "num_classes", value: JSONValue(dataset.classCount)),
    ]
    if let names = dataset.classNames { entries.append(.init(key: "classes", value: JSONValue(names))) }
    if dataset.graphs.first?.isDirected == true { entries.append(.init(key: "directed", value: true)) }
    let first = dataset.graphs[0]
    if let padding = first.padding {
      let members: [JSONObject.Entry] = [
        .init(key: "nodes", value: JSONValue(padding.nodes)),
        .init(key: "features", value: JSONValue(padding.feature)),
        .init(key: "explicit_self_loop_on_padding_nodes", value: .bool(padding.selfLoops)),
      ]
      entries.append(.init(key: "padding", value: .object(JSONObject(members))))
    }
    let constant = first.features.first.flatMap { value in
      dataset.graphs.allSatisfy { $0.features.allSatisfy { $0 == value } } ? value : nil
    }
    var features: [JSONObject.Entry] = []
    if let constant {
      features = [
        .init(key: "kind", value: "constant"), .init(key: "value", value: JSONValue(constant)),
        .init(key: "dim", value: JSONValue(first.featureCount)),
      ]
    } else {
      features = [.init(key: "kind", value: "dense"), .init(key: "field", value: "rows")]
    }
    entries.append(.init(key: "features", value: .object(JSONObject(features))))
    let bodies = dataset.graphs.map { body($0, rows: constant == nil) }
    if dataset.task == .graph {
      entries.append(.init(key: "graphs", value: .array(bodies.map { .object(JSONObject($0)) })))
    } else {
      entries += bodies[0].filter { $0.key != "id" }
    }
    return .object(JSONObject(entries))
  }

  private static func body(_ graph: AttributedGraph, rows: Bool) -> [JSONObject.Entry] {
    var result: [JSONObject.Entry] = []
    switch graph.id {
    case .text(let text): result.append(.init(key: "id", value: .string(text)))
    case .number(let number): result.append(.init(key: "id", value: JSONValue(number)))
    }
    result.append(.init(key: "num_nodes", value: JSONValue(graph.nodeCount)))
    if let label = graph.label { result.append(.init(key: "label", value: JSONValue(label))) }
    if let labels = graph.nodeLabels { result.append(.init(key: "labels", value: JSONValue(labels))) }
    if rows {
      let width = graph.featureCount
      let lines = (0..<graph.nodeCount).map { i in
        JSONValue(Array(graph.features[(i * width)..<((i + 1) * width)]))
      }
      result.append(.init(key: "rows", value: .array(lines)))
    }
    result.append(
      .init(key: "edges", value: .array(graph.edges.map { JSONValue([$0.source, $0.target]) })))
    if let weights = graph.edgeWeights {
      result.append(.init(key: "edge_weights", value: JSONValue(weights)))
    }
    if !graph.selfLoops.isEmpty {
      let loops = graph.selfLoops.map { JSONValue([Double($0.node), $0.weight]) }
      result.append(.init(key: "self_loops", value: .array(loops)))
    }
    if let explanation = graph.explanation {
      result.append(
        .init(key: "explanation", value: .string(String(explanation.map { $0 ? "1" : "0" }))))
    }
    return result
  }
}
