import Domains
import IR
import Tensors

extension Graph {
  /// The node whose values a property speaks of: the first output, without a closing softmax.
  ///
  /// A softmax keeps the order of its inputs and ties, so comparing probabilities is comparing logits, which has an
  /// exact meaning.
  ///
  /// - Returns: The node, and whether a softmax was taken off (then only comparisons between outputs make sense).
  public func propertyTarget() throws -> (node: NodeID, isBehindSoftmax: Bool) {
    guard let output = outputs.first else {
      throw GraphError(node: "output", reason: "the network has no output")
    }
    var id = output.node
    // Step over copies between the softmax and the output.
    while true {
      let node = self[id]
      switch node.operation {
      case .composite(let composite) where Self.softmaxNames.contains(composite.name):
        // One distribution over everything: a softmax along another axis would compare differently.
        guard node.shape.dims.filter({ $0 != 1 }).count <= 1 else { return (output.node, false) }
        return (node.inputs[0], true)
      case .affine(let map) where map.maps.count == 1 && map.bias == nil && map.maps[0].isCopy:
        guard node.shape.count == self[node.inputs[0]].shape.count, node.origin != "Transpose" else {
          return (output.node, false)
        }
        id = node.inputs[0]
      default: return (output.node, false)
      }
    }
  }

  private static var softmaxNames: Set<String> { ["Softmax", "LogSoftmax"] }
}

/// Runs a graph in its deployed arithmetic from flat inputs to one node's flat value.
struct GraphRunner: Sendable {
  let graph: Graph

  init(_ graph: Graph, target: NodeID, from source: NodeID? = nil) {
    self.graph = graph.cut(to: target, from: source)
  }

  /// The values at `count` points laid out one after the other.
  func run<T: Real>(_ x: [T], count: Int, precision: ConcreteDomain.Precision) throws -> [T] {
    var inputs: [AnyTensor] = []
    let sizes = graph.inputNodes.map(\.shape.count)
    let total = sizes.reduce(0, +)
    var first = 0
    for (node, size) in zip(graph.inputNodes, sizes) {
      var part: [T] = []
      part.reserveCapacity(size * count)
      if sizes.count == 1 {
        part = x
      } else {
        for k in 0..<count { part += x[(k * total + first)..<(k * total + first + size)] }
      }
      let tensor = Tensor<T>([count] + node.shape, part)
      // Real has exactly these two conformances.
      if let floats = tensor as? Tensor<Float> {
        inputs.append(.float(floats))
      } else if let doubles = tensor as? Tensor<Double> {
        inputs.append(.double(doubles))
      }
      first += size
    }
    var domain = ConcreteDomain(precision)
    let trace = try graph.interpret(inputs, in: &domain)
    return trace.outputs[0].tensor(as: T.self).elements
  }

  func deployed(_ x: [Float]) throws -> [Float] { try run(x, count: 1, precision: .deployed) }
}
