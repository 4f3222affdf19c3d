import Bounds
import Domains
import IR
import Rigor
import Specifications
import Tensors

/// The answer to a query.
public enum Verdict: String, Sendable, Hashable {
  /// Some assignment satisfies the query.
  case sat
  /// None does.
  case unsat
  /// Neither could be shown.
  case unknown
  /// Neither could be shown within the time limit.
  case timedOut = "timed-out"
}

/// A verdict with what supports it.
public struct Verification: Sendable {
  public var verdict: Verdict
  public var semantics: Semantics
  /// The checked assignment of a `sat`.
  public var witness: Witness?
  /// Why the verdict is `unknown` or `timed-out`, or what is to be noted about a `sat`; empty otherwise.
  public var reason: String
  public var statistics: SearchStatistics
  /// The method that decided.
  public var method: String

  init(
    verdict: Verdict, semantics: Semantics, witness: Witness?, reason: String, statistics: SearchStatistics,
    method: String
  ) {
    self.verdict = verdict
    self.semantics = semantics
    self.witness = witness
    self.reason = reason
    self.statistics = statistics
    self.method = method
  }

  /// The verdict of a search that was ended from outside.
  public init(stopped stop: SearchControl.Stop, semantics: Semantics = .real) {
    self.init(
      verdict: stop == .timeLimit ? .timedOut : .unknown, semantics: semantics, witness: nil,
      reason: stop.reason,
      statistics: SearchStatistics(), method: "")
  }
}

extension SearchControl.Stop {
  /// The reason in words.
  public var reason: String {
    switch self {
    case .timeLimit: "the time limit was reached"
    case .interrupted: "interrupted"
    case .memoryLimit: "the memory limit was reached"
    }
  }
}

/// Decides queries: attack, then branch and bound, chosen by the problem.
public struct Verifier: Sendable {
  let problem: VerificationProblem
  let control: SearchControl

  public init(_ problem: VerificationProblem, control: SearchControl) {
    self.problem = problem
    self.control = control
  }

  /// Decides the query, or says why it could not.
  ///
  /// - Throws: `UnsupportedOperator` and `GraphError` for networks that cannot be bounded or evaluated.
  public func run() throws -> Verification {
    useSingleThreadedBLAS()
    if problem.cases.isEmpty {
      return Verification(
        verdict: .unsat, semantics: problem.semantics, witness: nil, reason: "",
        statistics: SearchStatistics(),
        method: "the constraints on the inputs contradict each other")
    }
    var run = VerificationRun(problem: problem, control: control)
    let outcome = try run.decide()
    var result = Verification(
      verdict: .unknown, semantics: problem.semantics, witness: nil, reason: "", statistics: run.statistics,
      method: run.method)
    switch outcome {
    case .witness(let witness):
      result.verdict = .sat
      result.witness = witness
      result.reason = note(witness)
    case .refuted:
      if problem.semantics == .float64 {
        result.reason = "no proof covers the rounding of float64 evaluation"
      } else {
        result.verdict = .unsat
      }
    case .exhausted(let reason): result.reason = reason
    case .stopped(let stop):
      if stop == .timeLimit { result.verdict = .timedOut }
      result.reason = stop.reason
    }
    return result
  }

  private func note(_ witness: Witness) -> String {
    switch problem.semantics {
    case .real:
      return witness.replay == .holds
        ? "" : "exact in real arithmetic; evaluation in float32 does not show it"
    case .float32, .float64:
      if !witness.replayIsRobust { return "another order of summation could undo the violation" }
      return witness.exact == .holds ? "" : "exact real arithmetic does not show it"
    }
  }
}

/// One run of the verifier, with its counters.
struct VerificationRun {
  let problem: VerificationProblem
  let control: SearchControl
  var statistics = SearchStatistics()
  var method = ""

  init(problem: VerificationProblem, control: SearchControl) {
    self.problem = problem
    self.control = control
  }

  var arithmetic: Arithmetic { problem.semantics == .real ? .real : .float32 }

  /// With at most this many inputs that vary, boxes are split instead of neurons.
  private static let mostSplitInputs = 12

  mutating func decide() throws -> SearchOutcome {
    let varying = Set(
      problem.cases.prefix(1000).flatMap { part in
        part.lower.indices.filter { part.lower[$0] < part.upper[$0] }
      }
    ).count
    // Without conditions on outputs, any point of the box is a witness.
    for (index, part) in problem.cases.enumerated() where part.condition.rows.isEmpty {
      let middle = zip(part.lower, part.upper).map { 0.5 * $0 + 0.5 * $1 }
      let checker = WitnessChecker(problem: problem, control: control)
      if let witness = checker.check(middle, problem: index) {
        method = "any point of the box"
        return .witness(witness)
      }
    }
    if let witness = try attack(cases: 8, starts: varying <= Self.mostSplitInputs ? 16 : 10, steps: 20) {
      method = "projected gradient attack"
      return .witness(witness)
    }
    if let stop = control.stop { return .stopped(stop) }
    if varying <= Self.mostSplitInputs { return try splitInputs() }
    for index in problem.cases.indices {
      let outcome = try splitNeurons(index)
      guard case .refuted = outcome else { return outcome }
    }
    return .refuted
  }

  /// Branch and bound over boxes of inputs, all cases together.
  private mutating func splitInputs() throws -> SearchOutcome {
    method = "input branch and bound"
    let (lower, upper) = hull()
    guard let context = try context(lower, upper).context else { return .exhausted(Self.unknownOperators) }
    var search = InputSplitSearch(problem: problem, context: context, control: control)
    let boxes = problem.cases.indices.map { index in
      InputBox(
        problem: index, lower: problem.cases[index].lower, upper: problem.cases[index].upper,
        states: context.rootStates, bound: -.infinity)
    }
    let outcome = try search.run(boxes)
    statistics.add(search.statistics)
    return outcome
  }

  static let unknownOperators = "the network has operators that branch and bound does not know"

  /// Bounds of one case, a longer attack, halves of its region where one input decides, then branch and bound over the
  /// phases of ReLUs, clause by clause.
  private mutating func splitNeurons(_ index: Int) throws -> SearchOutcome {
    let root = try bound(index)
    guard root.open != nil else {
      method = root.method
      return .refuted
    }
    if let stop = control.stop { return .stopped(stop) }
    let effort = problem.attackEffort
    if let witness = try attack(cases: 1, from: index, starts: effort.starts, steps: effort.steps) {
      method = "projected gradient attack"
      return .witness(witness)
    }
    if let outcome = try splitRegion(index, root) { return outcome }
    // Every subproblem inherits the bounds of the root: it pays to optimise them once, neuron by neuron, where that
    // takes a small part of the time (about 40 passes).
    guard root.context != nil, control.remaining > Self.optimisationShare * root.seconds else {
      return try searchNeurons(index, root)
    }
    let tighter = try bound(index, by: .alphaCrown)
    guard tighter.open != nil else {
      method = tighter.method
      return .refuted
    }
    return try searchNeurons(index, tighter)
  }

  /// Bounds of the root are optimised if this many times their own cost is left.
  private static let optimisationShare = 400.0

  /// What is known of a case before any search.
  struct CaseBounds {
    var context: SplitContext?
    /// Lower bounds of all rows.
    var lower: [Double]
    /// What is left of the condition; nil if it is refuted.
    var open: RowFormula?
    var method = "CROWN"
    /// How near the condition is to being refuted: refuted above 0.
    var margin = Double.infinity
    /// Seconds that the bounds took.
    var seconds = 0.0
    /// The input that most of the critical row's spread comes from, and its share.
    var dominantInput: (index: Int, share: Double)?
  }

  private func bound(_ index: Int, by boundMethod: BoundMethod = .crown) throws -> CaseBounds {
    let start = control.elapsed
    let part = problem.cases[index]
    let (context, intervals) = try context(part.lower, part.upper, boundMethod)
    var result = CaseBounds(context: context, lower: problem.intervalLowerBounds(intervals))
    guard let condition = reduced(part.condition, result.lower) else { return result }
    var spread: [Int: [Double]] = [:]
    if let context { spread = try raise(&result.lower, condition.rows.sorted(), context, index) }
    if context == nil || context?.activations.contains(where: { !$0.isRelu }) == true {
      try optimise(&result.lower, condition.rows.sorted(), index)
    }
    result.method = "alpha-CROWN"
    result.open = reduced(condition, result.lower)
    result.seconds = control.elapsed - start
    if let open = result.open {
      let critical = result.lower.withUnsafeBufferPointer { buffer -> (row: Int?, margin: Double) in
        guard let base = buffer.baseAddress else { return (nil, -.infinity) }
        return (open.criticalRow(base), open.violation(base))
      }
      result.margin = critical.margin
      if let widths = critical.row.flatMap({ spread[$0] }), let largest = widths.max(), largest > 0 {
        result.dominantInput = (widths.firstIndex(of: largest) ?? 0, largest / widths.reduce(0, +))
      }
    }
    return result
  }

  /// The least share of the critical row's spread that makes an input worth halving, and the least part of the gap
  /// that two halves must close.
  private static let dominantShare = 0.2
  private static let leastProgress = 0.25

  /// Halves the region of a case as long as one input dominates and halves are much better: all bounds are computed
  /// anew there, which phases of single neurons cannot give. nil if that does not pay.
  private mutating func splitRegion(_ index: Int, _ root: CaseBounds) throws -> SearchOutcome? {
    guard let input = root.dominantInput, input.share >= Self.dominantShare,
      control.remaining > 2 * root.seconds
    else { return nil }
    let part = problem.cases[index]
    let middle = 0.5 * part.lower[input.index] + 0.5 * part.upper[input.index]
    guard part.lower[input.index] < middle, middle < part.upper[input.index] else { return nil }
    var halves = [part, part]
    halves[0].upper[input.index] = middle
    halves[1].lower[input.index] = middle
    var open: [(run: VerificationRun, bounds: CaseBounds)] = []
    for half in halves {
      if let stop = control.stop { return .stopped(stop) }
      var problem = problem
      problem.cases[index] = half
      let run = VerificationRun(problem: problem, control: control)
      let bounds = try run.bound(index)
      statistics.subproblems += 1
      if bounds.open == nil {
        statistics.refuted += 1
      } else {
        guard bounds.margin >= (1 - Self.leastProgress) * root.margin else { return nil }
        open.append((run, bounds))
      }
    }
    method = "branch and bound over the region"
    for (run, bounds) in open {
      var run = run
      let outcome = try run.splitRegion(index, bounds) ?? run.searchNeurons(index, bounds)
      statistics.add(run.statistics)
      if !run.method.isEmpty { method = run.method }
      guard case .refuted = outcome else { return outcome }
    }
    return .refuted
  }

  /// Branch and bound over the phases of ReLUs.
  private mutating func searchNeurons(_ index: Int, _ root: CaseBounds) throws -> SearchOutcome {
    if let stop = control.stop { return .stopped(stop) }
    guard let context = root.context, let open = root.open else { return .exhausted(Self.unknownOperators) }
    method = "neuron branch and bound"
    guard var clauses = open.clauses(limit: 10_000) else {
      return .exhausted("the condition has too many disjuncts")
    }
    // The nearest to being refuted first.
    let strength = { (clause: [(row: Int, strict: Bool)]) in
      clause.map { root.lower[$0.row] }.max() ?? -.infinity
    }
    clauses.sort { strength($0) > strength($1) }
    for clause in clauses {
      if clause.isEmpty { return .exhausted("a disjunct without conditions could not be satisfied exactly") }
      var search = ReluSplitSearch(
        problem: problem, context: context, control: control, case: index, clause: clause)
      let outcome = try search.run()
      statistics.add(search.statistics)
      guard case .refuted = outcome else { return outcome }
    }
    return .refuted
  }

  private func reduced(_ condition: RowFormula, _ lower: [Double]) -> RowFormula? {
    lower.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { condition.reduced($0) } ?? condition }
  }

  /// Lower bounds of rows by optimised slopes, intermediate bounds fixed. Returns for every row how much of its spread
  /// comes from each input.
  private func raise(_ lower: inout [Double], _ rows: [Int], _ context: SplitContext, _ index: Int) throws
    -> [Int: [Double]]
  {
    let part = problem.cases[index]
    let (mid, rad) = ReluSplitSearch.midpointRadius(part.lower, part.upper)
    var groups = RowGroups()
    groups.append(owner: 0, count: rows.count)
    var ascent = BoundAscent(
      context: context, problem: problem, groups: groups, rowLists: [rows], lines: context.rootLines,
      mid: mid,
      rad: rad)
    let control = control
    try ascent.run(iterations: 40, slopeRate: 0.25, multiplierRate: 0, decay: 0.96) { bounds in
      control.stop != nil || bounds.allSatisfy { $0 > 0 }
    }
    guard let best = ascent.best else { return [:] }
    for (r, row) in rows.enumerated() { lower[row] = max(lower[row], best.lower[r]) }
    // With the chord's slope on both sides, as for boxes: it ranks inputs better than the bounds' own coefficients.
    var rule = LowerRule(context: context, groups: groups)
    rule.lines = context.rootLines.map { table in
      guard var table else { return nil }
      table.belowSlope = table.aboveSlope
      return table
    }
    try problem.pullBackRows([rows], rule: &rule)
    guard let influence = rule.arrivals[context.inputNode] else { return [:] }
    var spread: [Int: [Double]] = [:]
    for (r, row) in rows.enumerated() {
      spread[row] = rad.indices.map { abs(influence[flat: r * rad.count + $0]) * rad[$0] }
    }
    return spread
  }

  /// Lower bounds of rows by the general method with all slopes optimised, where rows are forms of one output.
  private func optimise(_ lower: inout [Double], _ rows: [Int], _ index: Int) throws {
    let part = problem.cases[index]
    let n = part.lower.count
    for (output, node) in problem.graph.outputs.enumerated() {
      let own = rows.filter { row in
        problem.rows[row].terms.allSatisfy { term in
          if case .value(node.node, _) = term.source { return true }
          return false
        }
      }
      guard !own.isEmpty else { continue }
      let size = problem.graph[node.node].shape.count
      var matrix = Tensor<Double>.zeros([own.count, size])
      for (r, row) in own.enumerated() {
        for term in problem.rows[row].terms {
          if case .value(_, let place) = term.source { matrix[flat: r * size + place] = term.coefficient }
        }
      }
      var options = BoundOptions(method: .best)
      options.arithmetic = arithmetic
      options.threads = control.threads
      let region = Domains.Region([
        .box(lower: Tensor([1, n], part.lower), upper: Tensor([1, n], part.upper))
      ])
      let result = try problem.graph.bounds(
        over: region, rows: OutputRows(output: output, rows: matrix), options)
      guard let bounds = result.outputs.first else { continue }
      for (r, row) in own.enumerated() {
        guard problem.rows[row].coefficientErrors.allSatisfy({ $0 == 0 }) else { continue }
        lower[row] = max(lower[row], (bounds.lower[flat: r] + problem.rows[row].constant).nextDown)
      }
    }
  }

  /// Projected gradient descent on the first cases.
  mutating func attack(cases: Int, from first: Int = 0, starts: Int, steps: Int) throws -> Witness? {
    let descent = ProjectedGradient(problem: problem, control: control)
    let checker = WitnessChecker(problem: problem, control: control)
    for index in problem.cases.indices.dropFirst(first).prefix(cases) {
      let points = descent.randomStarts(case: index, count: starts, seed: control.seed)
      for candidate in try descent.run(case: index, starts: points, steps: steps).prefix(2)
      where candidate.violation <= 1e-6 {
        statistics.candidates += 1
        if let witness = checker.check(candidate.point, problem: index) { return witness }
      }
      if control.stop != nil { return nil }
    }
    return nil
  }

  /// The smallest box that holds all cases.
  func hull() -> ([Double], [Double]) {
    var lower = problem.cases[0].lower
    var upper = problem.cases[0].upper
    for part in problem.cases.dropFirst() {
      for j in lower.indices {
        lower[j] = min(lower[j], part.lower[j])
        upper[j] = max(upper[j], part.upper[j])
      }
    }
    return (lower, upper)
  }

  /// Bounds over a whole region, and what the search needs of them; nil if the network has kinds that it does not know.
  func context(_ lower: [Double], _ upper: [Double], _ boundMethod: BoundMethod = .crown) throws -> (
    context: SplitContext?, intervals: [Interval?]
  ) {
    let n = lower.count
    let region = Domains.Region([.box(lower: Tensor([1, n], lower), upper: Tensor([1, n], upper))])
    var options = BoundOptions(method: boundMethod)
    options.arithmetic = arithmetic
    options.threads = control.threads
    let bounds = try problem.graph.bounds(over: region, options)
    let context = SplitContext(
      graph: problem.graph, inputNode: problem.inputNode, intervals: bounds.nodes, arithmetic: arithmetic)
    return (context, bounds.nodes)
  }
}

extension VerificationProblem {
  /// Multiplications of one evaluation of the networks.
  var multiplications: Double {
    graph.nodes.reduce(0) { sum, node in
      guard case .affine(let map) = node.operation else { return sum }
      return sum + map.maps.reduce(0) { $0 + Double(node.shape.count) * Double($1.fanIn) }
    }
  }

  /// Starts and steps of the long attack: 30 and 100, less for networks where that would take minutes.
  var attackEffort: (starts: Int, steps: Int) {
    // An evaluation with its gradient is about three times as dear as the evaluation.
    let passes = max(200, min(3000, Int(2e10 / max(1, 3 * multiplications))))
    let starts = max(5, min(30, passes / 40))
    return (starts, max(20, min(100, passes / starts)))
  }

  /// Lower bounds of all rows from bounds of nodes alone.
  func intervalLowerBounds(_ intervals: [Interval?]) -> [Double] {
    rows.map { row in
      var sum = row.constant
      var size = abs(sum)
      for (term, error) in zip(row.terms, row.coefficientErrors) {
        let (node, place): (NodeID, Int)
        switch term.source {
        case .input(let j): (node, place) = (inputNode, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        guard let interval = intervals[node] else { return -.infinity }
        let l = interval.lower[flat: place]
        let u = interval.upper[flat: place]
        sum += term.coefficient * (term.coefficient > 0 ? l : u) - error * max(abs(l), abs(u))
        size += (abs(term.coefficient) + error) * max(abs(l), abs(u))
      }
      // Two products and two sums per term.
      let bound = sum - Rounding.gamma(4 * row.terms.count + 2) * size
      return bound.isNaN ? -.infinity : bound.nextDown
    }
  }
}

extension SearchStatistics {
  /// Adds the counts of another search.
  mutating func add(_ other: SearchStatistics) {
    subproblems += other.subproblems
    refuted += other.refuted
    largestQueue = max(largestQueue, other.largestQueue)
    candidates += other.candidates
  }
}

extension SplitContext {
  /// What the bounds over the whole region say of every neuron.
  var rootStates: [Int8] {
    var states = [Int8](repeating: 0, count: neuronCount)
    for activation in activations where activation.isRelu {
      for j in 0..<activation.count {
        if activation.lower[j] >= 0 {
          states[activation.offset + j] = 1
        } else if activation.upper[j] <= 0 {
          states[activation.offset + j] = -1
        }
      }
    }
    return states
  }
}
