import IR
import Importers
import Limits
import Synchronization
import Tensors

/// Runs decompositions: many sources at once, in batches, over threads. No result depends on the batching.
public struct Decomposer: Sendable {
  public let plain: PlainRun
  public let settings: DecompositionSettings
  public let baseline: Baseline
  public let threads: Int
  /// Called with the number of finished sources; from any thread.
  public var progress: (@Sendable (Int) -> Void)?

  public init(
    _ plain: PlainRun, settings: DecompositionSettings, baseline: Baseline, threads: Int = 1,
    progress: (@Sendable (Int) -> Void)? = nil
  ) {
    self.plain = plain
    self.settings = settings
    self.baseline = baseline
    self.threads = max(1, threads)
    self.progress = progress
  }

  private var transformer: Transformer { plain.transformer }

  /// Both parts of a node, `[prompts * sources] + shape`, prompt-major.
  public struct Pair: Sendable {
    public var beta: Tensor<Double>
    public var gamma: Tensor<Double>
  }

  /// Which nodes of the decomposition are wanted.
  public struct Request: Sendable {
    public var nodes: [NodeID]
    public init(_ nodes: [NodeID]) { self.nodes = nodes }
  }

  /// The relevant parts at some nodes, after the sources were set, for every source.
  ///
  /// `body` gets, per source, the pairs of the nodes asked for; each tensor is `[prompts] + shape`. It is called from
  /// several threads.
  public func forEach<R: Sendable>(
    _ sources: [Source], reading nodes: [NodeID], _ body: @escaping @Sendable (Int, [Pair]) -> R
  ) throws -> [R] {
    if settings.biasRule == .reference { return try forEachExplicit(sources, reading: nodes, body).results }
    let graph = transformer.graph.withOutputs(nodes.map { Graph.Output(name: "\($0)", node: $0) })
    let chunks = self.chunks(sources, explicit: false)
    let results = Mutex([R?](repeating: nil, count: sources.count))
    try parallel(chunks.count) { index in
      let chunk = chunks[index]
      var domain = DecompositionDomain(
        plain: plain, settings: settings, baseline: baseline, sources: chunk.map { sources[$0] },
        watched: Set(nodes))
      let input = domain.input()
      _ = try graph.interpret([input], in: &domain)
      let values = nodes.map { expanded(domain.seen[$0] ?? .init(), domain, $0) }
      for (place, source) in chunk.enumerated() {
        let result = body(source, zip(nodes, values).map { pair($0, $1, place, chunk.count) })
        results.withLock { $0[source] = result }
      }
      progress?(chunk.count)
    }
    // Every source is in exactly one chunk, and parallel throws if a chunk failed.
    return results.withLock { $0.compactMap { $0 } }
  }

  /// β on all rows of a node.
  private func expanded(_ value: DecompositionDomain.Value, _ domain: DecompositionDomain, _ node: NodeID)
    -> Tensor<Double>
  {
    let shape = transformer.graph[node].shape
    let examples = plain.prompts * domain.sources
    guard let beta = value.beta else { return .zeros([examples] + shape) }
    if beta.count == examples * shape.count { return beta.reshaped([examples] + shape) }
    var full = Tensor<Double>.zeros([examples] + shape)
    let width = shape.dims.last ?? 1
    let count = beta.count / examples
    full.withMutablePointer { out in
      beta.withPointer { b in
        for r in 0..<examples {
          (out + r * shape.count + domain.start * width).update(from: b + r * count, count: count)
        }
      }
    }
    return full
  }

  /// The pair of one source of a chunk; γ is what the plain value leaves.
  private func pair(_ node: NodeID, _ beta: Tensor<Double>, _ place: Int, _ count: Int) -> Pair {
    let x = plain.value(node)
    let size = x.count / x.batch
    var b = Tensor<Double>.zeros(x.shape)
    var g = b
    for prompt in 0..<plain.prompts {
      let from = (prompt * count + place) * size
      for i in 0..<size {
        let value = beta.elements[from + i]
        b[flat: prompt * size + i] = value
        g[flat: prompt * size + i] = x.elements[prompt * size + i] - value
      }
    }
    return Pair(beta: b, gamma: g)
  }

  /// The same in the explicit two-stream form, with the largest conservation error met at any node.
  public func forEachExplicit<R: Sendable>(
    _ sources: [Source], reading nodes: [NodeID], _ body: @escaping @Sendable (Int, [Pair]) -> R
  ) throws -> (results: [R], conservationError: Double) {
    let graph = transformer.graph.withOutputs(nodes.map { Graph.Output(name: "\($0)", node: $0) })
    let prefix = try referencePrefix(sources, graph)
    let chunks = self.chunks(sources, explicit: true)
    let results = Mutex([R?](repeating: nil, count: sources.count))
    let worst = Mutex(0.0)
    try parallel(chunks.count) { index in
      let chunk = chunks[index]
      var domain = PairDomain(
        plain: plain, settings: settings, baseline: baseline, sources: chunk.map { sources[$0] },
        watched: Set(nodes), startsAtInput: prefix == nil, prefix: prefix)
      let input = domain.input()
      _ = try graph.interpret([input], in: &domain)
      for (place, source) in chunk.enumerated() {
        let pairs = nodes.map { node -> Pair in
          guard let value = domain.seen[node] else {
            let x = plain.value(node)
            return Pair(beta: .zeros(x.shape), gamma: x)
          }
          return Pair(
            beta: pick(value.beta, place, chunk.count), gamma: pick(value.gamma, place, chunk.count))
        }
        let result = body(source, pairs)
        results.withLock { $0[source] = result }
      }
      let error = domain.conservationError
      worst.withLock { if !(error <= $0) { $0 = error } }
      progress?(chunk.count)
    }
    return (results.withLock { $0.compactMap { $0 } }, worst.withLock { $0 })
  }

  private func pick(_ x: Tensor<Double>, _ place: Int, _ count: Int) -> Tensor<Double> {
    let parts = (0..<plain.prompts).map { x.example($0 * count + place) }
    return .concatenatingBatches(parts)
  }

  /// The reference implementation starts single nodes of a causal model from what the first node's own run left as
  /// activations, heads at all positions from the embeddings; the reference rule loses a little bias on the way, so this shows in the seventh digit.
  private func referencePrefix(_ sources: [Source], _ graph: Graph) throws -> [Tensor<Double>?]? {
    guard settings.biasRule == .reference, transformer.skipsEarlierPositions, sources.count > 1,
      sources.allSatisfy({ $0.isSingleNode })
    else { return nil }
    var domain = PairDomain(plain: plain, settings: settings, baseline: baseline, sources: [sources[0]])
    let input = domain.input()
    let trace = try graph.interpret([input], in: &domain, keepingAll: true)
    return trace.values.map { value in value.flatMap { $0 }.map { $0.beta + $0.gamma } }
  }

  /// Sources that are computed together: the same first position, and no more than fits the cache.
  private func chunks(_ sources: [Source], explicit: Bool) -> [[Int]] {
    let configuration = transformer.configuration
    let causal = transformer.skipsEarlierPositions
    var groups: [[Int]: [Int]] = [:]
    for (index, source) in sources.enumerated() {
      groups[[causal && !explicit ? source.firstPosition : 0], default: []].append(index)
    }
    var result: [[Int]] = []
    for key in groups.keys.sorted(by: { $0[0] < $1[0] }) {
      // Sources of one layer side by side, so that a chunk starts as late as it can.
      let members = (groups[key] ?? []).sorted {
        (sources[$0].firstLayer, $0) < (sources[$1].firstLayer, $1)
      }
      let rows = max(1, transformer.positions - key[0]) * plain.prompts
      let width = max(configuration.innerWidth, configuration.width)
      let fit = max(1, 160_000 / max(1, rows * width))
      var start = 0
      while start < members.count {
        var end = start
        let layer = sources[members[start]].firstLayer
        while end < members.count, end - start < fit, sources[members[end]].firstLayer == layer { end += 1 }
        result.append(Array(members[start..<end]))
        start = end
      }
    }
    return result
  }

  private func parallel(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    try runParallel(count, threads: threads, body)
  }
}

/// Runs `body` for 0..<count on at most `threads` threads; the first error (by index) is thrown.
func runParallel(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
  useSingleThreadedBLAS()
  let failure = Mutex<(index: Int, error: any Error)?>(nil)
  parallelFor(count, threads: threads) { index in
    do {
      try Cancellation.check()
      try body(index)
    } catch {
      failure.withLock { known in
        if let first = known, first.index <= index { return }
        known = (index, error)
      }
    }
  }
  if let first = failure.withLock({ $0 }) { throw first.error }
}
