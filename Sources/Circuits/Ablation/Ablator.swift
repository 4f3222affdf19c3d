import IR
import Importers
import Synchronization
import Tensors

/// Runs the model with heads replaced by their baselines, many variants at once.
public struct Ablator: Sendable {
  public let plain: PlainRun
  public let metric: Metric
  public let baseline: Baseline
  public let threads: Int
  /// Called with the number of finished variants; from any thread.
  public var progress: (@Sendable (Int) -> Void)?
  /// The metric of every prompt with nothing changed.
  public let clean: [Double]

  public init(
    _ plain: PlainRun, metric: Metric, baseline: Baseline, threads: Int = 1,
    progress: (@Sendable (Int) -> Void)? = nil
  ) {
    self.plain = plain
    var metric = metric
    let node = metric.node(plain.transformer)
    let value = plain.value(node)
    if metric.kind == .divergence, metric.reference == nil { metric.reference = value }
    self.metric = metric
    self.baseline = baseline
    self.threads = max(1, threads)
    self.progress = progress
    clean = metric.values(value)
  }

  private var transformer: Transformer { plain.transformer }

  /// The mean metric with nothing changed.
  public var full: Double { Self.mean(clean) }

  /// All nodes of the model on these prompts, in order.
  public var allNodes: [HeadNode] {
    CircuitUnit.all(
      layers: transformer.layers.count, positions: transformer.positions, heads: transformer.heads
    )
    .flatMap { $0.nodes(positions: transformer.positions) }
  }

  /// The mean metric with every node outside `circuit` replaced.
  public func metric(circuit: Set<HeadNode>) throws -> Double { try metrics(circuits: [circuit])[0] }

  /// The mean metric for each of some circuits.
  public func metrics(circuits: [Set<HeadNode>]) throws -> [Double] {
    let all = allNodes
    return try metrics(circuits.map { circuit in Patch(ablated: all.filter { !circuit.contains($0) }) })
      .map(Self.mean)
  }

  /// The mean metric with only some nodes replaced, for each of some sets.
  public func metrics(removing sets: [[HeadNode]]) throws -> [Double] {
    try metrics(sets.map { Patch(ablated: $0) }).map(Self.mean)
  }

  /// The metric of every prompt under each patch.
  func metrics(
    _ patches: [Patch], propagation: Propagation = .everywhere
  ) throws -> [[Double]] {
    let node = metric.node(transformer)
    let graph = transformer.graph.withOutputs([Graph.Output(name: "readout", node: node)])
    let chunks = chunks(patches)
    let results = Mutex([[Double]](repeating: [], count: patches.count))
    try runParallel(chunks.count, threads: threads) { index in
      let chunk = chunks[index]
      var domain = PatchedDomain(
        plain: plain, baseline: baseline, patches: chunk.map { patches[$0] }, propagation: propagation)
      let trace = try graph.interpret([nil], in: &domain)
      let value = trace.outputs[0]
      let numbers = value.map { metric.values(domain.whole($0, node)) }
      for (place, patch) in chunk.enumerated() {
        var own = clean
        // Where nothing changed the clean numbers hold, to the last bit.
        if let numbers, !patches[patch].nodes.isEmpty {
          own = (0..<plain.prompts).map { numbers[$0 * chunk.count + place] }
        }
        let result = own
        results.withLock { $0[patch] = result }
      }
      progress?(chunk.count)
    }
    return results.withLock { $0 }
  }

  /// Patches that are run together: they change the same first layer and position, and fit the cache.
  func chunks(_ patches: [Patch]) -> [[Int]] {
    var groups: [[Int]: [Int]] = [:]
    for (index, patch) in patches.enumerated() {
      let nodes = patch.nodes
      let layer = nodes.map(\.layer).min() ?? transformer.layers.count
      let position = nodes.map(\.position).min() ?? 0
      let many = nodes.contains { $0.position != position }
      groups[[layer, many ? -1 : position], default: []].append(index)
    }
    let configuration = transformer.configuration
    let rows = transformer.positions * plain.prompts * max(configuration.innerWidth, configuration.width)
    let fit = max(1, 200_000 / max(1, rows))
    var result: [[Int]] = []
    for key in groups.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      let members = groups[key] ?? []
      for start in stride(from: 0, to: members.count, by: fit) {
        result.append(Array(members[start..<min(start + fit, members.count)]))
      }
    }
    return result
  }

  static func mean(_ x: [Double]) -> Double { x.reduce(0, +) / Double(max(1, x.count)) }

  /// What replacing each unit alone costs: metric(all) - metric(without it), mean over prompts.
  public func importance(_ units: [CircuitUnit]) throws -> [Double] {
    let values = try metrics(removing: units.map { $0.nodes(positions: transformer.positions) })
    return values.map { full - $0 }
  }

  /// Path patching from each unit to the output (Wang et al., "Interpretability in the Wild", 2022): all other heads keep
  /// their clean z, MLPs and norms are recomputed; metric(clean) - metric(patched), mean over prompts.
  public func pathImportance(_ units: [CircuitUnit]) throws -> [Double] {
    let patches = units.map { Patch(ablated: $0.nodes(positions: transformer.positions)) }
    return try metrics(patches, propagation: .frozenHeads).map { full - Self.mean($0) }
  }

  /// The inputs of a head that a path may enter.
  public enum HeadInput: String, Sendable, Hashable, CaseIterable { case q, k, v }

  /// Path patching from each unit into one head's q, k or v at a position (nil: all positions), the head's change then
  /// running freely to the output.
  public func pathImportance(
    _ units: [CircuitUnit], to receiver: CircuitUnit, inputs: Set<HeadInput> = Set(HeadInput.allCases)
  ) throws -> [Double] {
    let layer = transformer.layers[receiver.layer]
    var held: Set<NodeID> = []
    if !inputs.contains(.q) { held.insert(layer.query) }
    if !inputs.contains(.k) { held.insert(layer.key) }
    if !inputs.contains(.v) { held.insert(layer.value) }
    let blocked = held
    let receivers = receiver.nodes(positions: transformer.positions)
    let earlier = units.filter { $0.layer < receiver.layer }
    let patches = earlier.map { Patch(ablated: $0.nodes(positions: transformer.positions)) }
    let graph = transformer.graph.withOutputs([Graph.Output(name: "z", node: layer.z)])
    let chunks = chunks(patches)
    let second = Mutex([Patch?](repeating: nil, count: patches.count))
    let d = transformer.headWidth
    try runParallel(chunks.count, threads: threads) { index in
      let chunk = chunks[index]
      var domain = PatchedDomain(
        plain: plain, baseline: baseline, patches: chunk.map { patches[$0] }, propagation: .frozenHeads,
        recorded: [layer.z], held: blocked)
      _ = try graph.interpret([nil], in: &domain)
      guard let record = domain.record[layer.z], !record.rows.isEmpty else { return }
      let z = domain.whole(record, layer.z)
      for (place, patch) in chunk.enumerated() {
        let replaced = receivers.map { node -> (node: HeadNode, values: [Double]) in
          var values: [Double] = []
          for prompt in 0..<plain.prompts {
            let row = (prompt * chunk.count + place) * transformer.positions + node.position
            let at = row * transformer.width + node.head * d
            values += z.elements[at..<at + d]
          }
          return (node, values)
        }
        second.withLock { $0[patch] = Patch(replaced: replaced) }
      }
    }
    let found = second.withLock { $0 }
    let changed = found.indices.filter { found[$0] != nil }
    let numbers = try metrics(changed.compactMap { found[$0] })
    var values: [CircuitUnit: Double] = [:]
    for (place, index) in changed.enumerated() { values[earlier[index]] = full - Self.mean(numbers[place]) }
    return units.map { values[$0] ?? 0 }
  }
}
