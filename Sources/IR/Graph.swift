import Tensors

/// A network: nodes in topological order, named inputs and outputs. The one representation all analyses run on.
public struct Graph: Sendable {
  public private(set) var nodes: [Node]
  /// The input nodes in the order of the file.
  public private(set) var inputs: [NodeID]
  public private(set) var outputs: [Output]

  public struct Output: Sendable {
    public var name: String
    public var node: NodeID
    public init(name: String, node: NodeID) {
      self.name = name
      self.node = node
    }
  }

  /// Precondition: `nodes[i].id == i` and inputs precede users. `GraphBuilder` establishes both.
  public init(nodes: [Node], inputs: [NodeID], outputs: [Output]) {
    precondition(
      nodes.enumerated().allSatisfy { index, node in
        node.id == index && node.inputs.allSatisfy { $0 < index }
      })
    self.nodes = nodes
    self.inputs = inputs
    self.outputs = outputs
  }

  public subscript(id: NodeID) -> Node { nodes[id] }

  public var inputNodes: [Node] { inputs.map { nodes[$0] } }

  /// How many nodes (and outputs) use each node.
  public var useCounts: [Int] {
    var counts = [Int](repeating: 0, count: nodes.count)
    for node in nodes { for input in node.inputs { counts[input] += 1 } }
    for output in outputs { counts[output.node] += 1 }
    return counts
  }

  /// Whether each node's value can change when the nodes in `sources` change.
  public func dependents(of sources: Set<NodeID>) -> [Bool] {
    var result = [Bool](repeating: false, count: nodes.count)
    for node in nodes {
      result[node.id] = sources.contains(node.id) || node.inputs.contains { result[$0] }
    }
    return result
  }

  /// Whether each node is needed to compute the outputs or the nodes in `targets`.
  public func ancestors(of targets: [NodeID]) -> [Bool] {
    var result = [Bool](repeating: false, count: nodes.count)
    for target in targets { result[target] = true }
    for node in nodes.reversed() where result[node.id] {
      for input in node.inputs { result[input] = true }
    }
    return result
  }

  /// The same graph with other outputs.
  public func withOutputs(_ outputs: [Output]) -> Graph {
    Graph(nodes: nodes, inputs: inputs, outputs: outputs)
  }

  /// The number of elements of all distinct constants.
  public var parameterCount: Int {
    var seen = Set<ObjectIdentifier>()
    var total = 0
    for node in nodes {
      for weight in node.operation.weights where seen.insert(ObjectIdentifier(weight)).inserted {
        total += weight.values.count
      }
    }
    return total
  }
}

extension Operation {
  /// The constants that the operation holds.
  public var weights: [Weight] {
    switch self {
    case .constant(let weight): return [weight]
    case .affine(let affine):
      var result = affine.maps.flatMap { ($0 as? any WeightedMap)?.weights ?? [] }
      if let bias = affine.bias { result.append(bias) }
      return result
    case .composite(let composite): return composite.expansion.nodes.flatMap { $0.operation.weights }
    default: return []
    }
  }
}

/// A linear map with weights of its own.
public protocol WeightedMap: LinearMap {
  var weights: [Weight] { get }
}
