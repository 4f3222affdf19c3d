import Bounds
import Domains
import IR
import Rigor
import Specifications
import Tensors

/// The answer to a query.
public enum Verdict: String, Sendable, Hashable {
  /// Some assignment satisfies the query.
  case sat
  /// None does.
  case unsat
  /// Neither could be shown.
  case unknown
  /// Neither could be shown within the time limit.
  case timedOut = "timed-out"
}

/// A verdict with what supports it.
public struct Verification: Sendable {
  public var verdict: Verdict
  public var semantics: Semantics
  /// The checked assignment of a `sat`.
  public var witness: Witness?
  /// Why the verdict is `unknown` or `timed-out`, or what is to be noted about a `sat`; empty otherwise.
  public var reason: String
  public var statistics: SearchStatistics
  /// The method that decided.
  public var method: String

  init(
    verdict: Verdict, semantics: Semantics, witness: Witness?, reason: String, statistics: SearchStatistics,
    method: String
  ) {
    self.verdict = verdict
    self.semantics = semantics
    self.witness = witness
    self.reason = reason
    self.statistics = statistics
    self.method = method
  }

  /// A verdict over real arithmetic that bounds gave without a search.
  public init(verdict: Verdict, method: String) {
    self.init(
      verdict: verdict, semantics: .real, witness: nil, reason: "", statistics: SearchStatistics(),
      method: method)
  }

  /// The verdict of a search that was ended from outside.
  public init(stopped stop: SearchControl.Stop, semantics: Semantics = .real) {
    self.init(
      verdict: stop == .timeLimit ? .timedOut : .unknown, semantics: semantics, witness: nil,
      reason: stop.reason,
      statistics: SearchStatistics(), method: "")
  }
}

extension SearchControl.Stop {
  /// The reason in words.
  public var reason: String {
    switch self {
    case .timeLimit: "the time limit was reached"
    case .interrupted: "interrupted"
    case .memoryLimit: "the memory limit was reached"
    }
  }
}

/// Decides queries: attack, then branch and bound, chosen by the problem.
public struct Verifier: Sendable {
  let problem: VerificationProblem
  let control: SearchControl

  public init(_ problem: VerificationProblem, control: SearchControl) {
    self.problem = problem
    self.control = control
  }

  /// Decides the query, or says why it could not.
  ///
  /// - Throws: `UnsupportedOperator` and `GraphError` for networks that cannot be bounded or evaluated.
  public func run() throws -> Verification {
    useSingleThreadedBLAS()
    if problem.cases.isEmpty {
      return Verification(
        verdict: .unsat, semantics: problem.semantics, witness: nil, reason: "",
        statistics: SearchStatistics(),
        method: "the constraints on the inputs contradict each other")
    }
    var problem = problem
    // Exact evaluation of a large network takes longer than a search whose bounds suffice.
    let isSmall = problem.multiplications <= min(4e6, 2.5e5 * control.remaining)
    if isSmall, let outcome = problem.settlePoints(control) { return pointVerification(outcome) }
    var run = VerificationRun(problem: problem, control: control)
    var outcome = try run.decide()
    if case .exhausted = outcome, !isSmall, let settled = problem.settlePoints(control) { outcome = settled }
    var result = Verification(
      verdict: .unknown, semantics: problem.semantics, witness: nil, reason: "", statistics: run.statistics,
      method: run.method)
    switch outcome {
    case .witness(let witness):
      result.verdict = .sat
      result.witness = witness
      result.reason = note(witness)
    case .refuted: result.verdict = .unsat
    case .exhausted(let reason): result.reason = reason
    case .stopped(let stop):
      if stop == .timeLimit { result.verdict = .timedOut }
      result.reason = stop.reason
    }
    return result
  }

  /// The verdict where evaluation at single points decided.
  private func pointVerification(_ outcome: SearchOutcome) -> Verification {
    var result = Verification(
      verdict: .unsat, semantics: problem.semantics, witness: nil, reason: "",
      statistics: SearchStatistics(), method: "exact evaluation of single points")
    if case .witness(let witness) = outcome {
      result.verdict = .sat
      result.witness = witness
      result.reason = note(witness)
    }
    return result
  }

  private func note(_ witness: Witness) -> String {
    switch problem.semantics {
    case .real:
      return witness.replay == .holds
        ? "" : "exact in real arithmetic; evaluation in float32 does not show it"
    case .float32, .float64:
      if !witness.replayIsRobust { return "another order of summation could undo the violation" }
      return witness.exact == .holds ? "" : "exact real arithmetic does not show it"
    }
  }
}

extension VerificationProblem {
  /// Decides the cases that are single points and leaves the others; an outcome if that decides the query.
  mutating func settlePoints(_ control: SearchControl) -> SearchOutcome? {
    let checker = WitnessChecker(problem: self, control: control)
    var left: [Case] = []
    for index in cases.indices {
      if control.stop != nil { return nil }
      switch checker.decidePoint(index) {
      case .witness(let witness): return .witness(witness)
      case .fails: continue
      case .open: left.append(cases[index])
      }
    }
    cases = left
    return left.isEmpty ? .refuted : nil
  }
}
