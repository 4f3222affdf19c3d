import IR
import Limits
import LinearPrograms
import Rigor

/// `sum of coefficient * input + sum of coefficient * output + constant <= 0`, or `< 0` if strict.
package struct LinearCondition: Sendable {
  package var inputs: [(index: Int, coefficient: Rational)]
  package var outputs: [(index: Int, coefficient: Rational)]
  package var constant: Rational
  package var isStrict: Bool

  package init(
    inputs: [(index: Int, coefficient: Rational)], outputs: [(index: Int, coefficient: Rational)],
    constant: Rational, isStrict: Bool
  ) {
    self.inputs = inputs
    self.outputs = outputs
    self.constant = constant
    self.isStrict = isStrict
  }
}

/// Whether some point of a box satisfies linear conditions on the inputs and outputs of a piecewise linear network, decided
/// by Z3 in exact arithmetic.
///
/// Bounds with rounding counted fix what they can; Z3 sees the inputs that move and the neurons that stay open.
package struct ExactQuestion: Sendable {
  package enum Answer: Sendable {
    /// No point does.
    case empty
    /// This one does.
    case point([Rational])
    /// Not decided: too many open neurons, or Z3 gave up.
    case open
  }

  private let network: PiecewiseLinearNetwork

  /// - Throws: `UnsupportedOperator` for networks that are not piecewise linear.
  package init(_ graph: Graph, to target: NodeID) throws {
    network = try PiecewiseLinearNetwork(graph, to: target)
  }

  /// - Parameters:
  ///   - lower: The box, exactly.
  ///   - upper: The box, exactly.
  ///   - mostNeurons: With more open neurons nothing is asked.
  ///   - resources: Z3's elementary steps; 0 for no limit.
  ///   - seconds: Time for Z3; infinite for no limit.
  package func decide(
    _ conditions: [LinearCondition], lower: [Rational], upper: [Rational], mostNeurons: Int, resources: Int,
    seconds: Double
  ) -> Answer {
    let relaxation = LinearRelaxation(network, limit: .never)
    guard
      let b = relaxation.bounds(
        lower: lower.map(\.roundedDown), upper: upper.map(\.roundedUp), splits: [:])
    else { return .empty }
    guard b.undecided(of: network).count <= mostNeurons else { return .open }
    let query = CondensedQuery(network: network, lower: lower, upper: upper, phases: b.phases, decided: [:])
    let forms = query.forms()
    let z3 = Z3Context()
    let inputs = query.build([], [], nil, forms, z3)
    let columns = inputs.map(\.term) + forms.undecided.map { z3.real("a\($0)") }
    let zero = z3.numeral(0)
    for condition in conditions {
      var combination = [Rational](repeating: 0, count: forms.width)
      combination[forms.width - 1] = condition.constant
      func add(_ variable: Int, _ coefficient: Rational) {
        for (j, entry) in forms.form(of: variable).enumerated() {
          combination[j].addProduct(coefficient, entry)
        }
      }
      for term in condition.inputs { add(term.index, term.coefficient) }
      for term in condition.outputs { add(network.outputs[term.index], term.coefficient) }
      let value = query.linear(combination, columns, z3)
      z3.assert(condition.isStrict ? z3.less(value, zero) : z3.lessOrEqual(value, zero))
    }
    let deadline = seconds < 1e6 ? ContinuousClock.now + .seconds(seconds) : nil
    z3.limit(
      resources: resources, milliseconds: deadline.map { Int(max(0, min($0.secondsLeft, 1e6)) * 1000) })
    switch z3.check(deadline: deadline) {
    case .unsatisfiable: return .empty
    case .unknown: return .open
    case .satisfiable:
      guard let values = z3.values(of: inputs.map(\.term)) else { return .open }
      return .point(query.point(forms, values))
    }
  }
}
