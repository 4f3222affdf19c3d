import IR
import LinearPrograms
import Operators
import Rigor
import SMT
import Specifications
import Tensors

/// Decides parts of cases in exact arithmetic where the network is piecewise linear: what bounds with rounding cannot, such
/// as a condition that is attained, or just missed, at a kink of the network.
struct ExactDecision: Sendable {
  private let problem: VerificationProblem
  private let control: SearchControl
  /// nil where no row speaks of the networks' values.
  private let question: ExactQuestion?
  /// The output of the question's network that a value is.
  private let places: [VerificationProblem.Source: Int]

  /// Multiplications of one evaluation up to which a network is written scalar by scalar.
  private static let mostMultiplications = 4e6
  /// The most disjuncts.
  private static let mostClauses = 256
  /// What a question about a whole case may have, and may take.
  static let wholeCase = Effort(neurons: 24, resources: 10_000_000)
  /// The same for a case whose search is over.
  static let lastResort = Effort(neurons: 60, resources: 0)
  /// The same for a box that cannot be halved.
  static let atom = Effort(neurons: 24, resources: 0)

  struct Effort {
    var neurons: Int
    var resources: Int
  }

  /// nil for problems that are not over the reals, and for networks that are not piecewise linear or too large.
  init?(_ problem: VerificationProblem, control: SearchControl) {
    guard problem.semantics == .real, problem.multiplications <= Self.mostMultiplications else { return nil }
    self.problem = problem
    self.control = control
    var order: [NodeID: [Int]] = [:]
    var places: [VerificationProblem.Source: Int] = [:]
    for term in problem.rows.flatMap(\.terms) {
      guard case .value(let node, let place) = term.source, places[term.source] == nil else { continue }
      places[term.source] = places.count
      order[node, default: []].append(place)
    }
    self.places = places
    guard !places.isEmpty else {
      question = nil
      return
    }
    // One node that holds exactly the values that rows speak of.
    var entries: [NodeID: [[SparseEntry]]] = [:]
    for (source, output) in places {
      guard case .value(let node, let place) = source else { continue }
      entries[node, default: Array(repeating: [], count: places.count)][output] = [SparseEntry(place, 1)]
    }
    let sources = entries.keys.sorted()
    let graph = problem.graph
    let maps = sources.map { node -> any LinearMap in
      SparseMap(graph[node].shape, to: [places.count], rows: entries[node] ?? [])
    }
    let gathered = Node(
      id: graph.nodes.count, name: "values", origin: "Query", operation: .affine(Affine(maps)),
      inputs: sources, shape: [places.count], elementType: .float64)
    let whole = Graph(
      nodes: graph.nodes + [gathered], inputs: graph.inputs,
      outputs: [Graph.Output(name: "values", node: gathered.id)])
    guard let question = try? ExactQuestion(whole, to: gathered.id) else { return nil }
    self.question = question
  }

  /// Decides a case within a box; nil if that did not work out.
  ///
  /// - Parameter box: Bounds inside the case's exact ones.
  func decide(_ index: Int, in box: [VariableBounds], _ effort: Effort) -> SearchOutcome? {
    if box.contains(where: \.isEmpty) { return .refuted }
    guard let clauses = problem.cases[index].condition.clauses(limit: Self.mostClauses) else { return nil }
    let checker = WitnessChecker(problem: problem, control: control)
    var isOpen = false
    for clause in clauses {
      if let stop = control.stop { return .stopped(stop) }
      switch decide(clause, in: box, effort) {
      case .empty: continue
      case .open: isOpen = true
      case .point(let point):
        if let witness = checker.check(exactly: point, problem: index) { return .witness(witness) }
        isOpen = true
      }
    }
    return isOpen ? nil : .refuted
  }

  private func decide(_ clause: [(row: Int, strict: Bool)], in box: [VariableBounds], _ effort: Effort)
    -> ExactQuestion.Answer
  {
    let lower = box.map { $0.lower ?? .zero }
    let upper = box.map { $0.upper ?? .zero }
    var conditions = clause.map { part in
      let row = problem.rows[part.row]
      var condition = LinearCondition(
        inputs: [], outputs: [], constant: row.exactConstant, isStrict: part.strict)
      for (term, coefficient) in zip(row.terms, row.exactCoefficients) {
        switch term.source {
        case .input(let j): condition.inputs.append((j, coefficient))
        case .value: condition.outputs.append((places[term.source] ?? 0, coefficient))
        }
      }
      return condition
    }
    for (j, bounds) in box.enumerated() {
      if bounds.lowerIsStrict {
        conditions.append(
          LinearCondition(inputs: [(j, -1)], outputs: [], constant: lower[j], isStrict: true))
      }
      if bounds.upperIsStrict {
        conditions.append(
          LinearCondition(inputs: [(j, 1)], outputs: [], constant: -upper[j], isStrict: true))
      }
    }
    if let question {
      return question.decide(
        conditions, lower: lower, upper: upper, mostNeurons: effort.neurons, resources: effort.resources,
        seconds: control.remaining)
    }
    var system = LinearSystem(lower: lower, upper: upper)
    for condition in conditions {
      var coefficients = [Rational](repeating: .zero, count: lower.count)
      for term in condition.inputs { coefficients[term.index] += term.coefficient }
      system.require(coefficients, condition.constant, isStrict: condition.isStrict)
    }
    switch system.decide() {
    case .empty: return .empty
    case .point(let point): return .point(point)
    }
  }
}
