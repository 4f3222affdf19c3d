import LinearPrograms
import Foundation
import IR
import Rigor

/// The smallest distance from a centre to a violation.
public struct MinimalRadius: Sendable {
  /// The exact distance, nil if no point of the domain violates the property.
  public var radius: Rational?
  /// Nothing nearer than this violates the property; the distance itself where that is known, nil if nothing in the domain
  /// does.
  public var lowerBound: Rational?
  /// A point at that distance that violates the property.
  public var witness: Witness?
  /// Why the search ended early; the radius is then only an upper bound, if one was found.
  public var reason: String?
  public var statistics: SolverStatistics
}

/// Where a search for a minimal distance stands.
public struct DistanceProgress: Sendable {
  /// Nothing nearer than this violates the property.
  public var lower: Rational
  /// The distance of the nearest violation found so far.
  public var upper: Rational?
  /// Parts of the region that were bounded.
  public var nodes: Int
}

/// Finds the exact minimal L-infinity or L1 distance to a violation.
///
/// The centre itself comes first. A violation found by search fixes a pattern of phases; on a pattern the nearest violation is a linear program,
/// solved exactly. Then everything strictly nearer is shown to be free of violations, by bounds and by Z3 on parts with few
/// undecided neurons, the nearest parts first, so that what is proven when time ends is a lower bound; a counterexample shortens the radius and the proof starts over from there.
public final class MinimalRadiusSearch {
  private let network: PiecewiseLinearNetwork
  private let domain: SafetyQuery
  private let center: [Rational]
  private let isL1: Bool
  private let options: SolverOptions
  private let deployed: DeployedRun?
  private var statistics = SolverStatistics()
  /// What is proven: nothing is nearer.
  private var proven = Rational()
  private var nearest: Rational?
  /// Called with the state of the search now and then.
  public var progress: ((DistanceProgress) -> Void)?

  /// - Parameters:
  ///   - domain: The box of admissible inputs and the violation.
  ///   - center: The point that distances are measured from; it must lie in the box.
  public init(
    _ network: PiecewiseLinearNetwork, domain: SafetyQuery, center: [Rational], isL1: Bool,
    options: SolverOptions = SolverOptions(), deployed: DeployedRun? = nil
  ) throws {
    guard center.count == network.inputCount else {
      throw GraphError(
        node: "input",
        reason: "the centre has \(center.count) coordinates, the network \(network.inputCount) inputs")
    }
    self.network = network
    self.domain = domain
    self.center = center
    self.isL1 = isL1
    self.options = options
    self.deployed = deployed
    statistics.neurons = network.neuronCount
  }

  private func distance(_ x: [Rational]) -> Rational {
    var result = Rational()
    for i in x.indices {
      let d = (x[i] - center[i]).magnitude
      if isL1 { result += d } else { result = max(result, d) }
    }
    return result
  }

  /// The part of the domain within a radius; for L1 the box around the ball.
  private func box(_ radius: Rational) -> SafetyQuery {
    var query = domain
    for i in center.indices {
      query.lower[i] = max(query.lower[i], center[i] - radius)
      query.upper[i] = min(query.upper[i], center[i] + radius)
    }
    return query
  }

  /// Runs the search.
  public func run() throws -> MinimalRadius {
    if !domain.satisfiedClauses(at: network.exactOutputs(at: center)).isEmpty {
      return try finish(center, reason: nil)
    }
    if try growProvenRadius() { return MinimalRadius(statistics: statistics) }
    var best: [Rational]
    switch try firstViolation() {
    case .none: return MinimalRadius(statistics: statistics)
    case .unknown(let reason):
      return MinimalRadius(lowerBound: proven, reason: reason, statistics: statistics)
    case .point(let x): best = try polish(x)
    }
    while true {
      nearest = distance(best)
      report()
      switch try nearer(than: distance(best)) {
      case .none: return try finish(best, reason: nil)
      case .point(let x): best = try polish(x)
      case .unknown(let reason): return try finish(best, reason: reason)
      }
    }
  }

  private func report() {
    progress?(DistanceProgress(lower: proven, upper: nearest, nodes: statistics.nodes))
  }

  /// Finds a radius within which bounds alone show that nothing violates the property. True if that is the whole domain.
  private func growProvenRadius() throws -> Bool {
    let relaxation = LinearRelaxation(network, limit: limit)
    let widest = widestRadius
    var failed: Rational?
    for halvings in 0..<40 where !limit.isOver {
      let radius = widest.scaled(byTwoTo: -halvings)
      if try holds(within: radius, relaxation) {
        if failed == nil { return true }
        proven = radius
        break
      }
      failed = radius
    }
    for _ in 0..<4 where !proven.isZero && !limit.isOver {
      guard let outer = failed else { break }
      let middle = (proven + outer).scaled(byTwoTo: -1)
      if try holds(within: middle, relaxation) { proven = middle } else { failed = middle }
    }
    report()
    return false
  }

  private func holds(within radius: Rational, _ relaxation: LinearRelaxation) throws -> Bool {
    let prepared = try PreparedQuery(network, box(radius))
    guard let b = relaxation.bounds(lower: prepared.lower, upper: prepared.upper, splits: [:]) else {
      return false
    }
    return prepared.clauses.allSatisfy { rows in
      let bounds = relaxation.lowerBounds(rows.map(\.row), b)
      return rows.indices.contains { bounds.lower[$0] > rows[$0].rhsUp }
    }
  }

  /// The distance of the farthest coordinate of the domain, for L1 of its farthest corner.
  private var widestRadius: Rational {
    var widest = Rational()
    for i in center.indices {
      widest = max(widest, max(domain.upper[i] - center[i], center[i] - domain.lower[i]))
    }
    return widest
  }

  private var limit: TimeLimit { TimeLimit(deadline: options.deadline) }

  private func finish(_ x: [Rational], reason: String?) throws -> MinimalRadius {
    let prepared = try PreparedQuery(network, domain)
    var finder = WitnessFinder(prepared, deployed: deployed, seed: options.seed)
    let witness = try finder.confirm(
      exactly: x, floats: x.map(\.nearestFloat), clauses: Array(domain.violation.indices))
    let radius = distance(x)
    return MinimalRadius(
      radius: radius, lowerBound: reason == nil ? radius : min(proven, radius), witness: witness,
      reason: reason, statistics: statistics)
  }

  /// Any violation, from small boxes to large ones so that it is not far; `none` only if that is proven.
  private func firstViolation() throws -> Nearer {
    let widest = widestRadius
    for halvings in stride(from: 8, through: 0, by: -1) {
      let query = box(widest.scaled(byTwoTo: -halvings))
      let prepared = try PreparedQuery(network, query)
      var finder = WitnessFinder(prepared, deployed: nil, seed: options.seed)
      let clauses = Array(query.violation.indices)
      if let witness = try finder.search(
        lower: prepared.lower, upper: prepared.upper, clauses: clauses, starts: 6, steps: 25)
      {
        return .point(witness.point)
      }
      if limit.isOver { return .unknown("time-out") }
    }
    let result = try SafetySolver(network, domain, options: options).solve()
    if let witness = result.witness { return .point(witness.point) }
    return result.verdict == .holds ? .none : .unknown(result.reason ?? "not decided")
  }

  /// The nearest violation with the same phases as a given one: descends from pattern to pattern while that helps and time
  /// is left.
  private func polish(_ start: [Rational]) throws -> [Rational] {
    var x = start
    for _ in 0..<40 {
      let point = ExactForms(
        network, fixed: x.map { Optional($0) },
        phases: [Phase](repeating: .undecided, count: network.variableCount))
      let outputs = network.outputs.map { point.value(of: $0) }
      guard let clause = domain.satisfiedClauses(at: outputs).first else { return x }
      do {
        guard let next = try nearest(pattern: point.phases, clause: clause, below: distance(x)) else {
          return x
        }
        x = next
      } catch is OutOfTime {
        return x
      }
    }
    return x
  }

  /// Solves the linear program of one pattern; nil if nothing on it is nearer than the limit.
  private func nearest(pattern: [Phase], clause: Int, below limit: Rational) throws -> [Rational]? {
    statistics.linearPrograms += 1
    let fixed = center.indices.map { domain.lower[$0] == domain.upper[$0] ? Optional(domain.lower[$0]) : nil }
    let forms = ExactForms(network, fixed: fixed, phases: pattern)
    let prepared = try PreparedQuery(network, domain)
    let condensed = CondensedQuery(
      network: network, lower: domain.lower, upper: domain.upper, phases: pattern, decided: [:])
    var program = ExactLinearProgram(
      lower: forms.freeInputs.map { domain.lower[$0] }, upper: forms.freeInputs.map { domain.upper[$0] },
      limit: self.limit)
    for block in network.blocks where block.kind == .relu {
      for v in block.range {
        let p = forms.preactivation(of: v)
        program.require(pattern[v] == .active ? p.map { -$0 } : p)
      }
    }
    for row in prepared.clauses[clause] {
      var combination = condensed.combination(row.row, forms)
      combination[combination.count - 1] -= row.rhs
      program.require(combination)
    }
    let free = forms.freeInputs.map { center[$0] }
    guard let answer = try program.nearest(to: free, isL1: isL1), answer.distance < limit else { return nil }
    var x = domain.lower
    for (column, input) in forms.freeInputs.enumerated() { x[input] = answer.point[column] }
    return x
  }

  // MARK: Nothing nearer

  private enum Nearer {
    case none
    case point([Rational])
    case unknown(String)
  }

  private struct Part {
    var lower: [Double]
    var upper: [Double]
    var clauses: [Int]
    /// How far the part is from the centre.
    var distance = Rational()
  }

  /// The distance of a box from the centre.
  private func distance(of part: Part) -> Rational {
    var result = Rational()
    for i in center.indices where part.lower[i] > 0 || part.upper[i] < 0 || !center[i].isZero {
      let d = max(max(Rational(part.lower[i]) - center[i], center[i] - Rational(part.upper[i])), 0)
      if isL1 { result += d } else { result = max(result, d) }
    }
    return result
  }

  /// Puts a part where those that are left are in falling order of distance, behind its equals.
  private func insert(_ part: Part, into parts: inout [Part]) {
    var (low, high) = (0, parts.count)
    while low < high {
      let middle = (low + high) / 2
      if parts[middle].distance >= part.distance { low = middle + 1 } else { high = middle }
    }
    parts.insert(part, at: low)
  }

  /// Looks for a violation strictly nearer than a radius, by splitting the region and asking Z3 on small remainders.
  private func nearer(than radius: Rational) throws -> Nearer {
    let query = box(radius)
    let prepared = try PreparedQuery(network, query)
    let relaxation = LinearRelaxation(network, limit: limit)
    var stack = [
      Part(lower: prepared.lower, upper: prepared.upper, clauses: Array(query.violation.indices))
    ]
    while var part = stack.popLast() {
      // The nearest part: nothing in front of it is left.
      proven = max(proven, min(part.distance, radius))
      if limit.isOver { return .unknown("time-out") }
      statistics.nodes += 1
      if statistics.nodes % 64 == 0 { report() }
      guard let b = relaxation.bounds(lower: part.lower, upper: part.upper, splits: [:]) else { continue }
      var worst = [Double](repeating: 1e-12, count: network.inputCount)
      part.clauses = part.clauses.filter { clause in
        let rows = prepared.clauses[clause]
        let bounds = relaxation.lowerBounds(rows.map(\.row), b)
        if rows.indices.contains(where: { bounds.lower[$0] > rows[$0].rhsUp }) { return false }
        for covector in bounds.inputCovectors { for i in worst.indices { worst[i] += abs(covector[i]) } }
        return true
      }
      if part.clauses.isEmpty { continue }
      let undecided = b.undecided(of: network)
      if statistics.undecidedAtRoot == 0 { statistics.undecidedAtRoot = undecided.count }
      // Halving many inputs leads nowhere: then Z3 gets everything.
      let isSmall = undecided.count <= 7 || prepared.freeInputs.count > 10
      let widest = prepared.freeInputs.max {
        worst[$0] * (part.upper[$0] - part.lower[$0]) < worst[$1] * (part.upper[$1] - part.lower[$1])
      }
      if isSmall || widest == nil {
        switch try askZ3(query, part, b, prepared, radius) {
        case .none: continue
        case .point(let x): return .point(x)
        case .unknown(let reason): if widest == nil { return .unknown(reason) }
        }
      }
      guard let split = widest else { continue }
      let middle = part.lower[split] + (part.upper[split] - part.lower[split]) / 2
      guard middle > part.lower[split], middle < part.upper[split] else {
        switch try askZ3(query, part, b, prepared, radius) {
        case .none: continue
        case let other: return other
        }
      }
      var other = part
      part.upper[split] = middle
      other.lower[split] = middle
      for var half in [other, part] {
        half.distance = distance(of: half)
        insert(half, into: &stack)
      }
    }
    return .none
  }

  private func askZ3(
    _ query: SafetyQuery, _ part: Part, _ b: NeuronBounds, _ prepared: PreparedQuery, _ radius: Rational
  ) throws -> Nearer {
    var lower = query.lower
    var upper = query.upper
    for i in prepared.freeInputs {
      lower[i] = max(lower[i], Rational(part.lower[i]))
      upper[i] = min(upper[i], Rational(part.upper[i]))
    }
    let condensed = CondensedQuery(
      network: network, lower: lower, upper: upper, phases: b.phases, decided: [:])
    let ball = CondensedQuery.Ball(center: center, radius: radius, isL1: isL1)
    // Z3 can overrun its deadline on large remainders: those go to a process that can be killed.
    let isLarge = b.undecided(of: network).count > options.remainderLimit
    for clause in part.clauses {
      statistics.z3Calls += 1
      let answer = condensed.check(
        prepared.clauses[clause], within: ball, deadline: options.deadline,
        isolated: isLarge ? options.isolated : nil)
      switch answer.result {
      case .unsatisfiable: continue
      case .unknown(let reason): return .unknown(reason)
      case .satisfiable:
        guard let point = answer.point else { return .unknown("the model is not rational") }
        return .point(point)
      }
    }
    return .none
  }
}
