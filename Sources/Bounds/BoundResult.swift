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

  /// Keeps the tighter bound of every output and node, and the other's linear functions if asked to.
  mutating func intersect(_ other: BoundResult, coefficients keepsOther: Bool = false) {
    if keepsOther { coefficients = other.coefficients }
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
  private let content: Content

  private enum Content: Sendable {
    /// `[rows, elements of the flattened output]`.
    case matrix(Tensor<Double>)
    /// A label minus every other element of so many; the matrix is never formed as a whole.
    case margins(label: Int, count: Int)
  }

  /// - Parameter rows: `[rows, elements of the flattened output]`.
  public init(output: Int = 0, rows: Tensor<Double>) {
    self.output = output
    content = .matrix(rows)
  }

  private init(label: Int, count: Int) {
    output = 0
    content = .margins(label: label, count: count)
  }

  /// Label minus every other element of an output of `count` elements.
  public static func margins(label: Int, count: Int) -> OutputRows { OutputRows(label: label, count: count) }

  /// How many there are.
  public var count: Int {
    switch content {
    case .matrix(let rows): rows.shape[0]
    case .margins(_, let count): count - 1
    }
  }

  /// The coefficients of some of them, `[range.count, elements]`.
  func block(_ range: Range<Int>) -> Tensor<Double> {
    switch content {
    case .matrix(let rows): return rows.examples(range)
    case .margins(let label, let count):
      var rows = Tensor<Double>.zeros([range.count, count])
      for (r, row) in range.enumerated() {
        rows[flat: r * count + label] = 1
        rows[flat: r * count + (row < label ? row : row + 1)] = -1
      }
      return rows
    }
  }

  /// Whether a row has a coefficient on any of the marked elements.
  func reads(_ row: Int, anyOf marked: [Bool]) -> Bool {
    switch content {
    case .margins(let label, _): return marked[label] || marked[row < label ? row : row + 1]
    case .matrix(let rows):
      let n = rows.shape[1]
      return marked.indices.contains { marked[$0] && rows[flat: row * n + $0] != 0 }
    }
  }

  /// The values at `x`, of so many elements each; plain arithmetic.
  func values(_ x: UnsafePointer<Double>) -> [Double] {
    switch content {
    case .margins(let label, let count):
      return (0..<(count - 1)).map { x[label] - x[$0 < label ? $0 : $0 + 1] }
    case .matrix(let rows):
      let n = rows.shape[1]
      return rows.withPointer { a in
        (0..<rows.shape[0]).map { r in
          var sum = 0.0
          for i in 0..<n { sum += a[r * n + i] * x[i] }
          return sum
        }
      }
    }
  }
}
