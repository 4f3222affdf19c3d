import Bounds
import Domains
import IR
import Rigor
import Specifications
import Tensors

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
    guard var context = try context(lower, upper).context else {
      return try splitRegions(Array(problem.cases.indices))
    }
    // Two networks are bounded together where that is the tighter way on the whole region.
    if let twin = try twinContext(lower, upper),
      try margin(twin) > margin(context)
    {
      method = "input branch and bound over differences"
      context = twin
    }
    var search = InputSplitSearch(problem: problem, context: context, control: control)
    let boxes = roots(context)
    let outcome = try search.run(boxes)
    statistics.add(search.statistics)
    return outcome
  }

  private func roots(_ context: SplitContext) -> [InputBox] {
    problem.cases.indices.map { index in
      InputBox(
        problem: index, lower: problem.cases[index].lower, upper: problem.cases[index].upper,
        states: context.rootStates, bound: -.infinity)
    }
  }

  /// How near the first cases are to being refuted by bounds of their whole boxes.
  private func margin(_ context: SplitContext) throws -> Double {
    let boxes = Array(roots(context).prefix(8))
    let rowsOf = problem.cases.map { $0.condition.rows.sorted() }
    let result = try BoxBounder(context: context, problem: problem).bound(
      boxes, rowsOf: rowsOf, usesIntervals: true)
    var worst = Double.infinity
    for group in result.groups.groups {
      var values = [Double](repeating: -.infinity, count: problem.rows.count)
      for (place, row) in result.rows[group.owner].enumerated() {
        values[row] = result.bounds.lower[group.first + place]
      }
      worst = min(
        worst,
        values.withUnsafeBufferPointer { buffer in
          buffer.baseAddress.map { problem.cases[boxes[group.owner].problem].condition.violation($0) }
            ?? -.infinity
        })
    }
    return worst
  }

  /// The context of the twin form, if the problem has one that the search knows.
  private func twinContext(_ lower: [Double], _ upper: [Double]) throws -> SplitContext? {
    guard let twin = problem.twin else { return nil }
    let n = lower.count
    var options = BoundOptions(method: .crown)
    options.threads = control.threads
    let region = Domains.Region([.box(lower: Tensor([1, n], lower), upper: Tensor([1, n], upper))])
    let bounds = try twin.graph.bounds(over: region, options)
    return SplitContext(
      graph: twin.graph, inputNode: twin.inputNode, intervals: bounds.nodes, arithmetic: arithmetic,
      isTwin: true)
  }

  /// Branch and bound over boxes for networks that are more than affine and elementwise nodes.
  private mutating func splitRegions(_ cases: [Int]) throws -> SearchOutcome {
    guard var search = try RegionSplitSearch(problem: problem, control: control) else {
      return .exhausted("a disjunct without conditions could not be satisfied exactly")
    }
    method = "branch and bound over boxes"
    let outcome = try search.run(cases)
    statistics.add(search.statistics)
    return outcome
  }

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

  /// Branch and bound over the phases of ReLUs.
  mutating func searchNeurons(_ index: Int, _ root: CaseBounds) throws -> SearchOutcome {
    if let stop = control.stop { return .stopped(stop) }
    guard let context = root.context, let open = root.open else { return try splitRegions([index]) }
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
