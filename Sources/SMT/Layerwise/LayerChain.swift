import IR

/// The layers of a sequential network in the sense of layer-wise verification: layer 0 is the input, layer k the value after the
/// k-th operation.
///
/// Convolution, ReLU, pooling, flattening and dense layers count one each; operations that change nothing (Identity,
/// Dropout) do not.
public struct LayerChain: Sendable {
  /// One layer.
  public struct Layer: Sendable {
    public var node: NodeID
    public var name: String
    /// The operator that makes it, `Input` for layer 0.
    public var origin: String
    public var size: Int
  }

  public let layers: [Layer]

  /// - Throws: `GraphError` if the network has several inputs or is no chain.
  public init(_ graph: Graph, to target: NodeID) throws {
    guard graph.inputs.count == 1 else {
      throw GraphError(node: "inputs", reason: "layer-wise verification needs a network with one input")
    }
    var reversed: [Layer] = []
    var id = target
    while true {
      let node = graph[id]
      if case .input = node.operation {
        reversed.append(Layer(node: id, name: node.name, origin: "Input", size: node.shape.count))
        break
      }
      let variable = node.inputs.filter { input in
        if case .constant = graph[input].operation { return false }
        return true
      }
      guard variable.count == 1 else {
        throw GraphError(node: node.name, reason: "layer-wise verification needs a chain of layers")
      }
      if !Self.changesNothing(node, graph[variable[0]]) {
        reversed.append(Layer(node: id, name: node.name, origin: node.origin, size: node.shape.count))
      }
      id = variable[0]
    }
    layers = reversed.reversed()
  }

  private static func changesNothing(_ node: Node, _ input: Node) -> Bool {
    guard case .affine(let map) = node.operation, map.maps.count == 1, map.bias == nil, map.maps[0].isCopy
    else {
      return false
    }
    return node.shape == input.shape && !["Transpose", "Flatten", "Reshape"].contains(node.origin)
  }
}
