import Foundation
import IR
import Rigor
import LinearPrograms

/// How a query is decided.
public enum SolverMethod: String, Sendable, CaseIterable {
  /// Branch and bound, with Z3 for small remainders.
  case auto
  /// One exact query to Z3 a clause, on what root bounds leave undecided.
  case exact
  /// Branch and bound only.
  case bab
}

/// The settings of a solver.
public struct SolverOptions: Sendable {
  public var method: SolverMethod = .auto
  /// When to give up; nil for never.
  public var deadline: ContinuousClock.Instant?
  /// Whether `holds` must come with a certificate. Z3 is then used to find violations only.
  public var wantsProof = false
  public var seed: UInt64 = 0
  /// The most undecided neurons that are handed to Z3 in one piece.
  public var remainderLimit = 10
  /// Up to this many moving inputs, the region is split rather than the phases.
  public var inputSplitLimit = 8
  /// With few moving inputs: up to this many undecided neurons, phases are split rather than the region.
  public var phaseSplitLimit = 40
  /// Up to this many undecided neurons, a linear program bounds a part whose region is split.
  public var programLimit = 100
  /// The most parts to look at; nil for no limit.
  public var nodeLimit: Int?
  /// Whether refuted parts leave clauses behind that close or narrow others.
  public var learnsClauses = true
  /// Where to run Z3 when a hard deadline matters; nil to run it in this process.
  public var isolated: Z3Process?

  public init() {}
}

/// Decides whether a region is free of violations, exactly.
///
/// Falsification first; then branch and bound over parts of the region and phases of neurons, with linear bounds that
/// include rounding, linear programs and dual ascent on slopes and multipliers, clauses learned from what they refute, and Z3
/// on small remainders. All statements are about exact
/// real arithmetic on the stored weights.
public final class SafetySolver {
  let prepared: PreparedQuery
  let options: SolverOptions
  let relaxation: LinearRelaxation
  var finder: WitnessFinder
  var statistics = SolverStatistics()
  var proof: [ProofNode] = []
  var store: ClauseStore
  var frames: [Frame] = []
  /// What the current part refutes: by clause, the number of the statement.
  var refuted: [Int: Int] = [:]
  /// How many more attempts to shorten a clause are worth it: clauses that close parts earn new ones.
  var trials = 24
  /// Exact arithmetic for certificates; nil where none is wanted.
  let prover: ExactProver?
  var network: PiecewiseLinearNetwork { prepared.network }

  /// - Parameters:
  ///   - network: The lowered network.
  ///   - query: The region and the violation.
  ///   - deployed: Runs the network as deployed, to replay witnesses; nil to skip that.
  ///   - checker: The network as the checker reads it: with it, certificates reach what rounding hides from bounds.
  /// - Throws: `GraphError` if the query does not fit the network.
  init(
    _ network: PiecewiseLinearNetwork, _ query: SafetyQuery, options: SolverOptions,
    deployed: DeployedRun?, checker: CheckerNetwork?
  ) throws {
    prover =
      options.wantsProof ? checker.map { ExactProver($0, query, neurons: network.neuronVariables) } : nil
    prepared = try PreparedQuery(network, query)
    self.options = options
    store = ClauseStore(clauses: prepared.clauses.count)
    relaxation = LinearRelaxation(network, limit: TimeLimit(deadline: options.deadline))
    finder = WitnessFinder(prepared, deployed: deployed, seed: options.seed)
    statistics.neurons = network.neuronCount
  }

  /// - Parameters:
  ///   - network: The lowered network.
  ///   - query: The region and the violation.
  ///   - deployed: Runs the network as deployed, to replay witnesses; nil to skip that.
  /// - Throws: `GraphError` if the query does not fit the network.
  public convenience init(
    _ network: PiecewiseLinearNetwork, _ query: SafetyQuery, options: SolverOptions = SolverOptions(),
    deployed: DeployedRun? = nil
  ) throws {
    try self.init(network, query, options: options, deployed: deployed, checker: nil)
  }

  /// A part of the search: a box, phase decisions, and the clauses that are still possible.
  struct Part {
    var box: SplitBox
    /// Decided phases, and how many of them are decisions; the others follow from learned clauses.
    var splits: [Int: Phase] = [:]
    var decisions = 0
    var clauses: [Int]
    var depth = 0
    var duals: [Int: LinearRelaxation.Duals] = [:]
    var lower: [Double] { box.lower }
    var upper: [Double] { box.upper }
  }

  enum Step {
    case done
    case split(ProofSplit, Part, Part)
    case found(Witness)
    case stuck(String)
  }

  var isLate: Bool { TimeLimit(deadline: options.deadline).isOver }

  /// Decides the query.
  public func solve() throws -> SafetyResult {
    let all = Array(prepared.clauses.indices)
    if let witness = try finder.search(
      lower: prepared.lower, upper: prepared.upper, clauses: all, starts: 4, steps: 25)
    {
      return finish(.violated, witness)
    }
    let root = Part(box: SplitBox(lower: prepared.lower, upper: prepared.upper), clauses: all)
    if options.method == .exact { return try solveExactly(root) }
    // Parts to look at; nil where both sides of the innermost frame are settled.
    var stack: [Part?] = [root]
    var obstacle: String?
    var patience = 200
    while let next = stack.popLast() {
      guard let part = next else {
        closeFrame()
        continue
      }
      if isLate { return finishUnknown("time-out") }
      if let limit = options.nodeLimit, statistics.nodes >= limit { return finishUnknown("node limit") }
      if finder.tie != nil {
        // A violation is known; look a little longer for one that float32 shares.
        patience -= 1
        if patience < 0 { return finishUnknown("tie") }
      }
      refuted = [:]
      switch try step(part) {
      case .done: settle(refuted)
      case .found(let witness): return finish(.violated, witness)
      case .split(let split, let first, let second):
        frames.append(Frame(part: part, split: split, refuted: refuted, open: first.clauses))
        stack += [nil, second, first]
      case .stuck(let why):
        obstacle = why
        settle([:])
        if options.wantsProof { proof.append(ProofNode()) }
      }
    }
    if let obstacle { return finishUnknown(obstacle) }
    if let tie = finder.tie { return finish(.violated, tie) }
    return finish(.holds, nil)
  }

  func finish(_ verdict: Verdict, _ witness: Witness?) -> SafetyResult {
    statistics.pointsTried = finder.pointsTried
    // What Z3 alone refuted has no certificate.
    let isProven = verdict == .holds && options.wantsProof && options.method != .exact
    let tree = isProven ? proofTree() : nil
    return SafetyResult(
      verdict: verdict, witness: witness, reason: nil, statistics: statistics, proof: tree)
  }

  func finishUnknown(_ reason: String) -> SafetyResult {
    // A violation in exact arithmetic is one, even if float32 falls on the other side.
    if let tie = finder.tie { return finish(.violated, tie) }
    var result = finish(.unknown, nil)
    result.reason = reason
    return result
  }

  // MARK: One part

  private func step(_ given: Part) throws -> Step {
    var part = given
    var node = ProofNode()
    if let step = consult(&part, nil, &node) { return step }
    statistics.nodes += 1
    guard let b = relaxation.bounds(lower: part.lower, upper: part.upper, splits: part.splits) else {
      learnEmpty(part)
      record(ProofNode(isEmpty: true))
      return .done
    }
    let undecided = b.undecided(of: network)
    if part.depth == 0 { statistics.undecidedAtRoot = undecided.count }
    if let step = consult(&part, b, &node) { return step }
    var rows: [VariableRow] = []
    for clause in part.clauses { rows += prepared.clauses[clause].map(\.row) }
    let bounds = relaxation.lowerBounds(rows, b)
    var remaining: [Int] = []
    var covectors: [[Double]] = []
    var at = 0
    for clause in part.clauses {
      let size = prepared.clauses[clause].count
      var best = 0
      var margin = -Double.infinity
      for r in 0..<size {
        let m = bounds.lower[at + r] - prepared.clauses[clause][r].rhsUp
        if m > margin {
          margin = m
          best = r
        }
      }
      let refutation = ProofRefutation.row(clause: clause, row: best)
      if size > 0 && (margin > safety(clause, b) || (margin > 0 && confirms(refutation, part))) {
        node.refutations.append(refutation)
        learn(clause, part, b, relaxation.defaultDuals(b, rows: size, only: best), refutation)
      } else {
        remaining.append(clause)
        covectors.append(
          size > 0 ? bounds.inputCovectors[at + best] : [Double](repeating: 0, count: network.inputCount))
      }
      at += size
    }
    if remaining.isEmpty {
      record(node)
      return .done
    }
    // The corner that minimises the worst row is the natural candidate.
    for covector in covectors {
      let corner = covector.indices.map { covector[$0] >= 0 ? part.lower[$0] : part.upper[$0] }
      if let witness = try finder.descend(
        from: corner, lower: part.lower, upper: part.upper, clauses: remaining,
        steps: part.depth == 0 ? 20 : 0)
      {
        return .found(witness)
      }
    }
    let moving = prepared.freeInputs.filter { part.lower[$0] < part.upper[$0] }
    // Few moving inputs are halved, until so few neurons are open that splitting their phases settles the rest.
    let splitsPhases = undecided.count <= options.phaseSplitLimit && part.decisions < 12
    let splitsInputs = moving.count <= options.inputSplitLimit && !moving.isEmpty && !splitsPhases
    return splitsInputs
      ? try splitInput(part, b, undecided, remaining, covectors, moving, &node)
      : try splitPhase(part, b, undecided, remaining, &node)
  }

  /// How far a bound must exceed its right side. With proofs, far enough that the checker's own rounding cannot matter.
  func safety(_ clause: Int, _ b: NeuronBounds) -> Double {
    guard options.wantsProof else { return 0 }
    var size = 1.0
    for row in prepared.clauses[clause] {
      for (v, c) in zip(row.row.variables, row.row.coefficients) {
        size += abs(c) * max(abs(b.lower[v]), abs(b.upper[v]))
      }
    }
    return 1e-9 * size
  }

  /// Whether exact arithmetic shows a refutation that bounds with rounding show by less than the checker's rounding.
  private func confirms(_ refutation: ProofRefutation, _ part: Part) -> Bool {
    guard let prover else { return false }
    return prover.confirms(
      refutation, prover.part(lower: part.lower, upper: part.upper, part.splits, open: []))
  }

  /// Proves the rest of a part in exact arithmetic, phase by phase; nil if that is not for it.
  private func proveExactly(_ part: Part, _ clauses: [Int], _ node: ProofNode) throws -> Step? {
    guard let prover else { return nil }
    let rest = prover.part(lower: part.lower, upper: part.upper, part.splits, open: clauses)
    switch prover.prove(rest, limit: TimeLimit(deadline: options.deadline)) {
    case .open: return nil
    case .point(let point):
      let floats = point.map(\.nearestFloat)
      let witness = try finder.confirm(exactly: point, floats: floats, clauses: clauses)
      // A tie is a violation like any other; only an equally good one could replace it.
      return finder.accept(witness).map { .found($0) }
    case .proven(var nodes):
      // The first node is this one.
      nodes[0].refutations = node.refutations + nodes[0].refutations
      proof += nodes
      return .done
    }
  }

  func record(_ node: ProofNode) {
    if options.wantsProof { proof.append(node) }
  }

  private func splitInput(
    _ part: Part, _ b: NeuronBounds, _ undecided: [Int], _ remaining: [Int], _ covectors: [[Double]],
    _ moving: [Int],
    _ node: inout ProofNode
  ) throws -> Step {
    var remaining = remaining
    // Small remainders go to Z3 once splitting has not settled them quickly.
    let isSmall = undecided.count <= options.remainderLimit
    if options.method == .auto, isSmall, part.depth >= 9, part.depth % 3 == 0 {
      switch try askZ3(part, b, remaining, resources: 3_000_000) {
      case .found(let witness): return .found(witness)
      case .refuted(let clauses) where !options.wantsProof: remaining.removeAll { clauses.contains($0) }
      default: break
      }
      if remaining.isEmpty { return .done }
    }
    if undecided.count <= options.programLimit {
      let witness = try refuteByDuals(part, b, &remaining, &node, iterations: 60)
      if let witness { return .found(witness) }
      if remaining.isEmpty {
        record(node)
        return .done
      }
    }
    var best = -1
    var score = -1.0
    for i in moving {
      var s = 0.0
      for covector in covectors { s += abs(covector[i]) }
      s = (s + 1e-12) * (part.upper[i] - part.lower[i])
      let middle = part.lower[i] + (part.upper[i] - part.lower[i]) / 2
      if s > score, middle > part.lower[i], middle < part.upper[i] {
        score = s
        best = i
      }
    }
    if best < 0 || part.depth > 400 || undecided.isEmpty {
      if let step = try proveExactly(part, remaining, node) { return step }
    }
    if best < 0 || part.depth > 400 {
      switch try askZ3(part, b, remaining, resources: 0) {
      case .found(let witness): return .found(witness)
      case .refuted(let clauses) where !options.wantsProof && clauses.count == remaining.count: return .done
      default: return .stuck("a part of the region is too small to be split and remains open")
      }
    }
    let middle = part.lower[best] + (part.upper[best] - part.lower[best]) / 2
    let split = ProofSplit.input(best, at: middle)
    node.split = split
    record(node)
    var first = part
    first.clauses = remaining
    first.depth += 1
    var second = first
    (first.box, second.box) = part.box.halves(best, at: middle)
    return .split(split, first, second)
  }

  private func splitPhase(
    _ part: Part, _ b: NeuronBounds, _ undecided: [Int], _ remaining: [Int], _ node: inout ProofNode
  ) throws -> Step {
    var remaining = remaining
    var part = part
    let open = undecided.filter { network.isReLU($0) }
    var scores: [Int: Double] = [:]
    let program = TriangleProgram(network, b, splits: part.splits)
    for clause in remaining {
      let answer = bestDuals(
        clause, b, part, program, iterations: open.isEmpty ? 200 : (part.depth == 0 ? 40 : 20))
      part.duals[clause] = answer.duals
      if isRefuted(clause, part, b, answer) {
        refute(clause, part, b, answer.duals, &node)
        remaining.removeAll { $0 == clause }
        continue
      }
      for (v, s) in answer.scores { scores[v] = max(scores[v] ?? 0, s) }
      if !answer.minimiser.isEmpty,
        let witness = try finder.descend(
          from: answer.minimiser, lower: part.lower, upper: part.upper, clauses: [clause], steps: 10)
      {
        return .found(witness)
      }
    }
    if remaining.isEmpty {
      record(node)
      return .done
    }
    let isSmall = undecided.count <= options.remainderLimit && prepared.freeInputs.count <= 16
    // Linear programs settle most small remainders sooner than Z3 does; it gets those that they keep splitting.
    let isStubborn = part.depth >= 9 && part.depth % 3 == 0
    if options.method == .auto && isSmall && isStubborn || (open.isEmpty && prover == nil) {
      switch try askZ3(part, b, remaining, resources: open.isEmpty ? 0 : 10_000_000) {
      case .found(let witness): return .found(witness)
      case .refuted(let clauses) where !options.wantsProof: remaining.removeAll { clauses.contains($0) }
      default: break
      }
      if remaining.isEmpty { return .done }
    }
    if open.isEmpty, let step = try proveExactly(part, remaining, node) { return step }
    guard let best = open.max(by: { (scores[$0] ?? 0, -$0) < (scores[$1] ?? 0, -$1) }) else {
      return .stuck("all neurons are decided and a linear program remains open")
    }
    node.split = .phase(best)
    record(node)
    var first = part
    first.clauses = remaining
    first.depth += 1
    first.decisions += 1
    var second = first
    first.splits[best] = .inactive
    second.splits[best] = .active
    return .split(.phase(best), first, second)
  }

  /// The best slopes and multipliers for a clause: those of a linear program where one is small enough, otherwise by
  /// dual ascent.
  private func bestDuals(
    _ clause: Int, _ b: NeuronBounds, _ part: Part, _ program: TriangleProgram?, iterations: Int
  ) -> (bound: Double, duals: LinearRelaxation.Duals, minimiser: [Double], scores: [Int: Double]) {
    let rows = prepared.clauses[clause].map(\.row)
    let rhs = prepared.clauses[clause].map(\.rhsUp)
    let margin = safety(clause, b)
    if let program {
      let answer = program.minimise(rows, rhs: rhs, limit: 10 * margin + 1e-7) { [relaxation] in
        relaxation.dualBound(rows, rhs: rhs, b, $0) > margin
      }
      statistics.linearPrograms += 1
      if let duals = answer.duals {
        // Where the minimum is not reached by these multipliers (ties among them), a few steps of ascent do.
        var checked = relaxation.optimise(
          rows, rhs: rhs, b, splits: part.splits, start: duals, iterations: 1)
        if checked.bound <= margin, answer.objective > margin + 1e-9 {
          statistics.dualSteps += 1
          checked = relaxation.optimise(
            rows, rhs: rhs, b, splits: part.splits, start: duals, iterations: 25)
        }
        checked.minimiser = answer.point
        // Splitting a neuron that lies on its ReLU already moves nothing.
        for (v, s) in checked.scores where (answer.gaps[v] ?? 0) < 1e-9 { checked.scores[v] = s * 1e-3 }
        return checked
      }
    }
    statistics.dualSteps += 1
    return relaxation.optimise(
      rows, rhs: rhs, b, splits: part.splits, start: part.duals[clause], iterations: iterations)
  }

  /// Refutes what it can before a region is split; a linear program's point may be a violation.
  private func refuteByDuals(
    _ part: Part, _ b: NeuronBounds, _ remaining: inout [Int], _ node: inout ProofNode, iterations: Int
  ) throws -> Witness? {
    let program = TriangleProgram(network, b, splits: part.splits)
    let isAlone = remaining.allSatisfy { prepared.clauses[$0].count > 1 } && b.undecided(of: network).isEmpty
    guard program != nil || isAlone else { return nil }
    for clause in remaining {
      let answer = bestDuals(clause, b, part, program, iterations: iterations)
      if isRefuted(clause, part, b, answer) {
        refute(clause, part, b, answer.duals, &node)
        remaining.removeAll { $0 == clause }
      } else if !answer.minimiser.isEmpty,
        let witness = try finder.descend(
          from: answer.minimiser, lower: part.lower, upper: part.upper, clauses: [clause], steps: 0)
      {
        return witness
      }
    }
    return nil
  }

  /// Whether the bound that multipliers give refutes a clause, with a certificate where one is wanted.
  private func isRefuted(
    _ clause: Int, _ part: Part, _ b: NeuronBounds,
    _ answer: (bound: Double, duals: LinearRelaxation.Duals, minimiser: [Double], scores: [Int: Double])
  ) -> Bool {
    if answer.bound > safety(clause, b) { return true }
    return answer.bound > 0 && confirms(refutation(clause, answer.duals, b, part.splits), part)
  }

  /// Notes that multipliers refute a clause in a part.
  private func refute(
    _ clause: Int, _ part: Part, _ b: NeuronBounds, _ duals: LinearRelaxation.Duals, _ node: inout ProofNode
  ) {
    let made = options.wantsProof ? refutation(clause, duals, b, part.splits) : nil
    if let made { node.refutations.append(made) }
    learn(clause, part, b, duals, made)
  }

  func refutation(
    _ clause: Int, _ duals: LinearRelaxation.Duals, _ b: NeuronBounds, _ splits: [Int: Phase]
  ) -> ProofRefutation {
    var slopes: [Int: Double] = [:]
    for v in b.undecided(of: network) where network.isReLU(v) { slopes[v] = duals.alpha[v] }
    var multipliers: [Int: Rational] = [:]
    for v in splits.keys where duals.beta[v] != 0 && duals.beta[v].isFinite {
      multipliers[v] = Rational(abs(duals.beta[v]))
    }
    // The query's own rows, of which the prepared ones are multiples.
    let rows = zip(duals.rows, prepared.clauses[clause]).map { factor, row -> Rational in
      guard let exact = Rational(exactly: factor) else { return 0 }
      let product = exact * row.scale
      return Rational(exactly: product.nearestDouble) ?? product
    }
    return .duals(clause: clause, rows: rows, slopes: slopes, multipliers: multipliers)
  }
}
