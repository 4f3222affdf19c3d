import Domains
import IR
import Tensors

extension Graph {
  /// Bounds of the outputs, or of linear functions of one output, over a region.
  ///
  /// - Parameters:
  ///   - region: one set per input; all sets have the same batch or a batch of 1.
  ///   - rows: bound these rows instead of the outputs.
  /// - Returns: bounds that hold for the real-valued network on the stored weights (or the float32 network, by
  ///   `options.arithmetic`), all rounding included.
  /// - Throws: `GraphError` for a region that does not fit; `UnsupportedOperator` for operators without a meaning in
  ///   the method.
  public func bounds(over region: Region, rows: OutputRows? = nil, _ options: BoundOptions = BoundOptions())
    throws
    -> BoundResult
  {
    try region.validate(for: self)
    useSingleThreadedBLAS()
    let batch = region.batch
    let region = Region(region.inputs.map { $0.repeatedBatch(batch) })
    let expanded = expandingComposites().graph
    return try BoundProblem(graph: expanded, region: region, rows: rows, options: options).solve()
  }
}

extension InputSet {
  func repeatedBatch(_ batch: Int) -> InputSet {
    switch self {
    case .fixed(let value): .fixed(value.repeatedBatch(batch))
    case .box(let lower, let upper):
      .box(lower: lower.repeatedBatch(batch), upper: upper.repeatedBatch(batch))
    case .ball(let center, let radius, let norm):
      .ball(center: center.repeatedBatch(batch), radius: radius, norm: norm)
    }
  }
}

/// One call: a graph without composites, a region, what to bound and how.
struct BoundProblem {
  let graph: Graph
  let region: Region
  let rows: OutputRows?
  let options: BoundOptions

  /// What is bounded at the end: a node and rows on it.
  private var targets: [(node: NodeID, rows: Tensor<Double>?)] {
    if let rows { return [(graph.outputs[rows.output].node, rows.rows)] }
    return graph.outputs.map { ($0.node, nil) }
  }

  func solve() throws -> BoundResult {
    switch options.method {
    case .ibp: try single(.none, .ibp)
    case .forward: try single(.forward, .forward)
    case .crownIBP: try single(.none, .crownIBP)
    case .forwardCrown: try single(.forward, .forwardCrown)
    case .crown: try single(.backward, .crown)
    case .alphaCrown, .best: try single(.backward, .crown)
    }
  }

  private func single(_ tightening: BoundEngine.Tightening, _ method: BoundMethod) throws -> BoundResult {
    var engine = BoundEngine(graph: graph, region: region, options: options, tightening: tightening)
    try engine.run()
    return try finish(engine, method)
  }

  /// The final bounds on an engine that has run.
  func finish(_ engine: BoundEngine, _ method: BoundMethod) throws -> BoundResult {
    var result = BoundResult(
      method: method, outputs: [], nodes: engine.intervals, graph: graph, coefficients: [])
    for (node, rows) in targets {
      var bound = try intervalBounds(engine, node, rows)
      if method == .forward, engine.varies[node] {
        let own = try forwardBounds(engine, node, rows)
        bound = options.isPlain ? own : bound.intersection(own)
      }
      if method != .ibp && method != .forward {
        let (own, coefficients) = try backwardBounds(engine, node, rows)
        bound = options.isPlain ? own : bound.intersection(own)
        if let coefficients { result.coefficients.append(coefficients) }
      } else if options.keepsCoefficients {
        // Intervals and forward bounds have no backward coefficients; constants are what they know.
        let count = rows?.shape[0] ?? graph[node].shape.count
        result.coefficients.append(
          BoundResult.LinearBounds(
            lowerCoefficients: graph.inputs.map { _ in nil },
            upperCoefficients: graph.inputs.map { _ in nil },
            lowerConstant: bound.lower.reshaped([region.batch, count]),
            upperConstant: bound.upper.reshaped([region.batch, count])))
      }
      result.outputs.append(bound)
    }
    return result
  }

  private func full(_ interval: Interval) -> Interval { interval.repeatedBatch(region.batch) }

  /// Interval bounds of the output. Without `--plain` (or with rows, or balls) the affine tail is taken in one piece:
  /// rows are pulled back to the last relaxed nodes, which is never looser than node by node.
  private func intervalBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: Tensor<Double>?) throws
    -> Interval
  {
    let own = full(try engine.interval(node))
    guard engine.varies[node] else {
      guard let rows else { return own }
      return try tail(engine, node, rows)
    }
    let isBall = region.inputs.contains { if case .ball = $0 { true } else { false } }
    if rows == nil && options.isPlain && !isBall { return own }
    let bounds = try tail(engine, node, rows)
    return rows == nil ? own.intersection(bounds) : bounds
  }

  private func tail(_ engine: BoundEngine, _ node: NodeID, _ rows: Tensor<Double>?) throws -> Interval {
    let ends = graph.nodes.map { node -> Bool in
      switch node.operation {
      case .affine, .input: return !engine.varies[node.id]
      default: return true
      }
    }
    let shape = rows.map { Shape([region.batch, $0.shape[0]]) } ?? ([region.batch] + graph[node].shape)
    let (interval, _) = try pull(engine, node, rows, ends: ends, keepsCoefficients: false)
    return interval.reshaped(shape)
  }

  private func backwardBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: Tensor<Double>?) throws -> (
    Interval, BoundResult.LinearBounds?
  ) {
    let shape = rows.map { Shape([region.batch, $0.shape[0]]) } ?? ([region.batch] + graph[node].shape)
    let (interval, coefficients) = try pull(
      engine, node, rows, ends: [], keepsCoefficients: options.keepsCoefficients)
    return (interval.reshaped(shape), coefficients)
  }

  /// One backward walk per block of rows.
  private func pull(
    _ engine: BoundEngine, _ node: NodeID, _ rows: Tensor<Double>?, ends: [Bool], keepsCoefficients: Bool
  ) throws -> (Interval, BoundResult.LinearBounds?) {
    let count = rows?.shape[0] ?? graph[node].shape.count
    let batch = region.batch
    let starts = Array(stride(from: 0, to: count, by: BoundEngine.blockSize))
    let blocks = try parallelMap(starts.count, threads: options.threads) { index -> Block in
      let start = starts[index]
      let size = min(BoundEngine.blockSize, count - start)
      var rule = engine.crownRule(rows: size * batch, ends: ends, keepsCoefficients: keepsCoefficients)
      let seed: Covector
      if let rows {
        let block = rows.examples(start..<(start + size)).reshaped([size] + graph[node].shape)
        seed = .same(batch == 1 ? block : .concatenatingBatches((0..<batch).map { _ in block }))
      } else {
        seed = .units(Array(start..<(start + size)))
      }
      try graph.pullBack([(node, seed)], rule: &rule)
      return Block(
        start: start, size: size, bounds: rule.bounds, linear: keepsCoefficients ? rule.linearBounds : nil)
    }
    var lower = Tensor<Double>.zeros([batch, count])
    var upper = lower
    for block in blocks {
      for b in 0..<batch {
        for r in 0..<block.size {
          lower[flat: b * count + block.start + r] = block.bounds.lower[b * block.size + r]
          upper[flat: b * count + block.start + r] = block.bounds.upper[b * block.size + r]
        }
      }
    }
    let interval = Interval(lower: lower, upper: upper)
    return (interval, keepsCoefficients ? join(blocks, count) : nil)
  }

  private struct Block: Sendable {
    var start: Int
    var size: Int
    var bounds: (lower: [Double], upper: [Double])
    var linear: CrownRule.Linear?
  }

  private func join(_ blocks: [Block], _ count: Int) -> BoundResult.LinearBounds {
    let batch = region.batch
    var lowerConstant = Tensor<Double>.zeros([batch, count])
    var upperConstant = lowerConstant
    var lowers: [Tensor<Double>?] = graph.inputs.map { _ in nil }
    var uppers = lowers
    for block in blocks {
      guard let linear = block.linear else { continue }
      for b in 0..<batch {
        for r in 0..<block.size {
          lowerConstant[flat: b * count + block.start + r] = linear.lowerConstant[b * block.size + r]
          upperConstant[flat: b * count + block.start + r] = linear.upperConstant[b * block.size + r]
        }
      }
      for (position, id) in graph.inputs.enumerated() {
        guard let (low, high) = linear.coefficients[id] else { continue }
        let n = graph[id].shape.count
        let shape: Shape = [batch, count] + graph[id].shape
        var lowerRows = lowers[position] ?? Tensor.zeros(shape)
        var upperRows = uppers[position] ?? Tensor.zeros(shape)
        for b in 0..<batch {
          for r in 0..<block.size {
            for i in 0..<n {
              let at = (b * count + block.start + r) * n + i
              lowerRows[flat: at] = low[flat: (b * block.size + r) * n + i]
              upperRows[flat: at] = high[flat: (b * block.size + r) * n + i]
            }
          }
        }
        lowers[position] = lowerRows
        uppers[position] = upperRows
      }
    }
    return BoundResult.LinearBounds(
      lowerCoefficients: lowers, upperCoefficients: uppers, lowerConstant: lowerConstant,
      upperConstant: upperConstant)
  }

  private func forwardBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: Tensor<Double>?) throws
    -> Interval
  {
    let shape = rows.map { Shape([region.batch, $0.shape[0]]) } ?? ([region.batch] + graph[node].shape)
    guard let bounds = try engine.formBounds(node, rows: rows) else { return full(try engine.interval(node)) }
    return bounds.reshaped(shape)
  }
}
