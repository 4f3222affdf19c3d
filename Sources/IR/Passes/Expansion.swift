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
            child, inputs: child.inputs.map { local[$0] }, name: "\(name)/\(child.name)")
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
