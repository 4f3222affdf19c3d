import IR
import Limits
import Rigor
import Synchronization
import Tensors

/// Branch and bound over the phases of ReLUs, for one clause (a conjunction of rows) over one box: the bounds of
/// arguments over the whole box stay, alpha and beta are optimised together in every subproblem (Wang et al. 2021).
/// Other activations are split in the middle of their argument's range, with multipliers for that point (Shi et al.
/// 2024), and relaxed anew on either side.
///
/// A clause is refuted once any of its rows is. Rounds have a fixed size and results are used in order, so the outcome
/// does not depend on the number of threads.
struct ReluSplitSearch {
  let problem: VerificationProblem
  let context: SplitContext
  let control: SearchControl
  /// The number of the case.
  let index: Int
  let clause: [(row: Int, strict: Bool)]
  var statistics = SearchStatistics()
  private var round = 0

  let mid: [Double]
  let rad: [Double]
  let rootLines: [ActivationLines?]
  let batchSize: Int
  private let batchesPerRound = 2
  /// Evaluations per subproblem, and at the root.
  private let iterations = 10
  private let rootIterations = 60

  init(
    problem: VerificationProblem, context: SplitContext, control: SearchControl, case index: Int,
    clause: [(row: Int, strict: Bool)]
  ) {
    self.problem = problem
    self.context = context
    self.control = control
    self.index = index
    self.clause = clause
    let part = problem.cases[index]
    (mid, rad) = Self.midpointRadius(part.lower, part.upper)
    rootLines = context.rootLines
    batchSize = max(2, min(64, 60_000 / max(1, context.neuronCount)))
  }

  static func midpointRadius(_ lower: [Double], _ upper: [Double]) -> (mid: [Double], rad: [Double]) {
    var mid: [Double] = []
    var rad: [Double] = []
    for (l, u) in zip(lower, upper) {
      let center = 0.5 * l + 0.5 * u
      mid.append(center)
      rad.append(l == u ? 0 : max(u - center, center - l).nextUp)
    }
    return (mid, rad)
  }

  var rows: [Int] { clause.map(\.row) }

  /// Whether lower bounds of the clause's rows refute it.
  func isRefuted(_ lower: ArraySlice<Double>) -> Bool {
    zip(clause, lower).contains { $0.strict ? $1 >= 0 : $1 > 0 }
  }

  struct BatchResult: Sendable {
    var bounded = 0
    var refuted = 0
    var open: [NeuronDomain] = []
    var corners: [[Double]] = []
    /// Points that satisfy the clause in exact arithmetic.
    var exactPoints: [[Rational]] = []
    var isExhausted = false
  }

  mutating func run() throws -> SearchOutcome {
    let root = NeuronDomain(
      splits: [], bound: -.infinity, slopes: context.activations.map { _ in nil },
      multipliers: context.activations.map { _ in nil }, width: context.activations.map(\.count), next: nil)
    var result = try bound([root], iterations: rootIterations)
    var queue: [NeuronDomain] = []
    let checker = WitnessChecker(problem: problem, control: control)
    var lastReport = 0.0
    // Whether a subproblem with nothing left to split stayed open; others may still hold a witness.
    var isUnresolved = false
    while true {
      statistics.subproblems += result.bounded
      statistics.refuted += result.refuted
      if let witness = try examine(result.corners, checker) { return .witness(witness) }
      for point in result.exactPoints {
        if let witness = checker.check(exactly: point, problem: index) { return .witness(witness) }
        isUnresolved = true
      }
      if result.isExhausted { isUnresolved = true }
      queue.append(contentsOf: result.open)
      // The worst bound last.
      queue.sort { $0.bound > $1.bound }
      statistics.largestQueue = max(statistics.largestQueue, queue.count)
      if queue.isEmpty {
        return isUnresolved ? settleExactly() : .refuted
      }
      if let stop = control.stop { return .stopped(stop) }
      if ProcessMemory.resident > control.memoryLimit { return .stopped(.memoryLimit) }
      if control.progress != nil, control.elapsed > lastReport + 0.2 {
        lastReport = control.elapsed
        control.progress?(
          SearchProgress(
            seconds: lastReport, open: queue.count, visited: statistics.subproblems,
            worstBound: queue.last?.bound ?? 0))
      }
      var batches: [[NeuronDomain]] = []
      for _ in 0..<batchesPerRound where !queue.isEmpty {
        let take = min(max(1, batchSize / 2), queue.count)
        batches.append(Array(queue[(queue.count - take)...]))
        queue.removeLast(take)
      }
      result = BatchResult()
      for part in try process(batches) {
        result.bounded += part.bounded
        result.refuted += part.refuted
        result.open += part.open
        result.corners += part.corners
        result.exactPoints += part.exactPoints
        if part.isExhausted { result.isExhausted = true }
      }
    }
  }

  /// What leaves with nothing left to split could not settle, in exact arithmetic.
  private func settleExactly() -> SearchOutcome {
    let part = problem.cases[index]
    let outcome = ExactDecision(problem, control: control)?.decide(
      index, in: part.exactBox(part.lower, part.upper), ExactDecision.lastResort)
    return outcome ?? .exhausted("no neuron is left to split and the bound is still open")
  }

  private func process(_ batches: [[NeuronDomain]]) throws -> [BatchResult] {
    let expand = { @Sendable (batch: [NeuronDomain]) throws -> BatchResult in
      try bound(batch.flatMap(children), iterations: iterations)
    }
    guard control.threads > 1, batches.count > 1 else { return try batches.map(expand) }
    let slots = Mutex<[Result<BatchResult, any Error>?]>(Array(repeating: nil, count: batches.count))
    parallelFor(batches.count, threads: control.threads) { i in
      let result = Result { try expand(batches[i]) }
      slots.withLock { $0[i] = result }
    }
    return try slots.withLock { try $0.compactMap { try $0?.get() } }
  }

  private func children(_ domain: NeuronDomain) -> [NeuronDomain] {
    guard let split = domain.next else { return [] }
    return [true, false].map { isActive in
      var child = domain
      child.hold(split, isActive: isActive)
      child.next = nil
      return child
    }
  }

  /// Checks points whose numbers say that they satisfy the clause; now and then descends from the best of the others.
  private mutating func examine(_ corners: [[Double]], _ checker: WitnessChecker) throws -> Witness? {
    guard !corners.isEmpty else { return nil }
    let n = problem.inputCount
    let values = try problem.rowValues(Tensor([corners.count, n], corners.flatMap { $0 }), rows: rows)
    var violations: [(corner: Int, value: Double)] = []
    for (k, corner) in corners.enumerated() {
      let violation = values[(k * rows.count)..<((k + 1) * rows.count)].max() ?? .infinity
      violations.append((k, violation))
      guard violation <= 1e-9 else { continue }
      statistics.candidates += 1
      if let witness = checker.check(corner, problem: index) { return witness }
    }
    round += 1
    guard round % Self.descentInterval == 0 else { return nil }
    violations.sort { ($0.value, $0.corner) < ($1.value, $1.corner) }
    let descent = ProjectedGradient(problem: problem, control: control)
    let starts = violations.prefix(Self.descentStarts).map { corners[$0.corner] }
    for candidate in try descent.run(case: index, starts: starts, steps: 20) where candidate.violation <= 1e-6
    {
      statistics.candidates += 1
      if let witness = checker.check(candidate.point, problem: index) { return witness }
    }
    return nil
  }

  /// Every so many rounds gradient descent starts from the best corners: a small part of the time of the bounds.
  private static let descentInterval = 4
  private static let descentStarts = 8
}
