import IR
import Operators
import Tensors

/// Recognises normalisation over trailing axes that exporters write out in parts: `x / sqrt(mean(x^2) + epsilon)` and
/// the same with the mean subtracted first.
///
/// As one unit it has bounds of its own, where the parts lose how numerator and denominator depend on each other.
public struct NormalizationFusion {
  private let graph: Graph

  private init(_ graph: Graph) { self.graph = graph }

  /// The graph with written-out normalisations replaced by ``Normalization`` units. Scale and bias stay what they are.
  public static func apply(to graph: Graph) -> Graph {
    let fusion = NormalizationFusion(graph)
    var nodes = graph.nodes
    var changed = false
    for node in graph.nodes {
      guard node.elementType == .float32 || node.elementType == .float64,
        let (unit, x) = fusion.unit(at: node)
      else { continue }
      nodes[node.id] = Node(
        id: node.id, name: node.name, origin: node.origin, operation: .composite(unit), inputs: [x],
        shape: node.shape, elementType: node.elementType)
      changed = true
    }
    if !changed { return graph }
    return Graph(nodes: nodes, inputs: graph.inputs, outputs: graph.outputs).prunedToOutputs()
  }

  /// The normalisation that a node is, and what it normalises.
  private func unit(at node: Node) -> (Normalization, NodeID)? {
    guard let (numerator, root) = quotient(node), graph[numerator].shape == node.shape,
      case .elementwise(let f) = graph[root].operation, f is Sqrt,
      let (mean, epsilon) = shifted(graph[root].inputs[0]), epsilon >= 0,
      let (squares, length) = blockMean(mean), case .elementwise(let square) = graph[squares].operation,
      square is Square, graph[squares].inputs[0] == numerator
    else { return nil }
    let centered = self.centered(numerator, length)
    let unit = try? Normalization(
      name: centered == nil ? "RMSNormalization" : "LayerNormalization", shape: node.shape,
      blockLength: length,
      epsilon: epsilon, isCentered: centered != nil)
    return unit.map { ($0, centered ?? numerator) }
  }

  /// A node that divides by, or multiplies with the reciprocal of, another.
  private func quotient(_ node: Node) -> (numerator: NodeID, denominator: NodeID)? {
    switch node.operation {
    case .composite(let composite) where composite is Quotient: return (node.inputs[0], node.inputs[1])
    case .product(let form) where form is Multiply:
      for (x, other) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
        if case .elementwise(let f) = graph[other].operation, f is Reciprocal {
          return (x, graph[other].inputs[0])
        }
      }
      return nil
    default: return nil
    }
  }

  /// Mean over consecutive blocks: what is averaged, and how many elements each block has.
  private func blockMean(_ id: NodeID) -> (of: NodeID, length: Int)? {
    guard case .affine(let affine) = graph[id].operation, affine.bias == nil, affine.maps.count == 1,
      let sum = affine.maps[0] as? SumMap, sum.denominator > 1
    else { return nil }
    let length = sum.denominator
    let isBlocked = sum.table.index.indices.allSatisfy { Int(sum.table.index[$0]) == $0 / length }
    return isBlocked ? (graph[id].inputs[0], length) : nil
  }

  /// What the blocks' own means were subtracted from, if `id` is such a difference.
  private func centered(_ id: NodeID, _ length: Int) -> NodeID? {
    guard case .affine(let affine) = graph[id].operation, affine.bias == nil, affine.maps.count == 2 else {
      return nil
    }
    for place in 0..<2 {
      let (own, other) = (affine.maps[place], affine.maps[1 - place])
      let x = graph[id].inputs[place]
      guard own is Reshape, own.inputShape == own.outputShape, let spread = other as? IndexMap,
        spread.table.index.indices.allSatisfy({ Int(spread.table.index[$0]) == $0 / length }),
        let mean = negated(graph[id].inputs[1 - place]), let block = blockMean(mean), block.of == x,
        block.length == length
      else { continue }
      return x
    }
    return nil
  }

  private func negated(_ id: NodeID) -> NodeID? {
    guard case .affine(let affine) = graph[id].operation, affine.bias == nil, affine.maps.count == 1,
      let diagonal = affine.maps[0] as? Diagonal, let scale = diagonal.weights.first,
      scale.values.elements.allSatisfy({ $0 == -1 })
    else { return nil }
    return graph[id].inputs[0]
  }

  private func shifted(_ id: NodeID) -> (base: NodeID, amount: Double)? {
    guard case .affine(let affine) = graph[id].operation, affine.maps.count == 1, affine.maps[0] is Reshape,
      affine.maps[0].inputShape == affine.maps[0].outputShape, let bias = affine.bias,
      let amount = bias.values.elements.first, bias.values.elements.allSatisfy({ $0 == amount })
    else { return nil }
    return (graph[id].inputs[0], amount)
  }
}
