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

/// Replays proofs in exact arithmetic, with evaluators of its own.
public enum ProofChecker {
  struct Fault: Error {
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

  /// A lemma that was verified: where its clause cannot hold.
  private struct Lemma {
    var clause: Int
    var part: ProofPart
  }

  /// - Parameter place: Where the replay is, for numbers that the checker cannot hold.
  private static func replay(
    _ proof: ProofSection, _ graph: Graph, _ target: NodeID, _ place: inout String
  ) throws -> Int {
    let network = try CheckerNetwork(graph, to: target)
    guard network.inputCount == proof.query.lower.count else {
      throw Fault(place: "region", reason: "has another number of coordinates than the network inputs")
    }
    let evaluator = PartEvaluator(network)
    let root = ProofPart(
      box: ProofBox(lower: proof.query.lower, upper: proof.query.upper), phases: [:],
      open: Array(proof.query.violation.indices))
    var stack = [root]
    var lemmas: [Lemma] = []
    var index = 0
    while let part = stack.popLast() {
      guard index < proof.tree.nodes.count else {
        throw Fault(place: "after the last node", reason: "a branch is missing")
      }
      while lemmas.count < proof.tree.lemmas.count, proof.tree.lemmas[lemmas.count].place <= index {
        place = "line \(proof.lemmaLines[lemmas.count])"
        lemmas.append(
          try verify(proof.tree.lemmas[lemmas.count], root, lemmas, proof.query, evaluator, place: place))
      }
      let node = proof.tree.nodes[index]
      place = "line \(proof.nodeLines[index])"
      index += 1
      // A node that is only divided claims nothing by itself, and a lemma about all of it needs no bounds.
      let claims =
        node.isEmpty || (node.split == nil && node.refutations.isEmpty)
        || node.refutations.contains { !isCovered($0, by: lemmas, part) }
      let isPossible = try !claims || evaluator.bound(part)
      if node.isEmpty {
        guard try !isPossible || !evaluator.boundExactly() else {
          throw Fault(place: place, reason: "the part is said to be empty, but is not")
        }
        continue
      }
      var open = part.open
      for (k, refutation) in node.refutations.enumerated() where isPossible {
        try verify(refutation, part, lemmas, proof.query, evaluator, place: "\(place): refute[\(k)]")
        open.removeAll { $0 == refutation.clause }
      }
      if !isPossible { open = [] }
      guard let split = node.split else {
        guard open.isEmpty else {
          throw Fault(place: place, reason: "clause \(open[0]) is not refuted and the node is not split")
        }
        continue
      }
      var remaining = part
      remaining.open = open
      let (first, second) = try divide(remaining, split, network, place: place)
      stack.append(second)
      stack.append(first)
    }
    guard index == proof.tree.nodes.count else {
      throw Fault(
        place: "line \(proof.nodeLines[index])", reason: "the proof goes on after everything was refuted")
    }
    return index
  }

  /// The two sides of a division.
  private static func divide(_ part: ProofPart, _ split: ProofSplit, _ network: CheckerNetwork, place: String)
    throws
    -> (ProofPart, ProofPart)
  {
    var first = part
    var second = part
    switch split {
    case .input(let input, let at):
      guard input >= 0, input < network.inputCount else {
        throw Fault(place: place, reason: "there is no such input")
      }
      guard let point = Rational(exactly: at) else {
        throw Fault(place: place, reason: "the point of division is no number")
      }
      // The two parts share the point.
      first.box.reduceUpper(input, to: point)
      second.box.raiseLower(input, to: point)
    case .phase(let neuron):
      guard network.neurons.indices.contains(neuron), part.phases[network.neurons[neuron]] == nil else {
        throw Fault(place: place, reason: "there is no such undecided neuron")
      }
      first.phases[network.neurons[neuron]] = false
      second.phases[network.neurons[neuron]] = true
    }
    return (first, second)
  }

  // MARK: Lemmas

  /// Verifies a lemma from earlier ones and from the bounds under its own phases.
  private static func verify(
    _ lemma: ProofLemma, _ root: ProofPart, _ earlier: [Lemma], _ query: SafetyQuery,
    _ evaluator: PartEvaluator, place: String
  ) throws -> Lemma {
    let network = evaluator.network
    guard query.violation.indices.contains(lemma.clause) else {
      throw Fault(place: place, reason: "there is no clause \(lemma.clause)")
    }
    var part = root
    for (neuron, active) in lemma.phases {
      guard network.neurons.indices.contains(neuron) else {
        throw Fault(place: place, reason: "there is no neuron \(neuron)")
      }
      part.phases[network.neurons[neuron]] = active
    }
    for input in Set(lemma.lower.keys).union(lemma.upper.keys) {
      guard input >= 0, input < network.inputCount else {
        throw Fault(place: place, reason: "there is no input \(input)")
      }
      if let point = lemma.lower[input].flatMap({ Rational(exactly: $0) }) {
        part.box.raiseLower(input, to: point)
      }
      if let point = lemma.upper[input].flatMap({ Rational(exactly: $0) }) {
        part.box.reduceUpper(input, to: point)
      }
    }
    switch lemma.reason {
    case .empty:
      guard try !evaluator.bound(part) || !evaluator.boundExactly() else {
        throw Fault(place: place, reason: "the phases are said to be impossible, but are not")
      }
    case .refutation(let refutation):
      guard refutation.clause == lemma.clause else {
        throw Fault(place: place, reason: "the lemma refutes another clause than it says")
      }
      if try evaluator.bound(part) {
        try verify(refutation, part, earlier, query, evaluator, place: place)
      }
    case .split(let split, let first, let second):
      let (a, b) = try divide(part, split, network, place: place)
      for (number, side) in [(first, a), (second, b)]
      where !isCovered(.lemma(clause: lemma.clause, number: number), by: earlier, side) {
        throw Fault(place: place, reason: "lemma \(number) does not cover its side")
      }
    }
    return Lemma(clause: lemma.clause, part: part)
  }

  /// Whether a refutation is a lemma that speaks of a whole part, whatever its bounds are.
  private static func isCovered(_ refutation: ProofRefutation, by lemmas: [Lemma], _ part: ProofPart) -> Bool
  {
    guard case .lemma(let clause, let number) = refutation, lemmas.indices.contains(number) else {
      return false
    }
    let lemma = lemmas[number]
    return lemma.clause == clause && part.box.isWithin(lemma.part.box)
      && lemma.part.phases.allSatisfy { part.phases[$0.key] == $0.value }
  }

  /// Whether a lemma speaks of a part; phases that the part's bounds imply count.
  ///
  /// - Parameter evaluator: Holds the part's bounds.
  private static func follows(
    _ number: Int, _ clause: Int, from lemmas: [Lemma], _ part: ProofPart, _ evaluator: PartEvaluator
  ) throws -> Bool {
    guard lemmas.indices.contains(number), lemmas[number].clause == clause,
      part.box.isWithin(lemmas[number].part.box)
    else { return false }
    return try lemmas[number].part.phases.allSatisfy { v, active in
      try part.phases[v].map { $0 == active } ?? evaluator.implies(v, active: active)
    }
  }

  private static func verify(
    _ refutation: ProofRefutation, _ part: ProofPart, _ lemmas: [Lemma], _ query: SafetyQuery,
    _ evaluator: PartEvaluator, place: String
  ) throws {
    let network = evaluator.network
    guard query.violation.indices.contains(refutation.clause) else {
      throw Fault(place: place, reason: "there is no clause \(refutation.clause)")
    }
    let rows = query.violation[refutation.clause]
    var coefficients: [Int: Rational] = [:]
    var rhs = Rational()
    var slopes: [Int: Double] = [:]
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
    case .lemma(let clause, let number):
      // A stored claim about all of the part needs no bounds, which are then not computed.
      guard
        try isCovered(refutation, by: lemmas, part) || follows(number, clause, from: lemmas, part, evaluator)
      else {
        throw Fault(place: place, reason: "lemma \(number) does not speak of this part")
      }
      return
    case .row(_, let row):
      guard rows.indices.contains(row) else { throw Fault(place: place, reason: "there is no row \(row)") }
      try add(rows[row], 1)
    case .duals(_, let factors, let given, let pushes):
      guard factors.count == rows.count else {
        throw Fault(place: place, reason: "wrong number of row multipliers")
      }
      for (row, factor) in zip(rows, factors) {
        guard factor.sign >= 0 else { throw Fault(place: place, reason: "a row multiplier is negative") }
        try add(row, factor)
      }
      for (neuron, slope) in given {
        guard network.neurons.indices.contains(neuron), slope >= 0, slope <= 1 else {
          throw Fault(place: place, reason: "the slope of neuron \(neuron) is not in 0...1")
        }
        slopes[network.neurons[neuron]] = slope
      }
      for (neuron, push) in pushes {
        guard network.neurons.indices.contains(neuron), let active = part.phases[network.neurons[neuron]],
          push.sign >= 0
        else { throw Fault(place: place, reason: "the multiplier of neuron \(neuron) has no decided phase") }
        multipliers[network.neurons[neuron]] = active ? push : -push
      }
    }
    let excess = try evaluator.excess(
      coefficients.map { ($0.key, $0.value) }, rhs: rhs, slopes: slopes, multipliers: multipliers)
    guard excess.map({ $0.sign > 0 }) ?? true else {
      throw Fault(
        place: place,
        reason: "the bound \((excess ?? .zero).nearestDouble) of the clause's excess is not positive")
    }
  }
}
