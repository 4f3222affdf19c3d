import IR
import OnnxFormat
import Tensors

/// Puts inputs for masks into an ONNX graph network where its own inputs cannot express them.
///
/// An exported network gathers rows of features along `edge_index` and scatters them to the ends of arcs; a dense one
/// multiplies by a matrix made from `adj`. Both are recognised in the file's own operators, and a factor is put before
/// each scatter (or on the matrix), so that everything behind is imported as it is written. Message masks leave what is
/// computed from the graph alone (degrees, normalisation) as it was; weight and removal masks reach degrees as well.
struct OnnxMaskInsertion {
  /// A scatter along the edge list.
  private struct Site {
    var node: Int
    var reduction: String
    /// Whether what is scattered depends on the features.
    var isMessage: Bool
    /// Whether the result weighs messages (degrees of a graph convolution).
    var weighsMessages = false
  }

  /// An input that was put in.
  struct Mask {
    var name: String
    /// For every row of what is scattered its arc of the edge list, -1 for appended self-loops; nil for a matrix.
    var rows: [Int]?
    var shape: Shape
  }

  private let file: OnnxModelFile
  private let name: String
  private let features: String
  private let graphInputs: [String]
  private var onFeatures: Set<String> = []
  private var onGraph: Set<String> = []
  private var sites: [Site] = []
  /// Matrix products whose left factor is made from the adjacency alone.
  private var products: [Int] = []

  /// - Parameters:
  ///   - graphInputs: `edge_index`, or `adj`; edge weights besides.
  init(_ file: OnnxModelFile, name: String, features: String, graphInputs: [String]) {
    self.file = file
    self.name = name
    self.features = features
    self.graphInputs = graphInputs
    onFeatures = dependents([features])
    onGraph = dependents(Set(graphInputs))
    sites = findSites()
    products = file.model.graph.node.indices.filter { index in
      let node = file.model.graph.node[index]
      guard node.opType == "MatMul", node.input.count == 2 else { return false }
      return isFromGraph(node.input[0]) && onFeatures.contains(node.input[1])
    }
  }

  /// Whether messages were recognised.
  var findsMessages: Bool { sites.contains(where: \.isMessage) || !products.isEmpty }

  /// Whether some aggregation is no plain sum, so that a zero factor is not the same as a deleted arc.
  var hasOtherAggregators: Bool {
    sites.contains { $0.reduction != "add" || (!$0.isMessage && !$0.weighsMessages) }
  }

  private func isFromGraph(_ name: String) -> Bool { onGraph.contains(name) && !onFeatures.contains(name) }

  private func dependents(_ sources: Set<String>) -> Set<String> {
    var found = sources
    for node in file.model.graph.node where node.opType != "Shape" && node.opType != "Size" {
      if node.input.contains(where: found.contains) { found.formUnion(node.output) }
    }
    return found
  }

  private func findSites() -> [Site] {
    let nodes = file.model.graph.node
    var found: [Site] = []
    for (index, node) in nodes.enumerated()
    where ["ScatterElements", "ScatterND", "Scatter"].contains(node.opType) && node.input.count == 3 {
      guard isFromGraph(node.input[1]) else { continue }
      let reduction = node.attribute.first { $0.name == "reduction" }.map {
        String(decoding: $0.s, as: UTF8.self)
      }
      found.append(
        Site(
          node: index, reduction: reduction ?? "none", isMessage: onFeatures.contains(node.input[2])))
    }
    for position in found.indices where !found[position].isMessage {
      found[position].weighsMessages = weighsMessages(
        found[position].node, messages: Set(found.filter(\.isMessage).map(\.node)))
    }
    return found
  }

  /// Where a value made from features stands between two scatters.
  private enum Stage {
    /// On nodes, or on arcs and not yet scattered: what it meets weighs messages.
    case sending
    /// A sum over arcs, at most reshaped since.
    case sum
    /// Such a sum that has met the degree: that was a mean, or the receiving half of a symmetric normalisation.
    case divided
  }

  /// Operators that leave a sum a sum.
  private static let keepsSums: Set<String> = [
    "Mul", "Div", "Reshape", "Identity", "Cast", "Unsqueeze", "Squeeze", "Expand", "Transpose", "Flatten",
  ]

  /// Whether what a scatter of the graph alone yields (a degree) scales features before they are scattered, in any
  /// layer.
  ///
  /// Layers are told apart by the scatters of messages. A degree that only ever meets a fresh sum is the count of a
  /// mean; one that meets anything else, in the first layer or a later one, normalises messages.
  private func weighsMessages(_ site: Int, messages: Set<Int>) -> Bool {
    let nodes = file.model.graph.node
    var reached = Set(nodes[site].output)
    var stages: [String: Stage] = [features: .sending]
    for (index, node) in nodes.enumerated() {
      guard onFeatures.contains(node.output.first ?? "") else {
        if node.input.contains(where: reached.contains), node.opType != "Shape", node.opType != "Size" {
          reached.formUnion(node.output)
        }
        continue
      }
      let present = node.input.compactMap { stages[$0] }
      var stage: Stage
      if messages.contains(index) {
        stage = .sum
      } else if present.contains(.sending) || !Self.keepsSums.contains(node.opType) || present.isEmpty {
        stage = .sending
      } else {
        stage = present.contains(.divided) ? .divided : .sum
      }
      let meets = node.input.contains { reached.contains($0) && !onFeatures.contains($0) }
      if meets, !messages.contains(index), !node.opType.hasPrefix("Gather") {
        let fresh = node.input.allSatisfy { stages[$0] != .sending && stages[$0] != .divided }
        if !fresh || !["Mul", "Div"].contains(node.opType) { return true }
        stage = .divided
      }
      for output in node.output { stages[output] = stage }
    }
    return false
  }

  private func unsupported(_ reason: String) -> UnsupportedOperator {
    UnsupportedOperator(node: name, operatorName: "ONNX graph network", attribute: "mask", reason: reason)
  }

  /// The model with masks, and the masks.
  ///
  /// - Parameters:
  ///   - options: the shapes and values the model is imported with.
  ///   - targets: where the arcs of the edge list end.
  ///   - nodes: the number of nodes.
  /// - Throws: `UnsupportedOperator` where the file is no network of messages along its edges.
  func inserted(
    for masking: ArcMasking, options: ImportOptions, targets: [Int], nodes: Int
  ) throws -> (file: OnnxModelFile, masks: [Mask]) {
    guard findsMessages else {
      throw unsupported("no messages along the edges were recognised (gather, scatter or a product with adj)")
    }
    if masking != .removal, file.model.graph.node.contains(where: isAttention) {
      throw unsupported(
        "the network weighs neighbours by what it reads of them: only --semantics remove masks it")
    }
    var result = file
    var masks: [Mask] = []
    var additions: [Int: [Onnx_NodeProto]] = [:]
    for index in products {
      let mask = "nnverify.adjacency_mask"
      additions[index] = [
        .make("Mul", [file.model.graph.node[index].input[0], mask], "nnverify.matrix_\(index)")
      ]
      result.model.graph.node[index].input[0] = "nnverify.matrix_\(index)"
      if masks.isEmpty { masks.append(Mask(name: mask, rows: nil, shape: [nodes, nodes])) }
    }
    let chosen = sites.filter { isMasked($0, masking) }
    let probed = try probe(chosen, options)
    var loops = true
    for (site, found) in zip(chosen, probed) {
      let rows = try arcs(of: found.targets, targets: targets, nodes: nodes)
      if !site.isMessage { loops = loops && rows.count > targets.count }
      let mask = "nnverify.edge_mask_\(rows.count)"
      if !masks.contains(where: { $0.name == mask }) {
        masks.append(Mask(name: mask, rows: rows, shape: [rows.count]))
      }
      let updates = result.model.graph.node[site.node].input[2]
      let column = "nnverify.mask_\(site.node)"
      let last = "nnverify.updates_\(site.node)"
      var steps = [
        Onnx_NodeProto.make("Reshape", [mask, column + ".shape"], column),
        .make("Mul", [updates, column], last),
      ]
      result.model.graph.initializer.append(
        .integers(column + ".shape", [rows.count] + [Int](repeating: 1, count: found.rank - 1)))
      if site.reduction == "max" && site.isMessage && masking == .removal {
        // A removed message falls below every other: factor 0 and the most negative number. What is scattered first
        // decides what a node without arcs reads.
        steps += [
          .make("Sub", [column, "nnverify.one"], column + ".below"),
          .make("Mul", [column + ".below", "nnverify.huge"], column + ".floor"),
          .make("Add", [last, column + ".floor"], last + ".floored"),
        ]
      }
      additions[site.node] = steps
      result.model.graph.node[site.node].input[2] = steps[steps.count - 1].output[0]
    }
    for mask in masks {
      result.model.graph.input.append(.float(mask.name, mask.shape.dims))
    }
    result.model.graph.initializer.append(.scalar("nnverify.one", 1))
    result.model.graph.initializer.append(.scalar("nnverify.huge", Float.greatestFiniteMagnitude))
    if masking != .message && loops { simplifyDegrees(&result) }
    var nodesInOrder: [Onnx_NodeProto] = []
    for (index, node) in result.model.graph.node.enumerated() {
      nodesInOrder += additions[index] ?? []
      nodesInOrder.append(node)
    }
    result.model.graph.node = nodesInOrder
    return (result, masks)
  }

  private func isAttention(_ node: Onnx_NodeProto) -> Bool {
    (node.opType == "Exp" || node.opType == "Softmax") && node.input.contains(where: onFeatures.contains)
  }

  private func isMasked(_ site: Site, _ masking: ArcMasking) -> Bool {
    if site.isMessage { return true }
    switch masking {
    case .weight: return site.weighsMessages
    case .removal: return true
    case .message, .none: return false
    }
  }

  /// Where every scatter sends its rows, and the rank of what it sends: the model is imported with these as outputs.
  private func probe(_ chosen: [Site], _ options: ImportOptions) throws -> [(targets: [Int], rank: Int)] {
    if chosen.isEmpty { return [] }
    var model = file
    var names: [String] = []
    for site in chosen {
      let node = file.model.graph.node[site.node]
      let axis = node.attribute.first { $0.name == "axis" }.map { Int($0.i) } ?? 0
      guard ["add", "max", "min"].contains(site.reduction) else {
        throw unsupported("a scatter along the edges replaces values (reduction \(site.reduction))")
      }
      guard axis == 0 || node.opType == "ScatterND" || axis < 0 else {
        throw unsupported("a scatter along the edges runs over axis \(axis)")
      }
      for input in node.input[1...] where !names.contains(input) { names.append(input) }
    }
    model.model.graph.output = names.map { name in
      var output = Onnx_ValueInfoProto()
      output.name = name
      return output
    }
    let graph = try OnnxImporter.build(model, options).graph
    func output(_ name: String) -> Node? {
      graph.outputs.first { $0.name == name }.map { graph[$0.node] }
    }
    return try chosen.map { site in
      let node = file.model.graph.node[site.node]
      guard let index = output(node.input[1]), let updates = output(node.input[2]),
        case .constant(let weight) = index.operation, let rows = index.shape.dims.first, rows > 0
      else { throw unsupported("a scatter along the edges has no fixed targets") }
      let width = index.shape.count / rows
      return ((0..<rows).map { Int(weight.values.elements[$0 * width]) }, updates.shape.rank)
    }
  }

  /// The arcs behind the rows of a scatter: the edge list as given, maybe with one self-loop per node behind it.
  private func arcs(of rows: [Int], targets: [Int], nodes: Int) throws -> [Int] {
    let plain = Array(targets.indices)
    if rows == targets { return plain }
    if rows == targets + Array(0..<nodes) { return plain + [Int](repeating: -1, count: nodes) }
    throw unsupported(
      "a scatter does not follow the edge list (row 0 of edge_index is taken for the sources)")
  }

  /// With a self-loop on every node no degree is zero: powers -1/2 become square roots and reciprocals, whose
  /// derivatives and bounds are known, and the guard against infinite ones falls away.
  private func simplifyDegrees(_ file: inout OnnxModelFile) {
    var scalars: [String: Float] = [:]
    for proto in file.model.graph.initializer {
      if let tensor = try? file.tensors.tensor(proto), case .float32(let values) = tensor.values,
        values.count == 1
      {
        scalars[proto.name] = values[0]
      }
    }
    var infinite: [String: String] = [:]
    for index in file.model.graph.node.indices {
      let node = file.model.graph.node[index]
      guard let first = node.input.first, let output = node.output.first else { continue }
      switch node.opType {
      case "Pow" where node.input.count == 2 && scalars[node.input[1]] == -0.5 && isFromGraph(output):
        file.model.graph.node[index] = .make("Reciprocal", [output + ".root"], output)
        file.model.graph.node.append(.make("Sqrt", [first], output + ".root"))
      case "Equal" where node.input.count == 2 && scalars[node.input[1]] == .infinity && isFromGraph(output):
        infinite[output] = first
      case "Where" where node.input.count == 3 && infinite[first] == node.input[2]:
        file.model.graph.node[index] = .make("Identity", [node.input[2]], output)
      default: break
      }
    }
  }
}

extension Onnx_NodeProto {
  fileprivate static func make(_ op: String, _ inputs: [String], _ output: String) -> Onnx_NodeProto {
    var node = Onnx_NodeProto()
    node.opType = op
    node.name = output
    node.input = inputs
    node.output = [output]
    return node
  }
}

extension Onnx_TensorProto {
  fileprivate static func integers(_ name: String, _ values: [Int]) -> Onnx_TensorProto {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dataType = Int32(OnnxElementType.int64.rawValue)
    tensor.dims = [Int64(values.count)]
    tensor.int64Data = values.map(Int64.init)
    return tensor
  }

  fileprivate static func scalar(_ name: String, _ value: Float) -> Onnx_TensorProto {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dataType = Int32(OnnxElementType.float32.rawValue)
    tensor.floatData = [value]
    return tensor
  }
}

extension Onnx_ValueInfoProto {
  fileprivate static func float(_ name: String, _ dims: [Int]) -> Onnx_ValueInfoProto {
    var input = Onnx_ValueInfoProto()
    input.name = name
    input.type.tensorType.elemType = Int32(OnnxElementType.float32.rawValue)
    input.type.tensorType.shape.dim = dims.map { extent in
      var dim = Onnx_TensorShapeProto.Dimension()
      dim.dimValue = Int64(extent)
      return dim
    }
    return input
  }
}
