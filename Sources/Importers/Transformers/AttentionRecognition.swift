import IR
import Operators
import Tensors

/// Scaled dot-product attention that a graph writes out: two products around a softmax.
struct RecognisedAttention {
  /// Elements of a node, arranged as `[positions, heads * headWidth]`.
  struct Arranged {
    var node: NodeID
    /// For every element of the arrangement the flat element of the node.
    var index: [Int32]
  }

  var query: Arranged
  var key: Arranged
  var value: Arranged
  /// The product of pattern and values, `[.., heads, positions, headWidth]`.
  var result: NodeID
  var positions: Int
  var heads: Int
  var headWidth: Int
  var scale: Double
  var isCausal: Bool
  var hidden: [Bool]
}

/// Finds attention in graphs of ONNX files, whatever order of transpositions, reshapes and scalings the exporter chose.
struct AttentionRecognition {
  let graph: Graph
  private let consumers: [[NodeID]]

  init(_ graph: Graph) {
    self.graph = graph
    var consumers = [[NodeID]](repeating: [], count: graph.nodes.count)
    for node in graph.nodes { for input in Set(node.inputs) { consumers[input].append(node.id) } }
    self.consumers = consumers
  }

  func consumers(of node: NodeID) -> [NodeID] { consumers[node] }

  /// All attention of the graph, in topological order.
  ///
  /// - Throws: `UnsupportedOperator` naming a softmax that looks like attention and is of an unknown kind.
  func all() throws -> [RecognisedAttention] {
    try graph.nodes.compactMap { node in
      guard case .composite(let composite) = node.operation, let softmax = composite as? Softmax,
        softmax.axis == node.shape.rank - 1
      else { return nil }
      return try attention(node)
    }
  }

  /// nil if the softmax is no pattern of attention.
  private func attention(_ softmax: Node) throws -> RecognisedAttention? {
    let shape = softmax.shape
    guard shape.rank >= 3, shape[shape.rank - 1] == shape[shape.rank - 2] else { return nil }
    let n = shape[shape.rank - 1]
    let heads = shape.count / (n * n)
    guard let (result, values) = try weighted(softmax), let (scores, product) = scores(softmax.inputs[0])
    else {
      return nil
    }
    let (left, right) = (graph[product].inputs[0], graph[product].inputs[1])
    let d = graph[left].shape.dims.last ?? 0
    let rows = [graph[left].shape, graph[values].shape]
    guard rows.allSatisfy({ $0.count == heads * n * d }), graph[right].shape.count == heads * n * d else {
      throw unsupported(softmax, "queries, keys and values of unlike sizes are not supported")
    }
    // Element (position, head, c) of [heads, positions, d] or, for keys, of [heads, d, positions].
    var byRow: [Int] = []
    var byColumn: [Int] = []
    for t in 0..<n {
      for h in 0..<heads {
        for c in 0..<d {
          byRow.append((h * n + t) * d + c)
          byColumn.append((h * d + c) * n + t)
        }
      }
    }
    func arranged(_ node: NodeID, _ order: [Int]) throws -> RecognisedAttention.Arranged {
      let (source, index) = movedFrom(node)
      guard !index.contains(-1) else { throw unsupported(softmax, "padded queries, keys or values") }
      return .init(node: source, index: order.map { index[$0] })
    }
    let pattern = try pattern(scores, softmax, heads, n)
    return RecognisedAttention(
      query: try arranged(left, byRow), key: try arranged(right, byColumn),
      value: try arranged(values, byRow),
      result: result, positions: n, heads: heads, headWidth: d, scale: pattern.scale,
      isCausal: pattern.isCausal, hidden: pattern.hidden)
  }

  private func unsupported(_ node: Node, _ reason: String) -> UnsupportedOperator {
    UnsupportedOperator(node, reason: "attention with \(reason)")
  }

  /// The product of the pattern with the values.
  private func weighted(_ softmax: Node) throws -> (result: NodeID, values: NodeID)? {
    let start = guarded(softmax.id) ?? softmax.id
    var node = start
    while true {
      guard consumers[node].count == 1, let next = consumers[node].first else { return nil }
      switch graph[next].operation {
      case .affine where moves(graph[next]) && graph[next].shape.count == softmax.shape.count:
        let (source, index) = movedFrom(next)
        guard source == start, index.indices.allSatisfy({ Int(index[$0]) == $0 }) else { return nil }
        node = next
      case .product(let form):
        guard form is MatrixProduct, graph[next].inputs[0] == node else { return nil }
        return (next, graph[next].inputs[1])
      default: return nil
      }
    }
  }

  /// The node `where(isnan(p), 0, p)` behind a pattern p, with which exporters guard rows that are masked throughout.
  ///
  /// A pattern is a number wherever a position is visible in every row, which ``pattern(_:_:_:_:)`` makes sure of.
  private func guarded(_ pattern: NodeID) -> NodeID? {
    consumers[pattern].first { id in
      guard case .discrete(let choice) = graph[id].operation, choice is Choice, graph[id].inputs.count == 3,
        graph[id].inputs[2] == pattern, graph[id].shape == graph[pattern].shape,
        case .constant(let other) = graph[graph[id].inputs[1]].operation,
        other.values.elements.allSatisfy({ $0 == 0 })
      else { return false }
      let test = graph[id].inputs[0]
      guard case .elementwise(let function) = graph[test].operation, function is IsNaN,
        graph[test].inputs == [pattern], consumers[test] == [id]
      else { return false }
      return Set(consumers[pattern]) == [id, test]
    }
  }

  /// The nodes between a softmax and the product of queries and keys, the one next to the softmax first.
  private func scores(_ start: NodeID) -> (chain: [NodeID], product: NodeID)? {
    var chain: [NodeID] = []
    var node = start
    while true {
      switch graph[node].operation {
      case .affine(let affine) where affine.maps.count == 1:
        chain.append(node)
        node = graph[node].inputs[0]
      case .product(let form): return form is MatrixProduct ? (chain, node) : nil
      default: return nil
      }
    }
  }

  /// What is done to the scores on their way to the softmax: a scale, and a mask by large negative numbers.
  private func pattern(_ chain: [NodeID], _ softmax: Node, _ heads: Int, _ n: Int) throws -> (
    scale: Double, isCausal: Bool, hidden: [Bool]
  ) {
    let count = heads * n * n
    func run(_ x: [Double]) throws -> [Double] {
      guard let last = chain.last else { return x }
      var value = Tensor<Double>([1] + graph[graph[last].inputs[0]].shape, x)
      for id in chain.reversed() {
        guard case .affine(let affine) = graph[id].operation else { break }
        value = affine.maps[0].apply(value)
        if let bias = affine.bias { value.addToEveryExample(bias.values) }
      }
      return value.elements
    }
    let bias = try run([Double](repeating: 0, count: count))
    let one = try run([Double](repeating: 1, count: count))
    let probe = (0..<count).map { Double($0 % 23) - 11 }
    let moved = try run(probe)
    guard bias.count == count else { throw unsupported(softmax, "scores of a changed size") }
    // Below this nothing of a weight is left in Double, whatever the scores of a sensible network.
    let masked = bias.map { $0 <= -1e4 }
    guard let first = masked.firstIndex(of: false) else { throw unsupported(softmax, "no visible position") }
    let scale = one[first] - bias[first]
    for i in 0..<count where !masked[i] {
      guard bias[i] == 0, abs(one[i] - scale) <= 1e-12 * abs(scale),
        abs(moved[i] - scale * probe[i]) <= 1e-9 * max(1, abs(moved[i]))
      else { throw unsupported(softmax, "scores that are more than scaled and masked are not supported") }
    }
    guard (0..<count).allSatisfy({ masked[$0] == masked[$0 % (n * n)] }) else {
      throw unsupported(softmax, "masks that differ between heads are not supported")
    }
    if !masked.contains(true) { return (scale, false, []) }
    func isMasked(_ i: Int, _ j: Int) -> Bool { masked[i * n + j] }
    let places = (0..<n * n).map { (i: $0 / n, j: $0 % n) }
    if places.allSatisfy({ isMasked($0.i, $0.j) == ($0.j > $0.i) }) { return (scale, true, []) }
    let hidden = (0..<n).map { isMasked(0, $0) }
    guard places.allSatisfy({ isMasked($0.i, $0.j) == hidden[$0.j] }) else {
      throw unsupported(softmax, "masks that are neither causal nor padding are not supported")
    }
    return (scale, false, hidden)
  }

  /// Whether a node only moves the elements of its input.
  func moves(_ node: Node) -> Bool {
    guard case .affine(let affine) = node.operation, affine.maps.count == 1, affine.bias == nil else {
      return false
    }
    return affine.maps[0].isCopy
  }

  /// The node whose elements a node holds in another order, and for every element of the node which one (-1: zero).
  func movedFrom(_ node: NodeID) -> (source: NodeID, index: [Int32]) {
    var chain: [NodeID] = []
    var source = node
    while moves(graph[source]) {
      chain.append(source)
      source = graph[source].inputs[0]
    }
    // Numbers from 1, so that 0 marks what is filled with zeros; exact in Double.
    let shape = graph[source].shape
    var x = Tensor<Double>([1] + shape, (0..<shape.count).map { Double($0 + 1) })
    for id in chain.reversed() {
      if case .affine(let affine) = graph[id].operation { x = affine.maps[0].apply(x) }
    }
    return (source, x.elements.map { Int32($0) - 1 })
  }
}
