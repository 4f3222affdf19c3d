import Domains
import FileFormats
import IR
import Language
import Operators
import Tensors

/// A transformer found in an ONNX file: the graph from the first residual stream on, with attention as units, and the
/// part before it that turns the file's input into embeddings.
struct RecognisedTransformer: Sendable {
  /// The file's own graph.
  let original: Graph
  /// Where the residual stream begins in it.
  let root: NodeID
  let transformer: Transformer
  /// The input that varies: token numbers, or any tensor.
  let input: Node
  /// Values of the other inputs, in the order of the graph's.
  let fixed: [NodeID: Tensor<Double>]
  /// Rows of the embedding table; nil if the input is no token numbers.
  let vocabulary: Int?
  let file: String
  /// Whether the file leaves the length of sequences open.
  let isDynamic: Bool
  /// Whether sequences of token numbers may have any length.
  var opensLength: Bool { isDynamic && vocabulary != nil }
  /// The longest sequence that is read where the file leaves the length open.
  static let longest = 4096

  /// Loads a file for sequences of one length.
  ///
  /// - Parameter positions: the extent of dynamic dimensions; nil takes what the file says, or 8.
  /// - Throws: `FileError` for a file that is wrong or holds no transformer, `UnsupportedOperator` for attention or
  ///   operators that are not known.
  init(path: String, positions: Int? = nil) throws {
    file = path
    func wrong(_ reason: String) -> FileError { FileError(file: path, reason: reason) }
    let probe = try Importer.load(path)
    // Dynamic extents are 1 in the probe.
    guard let first = Self.varying(probe.graph) else { throw wrong("the network has no input") }
    var options = ImportOptions()
    var network = probe
    var isDynamic = false
    if first.shape.rank >= 2, first.shape[1] == 1 {
      let length = positions ?? TransformerImporter.defaultLength
      var dynamic = ImportOptions()
      for node in probe.graph.inputNodes where node.shape.rank >= 2 && node.shape[1] == 1 {
        dynamic.shapes[node.name] = Shape([node.shape[0], length] + node.shape.dims.dropFirst(2))
      }
      // A file that fixes the extent refuses another one; then it is what it says.
      if let longer = try? Importer.load(path, dynamic) {
        network = longer
        options = dynamic
        isDynamic = true
      }
    }
    // Masks and numbers of positions are what they are for a whole text, and built in.
    for node in network.graph.inputNodes where node.id != Self.varying(network.graph)?.id {
      options.values[node.name] = Self.usual(node).reshaped(node.shape)
    }
    if !options.values.isEmpty {
      options.integersAreFixed = true
      network = try Importer.load(path, options)
    }
    self.isDynamic = isDynamic
    original = network.graph
    guard let varying = Self.varying(network.graph) else { throw wrong("the network has no input") }
    input = varying
    var fixed: [NodeID: Tensor<Double>] = [:]
    for node in network.graph.inputNodes where node.id != varying.id { fixed[node.id] = Self.usual(node) }
    self.fixed = fixed
    var rewriting = try TransformerRewriting(network.graph, file: path)
    root = rewriting.root
    vocabulary = varying.elementType.isFloatingPoint ? nil : Self.vocabulary(network.graph, varying.id)
    transformer = try rewriting.transformer(vocabulary: vocabulary)
    if let positions, positions != transformer.positions {
      throw wrong("the network reads exactly \(transformer.positions) positions, not \(positions)")
    }
  }

  /// The input that a user gives: token numbers if there are any, else the first.
  private static func varying(_ graph: Graph) -> Node? {
    let nodes = graph.inputNodes
    let tokens = nodes.first { node in
      let name = node.name.lowercased()
      return !node.elementType.isFloatingPoint && !name.contains("mask") && !name.contains("type")
        && !name.contains("position")
    }
    return tokens ?? nodes.first { $0.elementType.isFloatingPoint }
  }

  /// A mask of ones, types of zero, positions counted from zero.
  private static func usual(_ node: Node) -> Tensor<Double> {
    let name = node.name.lowercased()
    let shape: Shape = [1] + node.shape
    if name.contains("position") {
      let length = node.shape.dims.last ?? 1
      return Tensor(shape, (0..<node.shape.count).map { Double($0 % max(1, length)) })
    }
    return Tensor(repeating: name.contains("mask") ? 1 : 0, shape)
  }

  /// Rows of the table that token numbers look up: that which the input itself indexes, not tables of positions that are
  /// computed from it.
  private static func vocabulary(_ graph: Graph, _ input: NodeID) -> Int? {
    for node in graph.nodes {
      guard case .discrete(let f) = node.operation, f is RuntimeGather else { continue }
      var index = node.inputs[1]
      while case .affine(let affine) = graph[index].operation, affine.maps.count == 1, affine.bias == nil,
        affine.maps[0].isCopy
      { index = graph[index].inputs[0] }
      if index == input { return graph[node.inputs[0]].shape.dims.first }
    }
    let dependent = graph.dependents(of: [input])
    for node in graph.nodes {
      guard case .discrete(let f) = node.operation, f is RuntimeGather, dependent[node.inputs[1]],
        !dependent[node.inputs[0]]
      else { continue }
      return graph[node.inputs[0]].shape.dims.first
    }
    return nil
  }

  /// What enters the first block, `[B, positions, width]`, for values of the input, `[B] + shape` flat.
  ///
  /// - Throws: `GraphError` for values that the network cannot read.
  func embeddings(_ values: [[Double]]) throws -> Tensor<Double> {
    let graph = original.withOutputs([Graph.Output(name: "embeddings", node: root)])
    let given = Tensor<Double>([values.count] + input.shape, values.flatMap { $0 })
    let arguments = graph.inputs.map { id -> AnyTensor in
      .double(id == input.id ? given : (fixed[id] ?? given).repeatedBatch(values.count))
    }
    var domain = ConcreteDomain(.float64)
    let result = try graph.interpret(arguments, in: &domain).outputs[0].float64
    return result.reshaped([values.count, transformer.positions, transformer.width])
  }
}
