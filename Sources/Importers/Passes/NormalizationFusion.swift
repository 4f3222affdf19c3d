import IR
import Operators
import Tensors

/// Recognises normalisation over trailing axes that exporters write out in parts: `x / sqrt(mean(x^2) + epsilon)` and
/// the same with the mean subtracted first, the variance as the mean of squared deviations or as
/// `max(mean(x^2) - mean(x)^2, 0)`, the scale multiplied to the inverse root or afterwards, and the form
/// `x inv + (bias - mean inv)` with `inv` the scaled inverse root.
///
/// As one unit it has bounds of its own, where the parts lose how numerator and denominator depend on each other.
public struct NormalizationFusion {
  private let graph: Graph

  private init(_ graph: Graph) { self.graph = graph }

  /// The graph with written-out normalisations replaced by ``Normalization`` units. A scale and a bias that are
  /// multiplied and added afterwards stay what they are.
  public static func apply(to graph: Graph) -> Graph {
    let fusion = NormalizationFusion(graph)
    var nodes = graph.nodes
    var changed = false
    for node in graph.nodes {
      guard node.elementType == .float32 || node.elementType == .float64,
        let (unit, x) = fusion.unit(at: node) ?? fusion.folded(at: node)
      else { continue }
      nodes[node.id] = Node(
        id: node.id, name: node.name, origin: node.origin, operation: .composite(unit), inputs: [x],
        shape: node.shape, elementType: node.elementType)
      changed = true
    }
    if !changed { return graph }
    return Graph(nodes: nodes, inputs: graph.inputs, outputs: graph.outputs).prunedToOutputs()
  }

  /// The normalisation that a product or quotient is, and what it normalises.
  private func unit(at node: Node) -> (Normalization, NodeID)? {
    for (numerator, factor) in scalings(at: node) where numerator.isIdentity {
      guard graph[numerator.node].shape == node.shape, let inverse = inverseRoot(factor),
        let moment = moment(inverse.base, node.elementType)
      else { continue }
      let type = node.elementType
      let centered = deviations(numerator.node, moment.target, type)
      let isOwn: Bool =
        switch moment.kind {
        case .square:
          moment.of == numerator.node
            || centered != nil && deviations(moment.of, moment.target, type) == centered
        case .variance: centered == moment.of
        }
      guard isOwn else { continue }
      let x = centered ?? numerator.node
      return unit(node, of: x, inverse, moment, isCentered: centered != nil, bias: nil)
    }
    return nil
  }

  /// The normalisation that a sum x inv + (bias - mean inv) is.
  private func folded(at node: Node) -> (Normalization, NodeID)? {
    guard case .affine = node.operation, node.inputs.count == 2,
      node.inputs.contains(where: { graph[$0].operation.kind == "product" }),
      let (terms, bias) = sum(node.id, takesBias: true), terms.count == 2
    else { return nil }
    for (own, other) in [(terms[0], terms[1]), (terms[1], terms[0])]
    where own.isIdentity && other.uniformFactor == -1 {
      for (numerator, factor) in scalings(at: graph[own.node]) where numerator.isIdentity {
        let x = numerator.node
        guard graph[x].shape == node.shape, let inverse = inverseRoot(factor),
          let moment = moment(inverse.base, node.elementType),
          moment.kind == .variance
            ? moment.of == x : deviations(moment.of, moment.target, node.elementType) == x
        else { continue }
        let same = scalings(at: graph[other.node]).contains { mean, second in
          guard let inner = inverseRoot(second.at(other.index)), inner.root == inverse.root,
            inner.index == inverse.index, inner.scale == inverse.scale,
            let sum = mean.at(other.index).sum(in: graph)
          else { return false }
          return sum.of == x && sum.meanSign(node.elementType) == 1 && sum.target == moment.target
        }
        if same { return unit(node, of: x, inverse, moment, isCentered: true, bias: bias) }
      }
    }
    return nil
  }

  private func unit(
    _ node: Node, of x: NodeID, _ inverse: InverseRoot, _ moment: Moment, isCentered: Bool, bias: Weight?
  ) -> (Normalization, NodeID)? {
    let length = moment.length
    guard inverse.epsilon >= 0, moment.target.indices.allSatisfy({ Int(moment.target[$0]) == $0 / length })
    else { return nil }
    let isScaled = inverse.scale.contains { $0 != 1 }
    let unit = try? Normalization(
      name: isCentered ? "LayerNormalization" : "RMSNormalization", shape: node.shape, blockLength: length,
      epsilon: inverse.epsilon, isCentered: isCentered,
      scale: isScaled ? Weight(Tensor(node.shape, inverse.scale)) : nil, bias: bias)
    return unit.map { ($0, x) }
  }

  /// The ways to read a node as numbers times factors or, for a quotient, divided by them.
  private func scalings(at node: Node) -> [(numerator: ElementView, factor: Factor)] {
    switch node.operation {
    case .composite(let quotient as Quotient):
      let views = zip(node.inputs, quotient.inputShapes).map {
        ElementView($0, index: $1.broadcastIndices(to: node.shape))
      }
      return [(views[0], Factor(view: views[1], divides: true))]
    case .product(let form) where form is Multiply:
      let views = zip(node.inputs, [form.leftShape, form.rightShape]).map {
        ElementView($0, index: $1.broadcastIndices(to: node.shape))
      }
      return [
        (views[0], Factor(view: views[1], divides: false)),
        (views[1], Factor(view: views[0], divides: false)),
      ]
    default: return []
    }
  }

  private struct Factor {
    var view: ElementView
    var divides: Bool

    func at(_ index: [Int32]) -> Factor { Factor(view: view.at(index), divides: divides) }
  }

  /// scale / sqrt(base + epsilon), element by element.
  private struct InverseRoot {
    /// The node under the root, epsilon included, and its element for every number.
    var root: NodeID
    var index: [Int32]
    var base: ElementView
    var epsilon: Double
    var scale: [Double]
  }

  private func inverseRoot(_ factor: Factor) -> InverseRoot? {
    var view = factor.view.origin(in: graph)
    let scale = view.factor
    view = ElementView(view.node, index: view.index)
    if factor.divides {
      // A divisor with a factor of its own is left alone: its inverse need not be a number.
      guard scale.allSatisfy({ $0 == 1 }) else { return nil }
    } else {
      guard case .elementwise(let f) = graph[view.node].operation, f is Reciprocal else { return nil }
      view = ElementView(graph[view.node].inputs[0], index: view.index).origin(in: graph)
      guard view.uniformFactor == 1 else { return nil }
    }
    guard case .elementwise(let f) = graph[view.node].operation, f is Sqrt else { return nil }
    let root = graph[view.node].inputs[0]
    guard let (base, epsilon) = shifted(root) else { return nil }
    return InverseRoot(
      root: root, index: view.index, base: ElementView(base, index: view.index), epsilon: epsilon,
      scale: scale)
  }

  /// What a variance is made of.
  private struct Moment {
    enum Kind {
      /// The mean square of `of`.
      case square
      /// The mean square of `of` minus its squared mean.
      case variance
    }
    var kind: Kind
    var of: NodeID
    var target: [Int32]
    var length: Int
  }

  private func moment(_ base: ElementView, _ type: ElementType) -> Moment? {
    var base = base.origin(in: graph)
    // A variance is never negative but for rounding, against which some exporters guard.
    if case .elementwise(let f) = graph[base.node].operation, isPositivePart(f), base.uniformFactor == 1 {
      base = ElementView(graph[base.node].inputs[0], index: base.index).origin(in: graph)
    }
    if let square = meanSquare(base, type) {
      return Moment(kind: .square, of: square.of, target: square.target, length: square.length)
    }
    guard base.uniformFactor == 1, let (terms, bias) = sum(base.node), terms.count == 2, bias == nil else {
      return nil
    }
    for (first, second) in [(terms[0], terms[1]), (terms[1], terms[0])] {
      guard let square = meanSquare(first.at(base.index), type) else { continue }
      let subtracted = second.at(base.index).origin(in: graph)
      guard subtracted.uniformFactor == -1, case .elementwise(let f) = graph[subtracted.node].operation,
        f is Square,
        let mean = ElementView(graph[subtracted.node].inputs[0], index: subtracted.index).sum(in: graph),
        mean.of == square.of, mean.target == square.target, mean.meanSign(type) != nil
      else { continue }
      return Moment(kind: .variance, of: square.of, target: square.target, length: square.length)
    }
    return nil
  }

  private func isPositivePart(_ f: any ElementwiseFunction) -> Bool {
    if let relu = f as? Relu { return relu.negativeSlope == 0 }
    if let clip = f as? Operators.Clip { return clip.minimum == 0 && clip.maximum == .infinity }
    return false
  }

  /// What the numbers are mean squares of.
  private func meanSquare(_ view: ElementView, _ type: ElementType) -> (
    of: NodeID, target: [Int32], length: Int
  )? {
    guard let sum = view.sum(in: graph), sum.meanSign(type) == 1, let length = sum.length,
      case .elementwise(let f) = graph[sum.of].operation, f is Square
    else { return nil }
    return (graph[sum.of].inputs[0], sum.target, length)
  }

  /// What the means of these blocks were subtracted from, if `id` is such a difference.
  private func deviations(_ id: NodeID, _ target: [Int32], _ type: ElementType) -> NodeID? {
    guard let (terms, bias) = sum(id), terms.count == 2, bias == nil else { return nil }
    for (own, other) in [(terms[0], terms[1]), (terms[1], terms[0])] where own.isIdentity {
      if let mean = other.sum(in: graph), mean.of == own.node, mean.target == target,
        mean.meanSign(type) == -1
      {
        return own.node
      }
    }
    return nil
  }

  /// The terms of an affine node and its constant; nil for other nodes and for terms that are no multiples of single
  /// elements.
  /// - Parameter takesBias: look behind a term that is one number plus a constant, if the node has none of its own.
  private func sum(_ id: NodeID, takesBias: Bool = false) -> (terms: [ElementView], bias: Weight?)? {
    guard case .affine(let affine) = graph[id].operation else { return nil }
    let whole = ElementView(id, count: graph[id].shape.count)
    var terms: [ElementView] = []
    var bias = affine.bias
    for (map, input) in zip(affine.maps, graph[id].inputs) {
      guard let term = whole.through(map, of: input) else { return nil }
      let view = term.origin(in: graph)
      guard takesBias, case .affine(let inner) = graph[view.node].operation, inner.maps.count == 1,
        let added = inner.bias, let factor = view.uniformFactor, factor.magnitude == 1, bias == nil,
        let next = view.through(inner.maps[0], of: graph[view.node].inputs[0])
      else {
        terms.append(term)
        continue
      }
      // bias - mean inv: one constant on the way.
      bias = Weight(
        Tensor(graph[id].shape, view.index.map { factor * added.values[flat: Int($0)] }))
      terms.append(next)
    }
    return (terms, bias)
  }

  private func shifted(_ id: NodeID) -> (base: NodeID, amount: Double)? {
    guard case .affine(let affine) = graph[id].operation, affine.maps.count == 1, affine.maps[0] is Reshape,
      affine.maps[0].inputShape == affine.maps[0].outputShape, let bias = affine.bias,
      let amount = bias.values.elements.first, bias.values.elements.allSatisfy({ $0 == amount })
    else { return nil }
    return (graph[id].inputs[0], amount)
  }
}

extension ElementView {
  /// The numbers at some places, in their order.
  func at(_ places: [Int32]) -> ElementView {
    var view = self
    view.index = places.map { index[Int($0)] }
    view.factor = places.map { factor[Int($0)] }
    return view
  }
}
