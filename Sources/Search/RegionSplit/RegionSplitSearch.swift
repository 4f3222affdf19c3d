import Bounds
import Domains
import Dispatch
import IR
import Limits
import Rigor
import Tensors

/// Branch and bound over boxes of inputs with CROWN of the whole graph for every box.
///
/// Slower than ``InputSplitSearch``, which keeps to affine and elementwise nodes, but it takes whatever can be bounded:
/// products, selections, normalisations, attention. Results are used in order, so the outcome does not depend on the
/// number of threads.
struct RegionSplitSearch {
  let problem: VerificationProblem
  let control: SearchControl
  var statistics = SearchStatistics()
  /// Made when it is first needed.
  private lazy var exact = ExactDecision(problem, control: control)
  private let graph: Graph
  private let batchSize: Int
  private let rowsOf: [[Int]]

  private struct Box: SplittableBox {
    var problem: Int
    var lower: [Double]
    var upper: [Double]
    /// The violation that its bounds allow; the smaller, the more likely a witness is inside.
    var bound = -Double.infinity
    /// How much halving each input promises.
    var scores: [Double] = []
    /// The corner that minimises the critical row's linear bound.
    var corner: [Double] = []
  }

  /// What the coefficients of each row may be off by, times the values they apply to.
  private let slack: [Double]

  /// nil for a problem without rows.
  init?(problem: VerificationProblem, control: SearchControl) throws {
    guard let graph = problem.rowGraph else { return nil }
    self.problem = problem
    self.control = control
    self.graph = graph
    slack = try problem.coefficientSlack()
    let elements = graph.nodes.reduce(0) { $0 + $1.shape.count }
    batchSize = max(1, min(32, 200_000 / max(1, elements)))
    rowsOf = problem.cases.map { $0.condition.rows.sorted() }
  }

  /// Decides the given cases over their whole boxes.
  mutating func run(_ cases: [Int]) throws -> SearchOutcome {
    let checker = WitnessChecker(problem: problem, control: control)
    // Fresh boxes of one case at a time: a batch shares its rows.
    var stack = try cases.reversed().flatMap { index -> [Box] in
      let part = problem.cases[index]
      return try bounded([Box(problem: index, lower: part.lower, upper: part.upper)])
    }
    var hasAsked = false
    while !stack.isEmpty {
      if let witness = try examine(stack.suffix(2 * batchSize), checker) { return .witness(witness) }
      if let stop = control.stop { return .stopped(stop) }
      if !hasAsked, statistics.subproblems >= Self.boxesBeforeAsking {
        hasAsked = true
        if let outcome = askExactly(&stack) { return outcome }
        continue
      }
      if ProcessMemory.resident > control.memoryLimit { return .stopped(.memoryLimit) }
      let index = stack[stack.count - 1].problem
      var halves: [Box] = []
      while let box = stack.last, box.problem == index, halves.count < 2 * batchSize {
        stack.removeLast()
        if let (left, right) = box.halves() {
          halves += [left, right]
          continue
        }
        let part = problem.cases[box.problem]
        switch exact?.decide(box.problem, in: part.exactBox(box.lower, box.upper), ExactDecision.atom) {
        case .refuted?: statistics.refuted += 1
        case let outcome?: return outcome
        case nil: return .exhausted("a box of single points could not be decided in floating point")
        }
      }
      var open: [Box] = []
      for start in stride(from: 0, to: halves.count, by: batchSize) {
        if let stop = control.stop { return .stopped(stop) }
        open += try bounded(Array(halves[start..<min(start + batchSize, halves.count)]))
      }
      // The most promising for a witness on top.
      stack += open.sorted { $0.bound > $1.bound }
      statistics.largestQueue = max(statistics.largestQueue, stack.count)
      control.progress?(
        SearchProgress(
          seconds: control.elapsed, open: stack.count, visited: statistics.subproblems,
          worstBound: stack.map(\.bound).min() ?? 0))
    }
    return .refuted
  }

  /// As in ``InputSplitSearch``; a box takes longer here.
  private static let boxesBeforeAsking = 256
  private static let mostCasesToAsk = 8

  /// Drops the boxes of cases that exact arithmetic refutes as a whole. A witness, if it finds one.
  private mutating func askExactly(_ stack: inout [Box]) -> SearchOutcome? {
    let cases = Set(stack.map(\.problem)).sorted()
    guard cases.count <= Self.mostCasesToAsk, let exact else { return nil }
    for index in cases {
      let part = problem.cases[index]
      switch exact.decide(index, in: part.exactBox(part.lower, part.upper), ExactDecision.wholeCase) {
      case .refuted?: stack.removeAll { $0.problem == index }
      case .witness(let witness)?: return .witness(witness)
      default: break
      }
    }
    return nil
  }

  /// Bounds boxes of one case; those that stay open.
  private mutating func bounded(_ boxes: [Box]) throws -> [Box] {
    guard let index = boxes.first?.problem else { return [] }
    let condition = problem.cases[index].condition
    let numbers = rowsOf[index]
    let n = problem.inputCount
    let shape = Shape([boxes.count, n])
    let region = Domains.Region([
      .box(lower: Tensor(shape, boxes.flatMap(\.lower)), upper: Tensor(shape, boxes.flatMap(\.upper)))
    ])
    var chosen = Tensor<Double>.zeros([numbers.count, problem.rows.count])
    for (r, number) in numbers.enumerated() { chosen[flat: r * problem.rows.count + number] = 1 }
    var options = BoundOptions(method: .crown)
    options.arithmetic = problem.semantics == .real ? .real : .float32
    options.threads = control.threads
    options.keepsCoefficients = true
    let result = try graph.bounds(over: region, rows: OutputRows(output: 0, rows: chosen), options)
    statistics.subproblems += boxes.count
    var open: [Box] = []
    for (b, box) in boxes.enumerated() {
      var lower = [Double](repeating: -.infinity, count: problem.rows.count)
      for (r, number) in numbers.enumerated() {
        lower[number] = result.outputs[0].lower[flat: b * numbers.count + r] - slack[number]
      }
      let rest = lower.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { condition.reduced($0) } ?? condition
      }
      guard let rest else {
        statistics.refuted += 1
        continue
      }
      var box = box
      let critical = lower.withUnsafeBufferPointer { buffer -> Int? in
        guard let base = buffer.baseAddress else { return nil }
        box.bound = rest.violation(base)
        return rest.criticalRow(base)
      }
      let row = critical.flatMap { numbers.firstIndex(of: $0) }
      let slopes = row.flatMap { r in
        result.coefficients.first?.lowerCoefficients.first.flatMap { $0 }.map { tensor in
          (0..<n).map { tensor[flat: (b * numbers.count + r) * n + $0] }
        }
      }
      rank(&box, slopes)
      open.append(box)
    }
    return open
  }

  private func rank(_ box: inout Box, _ slopes: [Double]?) {
    let n = problem.inputCount
    let width = (0..<n).map { box.upper[$0] - box.lower[$0] }
    guard let slopes else {
      box.scores = width
      box.corner = zip(box.lower, box.upper).map { 0.5 * $0 + 0.5 * $1 }
      return
    }
    let mean = slopes.reduce(0) { $0 + abs($1) } / Double(max(1, n))
    // Coefficients near 0 may hide what acts through a relaxation.
    box.scores = (0..<n).map { width[$0] * max(abs(slopes[$0]), 0.1 * mean) }
    if mean == 0 { box.scores = width }
    box.corner = (0..<n).map { slopes[$0] > 0 ? box.lower[$0] : box.upper[$0] }
  }

  /// Evaluates the centres and the most promising corners of boxes.
  private mutating func examine(_ boxes: ArraySlice<Box>, _ checker: WitnessChecker) throws -> Witness? {
    let n = problem.inputCount
    var points: [Double] = []
    var owners: [Int] = []
    for box in boxes {
      points += zip(box.lower, box.upper).map { 0.5 * $0 + 0.5 * $1 }
      points += box.corner
      owners += [box.problem, box.problem]
    }
    let rows = Set(owners.flatMap { rowsOf[$0] }).sorted()
    let values = try problem.rowValues(Tensor([owners.count, n], points), rows: rows)
    var all = [Double](repeating: 0, count: problem.rows.count)
    for (p, owner) in owners.enumerated() {
      for (r, row) in rows.enumerated() { all[row] = values[p * rows.count + r] }
      let violation = all.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { problem.cases[owner].condition.violation($0) } ?? .infinity
      }
      guard violation <= 1e-9 else { continue }
      statistics.candidates += 1
      let point = Array(points[(p * n)..<((p + 1) * n)])
      if let witness = checker.check(point, problem: owner) { return witness }
    }
    return nil
  }
}

extension VerificationProblem {
  /// By row: at least the sum of what each coefficient may be off by times the size of its value over all cases.
  func coefficientSlack() throws -> [Double] {
    var slack = [Double](repeating: 0, count: rows.count)
    guard rows.contains(where: { $0.coefficientErrors.contains { $0 > 0 } }), let first = cases.first else {
      return slack
    }
    var (lower, upper) = (first.lower, first.upper)
    for part in cases.dropFirst() {
      lower = zip(lower, part.lower).map { min($0, $1) }
      upper = zip(upper, part.upper).map { max($0, $1) }
    }
    let n = inputCount
    let region = Domains.Region([.box(lower: Tensor([1, n], lower), upper: Tensor([1, n], upper))])
    let trace = try graph.intervals(over: region, semantics == .real ? .real : .float32)
    for (r, row) in rows.enumerated() {
      for (term, error) in zip(row.terms, row.coefficientErrors) where error > 0 {
        let (node, place): (NodeID, Int)
        switch term.source {
        case .input(let j): (node, place) = (inputNode, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        let size = trace.values[node].map { max(abs($0.lower[flat: place]), abs($0.upper[flat: place])) }
        slack[r] = (slack[r] + error * (size ?? .infinity)).nextUp
      }
      // Few terms, each rounded twice.
      slack[r] *= 1 + 0x1p-30
    }
    return slack
  }
}
