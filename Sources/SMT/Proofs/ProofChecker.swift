import FileFormats
import IR
import Rigor

/// What the checker says of a proof.
public struct ProofVerdict: Sendable, Equatable {
  public var isValid: Bool
  /// Where the first fault is: `network`, `region.lower[3]`, `line 7: refute[0]`.
  public var place: String?
  public var reason: String?
  /// Nodes that were replayed.
  public var nodes: Int
  /// How many proofs the file holds, where all are valid.
  public var proofs = 0
}

/// Replays proofs in exact integer arithmetic, with an evaluator of its own.
public enum ProofChecker {
  private struct Fault: Error {
    var place: String
    var reason: String
  }

  /// Checks one proof against the query that it claims to prove.
  ///
  /// - Parameters:
  ///   - graph: The network.
  ///   - target: The node that the property speaks of.
  ///   - query: The region and the violation, from the region file.
  static func check(_ proof: ProofSection, graph: Graph, target: NodeID, query: SafetyQuery) throws
    -> ProofVerdict
  {
    var place = "network"
    do {
      try compare(proof, graph, target, query)
      let count = try replay(proof, graph, target, &place)
      return ProofVerdict(isValid: true, place: nil, reason: nil, nodes: count)
    } catch let fault as Fault {
      return ProofVerdict(isValid: false, place: fault.place, reason: fault.reason, nodes: 0)
    } catch is CheckerRangeError {
      return ProofVerdict(
        isValid: false, place: place, reason: "its numbers are out of the checker's range", nodes: 0)
    }
  }

  private static func compare(_ proof: ProofSection, _ graph: Graph, _ target: NodeID, _ query: SafetyQuery)
    throws
  {
    guard graph.fingerprint(of: target) == proof.network else {
      throw Fault(
        place: "network", reason: "the proof was made for another network: a weight or the structure differs")
    }
    guard proof.query.lower.count == query.lower.count else {
      throw Fault(place: "region", reason: "the proof is about another number of inputs")
    }
    for i in query.lower.indices {
      // A proof for a larger region would do as well, but then it is not the proof of this file.
      if proof.query.lower[i] != query.lower[i] {
        throw Fault(place: "region.lower[\(i)]", reason: "differs from the region file")
      }
      if proof.query.upper[i] != query.upper[i] {
        throw Fault(place: "region.upper[\(i)]", reason: "differs from the region file")
      }
    }
    guard proof.query.violation == query.violation else {
      throw Fault(place: "violation", reason: "differs from the region file")
    }
  }

  /// A part of the region that still has to be refuted.
  private struct Part {
    var lower: [Int128]
    var upper: [Int128]
    var phases: [Int: Bool]
    var open: [Int]
  }

  /// - Parameter place: Where the replay is, for numbers that the checker cannot hold.
  private static func replay(
    _ proof: ProofSection, _ graph: Graph, _ target: NodeID, _ place: inout String
  ) throws -> Int {
    let network = try CheckerNetwork(graph, to: target)
    guard network.inputCount == proof.query.lower.count else {
      throw Fault(place: "region", reason: "has another number of coordinates than the network inputs")
    }
    let evaluator = try CheckerEvaluator(network)
    var stack = [
      Part(
        lower: try proof.query.lower.map { try Fixed.down($0) },
        upper: try proof.query.upper.map { try Fixed.up($0) },
        phases: [:], open: Array(proof.query.violation.indices))
    ]
    var index = 0
    while let part = stack.popLast() {
      guard index < proof.tree.nodes.count else {
        throw Fault(place: "after the last node", reason: "a branch is missing")
      }
      let node = proof.tree.nodes[index]
      place = "line \(proof.nodeLines[index])"
      index += 1
      // A node that is only divided claims nothing by itself.
      let claims = node.isEmpty || !node.refutations.isEmpty || node.split == nil
      let isPossible =
        try !claims || evaluator.bound(lower: part.lower, upper: part.upper, phases: part.phases)
      if node.isEmpty {
        guard !isPossible else {
          throw Fault(place: place, reason: "the part is said to be empty, but is not")
        }
        continue
      }
      var open = part.open
      for (k, refutation) in node.refutations.enumerated() where isPossible {
        try verify(refutation, part, proof.query, evaluator, place: "\(place): refute[\(k)]")
        open.removeAll { $0 == refutation.clause }
      }
      if !isPossible { open = [] }
      guard let split = node.split else {
        guard open.isEmpty else {
          throw Fault(place: place, reason: "clause \(open[0]) is not refuted and the node is not split")
        }
        continue
      }
      var first = part
      first.open = open
      var second = first
      switch split {
      case .input(let input, let at):
        guard input >= 0, input < network.inputCount else {
          throw Fault(place: place, reason: "there is no such input")
        }
        // The two parts share the point; rounding it outward in each keeps them a cover.
        first.upper[input] = min(first.upper[input], try Fixed.round(at, up: true))
        second.lower[input] = max(second.lower[input], try Fixed.round(at, up: false))
        guard first.lower[input] <= first.upper[input], second.lower[input] <= second.upper[input] else {
          throw Fault(place: place, reason: "the point of division lies outside the part")
        }
      case .phase(let neuron):
        guard neuron >= 0, neuron < network.neurons.count, part.phases[network.neurons[neuron]] == nil else {
          throw Fault(place: place, reason: "there is no such undecided neuron")
        }
        first.phases[network.neurons[neuron]] = false
        second.phases[network.neurons[neuron]] = true
      }
      stack.append(second)
      stack.append(first)
    }
    guard index == proof.tree.nodes.count else {
      throw Fault(
        place: "line \(proof.nodeLines[index])", reason: "the proof goes on after everything was refuted")
    }
    return index
  }

  private static func verify(
    _ refutation: ProofRefutation, _ part: Part, _ query: SafetyQuery, _ evaluator: CheckerEvaluator,
    place: String
  ) throws {
    let network = evaluator.network
    guard query.violation.indices.contains(refutation.clause) else {
      throw Fault(place: place, reason: "there is no clause \(refutation.clause)")
    }
    let rows = query.violation[refutation.clause]
    var coefficients: [Int: Rational] = [:]
    var rhs = Rational()
    var slopes: [Int: Int128] = [:]
    var multipliers: [Int: Rational] = [:]
    func add(_ row: OutputConstraint, _ factor: Rational) throws {
      for term in row.terms {
        guard term.output < network.outputs.count else {
          throw Fault(place: "violation", reason: "there is no output \(term.output)")
        }
        coefficients[network.outputs[term.output], default: 0].addProduct(factor, term.coefficient)
      }
      rhs.addProduct(factor, row.rhs)
    }
    switch refutation {
    case .row(_, let row):
      guard rows.indices.contains(row) else { throw Fault(place: place, reason: "there is no row \(row)") }
      try add(rows[row], 1)
    case .duals(_, let factors, let given, let pushes):
      guard factors.count == rows.count else {
        throw Fault(place: place, reason: "wrong number of row multipliers")
      }
      for (row, factor) in zip(rows, factors) {
        guard factor >= 0, factor.isFinite else {
          throw Fault(place: place, reason: "a row multiplier is negative")
        }
        try add(row, Rational(factor))
      }
      for (neuron, slope) in given {
        guard network.neurons.indices.contains(neuron), slope >= 0, slope <= 1 else {
          throw Fault(place: place, reason: "the slope of neuron \(neuron) is not in 0...1")
        }
        slopes[network.neurons[neuron]] = Int128(slope * Double(1 << CheckerEvaluator.slopeBits))
      }
      for (neuron, push) in pushes {
        guard network.neurons.indices.contains(neuron), let active = part.phases[network.neurons[neuron]],
          push >= 0,
          push.isFinite
        else { throw Fault(place: place, reason: "the multiplier of neuron \(neuron) has no decided phase") }
        multipliers[network.neurons[neuron]] = active ? Rational(push) : -Rational(push)
      }
    }
    let bound = try evaluator.lowerBound(
      coefficients.map { ($0.key, $0.value) }, slopes: slopes, multipliers: multipliers)
    guard bound > rhs else {
      throw Fault(
        place: place,
        reason: "the bound \((bound - rhs).nearestDouble) of the clause's excess is not positive")
    }
  }
}
