import Foundation
import Rigor

/// Z3: small remainders of the search, and whole queries.
extension SafetySolver {
  enum Z3Outcome {
    case found(Witness)
    case refuted([Int])
  }

  func askZ3(_ part: Part, _ b: NeuronBounds, _ clauses: [Int], resources: Int) throws -> Z3Outcome {
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
        isolated: options.method == .exact ? options.isolated : nil, wantsCore: isLearning)
      switch answer.result {
      case .unsatisfiable:
        refuted.append(clause)
        learnFromZ3(clause, part, b, core: answer.core)
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

  func solveExactly(_ root: Part) throws -> SafetyResult {
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
