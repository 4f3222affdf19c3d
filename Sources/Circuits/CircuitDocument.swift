import FileFormats

/// A circuit as it is saved: its nodes with scores, how it was found, and how faithful it is.
public struct CircuitDocument: Sendable {
  /// A unit and its score.
  public struct Node: Sendable, Hashable {
    public var unit: CircuitUnit
    public var score: Double
    public init(unit: CircuitUnit, score: Double) {
      self.unit = unit
      self.score = score
    }
  }

  /// How much of `to` (nil: the output) `from` accounts for.
  public struct Edge: Sendable, Hashable {
    public var from: CircuitUnit
    public var to: CircuitUnit?
    public var score: Double
    public init(from: CircuitUnit, to: CircuitUnit?, score: Double) {
      self.from = from
      self.to = to
      self.score = score
    }
  }

  public var model = ""
  public var prompts = ""
  public var metric = ""
  public var method = ""
  public var unit = "node"
  public var settings: [(key: String, value: String)] = []
  public var layers = 0
  public var heads = 0
  public var positions = 0
  public var tokens: [String] = []
  public var positionNames: [String: Int] = [:]
  public var nodes: [Node] = []
  public var edges: [Edge] = []
  /// The targets of every round of the search.
  public var rounds: [[CircuitUnit]] = []
  public var faithfulness: Double?
  public var metricFull = Double.nan
  public var metricEmpty = Double.nan
  public var pruned: [CircuitUnit] = []
  public var curve: [(size: Int, faithfulness: Double)] = []
  public var random: [(size: Int, mean: Double, low: Double, high: Double)] = []
  public var truth: TruthScore?
  public var conservationError = 0.0
  /// The scores of all units by which they were ranked, in the order (layer, position, head).
  public var scores: [Node] = []

  public init() {}

  static func json(_ unit: CircuitUnit) -> JSONValue {
    if let position = unit.position { return JSONValue([unit.layer, position, unit.head]) }
    return JSONValue([unit.layer, unit.head])
  }

  private static func json(_ node: Node) -> JSONValue {
    [
      "layer": JSONValue(node.unit.layer), "position": node.unit.position.map { JSONValue($0) } ?? .null,
      "head": JSONValue(node.unit.head), "score": JSONValue(node.score),
    ]
  }

  /// The document as `cdt circuits` prints and saves it.
  public var json: JSONValue {
    var o = JSONObject()
    o["model"] = .string(model)
    o["prompts"] = .string(prompts)
    o["metric"] = .string(metric)
    o["method"] = .string(method)
    o["unit"] = .string(unit)
    o["settings"] = .object(JSONObject(settings.map { .init(key: $0.key, value: .string($0.value)) }))
    o["layers"] = JSONValue(layers)
    o["heads"] = JSONValue(heads)
    o["positions"] = JSONValue(positions)
    o["tokens"] = JSONValue(tokens)
    let names = positionNames.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
    o["position_names"] = .object(JSONObject(names.map { .init(key: $0.key, value: JSONValue($0.value)) }))
    o["nodes"] = .array(nodes.map(Self.json))
    o["edges"] = .array(
      edges.map { edge in
        [
          "from": Self.json(edge.from), "to": edge.to.map(Self.json) ?? .string("output"),
          "score": JSONValue(edge.score),
        ]
      })
    o["rounds"] = .array(rounds.map { .array($0.map(Self.json)) })
    o["faithfulness"] = faithfulness.map { JSONValue($0) } ?? .null
    o["metric_full"] = JSONValue(metricFull)
    o["metric_empty"] = JSONValue(metricEmpty)
    o["pruned"] = .array(pruned.map(Self.json))
    o["curve"] = .array(curve.map { [JSONValue($0.size), JSONValue($0.faithfulness)] })
    if !random.isEmpty {
      o["random"] = .array(
        random.map { [JSONValue($0.size), JSONValue($0.mean), JSONValue($0.low), JSONValue($0.high)] })
    }
    if let truth {
      o["truth"] = [
        "recall": JSONValue(truth.recall), "precision": JSONValue(truth.precision),
        "auc": truth.auc.map { JSONValue($0) } ?? .null,
      ]
    }
    if !scores.isEmpty { o["scores"] = .array(scores.map(Self.json)) }
    o["conservation_error"] = JSONValue(conservationError)
    return .object(o)
  }

  /// Reads a saved circuit. Only `nodes` must be there.
  ///
  /// - Throws: `FileError` naming the entry that is malformed.
  public init(path: String) throws {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    func text(_ key: String, _ fallback: String) throws -> String {
      try root.optional(key)?.string() ?? fallback
    }
    func number(_ key: String) throws -> Double { try root.optional(key)?.double() ?? .nan }
    func natural(_ field: JSONField) throws -> Int {
      let value = try field.int()
      guard value >= 0, value < 1_000_000 else { throw field.error("\(value) is no sensible number") }
      return value
    }
    func node(_ field: JSONField) throws -> Node {
      let unit = CircuitUnit(
        layer: try natural(field.member("layer")), position: try field.optional("position").map(natural),
        head: try natural(field.member("head")))
      return Node(unit: unit, score: try field.optional("score")?.double() ?? 0)
    }
    func unit(_ field: JSONField) throws -> CircuitUnit {
      let numbers = try field.elements().map(natural)
      switch numbers.count {
      case 3: return CircuitUnit(layer: numbers[0], position: numbers[1], head: numbers[2])
      case 2: return CircuitUnit(layer: numbers[0], position: nil, head: numbers[1])
      default: throw field.error("expected [layer, position, head] or [layer, head]")
      }
    }
    nodes = try root.member("nodes").elements().map(node)
    model = try text("model", "")
    prompts = try text("prompts", "")
    metric = try text("metric", "")
    method = try text("method", "")
    self.unit = try text("unit", "node")
    settings = try root.optional("settings")?.members().map { ($0.key, try $0.field.string()) } ?? []
    layers = try root.optional("layers").map(natural) ?? 0
    heads = try root.optional("heads").map(natural) ?? 0
    positions = try root.optional("positions").map(natural) ?? 0
    layers = max(layers, (nodes.map(\.unit.layer).max() ?? -1) + 1)
    heads = max(heads, (nodes.map(\.unit.head).max() ?? -1) + 1)
    positions = max(positions, (nodes.compactMap(\.unit.position).max() ?? -1) + 1)
    tokens = try root.optional("tokens")?.elements().map { try $0.string() } ?? []
    while tokens.count < positions { tokens.append("\(tokens.count)") }
    for (key, field) in try root.optional("position_names")?.members() ?? [] {
      positionNames[key] = try natural(field)
    }
    for edge in try root.optional("edges")?.elements() ?? [] {
      let to = try edge.member("to")
      edges.append(
        Edge(
          from: try unit(edge.member("from")), to: to.value.stringValue == nil ? try unit(to) : nil,
          score: try edge.member("score").double()))
    }
    rounds = try root.optional("rounds")?.elements().map { try $0.elements().map(unit) } ?? []
    faithfulness = try root.optional("faithfulness")?.double()
    metricFull = try number("metric_full")
    metricEmpty = try number("metric_empty")
    pruned = try root.optional("pruned")?.elements().map(unit) ?? []
    for point in try root.optional("curve")?.elements() ?? [] {
      let pair = try point.elements()
      guard pair.count == 2 else { throw point.error("expected [size, F]") }
      curve.append((try natural(pair[0]), pair[1].value.doubleValue ?? .nan))
    }
    for point in try root.optional("random")?.elements() ?? [] {
      let row = try point.elements()
      guard row.count == 4 else { throw point.error("expected [size, mean, low, high]") }
      random.append(
        (
          try natural(row[0]), row[1].value.doubleValue ?? .nan, row[2].value.doubleValue ?? .nan,
          row[3].value.doubleValue ?? .nan
        ))
    }
    if let field = try root.optional("truth") {
      truth = TruthScore(
        recall: try field.member("recall").double(), precision: try field.member("precision").double(),
        auc: try field.optional("auc")?.double())
    }
    scores = try root.optional("scores")?.elements().map(node) ?? []
    conservationError = try root.optional("conservation_error")?.double() ?? 0
  }
}
