import Domains
import IR
import Tensors

/// Guaranteed bounds of the network's outputs over a region.
public struct BoundResult: Sendable {
  /// The method whose bounds these are.
  public var method: BoundMethod
  /// One per graph output: `[B] + shape`. With a specification, one interval `[B, rows]` of its rows instead.
  public var outputs: [Interval]
  /// Bounds of every node of `graph`, for those who look inside.
  public var nodes: [Interval?]
  /// The graph the nodes belong to: the given one with its composites expanded.
  public var graph: Graph
  /// For every output (or the specification) the linear functions of the inputs, if asked for.
  public var coefficients: [LinearBounds]

  /// lowerCoefficients . x + lowerConstant <= value <= upperCoefficients . x + upperConstant for x in the region.
  public struct LinearBounds: Sendable {
    /// By graph input, nil for one that is fixed: `[B, rows] + input shape`.
    public var lowerCoefficients: [Tensor<Double>?]
    public var upperCoefficients: [Tensor<Double>?]
    /// `[B, rows]`; all rounding is inside.
    public var lowerConstant: Tensor<Double>
    public var upperConstant: Tensor<Double>
  }

  public init(
    method: BoundMethod, outputs: [Interval], nodes: [Interval?], graph: Graph, coefficients: [LinearBounds]
  ) {
    self.method = method
    self.outputs = outputs
    self.nodes = nodes
    self.graph = graph
    self.coefficients = coefficients
  }
}

extension BoundResult {
  /// The node that first has an element without any bounds, which may be no number, among those that output `position`
  /// depends on; nil if all elements have bounds.
  public func unboundedNode(output position: Int) -> Node? {
    let needed = graph.ancestors(of: [graph.outputs[position].node])
    return graph.nodes.first { needed[$0.id] && (nodes[$0.id]?.mayBeNaN ?? false) }
  }

  /// Keeps the tighter bound of every output and node.
  mutating func intersect(_ other: BoundResult) {
    for position in outputs.indices {
      outputs[position] = outputs[position].intersection(other.outputs[position])
    }
    for id in nodes.indices {
      if let own = nodes[id], let theirs = other.nodes[id], own.shape == theirs.shape {
        nodes[id] = own.intersection(theirs)
      }
    }
  }
}

/// Linear functions of one output that are bounded instead of the output itself.
public struct OutputRows: Sendable {
  /// Which output.
  public var output: Int
  /// `[rows, elements of the flattened output]`.
  public var rows: Tensor<Double>

  public init(output: Int = 0, rows: Tensor<Double>) {
    self.output = output
    self.rows = rows
  }

  /// Label minus every other element of an output of `count` elements.
  public static func margins(label: Int, count: Int) -> OutputRows {
    let others = (0..<count).filter { $0 != label }
    var rows = Tensor<Double>.zeros([others.count, count])
    for (r, other) in others.enumerated() {
      rows[flat: r * count + label] = 1
      rows[flat: r * count + other] = -1
    }
    return OutputRows(rows: rows)
  }
}
