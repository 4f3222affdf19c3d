import Limits
import Tensors

/// What a value is and what each kind of operation does to it: the meaning an analysis gives to a graph.
///
/// Concrete tensors, intervals, linear forms, decompositions and logical terms are domains; the walk is always
/// `Graph.interpret`.
public protocol Domain {
  associatedtype Value

  mutating func constant(_ weight: Weight, at node: Node) throws -> Value
  mutating func affine(_ map: Affine, _ x: [Value], at node: Node) throws -> Value
  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Value, at node: Node) throws -> Value
  mutating func product(_ form: any BilinearForm, _ a: Value, _ b: Value, at node: Node) throws -> Value
  mutating func selection(_ s: Selection, _ x: [Value], at node: Node) throws -> Value
  mutating func discrete(_ f: any DiscreteFunction, _ x: [Value], at node: Node) throws -> Value
  /// The default interprets the expansion in this domain.
  mutating func composite(_ c: any Composite, _ x: [Value], at node: Node) throws -> Value
}

extension Domain {
  public mutating func composite(_ c: any Composite, _ x: [Value], at node: Node) throws -> Value {
    let graph = c.expansion
    let trace = try graph.interpret(x, in: &self)
    return trace.outputs[0]
  }
}

/// The values of a forward walk.
public struct Trace<Value> {
  /// By node; nil where the value was released or not computed.
  public var values: [Value?]
  /// In the order of the graph's outputs.
  public var outputs: [Value]
}

extension Graph {
  /// Walks the graph forward in a domain. Nodes that no output needs are skipped.
  ///
  /// - Parameters:
  ///   - inputs: one value per input node, in the graph's order.
  ///   - keepingAll: keep the value of every node that was computed; otherwise each is released after its last use.
  /// - Throws: `GraphError` if the number of inputs is wrong, `Stopped` when `Cancellation.current` says so, and what the
  ///   domain throws.
  public func interpret<D: Domain>(_ inputs: [D.Value], in domain: inout D, keepingAll: Bool = false) throws
    -> Trace<D.Value>
  {
    guard inputs.count == self.inputs.count else {
      throw GraphError(
        node: "inputs", reason: "the network has \(self.inputs.count) inputs, \(inputs.count) were given")
    }
    var values = [D.Value?](repeating: nil, count: nodes.count)
    for (id, value) in zip(self.inputs, inputs) { values[id] = value }
    var uses = useCounts
    let needed = ancestors(of: outputs.map(\.node))
    let cancellation = Cancellation.current
    for node in nodes where needed[node.id] && values[node.id] == nil {
      try cancellation?.check(storing: node.shape.count)
      var arguments: [D.Value] = []
      arguments.reserveCapacity(node.inputs.count)
      for id in node.inputs {
        // Inputs precede users and every needed node was computed, so only a missing graph input can be nil.
        guard let value = values[id] else {
          throw GraphError(node: nodes[id].name, reason: "the value is not available")
        }
        arguments.append(value)
      }
      values[node.id] = try domain.evaluate(node, arguments)
      if !keepingAll {
        for id in node.inputs {
          uses[id] -= 1
          if uses[id] == 0 { values[id] = nil }
        }
      }
    }
    let results = try outputs.map { output -> D.Value in
      guard let value = values[output.node] else {
        throw GraphError(node: output.name, reason: "the output is not available")
      }
      return value
    }
    return Trace(values: values, outputs: results)
  }
}

extension Domain {
  /// One step of the walk: the node's kind applied to its arguments.
  public mutating func evaluate(_ node: Node, _ x: [Value]) throws -> Value {
    switch node.operation {
    case .input: throw GraphError(node: node.name, reason: "no value was given for this input")
    case .constant(let weight): return try constant(weight, at: node)
    case .affine(let map): return try affine(map, x, at: node)
    case .elementwise(let f): return try elementwise(f, x[0], at: node)
    case .product(let form): return try product(form, x[0], x[1], at: node)
    case .selection(let s): return try selection(s, x, at: node)
    case .discrete(let f): return try discrete(f, x, at: node)
    case .composite(let c): return try composite(c, x, at: node)
    }
  }
}
