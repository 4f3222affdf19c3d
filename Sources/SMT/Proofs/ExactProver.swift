import LinearPrograms
import Rigor

/// Certificates where rounding hides the margin: phases are split until the network is linear, and a linear program in
/// rational arithmetic then gives the multipliers, or a point.
///
/// It bounds with the checker's own exact evaluator, so that the checker sees what it saw. Complete for networks of ReLUs,
/// and meant for the last few neurons of a search.
final class ExactProver {
  enum Outcome {
    /// The nodes of a certificate, in preorder; neurons are the solver's variables.
    case proven([ProofNode])
    /// A point of the part that satisfies a clause.
    case point([Rational])
    /// Too large, out of time, or beyond linear programs.
    case open
  }

  private let network: CheckerNetwork
  private let query: SafetyQuery
  /// The solver's variables of the neurons, by number, and the other way round.
  private let neurons: [Int]
  private let numbers: [Int: Int]
  private let evaluator: PartEvaluator
  private var nodesLeft = 0

  /// The most nodes of one certificate, and the most numbers in the forms of its linear programs.
  private static let mostNodes = 4096
  private static let mostEntries = 200_000

  init(_ network: CheckerNetwork, _ query: SafetyQuery, neurons: [Int]) {
    self.network = network
    self.query = query
    self.neurons = neurons
    numbers = Dictionary(uniqueKeysWithValues: neurons.enumerated().map { ($1, $0) })
    evaluator = PartEvaluator(network)
  }

  /// A part of the solver's search as the checker will see it.
  func part(lower: [Double], upper: [Double], _ splits: [Int: Phase], open: [Int]) -> ProofPart {
    var box = ProofBox(lower: query.lower, upper: query.upper)
    for i in lower.indices where query.lower[i] < query.upper[i] {
      box.raiseLower(i, to: Rational(lower[i]))
      box.reduceUpper(i, to: Rational(upper[i]))
    }
    var phases: [Int: Bool] = [:]
    for (v, phase) in splits {
      if let number = numbers[v] { phases[network.neurons[number]] = phase == .active }
    }
    return ProofPart(box: box, phases: phases, open: open)
  }

  /// Whether a refutation, in the solver's variables, holds in exact arithmetic.
  func confirms(_ refutation: ProofRefutation, _ part: ProofPart) -> Bool {
    guard let isPossible = try? evaluator.bound(part) else { return false }
    if !isPossible { return true }
    var rows = [Rational](repeating: 0, count: query.violation[refutation.clause].count)
    var slopes: [Int: Double] = [:]
    var multipliers: [Int: Rational] = [:]
    switch refutation {
    case .lemma: return false
    case .row(_, let row): rows[row] = 1
    case .duals(_, let factors, let given, let pushes):
      rows = factors
      for (v, slope) in given {
        guard let number = numbers[v], slope >= 0, slope <= 1 else { return false }
        slopes[network.neurons[number]] = slope
      }
      for (v, push) in pushes {
        guard let number = numbers[v], let active = part.phases[network.neurons[number]] else { return false }
        multipliers[network.neurons[number]] = active ? push : -push
      }
    }
    return isPositive(refutation.clause, rows, slopes, multipliers)
  }

  private func isPositive(
    _ clause: Int, _ rows: [Rational], _ slopes: [Int: Double], _ multipliers: [Int: Rational]
  ) -> Bool {
    var coefficients: [Int: Rational] = [:]
    var rhs = Rational()
    for (row, factor) in zip(query.violation[clause], rows) {
      for term in row.terms {
        coefficients[network.outputs[term.output], default: 0].addProduct(factor, term.coefficient)
      }
      rhs.addProduct(factor, row.rhs)
    }
    do {
      let excess = try evaluator.excess(
        coefficients.map { ($0.key, $0.value) }, rhs: rhs, slopes: slopes, multipliers: multipliers)
      // Where nothing is left of the part everything is refuted.
      return excess.map { $0.sign > 0 } ?? true
    } catch {
      return false
    }
  }

  /// Proves that no point of a part satisfies any of its open clauses.
  func prove(_ part: ProofPart, limit: TimeLimit) -> Outcome {
    nodesLeft = Self.mostNodes
    var nodes: [ProofNode] = []
    do {
      try prove(part, limit, &nodes)
      return .proven(nodes)
    } catch let found as Found {
      return .point(found.point)
    } catch {
      return .open
    }
  }

  private struct Found: Error { let point: [Rational] }
  private struct GaveUp: Error {}

  private func prove(_ part: ProofPart, _ limit: TimeLimit, _ nodes: inout [ProofNode]) throws {
    nodesLeft -= 1
    guard nodesLeft >= 0, !limit.isOver else { throw GaveUp() }
    var node = ProofNode()
    guard try evaluator.bound(part), try evaluator.boundExactly() else {
      node.isEmpty = true
      nodes.append(node)
      return
    }
    var rest = part
    rest.open = []
    for clause in part.open {
      let rows = query.violation[clause]
      let decisive = rows.indices.first { row in
        isPositive(clause, rows.indices.map { $0 == row ? 1 : 0 }, [:], [:])
      }
      if let decisive {
        node.refutations.append(.row(clause: clause, row: decisive))
      } else {
        rest.open.append(clause)
      }
    }
    if rest.open.isEmpty {
      nodes.append(node)
      return
    }
    if let number = widestNeuron(part) {
      node.split = .phase(neurons[number])
      nodes.append(node)
      for active in [false, true] {
        var side = rest
        side.phases[network.neurons[number]] = active
        try prove(side, limit, &nodes)
      }
      return
    }
    let piece = try LinearPiece(network, part, evaluator, mostEntries: Self.mostEntries)
    for clause in rest.open {
      switch try piece.decide(query.violation[clause], limit) {
      case .point(let point):
        guard point.isWitness else { throw GaveUp() }
        throw Found(point: point.input)
      case .refuted(let rows, let pushes):
        var multipliers: [Int: Rational] = [:]
        for (number, push) in pushes { multipliers[neurons[number]] = push }
        node.refutations.append(
          .duals(clause: clause, rows: rows, slopes: [:], multipliers: multipliers))
      }
    }
    nodes.append(node)
  }

  /// The number of an undecided ReLU whose argument reaches far to both sides.
  private func widestNeuron(_ part: ProofPart) -> Int? {
    var best: (number: Int, reach: Double)?
    for (number, v) in network.neurons.enumerated() where part.phases[v] == nil {
      guard let (low, high) = evaluator.exactArgument(v), low.sign < 0, high.sign > 0 else { continue }
      let reach = min(-low, high).nearestDouble
      if best.map({ reach > $0.reach }) ?? true { best = (number, reach) }
    }
    return best?.number
  }
}
