import Rigor

/// `sum of coefficient * output <= rhs`, exactly.
public struct OutputConstraint: Sendable, Equatable {
  /// One output and its coefficient.
  public struct Term: Sendable, Equatable {
    public var output: Int
    public var coefficient: Rational

    public init(output: Int, coefficient: Rational) {
      self.output = output
      self.coefficient = coefficient
    }
  }

  public var terms: [Term]
  public var rhs: Rational

  public init(terms: [Term], rhs: Rational) {
    self.terms = terms
    self.rhs = rhs
  }

  /// The left side minus the right side at given outputs; the constraint holds where this is at most 0.
  public func excess(at outputs: [Rational]) -> Rational {
    var sum = -rhs
    for term in terms { sum.addProduct(term.coefficient, outputs[term.output]) }
    return sum
  }
}

/// A region and what would violate the property there.
///
/// The property holds iff no point of the box satisfies all constraints of any clause. A tie counts as a violation.
public struct SafetyQuery: Sendable, Equatable {
  public var lower: [Rational]
  public var upper: [Rational]
  /// A disjunction of conjunctions.
  public var violation: [[OutputConstraint]]

  public init(lower: [Rational], upper: [Rational], violation: [[OutputConstraint]]) {
    self.lower = lower
    self.upper = upper
    self.violation = violation
  }

  /// The clauses that say an output is at least (`argmax`) or at most (`argmin`) as good as the label's.
  public static func misclassification(label: Int, outputs: Int, isMaximum: Bool) -> [[OutputConstraint]] {
    (0..<outputs).filter { $0 != label }.map { other in
      let sign: Rational = isMaximum ? 1 : -1
      let terms = [
        OutputConstraint.Term(output: label, coefficient: sign),
        OutputConstraint.Term(output: other, coefficient: -sign),
      ]
      return [OutputConstraint(terms: terms, rhs: 0)]
    }
  }

  /// The clauses that hold at exact outputs.
  public func satisfiedClauses(at outputs: [Rational]) -> [Int] {
    violation.indices.filter { clause in violation[clause].allSatisfy { $0.excess(at: outputs).sign <= 0 } }
  }

  /// Whether a point lies in the box.
  public func contains(_ x: [Rational]) -> Bool {
    x.count == lower.count && x.indices.allSatisfy { lower[$0] <= x[$0] && x[$0] <= upper[$0] }
  }
}

/// What the solver says about a query. Statements are about exact real arithmetic on the stored weights.
public enum Verdict: String, Sendable {
  /// No point of the region violates the property.
  case holds
  /// The witness violates it.
  case violated
  /// Neither could be shown within the budget.
  case unknown
}

/// A point that violates the property, checked in exact arithmetic.
public struct Witness: Sendable, Equatable {
  /// The exact point.
  public var point: [Rational]
  /// The nearest float32 point.
  public var float32: [Float]
  /// Which clause of the query it satisfies.
  public var clause: Int
  /// Whether the float32 run of the network at `float32` violates the property too; nil where it was not run.
  ///
  /// At a tie (a point on the decision boundary) rounding may fall on either side.
  public var violatesInFloat32: Bool?
}

/// The answer to a query.
public struct SafetyResult: Sendable {
  public var verdict: Verdict
  public var witness: Witness?
  /// Why the verdict is `unknown`.
  public var reason: String?
  public var statistics: SolverStatistics
  /// The certificate of `holds`, if one was asked for.
  public var proof: ProofTree?
}

/// What a solver did.
public struct SolverStatistics: Sendable, Equatable {
  /// Subproblems bounded.
  public var nodes = 0
  /// Undecided neurons in the whole region.
  public var undecidedAtRoot = 0
  public var neurons = 0
  /// Queries handed to Z3.
  public var z3Calls = 0
  /// Steps of dual ascent.
  public var dualSteps = 0
  /// Points tried in the search for a violation.
  public var pointsTried = 0
  /// Linear programs solved: relaxations of parts, or exact ones of patterns.
  public var linearPrograms = 0
  /// Clauses learned that need fewer phases than were decided where they were learned.
  public var clausesLearned = 0
  /// Phases that learned clauses decided.
  public var propagations = 0
  /// Parts that learned clauses closed, so that nothing had to refute them.
  public var conflictsAvoided = 0
}
