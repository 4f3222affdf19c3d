import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

/// A graph network in an ONNX file: node features with a dense adjacency matrix (`adj[i, j]` the weight of j -> i), or
/// with an edge list and edge weights.
///
/// Node and edge counts stay symbolic until `bind`, which imports the file for the graph's sizes, builds the edge list
/// in and turns masks into adjacency entries or edge weights; where the file has no edge weights, and for masks of
/// messages, factors are put before its scatters along the edges (``OnnxMaskInsertion``).
public struct OnnxGraphModel: GraphModel {
  public let name: String
  public let task: GraphNetwork.Task
  public let featureCount: Int
  public let classCount: Int
  public let depth: Int
  /// What may be pooled or normalised over is not known, so neighbourhoods are not sliced.
  public var isGlobal: Bool { true }
  public let weightZeroIsDeletion: Bool
  private let path: String
  private let layout: Layout

  /// How the file takes the graph.
  private struct Layout: Sendable {
    var features: String
    var adjacency: String?
    var edgeIndex: String?
    var edgeWeight: String?
    /// Whether values carry a leading axis of extent 1.
    var isBatched: Bool
    /// The number of nodes if the file fixes it.
    var nodes: Int?

    /// The inputs that say what is connected to what.
    var graphInputs: [String] { [adjacency, edgeIndex, edgeWeight].compactMap { $0 } }
  }

  /// - Throws: `FileError` if the inputs are not those of a graph network.
  public init(path: String, task: GraphNetwork.Task) throws {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    // One node and two arcs tell names, ranks and widths.
    let probe = try Self.probe(path)
    let layout = probe.layout
    let insertion = OnnxMaskInsertion(
      try OnnxModelFile(path: path), name: name, features: layout.features, graphInputs: layout.graphInputs)
    let isWeighted = layout.adjacency != nil || layout.edgeWeight != nil
    let shallow = OnnxGraphModel(
      path: path, name: name, task: task, featureCount: probe.features, classCount: probe.classes, depth: 0,
      weightZeroIsDeletion: !insertion.hasOtherAggregators, layout: layout)
    let arcs = ArcList(nodeCount: layout.nodes ?? 3, source: [0, 1], target: [1, 0])
    // The first kind of mask that the file takes; without any, it still runs.
    var depth: Int?
    for masking in isWeighted ? [ArcMasking.weight] : [.message, .removal] where depth == nil {
      do {
        let bound = try shallow.bind(
          GraphStructure(arcs: arcs), features: .input, masking: masking, readout: .all)
        depth = Self.maskedDepth(bound)
      } catch let error as UnsupportedOperator where isWeighted { throw error } catch is UnsupportedOperator {
      }
    }
    if depth == nil {
      depth = Self.scatterDepth(
        try shallow.bind(GraphStructure(arcs: arcs), features: .input, masking: .none, readout: .all))
    }
    self.init(
      path: path, name: name, task: task, featureCount: probe.features, classCount: probe.classes,
      depth: depth ?? 1,
      weightZeroIsDeletion: !insertion.hasOtherAggregators, layout: layout)
  }

  private init(
    path: String, name: String, task: GraphNetwork.Task, featureCount: Int, classCount: Int, depth: Int,
    weightZeroIsDeletion: Bool, layout: Layout
  ) {
    self.path = path
    self.name = name
    self.task = task
    self.featureCount = featureCount
    self.classCount = classCount
    self.depth = depth
    self.weightZeroIsDeletion = weightZeroIsDeletion
    self.layout = layout
  }

  private static func probe(_ path: String) throws -> (layout: Layout, features: Int, classes: Int) {
    let edges = Tensor<Double>([2, 1], [0, 0])
    var options = ImportOptions()
    // Dimensions that are not named here are 1; a square adjacency of one node is fine to look at.
    options.integersAreFixed = true
    options.values["edge_index"] = edges
    let network = try Importer.load(path, options)
    func missing(_ reason: String) -> FileError { FileError(file: path, reason: reason) }
    var layout = Layout(features: "", isBatched: false)
    var features = 0
    for node in network.graph.inputNodes {
      let dims = node.shape.dims
      if node.name == "edge_index" {
        layout.edgeIndex = node.name
      } else if node.name == "edge_weight" || node.name == "edge_attr" {
        layout.edgeWeight = node.name
      } else if node.name.hasPrefix("adj") || node.name == "A" {
        layout.adjacency = node.name
        layout.isBatched = dims.count == 3
        if let last = dims.last, last > 1 { layout.nodes = last }
      } else if layout.features.isEmpty, let last = dims.last, dims.count >= 2 {
        layout.features = node.name
        features = last
        if dims.count == 3 { layout.isBatched = true }
        if dims[dims.count - 2] > 1 { layout.nodes = dims[dims.count - 2] }
      } else {
        throw missing("the input '\(node.name)' is none of a graph network: x, edge_index, edge_weight, adj")
      }
    }
    if layout.features.isEmpty { throw missing("the network has no node features as input") }
    if layout.adjacency == nil && layout.edgeIndex == nil {
      throw missing(
        "the network has neither an adjacency matrix (adj) nor an edge list (edge_index) as input")
    }
    guard let output = network.graph.outputs.first, let classes = network.graph[output.node].shape.dims.last
    else {
      throw missing("the network has no logits as output")
    }
    return (layout, features, classes)
  }

  public func bind(
    _ structure: GraphStructure, features: GraphNetwork.Features, masking: ArcMasking,
    readout: GraphNetwork.Readout
  ) throws -> Graph {
    if let fixed = layout.nodes, fixed != total(structure) {
      throw FileError(
        file: path, reason: "the network is for \(fixed) nodes, the graph has \(total(structure))")
    }
    try checkSize(structure)
    try checkWeights(structure)
    let arcs = expandedArcs(structure)
    let nodes = total(structure)
    let lead: [Int] = layout.isBatched ? [1] : []
    var options = ImportOptions()
    options.shapes[layout.features] = Shape(lead + [nodes, featureCount])
    if let adjacency = layout.adjacency { options.shapes[adjacency] = Shape(lead + [nodes, nodes]) }
    if let index = layout.edgeIndex {
      // The edge list decides the wiring: it must be built in, not left as an input.
      options.integersAreFixed = true
      let values = arcs.source.map(Double.init) + arcs.target.map(Double.init)
      options.values[index] = Tensor([2, arcs.source.count], values)
      if let weight = layout.edgeWeight { options.shapes[weight] = [arcs.source.count] }
    }
    var inserted: [OnnxMaskInsertion.Mask] = []
    let imported: Graph
    let isWeighted = layout.adjacency != nil || layout.edgeWeight != nil
    // A zero in the matrix is a missing arc; a zero weight is one only for sums.
    let weightsRemove = layout.adjacency != nil || weightZeroIsDeletion
    if masking == .none || structure.arcs.count == 0
      || (isWeighted && (masking == .weight || (masking == .removal && weightsRemove)))
    {
      imported = try Importer.load(path, options).graph
    } else {
      let insertion = OnnxMaskInsertion(
        try OnnxModelFile(path: path), name: name, features: layout.features, graphInputs: layout.graphInputs)
      let (file, masks) = try insertion.inserted(
        for: masking, options: options, targets: arcs.target, nodes: nodes)
      imported = try OnnxImporter.build(file, options).graph
      inserted = masks
    }
    return try assemble(imported, structure, arcs, features, masking, readout, inserted)
  }

  /// The last value with a row per node that is no linear function of an earlier one: what is pooled, or what the
  /// classifier of a node network reads.
  public func bindEmbeddings(_ structure: GraphStructure, features: [Double]) throws -> Graph? {
    let graph = try bind(structure, features: .constant(features), masking: .none, readout: .all)
    let nodes = total(structure)
    let needed = graph.ancestors(of: graph.outputs.map(\.node))
    func isTable(_ node: Node) -> Bool {
      let dims = Array(node.shape.dims.drop { $0 == 1 })
      return needed[node.id] && dims.count == 2 && dims[0] == nodes && dims[1] > 1
    }
    let found = graph.nodes.last { node in
      guard isTable(node), !node.inputs.isEmpty else { return false }
      if task == .graph { return true }
      if case .affine = node.operation { return false }
      return true
    }
    guard let found, let width = found.shape.dims.last else { return nil }
    var b = GraphBuilder(origin: "embeddings", scope: "embeddings/")
    for node in graph.nodes[...found.id] {
      b.origin = node.origin
      b.append(
        node.operation, inputs: node.inputs, shape: node.shape, type: node.elementType, name: node.name)
    }
    b.output(try b.linear(Reshape(found.shape, to: [nodes, width]), found.id))
    return b.build().prunedToOutputs()
  }

  /// Refuses weights that the file has no input for.
  private func checkWeights(_ structure: GraphStructure) throws {
    guard layout.adjacency == nil, layout.edgeWeight == nil else { return }
    guard structure.weights.allSatisfy({ $0 == 1 }), structure.selfLoops.allSatisfy({ $0 ?? 1 == 1 }) else {
      throw UnsupportedOperator(
        node: name, operatorName: "ONNX graph network", attribute: "edge_weight",
        reason: "the graph has edge weights, the network takes none (no input edge_weight or adj)")
    }
  }

  /// Refuses graphs that grow beyond measure: as a matrix, or by copies of padding nodes.
  private func checkSize(_ structure: GraphStructure) throws {
    let nodes = total(structure)
    if layout.adjacency != nil, nodes > ReaderLimits.denseGraphNodes {
      throw FileError(
        file: path,
        reason: "\(nodes) nodes are more than the \(ReaderLimits.denseGraphNodes) of an adjacency matrix")
    }
    if nodes - structure.nodeCount > ReaderLimits.isolatedNodes {
      throw FileError(
        file: path,
        reason: "\(nodes - structure.nodeCount) padding nodes are more than \(ReaderLimits.isolatedNodes)")
    }
  }

  private func total(_ structure: GraphStructure) -> Int { structure.multiplicity.reduce(0, +) }

  /// Arcs of the file's graph: those of the structure, explicit self-loops, copies of nodes that stand for several.
  private struct Arcs {
    var source: [Int]
    var target: [Int]
    var weight: [Double]
    /// The structure's arc that an arc's weight is scaled by, or -1.
    var mask: [Int]
    /// For every node of the file's graph the structure's node.
    var node: [Int]
  }

  private func expandedArcs(_ structure: GraphStructure) -> Arcs {
    var node = Array(0..<structure.nodeCount)
    for (i, count) in structure.multiplicity.enumerated() where count > 1 {
      node += [Int](repeating: i, count: count - 1)
    }
    var arcs = Arcs(
      source: structure.arcs.source.map(Int.init), target: structure.arcs.target.map(Int.init),
      weight: structure.weights, mask: Array(0..<structure.arcs.count), node: node)
    for (position, original) in node.enumerated() {
      guard let loop = structure.selfLoops[original] else { continue }
      arcs.source.append(position)
      arcs.target.append(position)
      arcs.weight.append(loop)
      arcs.mask.append(-1)
    }
    return arcs
  }

  /// The imported graph behind the inputs `x` and `mask`.
  private func assemble(
    _ imported: Graph, _ structure: GraphStructure, _ arcs: Arcs, _ features: GraphNetwork.Features,
    _ masking: ArcMasking, _ readout: GraphNetwork.Readout, _ inserted: [OnnxMaskInsertion.Mask]
  ) throws -> Graph {
    var b = GraphBuilder(origin: "graph binding", scope: "bind/")
    let small: Shape = [structure.nodeCount, featureCount]
    let x: NodeID
    switch features {
    case .constant(let values): x = b.constant(Weight(Tensor(small, values)), name: "features")
    case .input: x = b.input("x", small)
    }
    let mask = masking == .none ? nil : b.input("mask", [structure.arcs.count])
    // The file's own weights carry the mask unless factors were put in for it.
    let scaled = inserted.isEmpty ? mask : nil
    var mapping = [NodeID](repeating: -1, count: imported.nodes.count)
    for node in imported.inputNodes {
      if let mask, let factor = inserted.first(where: { $0.name == node.name }) {
        mapping[node.id] = try spread(mask, factor, arcs, structure, &b)
        continue
      }
      let entries: [[SparseEntry]]
      let constants: [Double]
      switch node.name {
      case layout.features:
        let index = arcs.node.flatMap { i in (0..<featureCount).map { Int32(i * featureCount + $0) } }
        mapping[node.id] = try b.linear(IndexMap(small, to: node.shape, index: index), x)
        continue
      case layout.adjacency:
        let n = total(structure)
        var rows = [[SparseEntry]](repeating: [], count: n * n)
        var fixed = [Double](repeating: 0, count: n * n)
        for a in arcs.source.indices {
          let place = arcs.target[a] * n + arcs.source[a]
          if arcs.mask[a] >= 0 && scaled != nil {
            rows[place].append(SparseEntry(arcs.mask[a], arcs.weight[a]))
          } else {
            fixed[place] += arcs.weight[a]
          }
        }
        (entries, constants) = (rows, fixed)
      case layout.edgeWeight:
        entries = arcs.mask.indices.map {
          arcs.mask[$0] >= 0 && scaled != nil ? [SparseEntry(arcs.mask[$0], arcs.weight[$0])] : []
        }
        constants = arcs.mask.indices.map { arcs.mask[$0] >= 0 && scaled != nil ? 0 : arcs.weight[$0] }
      default:
        // The edge list: built in by the import; its values stand here in case anything still reads them.
        let ends = arcs.source.map(Double.init) + arcs.target.map(Double.init)
        mapping[node.id] = b.constant(Weight(Tensor(node.shape, ends)))
        continue
      }
      let bias = Weight(Tensor(node.shape, constants))
      if let scaled {
        mapping[node.id] = try b.linear(
          SparseMap([structure.arcs.count], to: node.shape, rows: entries), scaled, bias: bias)
      } else {
        mapping[node.id] = b.constant(bias)
      }
    }
    for node in imported.nodes where mapping[node.id] < 0 {
      b.origin = node.origin
      mapping[node.id] = b.append(
        node.operation, inputs: node.inputs.map { mapping[$0] }, shape: node.shape, type: node.elementType,
        name: node.name)
    }
    b.origin = "readout"
    // A network without outputs was refused when the file was probed.
    let output = mapping[imported.outputs[0].node]
    let shape = b[output].shape
    let rows = task == .graph ? 1 : total(structure)
    guard shape.count == rows * classCount else {
      throw FileError(
        file: path,
        reason: "the network answers with the shape \(shape), the data need \(classCount) logits per "
          + (task == .graph ? "graph: does it classify nodes?" : "node: does it classify graphs?"))
    }
    let logits: NodeID
    switch readout {
    case .node(let node):
      let index = (0..<classCount).map { Int32(node * classCount + $0) }
      logits = try b.linear(IndexMap(shape, to: [classCount], index: index), output, name: "logits")
    case .all where task == .graph:
      logits = try b.linear(Reshape(shape, to: [classCount]), output, name: "logits")
    case .all:
      logits = try b.linear(
        Reshape(shape, to: [shape.count / classCount, classCount]), output, name: "logits")
    }
    b.output(logits, name: "logits")
    return b.build().prunedToOutputs()
  }

  /// Factors of the structure's arcs where the file was given an input for them; 1 where nothing is masked.
  private func spread(
    _ mask: NodeID, _ factor: OnnxMaskInsertion.Mask, _ arcs: Arcs, _ structure: GraphStructure,
    _ b: inout GraphBuilder
  ) throws -> NodeID {
    var rows = [[SparseEntry]](repeating: [], count: factor.shape.count)
    var constants = [Double](repeating: 1, count: factor.shape.count)
    func set(_ place: Int, _ arc: Int) {
      guard arc >= 0, arcs.mask[arc] >= 0 else { return }
      rows[place] = [SparseEntry(arcs.mask[arc], 1)]
      constants[place] = 0
    }
    if let list = factor.rows {
      for (row, arc) in list.enumerated() { set(row, arc) }
    } else {
      let n = total(structure)
      for arc in arcs.source.indices { set(arcs.target[arc] * n + arcs.source[arc], arc) }
    }
    return try b.linear(
      SparseMap([structure.arcs.count], to: factor.shape, rows: rows), mask,
      bias: Weight(Tensor(factor.shape, constants)))
  }

  /// The longest chain of products of something that depends on the mask alone with something that depends on the
  /// features: one per message-passing layer.
  private static func maskedDepth(_ graph: Graph) -> Int {
    guard let x = graph.inputNodes.first(where: { $0.name == "x" })?.id,
      let mask = graph.inputNodes.first(where: { $0.name == "mask" })?.id
    else { return 1 }
    let onFeatures = graph.dependents(of: [x])
    let onMask = graph.dependents(of: [mask])
    var depth = [Int](repeating: 0, count: graph.nodes.count)
    for node in graph.nodes {
      var own = node.inputs.map { depth[$0] }.max() ?? 0
      if case .product = node.operation, node.inputs.count == 2 {
        let (a, b) = (node.inputs[0], node.inputs[1])
        let first = onMask[a] && !onFeatures[a] && onFeatures[b]
        let second = onMask[b] && !onFeatures[b] && onFeatures[a]
        if first || second { own += 1 }
      }
      depth[node.id] = own
    }
    return max(1, depth.max() ?? 1)
  }

  /// Without a mask: a bound on the depth, the number of nodes that mix rows.
  private static func scatterDepth(_ graph: Graph) -> Int { max(1, min(graph.nodes.count, 8)) }
}
