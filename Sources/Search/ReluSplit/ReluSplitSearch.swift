import Dispatch
import IR
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

  private let mid: [Double]
  private let rad: [Double]
  private let rootLines: [ActivationLines?]
  private let batchSize: Int
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

  private var rows: [Int] { clause.map(\.row) }

  /// Whether lower bounds of the clause's rows refute it.
  private func isRefuted(_ lower: ArraySlice<Double>) -> Bool {
    zip(clause, lower).contains { $0.strict ? $1 >= 0 : $1 > 0 }
  }

  private struct BatchResult: Sendable {
    var bounded = 0
    var refuted = 0
    var open: [NeuronDomain] = []
    var corners: [[Double]] = []
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
      if result.isExhausted { isUnresolved = true }
      queue.append(contentsOf: result.open)
      // The worst bound last.
      queue.sort { $0.bound > $1.bound }
      statistics.largestQueue = max(statistics.largestQueue, queue.count)
      if queue.isEmpty {
        return isUnresolved ? .exhausted("no neuron is left to split and the bound is still open") : .refuted
      }
      if let stop = control.stop { return .stopped(stop) }
      if SearchControl.residentMemory > control.memoryLimit { return .stopped(.memoryLimit) }
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
        if part.isExhausted { result.isExhausted = true }
      }
    }
  }

  private func process(_ batches: [[NeuronDomain]]) throws -> [BatchResult] {
    let expand = { @Sendable (batch: [NeuronDomain]) throws -> BatchResult in
      try bound(batch.flatMap(children), iterations: iterations)
    }
    guard control.threads > 1, batches.count > 1 else { return try batches.map(expand) }
    let slots = Mutex<[Result<BatchResult, any Error>?]>(Array(repeating: nil, count: batches.count))
    DispatchQueue.concurrentPerform(iterations: batches.count) { i in
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

  /// Checks points whose numbers say that they satisfy the clause.
  private mutating func examine(_ corners: [[Double]], _ checker: WitnessChecker) throws -> Witness? {
    guard !corners.isEmpty else { return nil }
    let n = problem.inputCount
    let values = try problem.rowValues(Tensor([corners.count, n], corners.flatMap { $0 }), rows: rows)
    for (k, corner) in corners.enumerated() {
      let own = values[(k * rows.count)..<((k + 1) * rows.count)]
      guard own.allSatisfy({ $0 <= 1e-9 }) else { continue }
      statistics.candidates += 1
      if let witness = checker.check(corner, problem: index) { return witness }
    }
    return nil
  }

  // MARK: Bounds

  private func lines(_ domains: [NeuronDomain]) -> [ActivationLines?] {
    var tables = context.activations.indices.map { i -> ActivationLines? in
      guard let root = rootLines[i] else { return nil }
      return root.repeated(domains.count)
    }
    for (b, domain) in domains.enumerated() {
      for split in domain.splits {
        let i = Int(split.activation)
        let activation = context.activations[i]
        let j = Int(split.neuron)
        if activation.isRelu {
          tables[i]?.setState(b * activation.count + j, split.isActive ? .active : .inactive)
        } else {
          let (l, u) = domain.range(of: split, activation)
          tables[i]?.set(
            b * activation.count + j, activation.function, l, u, neurons: activation.count,
            extraCharge: activation.charge[j])
        }
      }
    }
    return tables
  }

  private func ascent(_ domains: [NeuronDomain]) -> BoundAscent {
    var groups = RowGroups()
    let each = rows.count
    for b in domains.indices { groups.append(owner: b, count: each) }
    let count = domains.count
    let mids = Array((0..<count).map { _ in mid }.joined())
    let rads = Array((0..<count).map { _ in rad }.joined())
    var ascent = BoundAscent(
      context: context, problem: problem, groups: groups, rowLists: domains.map { _ in rows },
      lines: lines(domains), mid: mids, rad: rads)
    for (i, activation) in context.activations.enumerated() {
      let n = activation.count
      var signs: [Int8]?
      var points: [Double]?
      for (b, domain) in domains.enumerated() {
        // Of several splits of one neuron the last is the tightest on its side.
        for split in domain.splits where Int(split.activation) == i {
          if signs == nil { signs = [Int8](repeating: 0, count: count * n) }
          signs?[b * n + Int(split.neuron)] = split.isActive ? 1 : -1
          if activation.isRelu { continue }
          if points == nil { points = [Double](repeating: 0, count: count * n) }
          points?[b * n + Int(split.neuron)] = split.point
        }
      }
      if signs != nil {
        ascent.signs[i] = signs
        ascent.points[i] = points
        ascent.multipliers[i] = [Double](repeating: 0, count: count * each * n)
      }
      for (b, domain) in domains.enumerated() {
        let start = b * each * n
        if let known = domain.slopes[i] {
          for k in 0..<(each * n) { ascent.slopes[i]?[start + k] = Double(known[k]) }
        }
        if let known = domain.multipliers[i], signs != nil {
          for k in 0..<(each * n) { ascent.multipliers[i]?[start + k] = Double(known[k]) }
        }
        for split in domain.splits where Int(split.activation) == i && activation.isRelu {
          // A held neuron has one line on both sides.
          for r in 0..<each {
            ascent.slopes[i]?[start + r * n + Int(split.neuron)] = split.isActive ? 1 : 0
          }
        }
      }
    }
    return ascent
  }

  /// Bounds subproblems; those that stay open get the neuron to split next.
  private func bound(_ domains: [NeuronDomain], iterations: Int) throws -> BatchResult {
    var result = BatchResult()
    guard !domains.isEmpty else { return result }
    result.bounded = domains.count
    let each = rows.count
    var ascent = self.ascent(domains)
    let control = control
    try ascent.run(iterations: iterations, slopeRate: 0.25, multiplierRate: 0.1, decay: 0.96) { lower in
      control.stop != nil
        || domains.indices.allSatisfy { isRefuted(lower[($0 * each)..<(($0 + 1) * each)]) }
    }
    guard let best = ascent.best else { return result }
    let open = domains.indices.filter { !isRefuted(best.lower[($0 * each)..<(($0 + 1) * each)]) }
    result.refuted = domains.count - open.count
    if open.isEmpty { return result }
    try ascent.findArguments(best)
    let n = context.inputCount
    var left: [NeuronDomain] = []
    var criticals: [Int] = []
    for b in open {
      var domain = domains[b]
      let lower = best.lower[(b * each)..<((b + 1) * each)]
      domain.bound = max(domain.bound, lower.max() ?? -.infinity)
      let critical =
        b * each + (lower.indices.max { lower[$0] < lower[$1] } ?? lower.startIndex) - lower.startIndex
      for (i, activation) in context.activations.enumerated() {
        let range = (b * each * activation.count)..<((b + 1) * each * activation.count)
        domain.slopes[i] = ascent.slopes[i].map { $0[range].map { Float($0) } }
        domain.multipliers[i] = ascent.multipliers[i].map { $0[range].map { Float($0) } }
      }
      result.corners.append(
        (0..<n).map { j in
          let a = best.coefficients[critical * n + j]
          return a > 0 ? mid[j] - rad[j] : a < 0 ? mid[j] + rad[j] : mid[j]
        })
      left.append(domain)
      criticals.append(critical)
    }
    let scored = left.indices.map { k -> [NeuronSplit] in
      rankedNeurons(left[k], row: criticals[k], ascent)
    }
    try choose(&left, scored)
    for domain in left {
      if domain.next == nil { result.isExhausted = true } else { result.open.append(domain) }
    }
    return result
  }

  // MARK: Branching

  /// Neurons worth splitting, by two scores: what the relaxation loses at the minimum (the gap between line and ReLU
  /// there), and BaBSR's estimate of what holding the neuron does to the bound (Bunel et al. 2020).
  private func rankedNeurons(_ domain: NeuronDomain, row: Int, _ ascent: BoundAscent) -> [NeuronSplit] {
    let held = Set(domain.splits.map { Int($0.activation) << 32 | Int($0.neuron) })
    var gaps: [(Double, NeuronSplit)] = []
    var estimates: [(Double, NeuronSplit)] = []
    for (i, activation) in context.activations.enumerated() {
      guard let a = ascent.coefficients[activation.node], let z = ascent.arguments[i] else { continue }
      let n = activation.count
      guard activation.isRelu, let slopes = ascent.slopes[i] else {
        gaps += middleSplits(domain, i, activation, a, z, row)
        continue
      }
      for j in 0..<n {
        let l = activation.lower[j]
        let u = activation.upper[j]
        if l >= 0 || u <= 0 || held.contains(i << 32 | j) { continue }
        let coefficient = a[flat: row * n + j]
        if coefficient == 0 { continue }
        let value = z[flat: row * n + j]
        let chord = u / (u - l)
        let split = NeuronSplit(activation: Int32(i), neuron: Int32(j), isActive: true)
        let relu = max(value, 0)
        let gap =
          coefficient < 0
          ? -coefficient * (chord * (value - l) - relu) : coefficient * (relu - slopes[row * n + j] * value)
        gaps.append((gap, split))
        let estimate = max(-coefficient, 0) * -l * chord + max(coefficient, 0) * min(u, -l) * 0.5
        estimates.append((estimate, split))
      }
    }
    gaps.sort { $0.0 > $1.0 }
    estimates.sort { $0.0 > $1.0 }
    var chosen: [NeuronSplit] = []
    for k in 0..<3 {
      for list in [gaps, estimates] where k < list.count {
        if !chosen.contains(list[k].1) { chosen.append(list[k].1) }
      }
    }
    return chosen
  }

  /// Splits of an activation that is no ReLU, with what the relaxation loses at the minimum.
  private func middleSplits(
    _ domain: NeuronDomain, _ i: Int, _ activation: SplitContext.Activation, _ a: Tensor<Double>,
    _ z: Tensor<Double>, _ row: Int
  ) -> [(Double, NeuronSplit)] {
    let n = activation.count
    let f = activation.function
    var result: [(Double, NeuronSplit)] = []
    for j in 0..<n where a[flat: row * n + j] != 0 {
      var split = NeuronSplit(activation: Int32(i), neuron: Int32(j), isActive: true)
      let (l, u) = domain.range(of: split, activation)
      split.point = 0.5 * l + 0.5 * u
      guard l < split.point, split.point < u, f.linearPiece(l, u) == nil else { continue }
      let value = min(max(z[flat: row * n + j], l), u)
      let range = f.range(value, value)
      var lines = ActivationLines(count: 1)
      lines.set(0, f, l, u, neurons: n, extraCharge: 0)
      let coefficient = a[flat: row * n + j]
      let gap =
        coefficient > 0
        ? range.lower - (lines.belowSlope[0] * value + lines.belowIntercept[0])
        : lines.aboveSlope[0] * value + lines.aboveIntercept[0] - range.upper
      result.append((abs(coefficient) * gap, split))
    }
    return result
  }

  /// Filtered smart branching (De Palma et al. 2021): bounds both children of the best few neurons once and takes the
  /// neuron whose worse child is best.
  private func choose(_ domains: inout [NeuronDomain], _ candidates: [[NeuronSplit]]) throws {
    var trials: [NeuronDomain] = []
    for (domain, list) in zip(domains, candidates) where list.count > 1 {
      for split in list {
        for isActive in [true, false] {
          var child = domain
          child.hold(split, isActive: isActive)
          trials.append(child)
        }
      }
    }
    var lower: [Double] = []
    let each = rows.count
    for start in stride(from: 0, to: trials.count, by: batchSize) {
      let part = Array(trials[start..<min(start + batchSize, trials.count)])
      var ascent = self.ascent(part)
      try ascent.run(iterations: 1, slopeRate: 0, multiplierRate: 0) { _ in true }
      for b in part.indices {
        lower.append(ascent.best?.lower[(b * each)..<((b + 1) * each)].max() ?? -.infinity)
      }
    }
    var place = 0
    for (k, list) in candidates.enumerated() {
      guard list.count > 1 else {
        domains[k].next = list.first
        continue
      }
      var best = (score: -Double.infinity, split: list[0])
      for split in list {
        // A refuted child counts as bound 0: more than that gains nothing.
        let a = min(lower[place], 0)
        let b = min(lower[place + 1], 0)
        place += 2
        let score = min(a, b) + 0.1 * max(a, b)
        if score > best.score { best = (score, split) }
      }
      domains[k].next = best.split
    }
  }
}

extension NeuronDomain {
  /// Holds a neuron on one side. A multiplier of another point of the same neuron says nothing about this one.
  mutating func hold(_ split: NeuronSplit, isActive: Bool) {
    var held = split
    held.isActive = isActive
    let i = Int(split.activation)
    if let own = multipliers[i],
      splits.contains(where: { $0.activation == split.activation && $0.neuron == split.neuron })
    {
      var own = own
      let rows = own.count / max(1, width[i])
      for r in 0..<rows { own[r * width[i] + Int(split.neuron)] = 0 }
      multipliers[i] = own
    }
    splits.append(held)
  }

  /// What the argument of a split's neuron can be here.
  func range(of split: NeuronSplit, _ activation: SplitContext.Activation) -> (Double, Double) {
    var (l, u) = (activation.lower[Int(split.neuron)], activation.upper[Int(split.neuron)])
    for held in splits where held.activation == split.activation && held.neuron == split.neuron {
      if held.isActive { l = max(l, held.point) } else { u = min(u, held.point) }
    }
    return (l, u)
  }
}

extension ActivationLines {
  /// The tables of one example, several times.
  func repeated(_ count: Int) -> ActivationLines {
    var result = self
    let times = { (x: [Double]) in Array((0..<count).map { _ in x }.joined()) }
    result.belowSlope = times(belowSlope)
    result.belowIntercept = times(belowIntercept)
    result.aboveSlope = times(aboveSlope)
    result.aboveIntercept = times(aboveIntercept)
    if !charge.isEmpty { result.charge = times(charge) }
    return result
  }
}

extension SplitContext {
  /// The relaxation over the whole region.
  var rootLines: [ActivationLines?] {
    activations.map { activation in
      var lines = ActivationLines(count: activation.count)
      for j in 0..<activation.count {
        let l = activation.lower[j]
        let u = activation.upper[j]
        if activation.isRelu {
          lines.setRelu(j, l, u)
        } else {
          lines.set(
            j, activation.function, l, u, neurons: activation.count, extraCharge: activation.charge[j])
        }
      }
      return lines
    }
  }
}
