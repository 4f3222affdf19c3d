import Domains
import IR
import Importers
import Operators
import Tensors

/// Gradients on the shared backward walk, with the covectors of chosen nodes kept.
struct CapturingGradient: AdjointRule {
  typealias Covector = Tensor<Double>

  private var base: GradientRule<Double>
  /// Nodes whose covectors are kept on the way.
  let watched: Set<NodeID>
  /// Nodes at which the walk ends.
  let ends: Set<NodeID>
  private(set) var captured: [NodeID: Tensor<Double>] = [:]

  init(_ trace: Trace<AnyTensor>, watched: Set<NodeID>, ends: Set<NodeID> = []) {
    base = GradientRule<Double>(trace)
    self.watched = watched
    self.ends = ends
  }

  func isLeaf(_ node: Node) -> Bool { ends.contains(node.id) }

  private mutating func note(_ node: Node, _ c: Tensor<Double>) {
    if watched.contains(node.id) || ends.contains(node.id) { captured[node.id] = c }
  }

  mutating func leaf(_ node: Node, _ c: Tensor<Double>) throws { note(node, c) }

  mutating func affine(_ map: Affine, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    note(node, c)
    return try base.affine(map, c, at: node)
  }
  mutating func elementwise(_ f: any ElementwiseFunction, _ c: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>?
  {
    note(node, c)
    return try base.elementwise(f, c, at: node)
  }
  mutating func product(_ form: any BilinearForm, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    note(node, c)
    return try base.product(form, c, at: node)
  }
  mutating func selection(_ s: Selection, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    note(node, c)
    return try base.selection(s, c, at: node)
  }
  mutating func discrete(_ f: any DiscreteFunction, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    note(node, c)
    return try base.discrete(f, c, at: node)
  }
  mutating func composite(_ composite: any Composite, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    note(node, c)
    return try base.composite(composite, c, at: node)
  }
  mutating func merge(_ a: Tensor<Double>, _ b: Tensor<Double>, at node: Node) throws -> Tensor<Double> {
    a + b
  }
}

/// First-order estimates of what replacing a node or an edge would cost (Nanda, "Attribution Patching", 2023; Syed et
/// al., "Attribution Patching Outperforms Automated Circuit Discovery", 2023).
public struct AttributionPatching: Sendable {
  public let transformer: Transformer
  public let embeddings: Tensor<Double>
  public let metric: Metric
  public let baseline: Baseline

  /// - Parameter embeddings: the clean prompts, `[prompts, positions, width]`.
  public init(_ transformer: Transformer, embeddings: Tensor<Double>, metric: Metric, baseline: Baseline) {
    self.transformer = transformer
    self.embeddings = embeddings
    self.metric = metric
    self.baseline = baseline
  }

  private func trace(_ input: Tensor<Double>) throws -> Trace<AnyTensor> {
    var domain = ConcreteDomain(.float64)
    return try transformer.graph.interpret([.double(input)], in: &domain, keepingAll: true)
  }

  private func gradients(_ trace: Trace<AnyTensor>, at nodes: Set<NodeID>) throws -> [NodeID: Tensor<Double>]
  {
    var rule = CapturingGradient(trace, watched: nodes)
    // The metric is the mean over prompts.
    let count = Double(metric.directions.batch)
    try transformer.graph.pullBack([(metric.readout, metric.directions.map { $0 / count })], rule: &rule)
    return rule.captured
  }

  /// `(z_clean - m) · ∂metric/∂z` of every node, summed over prompts; the metric is the mean over prompts.
  ///
  /// - Parameters:
  ///   - corrupted: the corrupted prompts' embeddings; with `steps` > 0 gradients are averaged along the straight path
  ///     from them to the clean ones (integrated gradients, midpoint rule).
  /// - Returns: one number per node in the order (layer, position, head).
  public func nodeScores(corrupted: Tensor<Double>? = nil, steps: Int = 0) throws -> [Double] {
    let zNodes = Set(transformer.layers.map(\.z))
    let clean = try trace(embeddings)
    var sums: [NodeID: Tensor<Double>] = [:]
    if let corrupted, steps > 0 {
      for step in 0..<steps {
        let share = (Double(step) + 0.5) / Double(steps)
        let input = Tensor<Double>(writing: embeddings.shape) { out in
          for i in 0..<embeddings.count {
            out[i] = corrupted.elements[i] + share * (embeddings.elements[i] - corrupted.elements[i])
          }
        }
        for (node, gradient) in try gradients(trace(input), at: zNodes) {
          let part = gradient.map { $0 / Double(steps) }
          sums[node] = sums[node].map { $0 + part } ?? part
        }
      }
    } else {
      sums = try gradients(clean, at: zNodes)
    }
    let width = transformer.width
    let d = transformer.headWidth
    var result: [Double] = []
    for (layer, nodes) in transformer.layers.enumerated() {
      guard let z = clean.values[nodes.z]?.float64 else { continue }
      let gradient = sums[nodes.z] ?? .zeros(z.shape)
      for position in 0..<transformer.positions {
        for head in 0..<transformer.heads {
          let node = HeadNode(layer, position, head)
          var score = 0.0
          for prompt in 0..<z.batch {
            let at = (prompt * transformer.positions + position) * width + head * d
            let from = baseline.offset(node, prompt: prompt)
            for i in 0..<d {
              score +=
                (z.elements[at + i] - baseline.layers[layer].elements[from + i]) * gradient.elements[at + i]
            }
          }
          result.append(score)
        }
      }
    }
    return result
  }

  /// The score of an edge from a head to another head's input, or to the output.
  public struct Edge: Sendable, Hashable {
    public var layer: Int
    public var head: Int
    /// nil: the output.
    public var receiver: Receiver?
    public var score: Double

    public struct Receiver: Sendable, Hashable {
      public var layer: Int
      public var head: Int
      public var input: Ablator.HeadInput
    }
  }

  /// Edge attribution: `(r_clean - r_baseline) · ∂metric/∂(receiver's input)`, r the sender's contribution to the
  /// residual stream; summed over prompts, positions and features. The metric is the mean over prompts.
  ///
  /// - Throws: `UnsupportedOperator` for models whose blocks end in a norm: their residual stream is not a sum of
  ///   contributions.
  public func edgeScores() throws -> [Edge] {
    guard transformer.configuration.family == .gpt2, !transformer.isRecognised else {
      throw UnsupportedOperator(
        node: "config.json", operatorName: "post-norm block",
        reason: "edge attribution needs the GPT-2 family: a residual stream that is a sum of what heads write"
      )
    }
    let clean = try trace(embeddings)
    var wanted = Set(transformer.layers.flatMap { [$0.query, $0.key, $0.value] })
    // The final residual stream, over which the output's gradient is taken.
    let last = transformer.graph[transformer.final].inputs[0]
    wanted.insert(last)
    let gradients = try gradients(clean, at: wanted)
    let contributions = contributions(clean)
    let heads = transformer.heads
    let d = transformer.headWidth
    var edges: [Edge] = []
    for layer in transformer.layers.indices {
      for head in 0..<heads {
        let sender = contributions[layer][head]
        var toOutput = 0.0
        if let gradient = gradients[last] { toOutput = dot(sender, gradient) }
        edges.append(Edge(layer: layer, head: head, receiver: nil, score: toOutput))
      }
    }
    for (layer, nodes) in transformer.layers.enumerated() where layer > 0 {
      for (input, node) in [(Ablator.HeadInput.q, nodes.query), (.k, nodes.key), (.v, nodes.value)] {
        guard let gradient = gradients[node] else { continue }
        for head in 0..<heads {
          // What reaches the stream through this head's columns alone.
          var part = Tensor<Double>.zeros(gradient.shape)
          let rows = gradient.count / transformer.width
          for row in 0..<rows {
            let at = row * transformer.width + head * d
            for i in 0..<d { part[flat: at + i] = gradient.elements[at + i] }
          }
          var rule = CapturingGradient(clean, watched: [], ends: [nodes.input])
          try transformer.graph.pullBack([(node, part)], rule: &rule)
          guard let flow = rule.captured[nodes.input] else { continue }
          for sender in 0..<layer {
            for h in 0..<heads {
              edges.append(
                Edge(
                  layer: sender, head: h,
                  receiver: Edge.Receiver(layer: layer, head: head, input: input),
                  score: dot(contributions[sender][h], flow)))
            }
          }
        }
      }
    }
    return edges
  }

  /// A dot product; a gradient of one row belongs to the last position.
  private func dot(_ r: Tensor<Double>, _ gradient: Tensor<Double>) -> Double {
    let width = transformer.width
    if gradient.count == r.count {
      return zip(r.elements, gradient.elements).reduce(0) { $0 + $1.0 * $1.1 }
    }
    var sum = 0.0
    for prompt in 0..<r.batch {
      let at = (prompt * transformer.positions + transformer.positions - 1) * width
      for i in 0..<width { sum += r.elements[at + i] * gradient.elements[prompt * width + i] }
    }
    return sum
  }

  /// By layer and head: (z - m) W_O, `[prompts, positions, width]`.
  private func contributions(_ clean: Trace<AnyTensor>) -> [[Tensor<Double>]] {
    let width = transformer.width
    let d = transformer.headWidth
    return transformer.layers.enumerated().map { layer, nodes in
      guard let z = clean.values[nodes.z]?.float64 else { return [] }
      return (0..<transformer.heads).map { head in
        var deviation = Tensor<Double>.zeros([z.count / width, d])
        for row in 0..<z.count / width {
          let (prompt, position) = row.quotientAndRemainder(dividingBy: transformer.positions)
          let from = baseline.offset(HeadNode(layer, position, head), prompt: prompt)
          for i in 0..<d {
            deviation[flat: row * d + i] =
              z.elements[row * width + head * d + i] - baseline.layers[layer].elements[from + i]
          }
        }
        return Tensor(writing: z.shape) { out in
          deviation.withPointer { x in
            nodes.projection.values.withPointer { w in
              addProduct(
                rows: z.count / width, k: d, n: width, x, w + head * d * width, transposed: false,
                accumulate: false, out)
            }
          }
        }
      }
    }
  }
}
