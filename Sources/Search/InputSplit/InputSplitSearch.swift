import IR
import Limits
import Rigor
import Synchronization
import Tensors

/// What a search found out.
enum SearchOutcome: Sendable {
  case refuted
  case witness(Witness)
  case stopped(SearchControl.Stop)
  /// The search cannot go on, and why.
  case exhausted(String)
}

/// Counters of a search.
public struct SearchStatistics: Sendable, Equatable {
  /// Subproblems whose bounds were computed.
  public var subproblems = 0
  /// Subproblems refuted.
  public var refuted = 0
  /// The most subproblems open at one time.
  public var largestQueue = 0
  /// Candidates handed to the exact check.
  public var candidates = 0

  public init() {}
}

/// Branch and bound over boxes of inputs: bound a batch, drop what is refuted, clip, look for witnesses, halve.
///
/// Rounds are of fixed size and their results are used in order, so the outcome does not depend on the number of
/// threads.
struct InputSplitSearch {
  let problem: VerificationProblem
  let context: SplitContext
  let control: SearchControl
  var statistics = SearchStatistics()
  /// Made when it is first needed.
  private lazy var exact = ExactDecision(problem, control: control)

  /// Boxes per batch, and batches per round.
  private let batchSize: Int
  private let batchesPerRound = 2
  /// The least influence of an input on a row, as a part of the mean one: coefficients near 0 may hide what acts through
  /// neurons that are not yet stable.
  private static let leastInfluence = 0.1

  /// By case: the numbers of its rows.
  private let rowsOf: [[Int]]

  init(problem: VerificationProblem, context: SplitContext, control: SearchControl) {
    self.problem = problem
    rowsOf = problem.cases.map { $0.condition.rows.sorted() }
    self.context = context
    self.control = control
    // Small enough to stay in the cache, large enough for efficient matrix products; larger networks get less.
    batchSize = max(1, min(64, 40_000 / max(1, context.neuronCount)))
  }

  /// What one batch leaves: boxes to go on with and points to check, in order.
  private struct BatchResult: Sendable {
    var open: [InputBox] = []
    var bounded = 0
    var refuted = 0
    /// Boxes that cannot be halved and are still open.
    var atoms: [InputBox] = []
    /// Points whose numbers say that they are witnesses: case and point, most violating first.
    var candidates: [(problem: Int, point: [Double], violation: Double)] = []
  }

  mutating func run(_ initial: [InputBox]) throws -> SearchOutcome {
    let checker = WitnessChecker(problem: problem, control: control)
    var stack: [InputBox] = []
    var fresh = initial
    var lastReport = 0.0
    var hasAsked = false
    while !fresh.isEmpty || !stack.isEmpty {
      if let stop = control.stop { return .stopped(stop) }
      if !hasAsked, statistics.subproblems >= Self.boxesBeforeAsking {
        hasAsked = true
        if let outcome = askExactly(&stack, &fresh) { return outcome }
        continue
      }
      var batches: [Work] = []
      for _ in 0..<batchesPerRound {
        if !fresh.isEmpty {
          let take = min(batchSize, fresh.count)
          batches.append(.bound(Array(fresh[(fresh.count - take)...])))
          fresh.removeLast(take)
        } else if !stack.isEmpty {
          let take = min(max(1, batchSize / 2), stack.count)
          batches.append(.expand(Array(stack[(stack.count - take)...])))
          stack.removeLast(take)
        }
      }
      let results = try process(batches)
      var opened: [InputBox] = []
      for result in results {
        statistics.subproblems += result.bounded
        statistics.refuted += result.refuted
        for candidate in result.candidates.prefix(4) {
          statistics.candidates += 1
          if let witness = checker.check(candidate.point, problem: candidate.problem) {
            return .witness(witness)
          }
        }
        for atom in result.atoms {
          let part = problem.cases[atom.problem]
          switch exact?.decide(atom.problem, in: part.exactBox(atom.lower, atom.upper), ExactDecision.atom) {
          case .refuted?: statistics.refuted += 1
          case let outcome?: return outcome
          case nil: return .exhausted("a box of single points could not be decided in floating point")
          }
        }
        for box in result.open {
          switch box.isLinear ? decide(box) : nil {
          case .refuted?: statistics.refuted += 1
          case .witness(let witness)?: return .witness(witness)
          default: opened.append(box)
          }
        }
      }
      // The most promising for a witness on top.
      opened.sort { $0.bound > $1.bound }
      stack.append(contentsOf: opened)
      statistics.largestQueue = max(statistics.largestQueue, stack.count + fresh.count)
      if control.progress != nil, control.elapsed > lastReport + 0.2 {
        lastReport = control.elapsed
        control.progress?(
          SearchProgress(
            seconds: lastReport, open: stack.count + fresh.count, visited: statistics.subproblems,
            worstBound: stack.map(\.bound).min() ?? 0))
      }
      if stack.count > 1000, ProcessMemory.resident > control.memoryLimit {
        return .stopped(.memoryLimit)
      }
    }
    return .refuted
  }

  /// Boxes after which few open cases are asked about in exact arithmetic: conditions that are attained, or just missed, at
  /// kinks keep every box around them open.
  private static let boxesBeforeAsking = 512
  private static let mostCasesToAsk = 8

  /// Drops the boxes of cases that exact arithmetic refutes as a whole. A witness, if it finds one.
  private mutating func askExactly(_ stack: inout [InputBox], _ fresh: inout [InputBox]) -> SearchOutcome? {
    let cases = Set(stack.map(\.problem) + fresh.map(\.problem)).sorted()
    guard cases.count <= Self.mostCasesToAsk, let exact else { return nil }
    for index in cases {
      let part = problem.cases[index]
      switch exact.decide(index, in: part.exactBox(part.lower, part.upper), ExactDecision.wholeCase) {
      case .refuted?:
        stack.removeAll { $0.problem == index }
        fresh.removeAll { $0.problem == index }
      case .witness(let witness)?: return .witness(witness)
      default: break
      }
    }
    return nil
  }

  /// What a batch is to do.
  private enum Work: Sendable {
    /// Bound new boxes.
    case bound([InputBox])
    /// Halve boxes whose bounds are known.
    case expand([InputBox])
  }

  private func process(_ batches: [Work]) throws -> [BatchResult] {
    guard control.threads > 1, batches.count > 1 else { return try batches.map(process) }
    let slots = Mutex<[Result<BatchResult, any Error>?]>(Array(repeating: nil, count: batches.count))
    parallelFor(batches.count, threads: control.threads) { i in
      let result = Result { try process(batches[i]) }
      slots.withLock { $0[i] = result }
    }
    return try slots.withLock { try $0.compactMap { try $0?.get() } }
  }

  private func process(_ work: Work) throws -> BatchResult {
    var result = BatchResult()
    switch work {
    case .bound(let boxes):
      result.bounded = boxes.count
      for box in try bounded(boxes, areFresh: true) {
        if let box { result.open.append(box) } else { result.refuted += 1 }
      }
    case .expand(let boxes):
      var halves: [InputBox] = []
      for box in boxes {
        guard let (left, right) = box.halves() else {
          result.atoms.append(box)
          continue
        }
        halves.append(left)
        halves.append(right)
      }
      result.bounded = halves.count
      for box in try bounded(halves, areFresh: false) {
        if let box { result.open.append(box) } else { result.refuted += 1 }
      }
    }
    try findCandidates(&result)
    return result
  }

  /// Bounds and clips boxes; nil for those that are refuted.
  private func bounded(_ boxes: [InputBox], areFresh: Bool) throws -> [InputBox?] {
    let bounder = BoxBounder(context: context, problem: problem)
    let bounds = try bounder.bound(boxes, rowsOf: rowsOf, usesIntervals: areFresh)
    let n = context.inputCount
    var places = [Int](repeating: 0, count: problem.rows.count)
    var values = [Double](repeating: -.infinity, count: problem.rows.count)
    var first = 0
    return boxes.enumerated().map { b, box -> InputBox? in
      defer { first += bounds.rows[b].count }
      for (i, row) in bounds.rows[b].enumerated() {
        places[row] = first + i
        values[row] = bounds.bounds.lower[first + i]
      }
      let condition = problem.cases[box.problem].condition
      let reduced = values.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { condition.reduced($0) } ?? condition
      }
      guard let open = reduced else { return nil }
      var child = box
      child.states = bounds.states[b]
      let isOpen = bounds.bounds.coefficients.withUnsafeBufferPointer { a -> Bool in
        guard let a = a.baseAddress else { return true }
        let row = { (number: Int) in (a + places[number] * n, bounds.bounds.constant[places[number]]) }
        return Clipping.clip(&child.lower, &child.upper, open, row: row)
      }
      guard isOpen else { return nil }
      let form = { (row: Int) -> LinearForm in
        let start = places[row] * n
        return LinearForm(
          coefficients: Array(bounds.bounds.coefficients[start..<(start + n)]),
          constant: bounds.bounds.constant[places[row]])
      }
      guard settle(&child, open, form) else { return nil }
      let critical = values.withUnsafeBufferPointer { buffer -> (Int?, Double) in
        guard let base = buffer.baseAddress else { return (nil, -.infinity) }
        return (open.criticalRow(base), open.violation(base))
      }
      child.bound = critical.1
      let place = critical.0.map { places[$0] }
      child.scores = scores(child, place, bounds)
      if let place { child.corner = (0..<n).map { bounds.bounds.coefficients[place * n + $0] < 0 } }
      return child
    }
  }

  /// The most disjuncts whose rows are taken together.
  private static let mostClauses = 8

  /// Takes the rows of every disjunct together where the network is linear; false if none can be satisfied there.
  ///
  /// Elsewhere this does not pay: measured on ACAS Xu, it refutes hardly any box that rows one by one do not.
  private func settle(_ box: inout InputBox, _ open: RowFormula, _ form: (Int) -> LinearForm) -> Bool {
    box.point = nil
    box.isLinear = false
    guard context.isPiece(box.states), let clauses = open.clauses(limit: Self.mostClauses), !clauses.isEmpty
    else { return true }
    var best = Double.infinity
    for clause in clauses {
      let program = LeafProgram(lower: box.lower, upper: box.upper, rows: clause.map { form($0.row) })
      guard case .open(let point, let violation) = program.solve(), violation < best else { continue }
      best = violation
      box.point = point
    }
    box.isLinear = box.point != nil
    return box.isLinear
  }

  /// Decides a box on which the network is linear in exact arithmetic: numbers would have found a witness, or none, but
  /// for rounding. nil if that does not work out.
  private func decide(_ box: InputBox) -> SearchOutcome? {
    let part = problem.cases[box.problem]
    guard problem.semantics == .real, let clauses = part.condition.clauses(limit: Self.mostClauses) else {
      return nil
    }
    let leaf = ExactLeaf(problem: problem, context: context, control: control)
    let bounds = part.exactBox(box.lower, box.upper)
    if bounds.contains(where: \.isEmpty) { return .refuted }
    let sides = box.states.map { NeuronState(rawValue: $0) ?? .unstable }
    let checker = WitnessChecker(problem: problem, control: control)
    var isOpen = false
    for clause in clauses {
      switch leaf.decide(clause, in: bounds, sides: sides, held: []) {
      case .refuted: continue
      case .point(let point):
        if let witness = checker.check(exactly: point, problem: box.problem) { return .witness(witness) }
        isOpen = true
      case .open: isOpen = true
      }
    }
    return isOpen ? nil : .refuted
  }

  /// How much halving each input may tighten the critical row.
  private func scores(_ box: InputBox, _ place: Int?, _ bounds: BoxBounder.Result) -> [Double] {
    let n = context.inputCount
    guard let place else { return (0..<n).map { box.upper[$0] - box.lower[$0] } }
    let a = bounds.influence
    var mean = 0.0
    for j in 0..<n { mean += abs(a[place * n + j]) / Double(n) }
    return (0..<n).map { j in
      (box.upper[j] - box.lower[j]) * max(abs(a[place * n + j]), Self.leastInfluence * mean)
    }
  }

  /// Evaluates the centres and the most promising corners of open boxes.
  private func findCandidates(_ result: inout BatchResult) throws {
    guard !result.open.isEmpty else { return }
    let n = context.inputCount
    let count = result.open.count
    var points: [Double] = []
    points.reserveCapacity(2 * count * n)
    for box in result.open {
      for j in 0..<n { points.append(0.5 * box.lower[j] + 0.5 * box.upper[j]) }
    }
    for box in result.open {
      for j in 0..<n {
        points.append(box.corner.isEmpty ? box.upper[j] : box.corner[j] ? box.upper[j] : box.lower[j])
      }
    }
    var owners = Array(0..<count) + Array(0..<count)
    for (b, box) in result.open.enumerated() {
      guard let point = box.point else { continue }
      points += point
      owners.append(b)
    }
    // Only the rows of the cases at hand; their values go where the conditions look for them.
    let rows = Set(result.open.flatMap { rowsOf[$0.problem] }).sorted()
    let values = try problem.rowValues(Tensor([owners.count, n], points), rows: rows)
    var all = [Double](repeating: 0, count: problem.rows.count)
    all.withUnsafeMutableBufferPointer { buffer in
      for p in owners.indices {
        let box = result.open[owners[p]]
        for (r, row) in rows.enumerated() { buffer[row] = values[p * rows.count + r] }
        guard let base = UnsafePointer(buffer.baseAddress) else { return }
        let violation = problem.cases[box.problem].condition.violation(base)
        // Rounding may hide a point that satisfies the query exactly; the exact check decides.
        if violation <= 1e-9 {
          result.candidates.append((box.problem, Array(points[(p * n)..<((p + 1) * n)]), violation))
        }
      }
    }
    result.candidates.sort { $0.violation < $1.violation }
  }
}
