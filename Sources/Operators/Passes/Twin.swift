import IR
import Tensors

/// Two runs of nearly the same network in the coordinates (value, difference).
///
/// Bounding two networks and subtracting loses that both see the same input. Here every value of the second run is the value of the
/// first plus a difference node, and differences follow from differences:
///
///     affine       d' = W2 d + (W2 - W1) y + (b2 - b1)
///     elementwise  d' = f(y + d) - f(y)                  (``Difference``)
///     product      d' = B(d, y') + B(y, d') + B(d, d')
///
/// All other kinds are evaluated twice and subtracted. Difference nodes are ordinary nodes: any analysis of graphs applies.
public struct Twin: Sendable {
  /// A value of the second run.
  public struct Value: Sendable {
    /// The node of the first run.
    public var first: NodeID
    /// How far the second run's value is from it; nil if they are equal.
    public var difference: NodeID?
  }

  /// By node of the second network.
  public let values: [Value?]

  /// Appends the second run to a graph that holds the first.
  ///
  /// - Parameters:
  ///   - second: The network of the second run, without composites.
  ///   - first: The network of the first run, without composites.
  ///   - nodes: By node of `first`, the node of `builder` that holds its value.
  ///   - inputs: By input of the networks: the node of `builder` by which the second run's input exceeds the first's; nil where
  ///     they see the same.
  /// - Returns: nil if the networks do not run in parallel: some needed node has no counterpart.
  public init?(
    of second: Graph, from first: Graph, nodes: [NodeID], inputs: [NodeID?], into builder: inout GraphBuilder
  ) throws {
    guard let partners = Self.partners(of: second, in: first) else { return nil }
    var trial = builder
    var values = [Value?](repeating: nil, count: second.nodes.count)
    for node in second.nodes {
      guard let partner = partners[node.id] else { continue }
      let pair = Pair(
        node: node, partner: first[partner], value: nodes[partner],
        arguments: node.inputs.map { values[$0] })
      var difference: NodeID?
      if case .input = node.operation {
        guard let place = second.inputs.firstIndex(of: node.id) else { return nil }
        difference = inputs[place]
      } else {
        guard let step = try pair.difference(in: &trial) else { return nil }
        difference = step.node
      }
      values[node.id] = Value(first: nodes[partner], difference: difference)
    }
    builder = trial
    self.values = values
  }

  /// For every node that the second network's outputs need, the node of the first that computes the same from the same.
  private static func partners(of second: Graph, in first: Graph) -> [NodeID?]? {
    guard second.inputs.count == first.inputs.count, second.outputs.count == first.outputs.count else {
      return nil
    }
    var partners = [NodeID?](repeating: nil, count: second.nodes.count)
    for (a, b) in zip(first.inputs, second.inputs) {
      guard first[a].shape == second[b].shape else { return nil }
      partners[b] = a
    }
    let needed = second.ancestors(of: second.outputs.map(\.node))
    // Nodes of the first network by the arguments they have, in order.
    var byInputs: [[NodeID]: [NodeID]] = [:]
    for node in first.nodes { byInputs[node.inputs, default: []].append(node.id) }
    var isTaken = [Bool](repeating: false, count: first.nodes.count)
    for node in second.nodes where needed[node.id] && partners[node.id] == nil {
      var arguments: [NodeID] = []
      for id in node.inputs {
        guard let partner = partners[id] else { return nil }
        arguments.append(partner)
      }
      guard
        let match = byInputs[arguments]?.first(where: { !isTaken[$0] && isAlike(first[$0], node) })
      else { return nil }
      isTaken[match] = true
      partners[node.id] = match
    }
    for (a, b) in zip(first.outputs, second.outputs) where partners[b.node] != a.node { return nil }
    return partners
  }

  private static func isAlike(_ a: Node, _ b: Node) -> Bool {
    guard a.shape == b.shape, a.elementType == b.elementType else { return false }
    switch (a.operation, b.operation) {
    case (.affine(let p), .affine(let q)):
      return zip(p.maps, q.maps).allSatisfy {
        $0.inputShape == $1.inputShape && $0.outputShape == $1.outputShape
      }
    case (.constant, .constant): return true
    case (.elementwise(let p), .elementwise(let q)): return isSame(p, q)
    case (.product(let p), .product(let q)): return isSame(p, q)
    case (.selection(let p), .selection(let q)): return isSame(p, q)
    case (.discrete(let p), .discrete(let q)): return isSame(p, q)
    default: return false
    }
  }

  /// Operators are structures of numbers: equal types with equal descriptions, which hold every digit, are equal. A description
  /// does not show what a reference or a function holds; such operators are taken for different.
  private static func isSame(_ a: Any, _ b: Any) -> Bool {
    guard type(of: a) == type(of: b) else { return false }
    let text = String(reflecting: a)
    return !text.contains("Weight") && !text.contains("(Function)") && text == String(reflecting: b)
  }
}

/// One node of the second network with its counterpart.
private struct Pair {
  var node: Node
  var partner: Node
  /// The node of the builder that holds the first run's value.
  var value: NodeID
  var arguments: [Twin.Value?]

  /// A difference that may be none at all.
  struct Step {
    var node: NodeID?
  }

  private var name: String { "difference of \(node.name)" }

  /// nil if there is none in exact numbers.
  func difference(in builder: inout GraphBuilder) throws -> Step? {
    let x = arguments.compactMap { $0 }
    guard x.count == arguments.count else { return nil }
    switch (node.operation, partner.operation) {
    case (.constant(let b), .constant(let a)):
      guard let bias = Self.subtract(b, a) else { return nil }
      if bias.values.elements.allSatisfy({ $0 == 0 }) { return Step() }
      return Step(node: builder.constant(bias, type: node.elementType, name: name))
    case (.affine(let b), .affine(let a)): return try affine(b, a, x, in: &builder)
    case (.elementwise(let f), _):
      guard let d = x[0].difference else { return Step() }
      guard let difference = Difference(f, shape: node.shape) else { return try twice(x, in: &builder) }
      return Step(node: try builder.composite(difference, [x[0].first, d], name: name))
    case (.product(let form), _):
      var terms: [NodeID] = []
      if let d = x[0].difference { terms.append(try builder.product(form, d, x[1].first)) }
      if let d = x[1].difference { terms.append(try builder.product(form, x[0].first, d)) }
      if let d = x[0].difference, let e = x[1].difference { terms.append(try builder.product(form, d, e)) }
      if terms.isEmpty { return Step() }
      return Step(
        node: try builder.affine(terms.map { ($0, Reshape.identity(node.shape)) }, name: name))
    default:
      if x.allSatisfy({ $0.difference == nil }) { return Step() }
      return try twice(x, in: &builder)
    }
  }

  private func affine(_ b: Affine, _ a: Affine, _ x: [Twin.Value], in builder: inout GraphBuilder) throws
    -> Step?
  {
    var terms: [(node: NodeID, map: any LinearMap)] = []
    for (index, argument) in x.enumerated() {
      guard let maps = mapDifference(b.maps[index], from: a.maps[index]) else { return nil }
      if let d = argument.difference { terms.append((d, b.maps[index])) }
      terms += maps.map { (argument.first, $0) }
    }
    let zero = Weight(Tensor<Double>.zeros(node.shape))
    guard let bias = Self.subtract(b.bias ?? zero, a.bias ?? zero) else { return nil }
    let isZero = bias.values.elements.allSatisfy { $0 == 0 }
    if terms.isEmpty {
      return isZero ? Step() : Step(node: builder.constant(bias, type: node.elementType, name: name))
    }
    return Step(node: try builder.affine(terms, bias: isZero ? nil : bias, name: name))
  }

  /// The operation on the second run's own values, less the first run's.
  private func twice(_ x: [Twin.Value], in builder: inout GraphBuilder) throws -> Step? {
    let own = try x.map { argument -> NodeID in
      guard let d = argument.difference else { return argument.first }
      let copy = Reshape.identity(builder[d].shape)
      return try builder.affine([(argument.first, copy), (d, copy)])
    }
    let second = builder.append(
      node.operation, inputs: own, shape: node.shape, type: node.elementType, name: "second \(node.name)")
    return Step(
      node: try builder.affine(
        [(second, Reshape.identity(node.shape)), (value, Diagonal.negation(node.shape))], name: name))
  }

  /// b - a if that is exact.
  private static func subtract(_ b: Weight, _ a: Weight) -> Weight? {
    guard b.shape == a.shape else { return nil }
    var isExact = true
    let values = zip(b.values.elements, a.values.elements).map { q, p -> Double in
      let difference = q - p
      if difference + p != q || q - difference != p { isExact = false }
      return difference
    }
    return isExact ? Weight(Tensor(b.shape, values)) : nil
  }
}
