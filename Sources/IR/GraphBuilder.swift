import Tensors

/// Builds a graph node by node. Shapes are checked here, so that the walks need not.
public struct GraphBuilder: Sendable {
  public private(set) var nodes: [Node] = []
  public private(set) var inputs: [NodeID] = []
  public private(set) var outputs: [Graph.Output] = []
  /// What new nodes say of their origin; importers set it before they lower an operator.
  public var origin: String
  /// A prefix for the names of nodes that get none.
  public var scope: String

  public init(origin: String = "", scope: String = "") {
    self.origin = origin
    self.scope = scope
  }

  public subscript(id: NodeID) -> Node { nodes[id] }

  @discardableResult
  public mutating func append(
    _ operation: Operation, inputs: [NodeID] = [], shape: Shape, type: ElementType, name: String? = nil
  ) -> NodeID {
    let id = nodes.count
    let node = Node(
      id: id, name: name ?? "\(scope)\(operation.kind)\(id)", origin: origin, operation: operation,
      inputs: inputs, shape: shape, elementType: type)
    nodes.append(node)
    return id
  }

  public mutating func input(_ name: String, _ shape: Shape, type: ElementType = .float32) -> NodeID {
    let id = append(.input, shape: shape, type: type, name: name)
    inputs.append(id)
    return id
  }

  public mutating func constant(_ weight: Weight, type: ElementType = .float32, name: String? = nil) -> NodeID
  {
    append(.constant(weight), shape: weight.shape, type: type, name: name)
  }

  /// The sum of maps of nodes plus a bias.
  public mutating func affine(
    _ terms: [(node: NodeID, map: any LinearMap)], bias: Weight? = nil, disjoint: Bool = false,
    name: String? = nil
  ) throws -> NodeID {
    guard let first = terms.first else {
      throw GraphError(node: name ?? scope, reason: "an affine node needs an input")
    }
    let shape = first.map.outputShape
    for term in terms {
      guard term.map.outputShape == shape else {
        throw GraphError(
          node: name ?? scope, reason: "terms of shapes \(shape) and \(term.map.outputShape) cannot be added")
      }
      guard term.map.inputShape == nodes[term.node].shape else {
        throw GraphError(
          node: name ?? scope,
          reason: "expected an input of shape \(term.map.inputShape), got \(nodes[term.node].shape)")
      }
    }
    if let bias, bias.shape != shape {
      throw GraphError(node: name ?? scope, reason: "bias of shape \(bias.shape) does not fit \(shape)")
    }
    var affine = Affine(terms.map(\.map), bias: bias)
    affine.disjoint = disjoint
    return append(
      .affine(affine), inputs: terms.map(\.node), shape: shape, type: nodes[first.node].elementType,
      name: name)
  }

  public mutating func linear(_ map: any LinearMap, _ x: NodeID, bias: Weight? = nil, name: String? = nil)
    throws
    -> NodeID
  { try affine([(x, map)], bias: bias, name: name) }

  public mutating func elementwise(_ f: any ElementwiseFunction, _ x: NodeID, name: String? = nil) -> NodeID {
    append(.elementwise(f), inputs: [x], shape: nodes[x].shape, type: nodes[x].elementType, name: name)
  }

  public mutating func product(_ form: any BilinearForm, _ a: NodeID, _ b: NodeID, name: String? = nil) throws
    -> NodeID
  {
    guard form.leftShape == nodes[a].shape, form.rightShape == nodes[b].shape else {
      throw GraphError(
        node: name ?? scope,
        reason:
          "a product of \(form.leftShape) and \(form.rightShape) got \(nodes[a].shape) and \(nodes[b].shape)")
    }
    return append(
      .product(form), inputs: [a, b], shape: form.outputShape, type: nodes[a].elementType, name: name)
  }

  public mutating func selection(_ selection: Selection, _ x: [NodeID], name: String? = nil) throws -> NodeID
  {
    guard selection.inputShapes == x.map({ nodes[$0].shape }) else {
      throw GraphError(node: name ?? scope, reason: "a selection got inputs of the wrong shapes")
    }
    return append(
      .selection(selection), inputs: x, shape: selection.outputShape, type: nodes[x[0]].elementType,
      name: name)
  }

  public mutating func discrete(
    _ f: any DiscreteFunction, _ x: [NodeID], type: ElementType, name: String? = nil
  ) throws -> NodeID {
    guard f.inputShapes == x.map({ nodes[$0].shape }) else {
      throw GraphError(node: name ?? scope, reason: "\(f.name) got inputs of the wrong shapes")
    }
    return append(.discrete(f), inputs: x, shape: f.outputShape, type: type, name: name)
  }

  public mutating func composite(_ c: any Composite, _ x: [NodeID], name: String? = nil) throws -> NodeID {
    guard c.inputShapes == x.map({ nodes[$0].shape }) else {
      throw GraphError(node: name ?? scope, reason: "\(c.name) got inputs of the wrong shapes")
    }
    return append(
      .composite(c), inputs: x, shape: c.outputShape, type: nodes[x[0]].elementType, name: name)
  }

  public mutating func output(_ node: NodeID, name: String? = nil) {
    outputs.append(Graph.Output(name: name ?? nodes[node].name, node: node))
  }

  /// The finished graph.
  public func build() -> Graph { Graph(nodes: nodes, inputs: inputs, outputs: outputs) }
}
