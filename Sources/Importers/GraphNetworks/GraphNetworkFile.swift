import FileFormats
import IR
import Operators
import Tensors

extension GraphNetwork {
  /// Reads a network from weights (`NAME.safetensors`) and an architecture description (`NAME.json`).
  ///
  /// The description lists the layers (`layers`: `gcn_conv`, `gin_conv`, `sage_conv`, `gat_conv`, `linear`, `relu`,
  /// `l2_normalize`, `batch_norm`, `stack`, `concat_stacked`, `pool_concat`, ...). Without a list the layers are
  /// read off the tensor names in the convention of the common graph libraries (`conv1.lin.weight`, `conv1.nn.0.weight`,
  /// `conv1.lin_l.weight`, `conv1.att_src`), with a ReLU between layers.
  ///
  /// - Parameter path: either of the two files; the other stands beside it.
  /// - Throws: `FileError` for files that do not fit together, `UnsupportedOperator` for unknown layers.
  public init(contentsOf path: String) throws {
    let stem = Self.stem(path)
    let json = JSONField(
      root: try JSONValue.parse(contentsOf: stem + ".json"), file: stem + ".json")
    try self.init(json, weights: SafetensorsFile(path: stem + ".safetensors"))
  }

  /// Whether a path names a network in this format.
  public static func recognises(_ path: String) -> Bool {
    path.hasSuffix(".safetensors") || path.hasSuffix(".json")
  }

  private static func stem(_ path: String) -> String {
    for ending in [".safetensors", ".json"] where path.hasSuffix(ending) {
      return String(path.dropLast(ending.count))
    }
    return path
  }

  /// Reads a parsed description.
  public init(_ json: JSONField, weights: SafetensorsFile) throws {
    let taskField = try json.member("task")
    guard let task = Task(rawValue: try taskField.string()) else {
      throw taskField.error("the task is \"graph\" or \"node\"")
    }
    self.task = task
    name = try json.optional("name")?.string() ?? json.file
    let features = try json.member("num_features")
    featureCount = try features.int()
    let classes = try json.member("num_classes")
    classCount = try classes.int()
    guard featureCount >= 1, featureCount <= 1_000_000 else {
      throw features.error("no sensible feature count")
    }
    guard classCount >= 1, classCount <= 1_000_000 else { throw classes.error("no sensible class count") }
    let reader = LayerReader(json: json, weights: weights)
    if let list = try json.optional("layers") {
      layers = try list.elements().map { try reader.layer($0) }
    } else {
      layers = try reader.inferredLayers()
    }
    if layers.isEmpty { throw json.error("the network has no layers") }
    try checkWidths(json)
  }

  /// Follows the width of node states through the layers, so that tensors that do not fit are found at once.
  private func checkWidths(_ json: JSONField) throws {
    let structure = GraphStructure(arcs: ArcList(nodeCount: 2, source: [0, 1], target: [1, 0]))
    do {
      _ = try bind(structure, features: .input, masking: .none)
    } catch let error as GraphError {
      throw FileError(file: json.file, place: error.node, reason: error.reason)
    }
  }
}

/// Reads layers and their tensors.
private struct LayerReader {
  let json: JSONField
  let weights: SafetensorsFile

  func tensor(_ name: String, rank: Int) throws -> Weight {
    let entry = try weights.entry(name)
    if entry.shape.count != rank {
      throw FileError(
        file: weights.file, place: "tensor \(name)",
        reason: "expected \(rank) axes, the shape is \(entry.shape)")
    }
    return Weight(Tensor(Shape(entry.shape), try weights.doubles(name)))
  }

  func vector(_ name: String, length: Int) throws -> Weight {
    let values = try weights.doubles(name)
    if values.count != length {
      throw FileError(
        file: weights.file, place: "tensor \(name)",
        reason: "expected \(length) values, found \(values.count)")
    }
    return Weight(Tensor([length], values))
  }

  func linear(_ weight: String, _ bias: String?, inputMajor: Bool = false) throws -> GraphNetwork.Linear {
    var result = GraphNetwork.Linear(weight: try tensor(weight, rank: 2), isInputMajor: inputMajor)
    if let bias { result.bias = try vector(bias, length: result.outputWidth) }
    return result
  }

  private func name(_ layer: JSONField, _ key: String) throws -> String? { try layer.optional(key)?.string() }

  private func number(_ layer: JSONField, _ key: String, default value: Double) throws -> Double {
    guard let field = try layer.optional(key) else { return value }
    let number = try field.double()
    if !number.isFinite { throw field.error("the number is not finite") }
    return number
  }

  func layer(_ layer: JSONField) throws -> GraphNetwork.Layer {
    let field = try layer.member("op")
    let op = try field.string()
    switch op {
    case "gcn_conv":
      // Weights are stored [in, out] unless the description says otherwise.
      let layout = try name(layer, "weight_layout") ?? "in_out"
      return .gcn(
        try linear(try layer.member("weight").string(), name(layer, "bias"), inputMajor: layout == "in_out"))
    case "gin_conv":
      let eps = try number(layer, "eps", default: 0)
      let selfTerm = try name(layer, "self_term") ?? "one_plus_eps_times_x_i"
      guard ["none", "one_plus_eps_times_x_i"].contains(selfTerm) else {
        throw try layer.member("self_term").error("expected none or one_plus_eps_times_x_i")
      }
      return .gin(
        selfFactor: selfTerm == "none" ? 0 : 1 + eps,
        mlp: try layer.member("mlp").elements().map { try self.layer($0) })
    case "sage_conv":
      let aggregate = try name(layer, "aggregate") ?? "mean"
      guard ["mean", "max"].contains(aggregate) else {
        throw UnsupportedOperator(
          node: layer.path, operatorName: op, attribute: "aggregate", reason: "\(aggregate) is not supported")
      }
      let own = try name(layer, "root_weight")
      return .sage(
        aggregate == "max" ? .maximum : .mean,
        neighbours: try linear(try layer.member("weight").string(), name(layer, "bias")),
        own: try own.map { try linear($0, nil) })
    case "gat_conv":
      return .gat(
        try attention(
          projection: try layer.member("weight").string(), source: try layer.member("att_src").string(),
          target: try layer.member("att_dst").string(), bias: name(layer, "bias"),
          slope: try number(layer, "negative_slope", default: 0.2),
          concatenates: try layer.optional("concat")?.bool()))
    case "linear":
      return .linear(try linear(try layer.member("weight").string(), name(layer, "bias")))
    case "l2_normalize":
      let eps = try number(layer, "eps", default: 1e-12)
      if eps <= 0 { throw layer.error("eps must be positive") }
      return .normalizeRows(eps: eps)
    case "batch_norm": return .batchNorm(try batchNorm(layer))
    case "stack": return .stack
    case "concat_stacked": return .concatenateStacked
    case "pool_concat", "pool":
      let list = try layer.member("pools")
      let pools = try list.elements().map { item -> GraphNetwork.Pool in
        guard let pool = GraphNetwork.Pool(rawValue: try item.string()) else {
          throw item.error("pools are max, mean and sum")
        }
        return pool
      }
      if pools.isEmpty { throw list.error("no pool is given") }
      return .pool(pools)
    default:
      if let f = GraphNetwork.activation(op, slope: try number(layer, "negative_slope", default: 0.01)) {
        return .activation(f)
      }
      throw UnsupportedOperator(
        node: layer.path, operatorName: op, reason: "graph networks have no such layer")
    }
  }

  private func batchNorm(_ layer: JSONField) throws -> GraphNetwork.Normalization {
    let scaleName = try name(layer, "weight")
    let shiftName = try name(layer, "bias")
    let statistics = try name(layer, "statistics") ?? "running"
    let eps = try number(layer, "eps", default: 1e-5)
    if eps <= 0 { throw layer.error("eps must be positive") }
    let scale = try scaleName.map { try tensor($0, rank: 1) }
    let shift = try shiftName.map { try tensor($0, rank: 1) }
    guard !statistics.hasPrefix("batch") else {
      return GraphNetwork.Normalization(scale: scale, shift: shift, running: nil, eps: eps)
    }
    let mean = try tensor(try layer.member("running_mean").string(), rank: 1)
    let variance = try tensor(try layer.member("running_var").string(), rank: 1)
    guard mean.shape == variance.shape, scale.map({ $0.shape == mean.shape }) ?? true else {
      throw layer.error("the tensors of the batch norm differ in length")
    }
    if variance.values.elements.contains(where: { $0 < 0 }) {
      throw layer.error("a running variance is negative")
    }
    return GraphNetwork.Normalization(scale: scale, shift: shift, running: (mean, variance), eps: eps)
  }

  func attention(
    projection: String, source: String, target: String, bias: String?, slope: Double, concatenates: Bool?
  ) throws -> GraphNetwork.Attention {
    let entry = try weights.entry(source)
    let axes = Array(entry.shape.suffix(2))
    guard entry.shape.count == 3 || entry.shape.count == 2, axes.allSatisfy({ $0 > 0 }) else {
      throw FileError(
        file: weights.file, place: "tensor \(source)",
        reason: "expected [1, heads, channels], found \(entry.shape)")
    }
    let (heads, channels) = (axes[0], axes[1])
    let project = try linear(projection, nil)
    if project.outputWidth != heads * channels {
      throw FileError(
        file: weights.file, place: "tensor \(projection)",
        reason: "\(project.outputWidth) outputs for \(heads) heads of \(channels) channels")
    }
    let biasLength = try bias.map { try weights.entry($0).shape.reduce(1, *) }
    let joins = concatenates ?? (biasLength.map { $0 == heads * channels } ?? true)
    return GraphNetwork.Attention(
      projection: project, source: Weight(Tensor([heads, channels], try weights.doubles(source))),
      target: Weight(
        Tensor([heads, channels], try vector(target, length: heads * channels).values.elements)),
      bias: try bias.map { try vector($0, length: joins ? heads * channels : channels) },
      negativeSlope: slope, concatenates: joins)
  }

  /// Layers from tensor names, for descriptions without a list.
  func inferredLayers() throws -> [GraphNetwork.Layer] {
    var prefixes: [String] = []
    for entry in weights.entries.sorted(by: { $0.name < $1.name }) {
      let prefix = String(entry.name.split(separator: ".").first ?? "")
      if !prefixes.contains(prefix) { prefixes.append(prefix) }
    }
    let described =
      ((try json.optional("description")?.string() ?? "") + " " + (try json.optional("name")?.string() ?? ""))
      .lowercased()
    var result: [GraphNetwork.Layer] = []
    for (index, prefix) in prefixes.enumerated() {
      if index > 0 { result.append(.activation(Relu())) }
      result.append(try inferredLayer(prefix, described: described))
    }
    return result
  }

  private func inferredLayer(_ prefix: String, described: String) throws -> GraphNetwork.Layer {
    func has(_ suffix: String) -> Bool { weights.contains("\(prefix).\(suffix)") }
    func optional(_ suffix: String) -> String? { has(suffix) ? "\(prefix).\(suffix)" : nil }
    if has("att_src") {
      return .gat(
        try attention(
          projection: "\(prefix).lin.weight", source: "\(prefix).att_src", target: "\(prefix).att_dst",
          bias: optional("bias"), slope: 0.2, concatenates: nil))
    }
    if has("lin_l.weight") {
      return .sage(
        described.contains("max") ? .maximum : .mean,
        neighbours: try linear("\(prefix).lin_l.weight", optional("lin_l.bias")),
        own: try optional("lin_r.weight").map { try linear($0, nil) })
    }
    if has("nn.0.weight") {
      let eps = try optional("eps").map { try weights.doubles($0).first ?? 0 } ?? 0
      var mlp: [GraphNetwork.Layer] = []
      var position = 0
      // Linear layers stand at even positions, activations between them.
      while has("nn.\(position).weight") {
        if position > 0 { mlp.append(.activation(Relu())) }
        mlp.append(.linear(try linear("\(prefix).nn.\(position).weight", optional("nn.\(position).bias"))))
        position += 2
      }
      return .gin(selfFactor: 1 + eps, mlp: mlp)
    }
    if has("lin.weight") { return .gcn(try linear("\(prefix).lin.weight", optional("bias"))) }
    if has("weight") { return .linear(try linear("\(prefix).weight", optional("bias"))) }
    throw UnsupportedOperator(
      node: prefix, operatorName: prefix, reason: "its tensors match no known layer; list the layers instead")
  }
}

extension GraphNetwork {
  /// The activation that a description names, or nil.
  static func activation(_ name: String, slope: Double) -> (any ElementwiseFunction)? {
    switch name {
    case "relu": return Relu()
    case "leaky_relu": return Relu(negativeSlope: slope)
    case "identity": return Relu(negativeSlope: 1)
    case "elu": return Elu.elu()
    case "tanh": return Tanh()
    case "sigmoid": return Sigmoid()
    case "gelu": return Gelu()
    case "silu": return Silu()
    case "softplus": return Softplus()
    case "hard_tanh": return Clip.hardTanh()
    case "abs": return Abs()
    case "square": return Square()
    default: return nil
    }
  }
}
