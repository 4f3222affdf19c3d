extension Graph {
  /// The graph with composites replaced by their expansions, but for those that `keep` names.
  ///
  /// - Returns: the new graph and, for every old node, the new node that holds its value.
  public func expandingComposites(keeping keep: (any Composite) -> Bool = { _ in false }) -> (
    graph: Graph, mapping: [NodeID]
  ) {
    var result: [Node] = []
    var mapping = [NodeID](repeating: 0, count: nodes.count)

    func append(_ node: Node, inputs: [NodeID], name: String) -> NodeID {
      if case .composite(let composite) = node.operation, !keep(composite) {
        let inner = composite.expansion
        var local = [NodeID](repeating: 0, count: inner.nodes.count)
        for (position, id) in inner.inputs.enumerated() { local[id] = inputs[position] }
        for child in inner.nodes {
          if case .input = child.operation { continue }
          local[child.id] = append(
            child.typed(node.elementType), inputs: child.inputs.map { local[$0] },
            name: "\(name)/\(child.name)")
        }
        return local[inner.outputs[0].node]
      }
      let id = result.count
      result.append(
        Node(
          id: id, name: name, origin: node.origin, operation: node.operation, inputs: inputs,
          shape: node.shape,
          elementType: node.elementType))
      return id
    }

    for node in nodes {
      mapping[node.id] = append(node, inputs: node.inputs.map { mapping[$0] }, name: node.name)
    }
    let graph = Graph(
      nodes: result, inputs: inputs.map { mapping[$0] },
      outputs: outputs.map { Output(name: $0.name, node: mapping[$0.node]) })
    return (graph, mapping)
  }

  /// The graph with its floating-point nodes in another type: expansions are built in float32.
  fileprivate func typed(_ type: ElementType) -> Graph {
    Graph(nodes: nodes.map { $0.typed(type) }, inputs: inputs, outputs: outputs)
  }

  /// The graph without nodes that no output needs; inputs stay.
  public func prunedToOutputs() -> Graph {
    var needed = ancestors(of: outputs.map(\.node))
    for id in inputs { needed[id] = true }
    var mapping = [NodeID](repeating: -1, count: nodes.count)
    var result: [Node] = []
    for node in nodes where needed[node.id] {
      mapping[node.id] = result.count
      result.append(
        Node(
          id: result.count, name: node.name, origin: node.origin, operation: node.operation,
          inputs: node.inputs.map { mapping[$0] }, shape: node.shape, elementType: node.elementType))
    }
    return Graph(
      nodes: result, inputs: inputs.map { mapping[$0] },
      outputs: outputs.map { Output(name: $0.name, node: mapping[$0.node]) })
  }
}

extension Composite {
  /// The expansion as part of a network in which the composite has the given type.
  public func expansion(typed type: ElementType) -> Graph {
    type == .float32 || !type.isFloatingPoint ? expansion : expansion.typed(type)
  }
}

extension Node {
  /// The node in another floating-point type; integers and booleans stay.
  fileprivate func typed(_ type: ElementType) -> Node {
    guard elementType.isFloatingPoint, type.isFloatingPoint, elementType != type else { return self }
    return Node(
      id: id, name: name, origin: origin, operation: operation, inputs: inputs, shape: shape,
      elementType: type)
  }
}
