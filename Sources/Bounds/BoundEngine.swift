import Domains
import IR
import Limits
import Operators
import Tensors

/// Bounds of all nodes in one forward walk: intervals, tightened where a relaxation needs them by the method's own
/// bounds. A domain of the shared interpreter whose values are intervals.
///
/// Composites have been expanded before.
struct BoundEngine: Domain, Sendable {
  typealias Value = Interval

  /// How intermediate bounds are tightened.
  enum Tightening { case none, backward, forward }

  let graph: Graph
  /// Bounds known for values that were composites before expansion.
  let enclosures: [NodeID: Enclosure]
  let region: Region
  let options: BoundOptions
  let tightening: Tightening
  private let arithmetic: IntervalDomain

  /// Whether intermediate bounds are optimised too, every element with slopes of its own.
  let optimizes: Bool
  /// Whether relaxations are made of nonlinear nodes; intervals need none.
  private let usesLines: Bool

  /// Whether each node depends on a perturbed input.
  let varies: [Bool]
  private(set) var intervals: [Interval?]
  private(set) var relaxations: [Relaxation?]
  private var forms: [LinearForm?]
  private var forward: ForwardForms?

  /// How a node's interval came about: `raw` elements are distinct input elements of a box (up to scale and shift),
  /// so a linear map of raw values is bounded exactly by intervals.
  private var isRaw: [Bool]
  private var isExact: [Bool]
  /// Whether the interval is what pulling rows back to the last nonlinear nodes gives: `origin` of a node whose elements
  /// are distinct elements of one nonlinear node (up to scale and shift), and nodes that are affine in such.
  private(set) var isWhole: [Bool]
  private var origin: [NodeID?]
  /// Whether the interval is the least that contains the node's values, so that no method improves on it.
  private var attained: [Attainment]
  /// Linear in the inputs: bounded exactly by one backward walk, which costs so many coefficients per row.
  private var isLinear: [Bool]
  private var linearWork: [Double]
  private var tightened: [Set<Int>]
  /// Whether interval bounds improved on the method's own anywhere.
  private(set) var intersectionMattered = false

  init(
    graph: Graph, enclosures: [NodeID: Enclosure] = [:], region: Region, options: BoundOptions,
    tightening: Tightening, optimizes: Bool = false, usesLines: Bool = true
  ) {
    self.usesLines = usesLines
    self.enclosures = enclosures
    self.optimizes = optimizes
    self.graph = graph
    self.region = region
    self.options = options
    self.tightening = tightening
    arithmetic = IntervalDomain(options.arithmetic, accountsForRounding: options.accountsForRounding)
    varies = graph.varying(over: region, options.arithmetic)
    let count = graph.nodes.count
    intervals = Array(repeating: nil, count: count)
    relaxations = Array(repeating: nil, count: count)
    forms = Array(repeating: nil, count: count)
    isRaw = Array(repeating: false, count: count)
    isExact = isRaw
    isLinear = isRaw
    isWhole = isRaw
    origin = Array(repeating: nil, count: count)
    attained = Array(repeating: .unknown, count: count)
    linearWork = Array(repeating: 0, count: count)
    tightened = Array(repeating: [], count: count)
    for (id, set) in zip(graph.inputs, region.inputs) {
      intervals[id] = set.hull
      isLinear[id] = true
      linearWork[id] = Double(graph[id].shape.count)
      if case .ball = set { continue }
      isRaw[id] = true
      isExact[id] = true
      isWhole[id] = true
      origin[id] = id
      attained[id] = .independently
    }
    if tightening == .forward {
      forward = ForwardForms(
        graph: graph, region: region, varies: varies, arithmetic: options.arithmetic)
    }
  }

  /// Walks the graph once; afterwards `intervals` and `relaxations` hold what the final walks need.
  mutating func run() throws {
    if tightening == .forward, let forward {
      for (id, set) in zip(graph.inputs, region.inputs) { forms[id] = forward.input(id, set) }
    }
    // Every node is wanted, not only the ancestors of outputs; dead ones were pruned at import.
    let cancellation = Cancellation.current
    for node in graph.nodes where intervals[node.id] == nil {
      try cancellation?.check(storing: node.shape.count)
      let arguments = try node.inputs.map { try interval($0) }
      var value = try evaluate(node, arguments)
      if let enclosure = enclosures[node.id], options.arithmetic == .real {
        // The expansion of a composite that knows bounds of its own.
        let own = enclosure.composite.enclose(try enclosure.inputs.map { try interval($0) })
        value = value.repeatedBatch(max(value.batch, own.batch)).intersection(own)
      }
      intervals[node.id] = value
      if varies[node.id] { note(node) }
      if options.boundsEveryNode, tightening == .backward { try tighten(node.id) { _, _ in true } }
    }
  }

  /// Records how good a node's interval is.
  private mutating func note(_ node: Node) {
    attained[node.id] = attainment(of: node, attained)
    if case .affine = node.operation { return }
    origin[node.id] = node.id
    isWhole[node.id] = true
  }

  /// Whether no method improves on the interval of a node.
  func isAttained(_ id: NodeID) -> Bool { isExact[id] || attained[id] != .unknown }

  /// Work up to which intervals follow a chain of linear maps to the inputs, in coefficients: some milliseconds.
  static let onePassWork = 4e6

  /// The relaxations of the affine nodes that a node depends on, where `usesLines` has left them out.
  mutating func relaxAffine(above id: NodeID) throws {
    let needed = graph.ancestors(of: [id])
    for node in graph.nodes where needed[node.id] && varies[node.id] && relaxations[node.id] == nil {
      guard case .affine(let map) = node.operation else { continue }
      relaxations[node.id] = .affine(
        map, inputs: try node.inputs.map { try interval($0) }, node: node, arithmetic: options.arithmetic)
    }
  }

  /// The work of a CROWN pass on these intervals, in coefficients: every element that a relaxation needs walks back over
  /// all values before it. Bounds that such a pass tightens need fewer.
  func passWork() -> Double {
    var before = [0.0]
    for node in graph.nodes {
      before.append(before[node.id] + (varies[node.id] ? Double(node.shape.count) : 0))
    }
    var rows = [Int](repeating: 0, count: graph.nodes.count)
    for node in graph.nodes where varies[node.id] {
      if options.boundsEveryNode { rows[node.id] = node.shape.count }
      if case .affine = node.operation { continue }
      for id in Set(node.inputs) where varies[id] && !isExact[id] {
        guard let interval = intervals[id] else { continue }
        var count = 0
        for j in 0..<interval.lower.count {
          let (l, u) = (interval.lower[flat: j], interval.upper[flat: j])
          if l == u { continue }
          if case .elementwise(let f) = node.operation, f.linearPiece(l, u) != nil { continue }
          count += 1
        }
        rows[id] = max(rows[id], count)
      }
    }
    return graph.nodes.reduce(0) { $0 + Double(rows[$1.id]) * before[$1.id + 1] }
  }

  /// How many elements were tightened by a walk of their own.
  var tightenedRows: Int { tightened.reduce(0) { $0 + $1.count } }

  func interval(_ id: NodeID) throws -> Interval {
    guard let interval = intervals[id] else {
      throw GraphError(node: graph[id].name, reason: "its bounds are not available")
    }
    return interval
  }

  // MARK: Kinds

  mutating func constant(_ weight: Weight, at node: Node) -> Interval {
    arithmetic.constant(weight, at: node)
  }

  mutating func affine(_ map: Affine, _ x: [Interval], at node: Node) throws -> Interval {
    let id = node.id
    let sources = node.inputs.filter { varies[$0] }
    let areLinear = sources.allSatisfy { isLinear[$0] }
    isLinear[id] = areLinear
    let takesOne = map.maps.allSatisfy { $0.fanIn <= 1 }
    let keepsElements = takesOne && map.maps.allSatisfy { $0.fanOut <= 1 }
    if areLinear {
      linearWork[id] = Double(node.shape.count) + sources.reduce(0) { $0 + linearWork[$1] }
      let areDistinct = Set(sources).count == sources.count && sources.allSatisfy { isRaw[$0] }
      // Values built from the same input twice (x and x + 1 added) are raw but not independent of each other: only
      // one source may vary. Elements that depend on one exact element each stay exact.
      isRaw[id] = areDistinct && sources.count <= 1 && keepsElements
      isExact[id] = sources.count <= 1 && (areDistinct || takesOne && sources.allSatisfy { isExact[$0] })
    }
    let origins = sources.map { origin[$0] }
    let areDistinct = !origins.contains(nil) && Set(origins).count == origins.count
    origin[id] = sources.count == 1 && keepsElements ? origins[0] : nil
    isWhole[id] = areDistinct || sources.count == 1 && takesOne && isWhole[sources[0]]
    if varies[id], usesLines {
      relaxations[id] = .affine(map, inputs: x, node: node, arithmetic: options.arithmetic)
    }
    let result = try arithmetic.affine(map, x, at: node)
    if let forward, tightening == .forward, varies[id] {
      forms[id] = forward.affine(map, x.indices.map { forms[node.inputs[$0]] }, x, at: node)
    }
    return result
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Interval, at node: Node) throws -> Interval {
    let source = node.inputs[0]
    guard varies[node.id] else { return try arithmetic.elementwise(f, x, at: node) }
    try tighten(source) { l, u in l < u && f.linearPiece(l, u) == nil }
    var argument = try interval(source)
    // Outside its domain the function has no value: there, what intervals know counts even where they are left out.
    if options.isPlain && f.domain.lowerBound > -.infinity {
      argument = x.repeatedBatch(argument.batch).intersection(argument)
    }
    guard usesLines else { return try arithmetic.elementwise(f, argument, at: node) }
    let lines = Lines(
      f, argument, policy: options.slope, arithmetic: options.arithmetic, type: node.elementType)
    relaxations[node.id] = .lines(lines)
    if let forward, let form = forms[source] { forms[node.id] = forward.elementwise(lines, form, at: node) }
    return try arithmetic.elementwise(f, argument, at: node)
  }

  mutating func product(_ form: any BilinearForm, _ a: Interval, _ b: Interval, at node: Node) throws
    -> Interval
  {
    guard varies[node.id] else { return try arithmetic.product(form, a, b, at: node) }
    let (left, right) = (node.inputs[0], node.inputs[1])
    if varies[left] && varies[right] {
      try tighten(left) { l, u in l < u }
      try tighten(right) { l, u in l < u }
    }
    let x = try interval(left)
    let y = try interval(right)
    guard usesLines else { return try arithmetic.product(form, x, y, at: node) }
    let relaxation = Relaxation.product(
      form, x, y, leftVaries: varies[left], rightVaries: varies[right], node: node,
      arithmetic: options.arithmetic)
    relaxations[node.id] = relaxation
    if let forward {
      forms[node.id] = forward.product(form, relaxation, forms[left], forms[right], at: node)
    }
    return try arithmetic.product(form, x, y, at: node)
  }

  mutating func selection(_ s: Selection, _ x: [Interval], at node: Node) throws -> Interval {
    guard varies[node.id] else { return try arithmetic.selection(s, x, at: node) }
    for id in Set(node.inputs) where varies[id] { try tighten(id) { l, u in l < u } }
    let arguments = try node.inputs.map { try interval($0) }
    guard usesLines else { return try arithmetic.selection(s, arguments, at: node) }
    let relaxation = Relaxation.selection(s, inputs: arguments)
    relaxations[node.id] = relaxation
    if let forward {
      forms[node.id] = forward.selection(s, relaxation, node.inputs.map { forms[$0] }, arguments, at: node)
    }
    return try arithmetic.selection(s, arguments, at: node)
  }

  mutating func discrete(_ f: any DiscreteFunction, _ x: [Interval], at node: Node) throws -> Interval {
    guard varies[node.id] else { return try arithmetic.discrete(f, x, at: node) }
    for id in Set(node.inputs) where varies[id] { try tighten(id) { l, u in l < u } }
    let arguments = try node.inputs.map { try interval($0) }
    try checkChoices(arguments, at: node)
    let bounds = try arithmetic.discrete(f, arguments, at: node)
    guard usesLines else { return bounds }
    let relaxation = Relaxation.copies(
      f, inputs: arguments, varies: node.inputs.map { varies[$0] }, bounds: bounds)
    relaxations[node.id] = relaxation
    if let forward {
      forms[node.id] = forward.discrete(f, relaxation, node.inputs.map { forms[$0] }, arguments, at: node)
    }
    return bounds
  }

  /// Look-ups are bounded by the union over the indices that remain possible: not without limit.
  private func checkChoices(_ x: [Interval], at node: Node) throws {
    let indexed = zip(node.inputs, x).filter { varies[$0.0] && graph[$0.0].elementType.integerRange != nil }
    guard !indexed.isEmpty, indexed.count < x.count else { return }
    let choices = indexed.reduce(0.0) { total, pair in
      zip(pair.1.lower.elements, pair.1.upper.elements).reduce(total) { $0 + $1.1 - $1.0 + 1 }
    }
    guard choices <= Double(options.choiceLimit) else {
      throw UnsupportedOperator(
        node,
        reason: "its indices may take \(choices.formattedCount) values in all, more than the limit of "
          + "\(options.choiceLimit); a smaller region or a higher limit helps")
    }
  }

  mutating func composite(_ c: any Composite, _ x: [Interval], at node: Node) throws -> Interval {
    var arithmetic = arithmetic
    guard varies[node.id] else { return try arithmetic.composite(c, x, at: node) }
    for id in Set(node.inputs) where varies[id] { try tighten(id) { l, u in l < u } }
    let arguments = try node.inputs.map { try interval($0) }
    guard usesLines else { return try arithmetic.composite(c, arguments, at: node) }
    // Composites that offer no lines were expanded before.
    guard let whole = c as? any RelaxedComposite,
      let lines = GroupLines(
        whole, inputs: arguments, rounding: options.arithmetic.rounding(of: node.elementType))
    else {
      throw GraphError(node: node.name, reason: "\(c.name) has no linear bounds on an unbounded argument")
    }
    relaxations[node.id] = .matrices(lines)
    if let forward {
      forms[node.id] = forward.composite(lines, whole, node.inputs.map { forms[$0] }, arguments, at: node)
    }
    return try arithmetic.composite(c, arguments, at: node)
  }

  // MARK: Tightening

  /// Tightens the bounds of the elements of a node for which `needs(lower, upper)` holds in some example.
  private mutating func tighten(_ id: NodeID, _ needs: (Double, Double) -> Bool) throws {
    guard varies[id], !isExact[id] else { return }
    let current = try interval(id)
    let n = graph[id].shape.count
    if tightening == .forward, let forward, let form = forms[id] {
      let own = forward.concretize(form).sealed(by: current, options.arithmetic)
      let met = options.isPlain ? own : current.repeatedBatch(own.batch).intersection(own)
      if !options.isPlain && Self.differ(own, met) { intersectionMattered = true }
      intervals[id] = met
      return
    }
    // Interval methods still use the exact bounds of what is linear in the inputs: a ball must reach the first
    // relaxation as a ball, in every element, because intervals of stable neurons matter to them too.
    let isBallImage = isLinear[id] && region.inputs.contains { if case .ball = $0 { true } else { false } }
    // A long chain of linear maps is left as it is: intervals are one pass.
    guard
      tightening == .backward
        || (isLinear[id]
          && (isBallImage || !options.isPlain && Double(n) * linearWork[id] <= Self.onePassWork))
    else { return }
    if attained[id] != .unknown, !options.isPlain, Double(n) * Double(n) > Self.onePassWork { return }
    if !usesLines { try relaxAffine(above: id) }
    var rows = (0..<n).filter { j in
      !tightened[id].contains(j)
        && (0..<current.batch).contains { b in
          isBallImage || needs(current.lower[flat: b * n + j], current.upper[flat: b * n + j])
        }
    }
    // Published results bound every element anew once nine in ten need it.
    if options.isPlain && tightening == .backward && Double(rows.count) > 0.9 * Double(n) {
      rows = Array(0..<n)
    }
    guard !rows.isEmpty else { return }
    tightened[id].formUnion(rows)
    improve(id, rows, with: try backward(id, rows: rows), replacing: options.isPlain)
    guard optimizes, !isLinear[id], SlopeOptimizer.hasChoice(RelaxedGraph(self), target: id) else { return }
    let tighter = try interval(id)
    let open = rows.filter { j in
      (0..<tighter.batch).contains { b in
        needs(tighter.lower[flat: b * n + j], tighter.upper[flat: b * n + j])
      }
    }
    if !open.isEmpty { improve(id, open, with: try optimized(id, rows: open), replacing: false) }
  }

  /// Whether bounds of a value improved by more than rounding: only then do other relaxations follow from them.
  private static func improved(_ low: Double, _ high: Double, to l: Double, _ u: Double) -> Bool {
    let size = max(abs(low), abs(high)) + (high - low)
    let noise = size.isFinite ? 1e-9 * size : 0
    return l - low > noise || high - u > noise
  }

  private static func differ(_ a: Interval, _ b: Interval) -> Bool {
    (0..<a.lower.count).contains { j in
      improved(a.lower[flat: j], a.upper[flat: j], to: b.lower[flat: j], b.upper[flat: j])
    }
  }

  /// Takes new bounds `[B, rows]` of some elements of a node.
  private mutating func improve(_ id: NodeID, _ rows: [Int], with bounds: Interval, replacing: Bool) {
    guard let current = intervals[id] else { return }
    let n = graph[id].shape.count
    var refined = current.batch == region.batch ? current : current.repeatedBatch(region.batch)
    // Released so that the elements are not copied once more.
    intervals[id] = nil
    for b in 0..<region.batch {
      for (r, j) in rows.enumerated() {
        let place = b * n + j
        var low = bounds.lower[flat: b * rows.count + r]
        var high = bounds.upper[flat: b * rows.count + r]
        (low, high) = sealed(low, high, refined.lower[flat: place], refined.upper[flat: place])
        if replacing {
          refined.lower[flat: place] = low
          refined.upper[flat: place] = high
        } else {
          let l = max(low, refined.lower[flat: place])
          let u = min(high, refined.upper[flat: place])
          if Self.improved(low, high, to: l, u) { intersectionMattered = true }
          // Two sound bounds of a value meet; if rounding of an empty region says otherwise, keep the first.
          if l <= u {
            refined.lower[flat: place] = l
            refined.upper[flat: place] = u
          }
        }
      }
    }
    intervals[id] = refined
  }

  /// As `Interval.sealed`, for one element.
  private func sealed(_ low: Double, _ high: Double, _ knownLow: Double, _ knownHigh: Double) -> (
    Double, Double
  ) {
    if knownLow > -.infinity && knownHigh < .infinity { return (low, high) }
    let isBoth = knownLow == -.infinity && knownHigh == .infinity
    let holds = isBoth || options.arithmetic != .real
    return (
      holds && knownLow == -.infinity ? -.infinity : low, holds && knownHigh == .infinity ? .infinity : high
    )
  }

  /// Bounds of some elements, each side of each with slopes of its own.
  private func optimized(_ id: NodeID, rows: [Int]) throws -> Interval {
    let relaxed = RelaxedGraph(self)
    let n = graph[id].shape.count
    let batch = region.batch
    let size = blockSize(SlopeOptimizer.blockSize)
    let starts = Array(stride(from: 0, to: rows.count, by: size))
    let options = options
    let shape = graph[id].shape
    let blocks = try parallelMap(starts.count, threads: options.threads) {
      index -> (lower: [Double], upper: [Double]) in
      let block = Array(rows[starts[index]..<min(starts[index] + size, rows.count)])
      let seeds = Tensor<Double>(writing: [batch * 2 * block.count] + shape) { s in
        for b in 0..<batch {
          for r in 0..<(2 * block.count) {
            let target = s + (b * 2 * block.count + r) * n
            target.update(repeating: 0, count: n)
            target[block[r % block.count]] = r < block.count ? 1 : -1
          }
        }
      }
      return try SlopeOptimizer.twoSided(relaxed, target: id, seeds: seeds, options: options).bounds
    }
    var lower = Tensor<Double>.zeros([batch, rows.count])
    var upper = lower
    for (start, block) in zip(starts, blocks) {
      let each = block.lower.count / batch
      for b in 0..<batch {
        for r in 0..<each {
          lower[flat: b * rows.count + start + r] = block.lower[b * each + r]
          upper[flat: b * rows.count + start + r] = block.upper[b * each + r]
        }
      }
    }
    return Interval(lower: lower, upper: upper)
  }

  /// Backward bounds of some elements of a node, `[B, rows]`, in blocks of rows that threads share.
  func backward(_ id: NodeID, rows: [Int]) throws -> Interval {
    let blocks = RowBlocks(rows, of: graph[id], size: blockSize()).blocks
    let results = try parallelMap(blocks.count, threads: options.threads) {
      index -> (lower: [Double], upper: [Double]) in
      let block = blocks[index].map { rows[$0] }
      var rule = crownRule(rows: block.count * region.batch)
      try graph.pullBack([(id, .units(block))], rule: &rule)
      return rule.bounds
    }
    let batch = region.batch
    var lower = Tensor<Double>.zeros([batch, rows.count])
    var upper = lower
    for (places, result) in zip(blocks, results) {
      for b in 0..<batch {
        for (r, place) in places.enumerated() {
          lower[flat: b * rows.count + place] = result.lower[b * places.count + r]
          upper[flat: b * rows.count + place] = result.upper[b * places.count + r]
        }
      }
    }
    return Interval(lower: lower, upper: upper)
  }

  /// Rows of one backward walk: enough for efficient matrix products, few enough to bound memory. No more than a quarter
  /// of a gigabyte of coefficients is kept for one node, if one row does not take that.
  func blockSize(_ preferred: Int = 128) -> Int {
    let widest = graph.nodes.lazy.filter { varies[$0.id] }.map(\.shape.count).max() ?? 1
    return max(1, min(preferred, (1 << 25) / max(1, widest * region.batch)))
  }

  func crownRule(rows: Int, ends: [Bool] = [], keepsCoefficients: Bool = false, recording: Bool = false)
    -> CrownRule
  {
    CrownRule(
      relaxations: relaxations, intervals: intervals, region: region, graph: graph, varies: varies,
      ends: ends,
      rows: rows, accountsForRounding: options.accountsForRounding, keepsCoefficients: keepsCoefficients,
      recording: recording)
  }

  /// Forward bounds of a node, or of rows on it; nil if the node has no form.
  /// - Parameter rows: `[rows, elements]`.
  func formBounds(_ id: NodeID, rows: Tensor<Double>?) throws -> Interval? {
    guard let forward, let form = forms[id] else { return nil }
    guard let rows else { return forward.concretize(form) }
    let shape = graph[id].shape
    let flat = Affine([Reshape(shape, to: [shape.count])])
    let map = Affine([Dense(Weight(rows), inputShape: [shape.count], transposed: true)])
    let at = Node(
      id: id, name: graph[id].name, origin: graph[id].origin, operation: .affine(map), inputs: [id],
      shape: [rows.shape[0]], elementType: .float64)
    let flatNode = Node(
      id: id, name: at.name, origin: at.origin, operation: .affine(flat), inputs: [id], shape: [shape.count],
      elementType: .float64)
    let interval = try interval(id)
    let reshaped = forward.affine(flat, [form], [interval], at: flatNode)
    return forward.concretize(
      forward.affine(map, [reshaped], [interval.reshaped([interval.batch, shape.count])], at: at))
  }

}

extension Double {
  /// A count for messages; infinite where an index is unbounded.
  fileprivate var formattedCount: String { isFinite && self < 0x1p53 ? String(Int(self)) : "infinitely many" }
}

/// A composite that was expanded, with the nodes of its inputs.
struct Enclosure: Sendable {
  var composite: any RelaxedComposite
  var inputs: [NodeID]
}

/// Results of `body` for 0..<count in order, computed on up to `threads` threads. What is computed does not depend on
/// the number of threads.
func parallelMap<R: Sendable>(_ count: Int, threads: Int, _ body: @Sendable (Int) throws -> R) throws -> [R] {
  if threads <= 1 || count <= 1 { return try (0..<count).map(body) }
  let results = ResultBox<R>(count)
  parallelFor(count, threads: threads) { index in
    results.set(index, Result { try body(index) })
  }
  return try results.values()
}

/// One slot per iteration; every slot is written by one iteration only.
private final class ResultBox<R: Sendable>: @unchecked Sendable {
  private let slots: UnsafeMutableBufferPointer<Result<R, any Error>?>

  init(_ count: Int) {
    slots = .allocate(capacity: count)
    slots.initialize(repeating: nil)
  }

  deinit {
    slots.deinitialize()
    slots.deallocate()
  }

  func set(_ index: Int, _ value: Result<R, any Error>) { slots[index] = value }

  func values() throws -> [R] { try slots.compactMap { try $0?.get() } }
}

extension Relaxation {
  /// - Parameter varies: which inputs do. What is copied from one that does not is a constant, bounded like any other.
  static func copies(
    _ f: any DiscreteFunction, inputs: [Interval], varies: [Bool], bounds: Interval
  ) -> Relaxation {
    var tables: [[[Int32]?]] = []
    for b in 0..<bounds.batch {
      let pick = { (t: Tensor<Double>) in t.example(t.batch == 1 ? 0 : b).reshaped(t.exampleShape) }
      let copied = f.copies(lower: inputs.map { pick($0.lower) }, upper: inputs.map { pick($0.upper) })
      tables.append(zip(copied, varies).map { $1 ? $0 : nil })
    }
    return .copies(CopyTables(tables: tables, bounds: bounds))
  }
}
