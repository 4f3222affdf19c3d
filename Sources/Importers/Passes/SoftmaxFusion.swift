import IR
import Operators
import Tensors

/// Recognises a softmax that exporters write out in parts: `e / sum(e)` with `e = exp(x - m)`, where m is whatever is the
/// same for all elements of a sum (their maximum, which keeps exp from overflowing), through any Reshape or Expand.
///
/// As one unit it has bounds of its own, where the parts lose how numerator and denominator depend on each other.
public struct SoftmaxFusion {
  private let graph: Graph

  private init(_ graph: Graph) { self.graph = graph }

  /// The graph with written-out softmaxes replaced by ``Softmax`` units.
  public static func apply(to graph: Graph) -> Graph {
    let fusion = SoftmaxFusion(graph)
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

  /// The softmax that a node is, and its argument.
  private func unit(at node: Node) -> (Softmax, NodeID)? {
    for (numerator, denominator) in graph.quotients(at: node) where numerator.isIdentity {
      guard graph[numerator.node].shape == node.shape,
        case .elementwise(let f) = graph[numerator.node].operation,
        f is Exp, let sum = denominator.sum(in: graph), sum.of == numerator.node, sum.isOwn,
        sum.denominator == 1, sum.factor == 1, let axis = Self.axis(of: sum.target, in: node.shape),
        let unit = try? Softmax(node.shape, axis: axis)
      else { continue }
      return (unit, unshifted(graph[numerator.node].inputs[0], sum.target))
    }
    return nil
  }

  /// The axis along which elements of the same block lie.
  private static func axis(of target: [Int32], in shape: Shape) -> Int? {
    shape.dims.indices.first { axis in
      var dims = shape.dims
      dims[axis] = 1
      let own = Shape(dims).broadcastIndices(to: shape)
      // The same partition, whatever the blocks are numbered.
      var renamed: [Int32: Int32] = [:]
      var used: Set<Int32> = []
      for (a, b) in zip(own, target) {
        if let known = renamed[a] {
          if known != b { return false }
        } else {
          guard used.insert(b).inserted else { return false }
          renamed[a] = b
        }
      }
      return true
    }
  }

  /// What a number per block was subtracted from, if `id` is such a difference: softmax does not change with it.
  private func unshifted(_ id: NodeID, _ target: [Int32]) -> NodeID {
    guard case .affine(let affine) = graph[id].operation, affine.maps.count == 2, affine.bias == nil else {
      return id
    }
    for place in 0..<2 {
      let (own, other) = (affine.maps[place], affine.maps[1 - place])
      let x = graph[id].inputs[place]
      guard own is Reshape, own.inputShape == own.outputShape else { continue }
      let whole = ElementView(id, count: target.count)
      guard let shift = whole.through(other, of: graph[id].inputs[1 - place]), isConstant(shift, target)
      else {
        continue
      }
      return x
    }
    return id
  }

  /// Whether the numbers of a block are all the same: the same multiple of the same element, perhaps through a function
  /// of every element.
  private func isConstant(_ view: ElementView, _ target: [Int32]) -> Bool {
    var view = view
    while true {
      var first: [Int32: Int] = [:]
      var isSame = true
      for (place, block) in target.enumerated() {
        let known = first[block] ?? place
        first[block] = known
        if view.index[known] != view.index[place] || view.factor[known] != view.factor[place] {
          isSame = false
          break
        }
      }
      if isSame { return true }
      switch graph[view.node].operation {
      case .affine(let affine):
        guard affine.maps.count == 1, affine.bias == nil,
          let next = view.through(affine.maps[0], of: graph[view.node].inputs[0])
        else { return false }
        view = next
      case .elementwise:
        guard view.uniformFactor != nil else { return false }
        view.node = graph[view.node].inputs[0]
      default: return false
      }
    }
  }
}

extension Graph {
  /// The ways to read a node as a quotient: numerator and denominator of every element.
  func quotients(at node: Node) -> [(numerator: ElementView, denominator: ElementView)] {
    func views(_ left: Shape, _ right: Shape) -> [ElementView] {
      zip(node.inputs, [left, right]).map {
        ElementView($0, index: $1.broadcastIndices(to: node.shape))
      }
    }
    switch node.operation {
    case .composite(let quotient as Quotient):
      let views = views(quotient.inputShapes[0], quotient.inputShapes[1])
      return [(views[0], views[1])]
    case .product(let form) where form is Multiply:
      let views = views(form.leftShape, form.rightShape)
      return [(views[0], views[1]), (views[1], views[0])].compactMap { numerator, other in
        let inverse = other.origin(in: self)
        guard case .elementwise(let f) = self[inverse.node].operation, f is Reciprocal,
          inverse.uniformFactor == 1
        else { return nil }
        return (numerator, ElementView(self[inverse.node].inputs[0], index: inverse.index))
      }
    default: return []
    }
  }
}
