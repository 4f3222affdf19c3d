import Foundation
import IR
import Rigor

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
  public var deadline: Date?
  /// Whether `holds` must come with a certificate. Z3 is then used to find violations only.
  public var wantsProof = false
  public var seed: UInt64 = 0
  /// The most undecided neurons that are handed to Z3 in one piece.
  public var remainderLimit = 10
  /// Up to this many moving inputs, the region is split rather than the phases.
  public var inputSplitLimit = 8
  /// Where to run Z3 when a hard deadline matters; nil to run it in this process.
  public var isolated: Z3Process?

  public init() {}
}

/// Decides whether a region is free of violations, exactly.
///
/// Falsification first; then branch and bound over parts of the region and phases of neurons, with linear bounds that
/// include rounding, dual ascent on slopes and multipliers, and Z3 on small remainders. All statements are about exact
/// real arithmetic on the stored weights.
public final class SafetySolver {
  let prepared: PreparedQuery
  let options: SolverOptions
  let relaxation: LinearRelaxation
  var finder: WitnessFinder
  var statistics = SolverStatistics()
  private var proof: [ProofNode] = []
  private var network: PiecewiseLinearNetwork { prepared.network }

  /// - Parameters:
  ///   - network: The lowered network.
  ///   - query: The region and the violation.
  ///   - deployed: Runs the network as deployed, to replay witnesses; nil to skip that.
  /// - Throws: `GraphError` if the query does not fit the network.
  public init(
    _ network: PiecewiseLinearNetwork, _ query: SafetyQuery, options: SolverOptions = SolverOptions(),
    deployed: DeployedRun? = nil
  ) throws {
    prepared = try PreparedQuery(network, query)
    self.options = options
    relaxation = LinearRelaxation(network)
    finder = WitnessFinder(prepared, deployed: deployed, seed: options.seed)
    statistics.neurons = network.neuronCount
  }

  /// A part of the search: a box, phase decisions, and the clauses that are still possible.
  private struct Part {
    var lower: [Double]
    var upper: [Double]
    var splits: [Int: Phase]
    var clauses: [Int]
    var depth: Int
    var duals: [Int: LinearRelaxation.Duals]
  }

  private enum Step {
    case done
    case split(Part, Part)
    case found(Witness)
    case stuck(String)
  }

  private var isLate: Bool { options.deadline.map { Date() >= $0 } ?? false }

  /// Decides the query.
  public func solve() throws -> SafetyResult {
    let all = Array(prepared.clauses.indices)
    if let witness = try finder.search(
      lower: prepared.lower, upper: prepared.upper, clauses: all, starts: 4, steps: 25)
    {
      return finish(.violated, witness)
    }
    let root = Part(
      lower: prepared.lower, upper: prepared.upper, splits: [:], clauses: all, depth: 0, duals: [:])
    if options.method == .exact { return try solveExactly(root) }
    var stack = [root]
    var obstacle: String?
    var patience = 200
    while let part = stack.popLast() {
      if isLate { return finishUnknown("time-out") }
      if finder.tie != nil {
        // A violation is known; look a little longer for one that float32 shares.
        patience -= 1
        if patience < 0 { return finishUnknown("tie") }
      }
      switch try step(part) {
      case .done: break
      case .found(let witness): return finish(.violated, witness)
      case .split(let first, let second):
        stack.append(second)
        stack.append(first)
      case .stuck(let why):
        obstacle = why
        if options.wantsProof { proof.append(ProofNode()) }
      }
    }
    if let obstacle { return finishUnknown(obstacle) }
    if let tie = finder.tie { return finish(.violated, tie) }
    return finish(.holds, nil)
  }

  private func finish(_ verdict: Verdict, _ witness: Witness?) -> SafetyResult {
    statistics.pointsTried = finder.pointsTried
    let tree = verdict == .holds && options.wantsProof ? ProofTree(nodes: proof) : nil
    return SafetyResult(
      verdict: verdict, witness: witness, reason: nil, statistics: statistics, proof: tree)
  }

  private func finishUnknown(_ reason: String) -> SafetyResult {
    // A violation in exact arithmetic is one, even if float32 falls on the other side.
    if let tie = finder.tie { return finish(.violated, tie) }
    var result = finish(.unknown, nil)
    result.reason = reason
    return result
  }

  // MARK: One part

  private func step(_ part: Part) throws -> Step {
    statistics.nodes += 1
    guard let b = relaxation.bounds(lower: part.lower, upper: part.upper, splits: part.splits) else {
      record(ProofNode(isEmpty: true))
      return .done
    }
    let undecided = b.undecided(of: network)
    if part.depth == 0 { statistics.undecidedAtRoot = undecided.count }
    var node = ProofNode()
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
      if size > 0 && margin > safety(clause, b) {
        node.refutations.append(.row(clause: clause, row: best))
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
    let splitsInputs = moving.count <= options.inputSplitLimit && !moving.isEmpty
    return splitsInputs
      ? try splitInput(part, b, undecided, remaining, covectors, moving, &node)
      : try splitPhase(part, b, undecided, remaining, &node)
  }

  /// How far a bound must exceed its right side. With proofs, far enough that the checker's own rounding cannot matter.
  private func safety(_ clause: Int, _ b: NeuronBounds) -> Double {
    guard options.wantsProof else { return 0 }
    var size = 1.0
    for row in prepared.clauses[clause] {
      for (v, c) in zip(row.row.variables, row.row.coefficients) {
        size += abs(c) * max(abs(b.lower[v]), abs(b.upper[v]))
      }
    }
    return 1e-9 * size
  }

  private func record(_ node: ProofNode) {
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
    if undecided.isEmpty, remaining.allSatisfy({ prepared.clauses[$0].count > 1 }) {
      try refuteByDuals(part, b, &remaining, &node, iterations: 60)
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
    if best < 0 || part.depth > 400 {
      switch try askZ3(part, b, remaining, resources: 0) {
      case .found(let witness): return .found(witness)
      case .refuted(let clauses) where !options.wantsProof && clauses.count == remaining.count: return .done
      default: return .stuck("a part of the region is too small to be split and remains open")
      }
    }
    let middle = part.lower[best] + (part.upper[best] - part.lower[best]) / 2
    node.split = .input(best, at: middle)
    record(node)
    var first = part
    first.clauses = remaining
    first.depth += 1
    var second = first
    first.upper[best] = middle
    second.lower[best] = middle
    return .split(first, second)
  }

  private func splitPhase(
    _ part: Part, _ b: NeuronBounds, _ undecided: [Int], _ remaining: [Int], _ node: inout ProofNode
  ) throws -> Step {
    var remaining = remaining
    var part = part
    let open = undecided.filter { network.isReLU($0) }
    var scores: [Int: Double] = [:]
    for clause in remaining {
      let rows = prepared.clauses[clause]
      let answer = relaxation.optimise(
        rows.map(\.row), rhs: rows.map(\.rhsUp), b, splits: part.splits, start: part.duals[clause],
        iterations: open.isEmpty ? 200 : (part.depth == 0 ? 40 : 20))
      statistics.dualSteps += 1
      part.duals[clause] = answer.duals
      if answer.bound > safety(clause, b) {
        node.refutations.append(refutation(clause, answer.duals, b, part.splits))
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
    if options.method == .auto && isSmall || open.isEmpty {
      switch try askZ3(part, b, remaining, resources: open.isEmpty ? 0 : 10_000_000) {
      case .found(let witness): return .found(witness)
      case .refuted(let clauses) where !options.wantsProof: remaining.removeAll { clauses.contains($0) }
      default: break
      }
      if remaining.isEmpty { return .done }
    }
    guard let best = open.max(by: { (scores[$0] ?? 0, -$0) < (scores[$1] ?? 0, -$1) }) else {
      return .stuck("all neurons are decided and a linear program remains open")
    }
    node.split = .phase(best)
    record(node)
    var first = part
    first.clauses = remaining
    first.depth += 1
    var second = first
    first.splits[best] = .inactive
    second.splits[best] = .active
    return .split(first, second)
  }

  private func refuteByDuals(
    _ part: Part, _ b: NeuronBounds, _ remaining: inout [Int], _ node: inout ProofNode, iterations: Int
  ) throws {
    for clause in remaining {
      let rows = prepared.clauses[clause]
      let answer = relaxation.optimise(
        rows.map(\.row), rhs: rows.map(\.rhsUp), b, splits: part.splits, start: nil, iterations: iterations)
      statistics.dualSteps += 1
      if answer.bound > safety(clause, b) {
        node.refutations.append(refutation(clause, answer.duals, b, part.splits))
        remaining.removeAll { $0 == clause }
      }
    }
  }

  private func refutation(
    _ clause: Int, _ duals: LinearRelaxation.Duals, _ b: NeuronBounds, _ splits: [Int: Phase]
  ) -> ProofRefutation {
    var slopes: [Int: Double] = [:]
    for v in b.undecided(of: network) where network.isReLU(v) { slopes[v] = duals.alpha[v] }
    var multipliers: [Int: Double] = [:]
    for v in splits.keys where duals.beta[v] != 0 { multipliers[v] = abs(duals.beta[v]) }
    return .duals(clause: clause, rows: duals.rows, slopes: slopes, multipliers: multipliers)
  }

  // MARK: Z3

  private enum Z3Outcome {
    case found(Witness)
    case refuted([Int])
  }

  private func askZ3(_ part: Part, _ b: NeuronBounds, _ clauses: [Int], resources: Int) throws -> Z3Outcome {
    var refuted: [Int] = []
    var lower = prepared.query.lower
    var upper = prepared.query.upper
    for i in prepared.freeInputs {
      lower[i] = max(lower[i], Rational(part.lower[i]))
      upper[i] = min(upper[i], Rational(part.upper[i]))
    }
    let condensed = CondensedQuery(
      network: network, lower: lower, upper: upper, phases: b.phases, decided: part.splits)
    for clause in clauses {
      if isLate { break }
      statistics.z3Calls += 1
      let answer = condensed.check(
        prepared.clauses[clause], resources: resources, deadline: options.deadline,
        isolated: options.method == .exact ? options.isolated : nil)
      switch answer.result {
      case .unsatisfiable: refuted.append(clause)
      case .unknown: break
      case .satisfiable:
        guard let point = answer.point else { break }
        if let witness = try confirm(point, clause) { return .found(witness) }
        if finder.tie != nil { refuted.append(clause) }
      }
    }
    return .refuted(refuted)
  }

  /// Turns Z3's exact point into a witness, if possible one that float32 confirms.
  private func confirm(_ point: [Rational], _ clause: Int) throws -> Witness? {
    let x = point.map(\.nearestDouble)
    // Follow the violation inward from the point, where rounding no longer matters.
    if let witness = try finder.descend(
      from: x, lower: prepared.lower, upper: prepared.upper, clauses: [clause], steps: 12)
    {
      return witness
    }
    let floats = point.map(\.nearestFloat)
    return finder.accept(try finder.confirm(exactly: point, floats: floats, clauses: [clause]))
  }

  private func solveExactly(_ root: Part) throws -> SafetyResult {
    statistics.nodes = 1
    guard let b = relaxation.bounds(lower: root.lower, upper: root.upper, splits: [:]) else {
      return finish(.holds, nil)
    }
    statistics.undecidedAtRoot = b.undecided(of: network).count
    switch try askZ3(root, b, root.clauses, resources: 0) {
    case .found(let witness): return finish(.violated, witness)
    case .refuted(let clauses):
      if let tie = finder.tie { return finish(.violated, tie) }
      if clauses.count == root.clauses.count { return finish(.holds, nil) }
      return finishUnknown(isLate ? "time-out" : "Z3 gave up")
    }
  }
}
