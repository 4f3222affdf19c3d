import Domains
import IR
import Operators
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
    try checkRounding(options.arithmetic)
    var options = options
    if options.isPlain && options.slope == .adaptive { options.slope = .strictlyAdaptive }
    useSingleThreadedBLAS()
    let batch = region.batch
    let region = Region(region.inputs.map { $0.repeatedBatch(batch) })
    let (expanded, enclosures) = expandedForBounds(options.arithmetic)
    return try BoundProblem(
      graph: expanded, enclosures: enclosures, region: region, rows: rows, options: options
    ).solve()
  }
}

extension Graph {
  /// Composites that offer lines stay whole (for float32, if they know what their kernels may be off by); the others are
  /// expanded, but what they know of their bounds is kept.
  func expandedForBounds(_ arithmetic: Arithmetic) -> (graph: Graph, enclosures: [NodeID: Enclosure]) {
    let (expanded, mapping) = expandingComposites { composite in
      guard let whole = composite as? any RelaxedComposite, whole.offersLines else { return false }
      return arithmetic == .real || whole.deployed != nil
    }
    var enclosures: [NodeID: Enclosure] = [:]
    for node in nodes {
      guard case .composite(let composite) = node.operation, let known = composite as? any RelaxedComposite,
        !known.offersLines
      else { continue }
      enclosures[mapping[node.id]] = Enclosure(composite: known, inputs: node.inputs.map { mapping[$0] })
    }
    return (expanded, enclosures)
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
  let enclosures: [NodeID: Enclosure]
  let region: Region
  let rows: OutputRows?
  var options: BoundOptions

  /// What is bounded at the end: a node and rows on it.
  private var targets: [(node: NodeID, rows: OutputRows?)] {
    if let rows { return [(graph.outputs[rows.output].node, rows)] }
    return graph.outputs.map { ($0.node, nil) }
  }

  func solve() throws -> BoundResult {
    try checkColumns()
    return switch options.method {
    case .ibp: try single(.none, .ibp)
    case .forward: try single(.forward, .forward)
    case .crownIBP: try single(.none, .crownIBP)
    case .forwardCrown: try single(.forward, .forwardCrown)
    case .crown: try single(.backward, .crown)
    case .alphaCrown: try alphaCrown()
    case .best: try best()
    }
  }

  /// Optimised intermediate bounds choose other lines, which are not tighter in every direction: CROWN's own result counts
  /// too, and is the first to be known.
  private func alphaCrown() throws -> BoundResult {
    guard !options.isPlain else { return try optimized().result }
    var lean = self
    lean.options.keepsCoefficients = false
    let crown = try lean.single(.backward, .crown)
    options.progress?(crown)
    var result = try optimized().result
    result.intersect(crown)
    return result
  }

  /// CROWN, then every row once more with slopes of its own; with `optimizes`, intermediate values too.
  private func optimized(optimizes: Bool = true) throws -> (result: BoundResult, tightenedRows: Int) {
    let engine = try ran(.backward, optimizes: optimizes)
    var result = try finish(engine, .alphaCrown)
    let relaxed = RelaxedGraph(engine)
    for (position, target) in targets.enumerated()
    where engine.varies[target.node] && SlopeOptimizer.hasChoice(relaxed, target: target.node) {
      let (interval, coefficients) = try optimize(engine, relaxed, target.node, target.rows)
      let shaped = interval.reshaped(result.outputs[position].shape)
      let bound = options.isPlain ? shaped : result.outputs[position].intersection(shaped)
      result.outputs[position] = try sealed(bound, engine, target.node, target.rows)
      if let coefficients { result.coefficients[position] = coefficients }
    }
    return (result, engine.tightenedRows)
  }

  /// The work of walks in coefficient elements: every row walks the whole graph.
  private static func work(rows: Int, _ graph: Graph) -> Double {
    Double(rows) * Double(graph.nodes.reduce(0) { $0 + $1.shape.count })
  }

  /// The work of one step of slope optimisation: every row walks the graph backward and forward on both sides, and every
  /// curved activation gets a line of its own, which costs as much as some fifty coefficients.
  private func stepWork(rows: Int, _ engine: BoundEngine) -> Double {
    let curved = graph.nodes.reduce(0) { sum, node in
      guard case .elementwise(let f) = node.operation, f.pieces == nil, !(f is any PiecewiseFunction),
        engine.varies[node.id]
      else { return sum }
      return sum + node.shape.count
    }
    return Self.work(rows: rows, graph) + 50 * Double(2 * rows) * Double(curved)
  }

  /// Up to this much work (about a second on one core) `best` runs every method in full; beyond, it spends no more
  /// than a few CROWN passes.
  private static let smallWork = 2e7

  /// Beyond this much work (some minutes to hours on one core) `best` leaves a walk out.
  private static let largestWork = 1e11

  /// Columns that a forward pass has at least: elements of perturbed inputs.
  private var columns: Int {
    zip(graph.inputs, region.inputs).reduce(0) { sum, pair in
      sum + (pair.1.isPerturbed ? graph[pair.0].shape.count : 0)
    }
  }

  /// The most coefficients of one node that a forward pass may carry: 16 GB of one side.
  private static let largestForm = 0x1p31

  /// Refuses forward bounds that no memory holds.
  private func checkColumns() throws {
    guard options.method == .forward || options.method == .forwardCrown else { return }
    let widest = graph.nodes.map(\.shape.count).max() ?? 0
    guard Double(columns) * Double(widest) * Double(region.batch) <= Self.largestForm else {
      throw GraphError(
        node: "inputs",
        reason:
          "\(options.method.rawValue) carries a coefficient for each of \(columns) input elements and each of"
          + " up to \(widest) values; another method needs less memory")
    }
  }

  /// Rows of the final walks; outputs whose intervals cannot be improved need none.
  private func outputRows(_ engine: BoundEngine) -> Int {
    targets.reduce(0) { sum, target in
      if let rows = target.rows { return sum + rows.count }
      return needsWalk(engine, target.node) ? sum + graph[target.node].shape.count : sum
    }
  }

  /// The intersection of what the methods give, intervals first. What runs depends on sizes and intervals only, so results
  /// do not depend on the machine.
  private func best() throws -> BoundResult {
    var lean = self
    lean.options.keepsCoefficients = false
    // What every network can afford comes first, for those who cannot wait for the rest.
    let intervals = try ran(.none, usesLines: false)
    var result = try finish(intervals, .ibp)
    result.method = .best
    options.progress?(result)
    let batch = Double(region.batch)
    let outputRows = outputRows(intervals)
    let outputWork = Self.work(rows: outputRows, graph) * batch
    if outputRows == 0 && !options.keepsCoefficients && !options.boundsEveryNode { return result }
    let passWork = intervals.passWork() * batch
    let isTooLarge = passWork + outputWork > Self.largestWork
    // Where CROWN has nothing to tighten, this would be the same.
    if outputWork <= Self.largestWork && passWork > 0 {
      result.intersect(try single(.none, .crownIBP), coefficients: true)
      options.progress?(result)
    }
    if isTooLarge { return result }
    let crown = try ran(.backward)
    let passRows = max(1, crown.tightenedRows + outputRows)
    // In full means steps for every row.
    let isSmall = stepWork(rows: passRows, crown) * batch <= Self.smallWork
    result.intersect(try crownResult(crown, .backward, .crown), coefficients: true)
    options.progress?(result)
    var optimizedProblem = self
    if !isSmall {
      let steps = Self.work(rows: passRows, graph) / stepWork(rows: max(1, outputRows), crown)
      optimizedProblem.options.iterations = min(options.iterations, Int(min(steps, 1e6)))
    }
    let relaxed = RelaxedGraph(crown)
    let hasChoice = targets.contains {
      crown.varies[$0.node] && SlopeOptimizer.hasChoice(relaxed, target: $0.node)
    }
    if hasChoice && (isSmall || optimizedProblem.options.iterations > 0) {
      result.intersect(try optimizedProblem.optimized(optimizes: isSmall).result, coefficients: true)
      options.progress?(result)
    }
    // A forward pass carries one column per element of an input that varies; a CROWN pass one row per bounded element.
    let columns = graph.inputs.reduce(0) { $0 + (crown.varies[$1] ? graph[$1].shape.count : 0) }
    var cheaper: [(BoundEngine.Tightening, BoundMethod)] = []
    let forwardWork = Self.work(rows: columns, graph) * batch
    if forwardWork <= Self.smallWork || !isSmall && columns <= 2 * passRows {
      cheaper += [(.forward, .forward)] + (crown.tightenedRows > 0 ? [(.forward, .forwardCrown)] : [])
    }
    var engines: [BoundEngine.Tightening: BoundEngine] = [:]
    for (tightening, method) in cheaper {
      let engine = try engines[tightening] ?? lean.ran(tightening)
      engines[tightening] = engine
      result.intersect(try lean.crownResult(engine, tightening, method))
      options.progress?(result)
    }
    return result
  }

  private func optimize(
    _ engine: BoundEngine, _ relaxed: RelaxedGraph, _ node: NodeID, _ rows: OutputRows?
  ) throws -> (Interval, BoundResult.LinearBounds?) {
    let count = rows?.count ?? graph[node].shape.count
    let n = graph[node].shape.count
    let batch = region.batch
    let most = engine.blockSize(SlopeOptimizer.blockSize)
    let starts = Array(stride(from: 0, to: count, by: most))
    let blocks = try parallelMap(starts.count, threads: options.threads) { index -> Block in
      let start = starts[index]
      let size = min(most, count - start)
      // An upper bound is the negated lower bound of the negated row.
      let block = rows?.block(start..<(start + size))
      let seeds = Tensor<Double>(writing: [batch * 2 * size] + graph[node].shape) { s in
        for b in 0..<batch {
          for r in 0..<(2 * size) {
            let row = start + r % size
            let sign: Double = r < size ? 1 : -1
            let target = s + (b * 2 * size + r) * n
            if let block {
              for j in 0..<n { target[j] = sign * block[flat: (r % size) * n + j] }
            } else {
              for j in 0..<n { target[j] = j == row ? sign : 0 }
            }
          }
        }
      }
      let folded = try SlopeOptimizer.twoSided(relaxed, target: node, seeds: seeds, options: options)
      return Block(start: start, size: size, bounds: folded.bounds, linear: folded.linear)
    }
    return gather(blocks, count, options.keepsCoefficients)
  }

  private func makeEngine(
    _ tightening: BoundEngine.Tightening, optimizes: Bool = false, usesLines: Bool = true
  ) -> BoundEngine {
    BoundEngine(
      graph: graph, enclosures: enclosures, region: region, options: options, tightening: tightening,
      optimizes: optimizes, usesLines: usesLines)
  }

  /// An engine that has run.
  private func ran(
    _ tightening: BoundEngine.Tightening, optimizes: Bool = false, usesLines: Bool = true
  ) throws -> BoundEngine {
    var engine = makeEngine(tightening, optimizes: optimizes, usesLines: usesLines)
    try engine.run()
    return engine
  }

  private func single(_ tightening: BoundEngine.Tightening, _ method: BoundMethod) throws -> BoundResult {
    try crownResult(try ran(tightening, usesLines: method != .ibp), tightening, method)
  }

  /// The bounds of one method on an engine that has run.
  ///
  /// Tighter intermediate bounds choose other lines, which are not tighter in every direction. Where intersecting with
  /// intervals changed anything the plain method's own result counts too, so that intersection never loosens.
  private func crownResult(_ engine: BoundEngine, _ tightening: BoundEngine.Tightening, _ method: BoundMethod)
    throws
    -> BoundResult
  {
    var result = try finish(engine, method)
    if !options.isPlain && engine.intersectionMattered {
      var plain = self
      plain.options.isPlain = true
      if options.slope == .adaptive { plain.options.slope = .strictlyAdaptive }
      plain.options.keepsCoefficients = false
      let other = try plain.single(tightening, method)
      for position in result.outputs.indices {
        result.outputs[position] = result.outputs[position].intersection(other.outputs[position])
      }
    }
    return result
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
      if method != .ibp && method != .forward,
        rows != nil || options.keepsCoefficients || needsWalk(engine, node)
      {
        let (own, coefficients) = try backwardBounds(engine, node, rows)
        bound = options.isPlain ? own : bound.intersection(own)
        if let coefficients { result.coefficients.append(coefficients) }
      } else if options.keepsCoefficients {
        // Intervals and forward bounds have no backward coefficients; constants are what they know.
        let count = rows?.count ?? graph[node].shape.count
        result.coefficients.append(
          BoundResult.LinearBounds(
            lowerCoefficients: graph.inputs.map { _ in nil },
            upperCoefficients: graph.inputs.map { _ in nil },
            lowerConstant: bound.lower.reshaped([region.batch, count]),
            upperConstant: bound.upper.reshaped([region.batch, count])))
      }
      result.outputs.append(try sealed(bound, engine, node, rows))
    }
    return result
  }

  /// Bounds that give way where intervals say that a value may be no number or, in a deployed run, may overflow: linear
  /// bounds speak of real numbers.
  private func sealed(_ bound: Interval, _ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?)
    throws -> Interval
  {
    let own = try engine.interval(node)
    if own.isFinite { return bound }
    guard let rows else { return bound.sealed(by: own, options.arithmetic) }
    var result = bound
    let n = graph[node].shape.count
    for b in 0..<region.batch {
      let isOpen = (0..<n).map { j in
        let place = (own.batch == 1 ? 0 : b) * n + j
        let (isLow, isHigh) = (own.lower[flat: place] == -.infinity, own.upper[flat: place] == .infinity)
        return options.arithmetic == .real ? isLow && isHigh : isLow || isHigh
      }
      for r in 0..<rows.count where rows.reads(r, anyOf: isOpen) {
        result.lower[flat: b * rows.count + r] = -.infinity
        result.upper[flat: b * rows.count + r] = .infinity
      }
    }
    return result
  }

  private func full(_ interval: Interval) -> Interval { interval.repeatedBatch(region.batch) }

  /// Whether a walk can improve on a node's interval; without `--plain` it need not be that of the published method.
  private func needsWalk(_ engine: BoundEngine, _ node: NodeID) -> Bool {
    engine.varies[node] && (options.isPlain || !engine.isAttained(node))
  }

  /// Interval bounds of the output. Without `--plain` (or with rows, or balls) the affine tail is taken in one piece:
  /// rows are pulled back to the last relaxed nodes, which is never looser than node by node. Where it is no tighter
  /// either, or dear, intervals stay what one pass gives.
  private func intervalBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?) throws
    -> Interval
  {
    let own = full(try engine.interval(node))
    guard engine.varies[node] else {
      guard let rows else { return own }
      return try tail(engine, node, rows)
    }
    let isBall = region.inputs.contains { if case .ball = $0 { true } else { false } }
    if rows == nil, engine.isWhole[node] || options.isPlain && !isBall { return own }
    if rows == nil, !isBall, tailWork(engine, node) > BoundEngine.onePassWork { return own }
    let bounds = try tail(engine, node, rows)
    return rows == nil ? own.intersection(bounds) : bounds
  }

  /// Coefficients that pulling a node's rows back to the last relaxed nodes takes.
  private func tailWork(_ engine: BoundEngine, _ node: NodeID) -> Double {
    var seen: Set<NodeID> = [node]
    var pending = [node]
    var elements = 0
    while let next = pending.popLast() {
      elements += graph[next].shape.count
      guard case .affine = graph[next].operation else { continue }
      for input in graph[next].inputs where engine.varies[input] && seen.insert(input).inserted {
        pending.append(input)
      }
    }
    return Double(graph[node].shape.count) * Double(elements)
  }

  private func tail(_ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?) throws -> Interval {
    let ends = graph.nodes.map { node -> Bool in
      switch node.operation {
      case .affine, .input: return !engine.varies[node.id]
      default: return true
      }
    }
    let shape = rows.map { Shape([region.batch, $0.count]) } ?? ([region.batch] + graph[node].shape)
    var relaxed = engine
    try relaxed.relaxAffine(above: node)
    let (interval, _) = try pull(relaxed, node, rows, ends: ends, keepsCoefficients: false)
    return interval.reshaped(shape)
  }

  private func backwardBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?) throws -> (
    Interval, BoundResult.LinearBounds?
  ) {
    let shape = rows.map { Shape([region.batch, $0.count]) } ?? ([region.batch] + graph[node].shape)
    let (interval, coefficients) = try pull(
      engine, node, rows, ends: [], keepsCoefficients: options.keepsCoefficients)
    return (interval.reshaped(shape), coefficients)
  }

  /// One backward walk per block of rows.
  private func pull(
    _ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?, ends: [Bool], keepsCoefficients: Bool
  ) throws -> (Interval, BoundResult.LinearBounds?) {
    let count = rows?.count ?? graph[node].shape.count
    let batch = region.batch
    let most = engine.blockSize()
    let starts = Array(stride(from: 0, to: count, by: most))
    let blocks = try parallelMap(starts.count, threads: options.threads) { index -> Block in
      let start = starts[index]
      let size = min(most, count - start)
      var rule = engine.crownRule(rows: size * batch, ends: ends, keepsCoefficients: keepsCoefficients)
      let seed: Covector
      if let rows {
        let block = rows.block(start..<(start + size)).reshaped([size] + graph[node].shape)
        seed = .same(batch == 1 ? block : .concatenatingBatches((0..<batch).map { _ in block }))
      } else {
        seed = .units(Array(start..<(start + size)))
      }
      try graph.pullBack([(node, seed)], rule: &rule)
      return Block(
        start: start, size: size, bounds: rule.bounds, linear: keepsCoefficients ? rule.linearBounds : nil)
    }
    return gather(blocks, count, keepsCoefficients)
  }

  private func gather(_ blocks: [Block], _ count: Int, _ keepsCoefficients: Bool) -> (
    Interval, BoundResult.LinearBounds?
  ) {
    let batch = region.batch
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
    return (Interval(lower: lower, upper: upper), keepsCoefficients ? join(blocks, count) : nil)
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

  private func forwardBounds(_ engine: BoundEngine, _ node: NodeID, _ rows: OutputRows?) throws
    -> Interval
  {
    let shape = rows.map { Shape([region.batch, $0.count]) } ?? ([region.batch] + graph[node].shape)
    var parts: [Interval] = []
    let count = rows?.count ?? 1
    let most = rows == nil ? 1 : engine.blockSize()
    for start in stride(from: 0, to: count, by: most) {
      let block = rows?.block(start..<min(start + most, count))
      guard let part = try engine.formBounds(node, rows: block) else {
        return full(try engine.interval(node))
      }
      parts.append(part)
    }
    if parts.count == 1 { return parts[0].reshaped(shape) }
    func join(_ side: (Interval) -> Tensor<Double>) -> Tensor<Double> {
      let examples = (0..<region.batch).flatMap { b in
        parts.flatMap { side($0).examples(b..<(b + 1)).elements }
      }
      return Tensor(shape, examples)
    }
    return Interval(lower: join(\.lower), upper: join(\.upper))
  }
}
