import IR

/// A network that answers for graphs of any size once it is bound to one.
public protocol GraphModel: Sendable {
  var name: String { get }
  var task: GraphNetwork.Task { get }
  var featureCount: Int { get }
  var classCount: Int { get }
  /// Message-passing layers: how far a node's output sees.
  var depth: Int { get }
  /// Whether a node's output depends on all nodes, so that neighbourhoods cannot be sliced.
  var isGlobal: Bool { get }
  /// Whether a zero weight equals a deleted arc for every aggregator of the network.
  var weightZeroIsDeletion: Bool { get }

  /// Specialises the network to a graph: inputs `x` (unless built in) and `mask` (unless `.none`), one output.
  func bind(
    _ structure: GraphStructure, features: GraphNetwork.Features, masking: ArcMasking,
    readout: GraphNetwork.Readout
  ) throws -> Graph

  /// The node embeddings `[nodes, width]` that the last message-passing layer yields, as a graph without inputs; nil
  /// if the model does not say.
  func bindEmbeddings(_ structure: GraphStructure, features: [Double]) throws -> Graph?
}

extension GraphModel {
  public func bindEmbeddings(_ structure: GraphStructure, features: [Double]) throws -> Graph? { nil }
}

extension GraphNetwork: GraphModel {
  public func bindEmbeddings(_ structure: GraphStructure, features: [Double]) throws -> Graph? {
    guard let last = layers.lastIndex(where: \.aggregates) else { return nil }
    let width: Int
    switch layers[last] {
    case .gcn(let linear): width = linear.outputWidth
    case .gin(_, let mlp):
      guard
        let outer = mlp.compactMap({ layer -> Int? in
          if case .linear(let linear) = layer { return linear.outputWidth }
          return nil
        }).last
      else { return nil }
      width = outer
    case .sage(_, let neighbours, _): width = neighbours.outputWidth
    case .gat(let attention):
      width = attention.concatenates ? attention.heads * attention.channels : attention.channels
    default: return nil
    }
    // A node network whose "classes" are the embedding.
    let truncated = GraphNetwork(
      name: name, task: .node, featureCount: featureCount, classCount: width, layers: Array(layers[...last]))
    return try truncated.bind(structure, features: .constant(features), masking: .none)
  }
}

/// Opens a graph network by its file name.
public enum GraphModelFile {
  /// - Parameter task: what the graphs ask for, which an ONNX file does not say.
  public static func load(_ path: String, task: GraphNetwork.Task) throws -> any GraphModel {
    if GraphNetwork.recognises(path) { return try GraphNetwork(contentsOf: path) }
    return try OnnxGraphModel(path: path, task: task)
  }
}
