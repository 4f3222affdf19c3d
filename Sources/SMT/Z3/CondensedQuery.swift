import Foundation
import Limits
import Rigor

/// Asks Z3 whether a clause can hold in a box under phase decisions, with all stable neurons composed away.
///
/// The unknowns are the inputs that can move and one variable for every neuron that neither bounds nor decisions fix;
/// with about ten of them Z3 4.8.12 answers in tenths of a second.
struct CondensedQuery {
  let network: PiecewiseLinearNetwork
  let lower: [Rational]
  let upper: [Rational]
  /// Phases from bounds and decisions.
  let phases: [Phase]
  /// Decisions that bounds alone do not imply: their sign conditions are asserted.
  let decided: [Int: Phase]

  /// The answer, with the exact input of a satisfying assignment.
  struct Answer {
    var result: Satisfiability
    var point: [Rational]?
    /// In optimisation: the value of the objective at the point.
    var radius: Rational?
    /// In a refutation: the decided neurons whose conditions it used.
    var core: [Int]?
  }

  /// A strict bound on the distance from a centre: `|x_i - c_i| < radius` for all i, or the sum of them.
  struct Ball {
    var center: [Rational]
    var radius: Rational
    var isL1: Bool
  }

  /// Checks a conjunction of rows.
  func check(
    _ rows: [PreparedQuery.Row], equalities: [(row: VariableRow, value: Rational)] = [],
    within ball: Ball? = nil,
    resources: Int = 0, deadline: ContinuousClock.Instant? = nil, isolated: Z3Process? = nil,
    wantsCore: Bool = false
  ) -> Answer {
    let z3 = Z3Context()
    let forms = self.forms()
    let tracked = wantsCore && isolated == nil ? decided.keys.sorted() : []
    let names = build(rows, equalities, ball, forms, z3, tracked: Set(tracked))
    if let isolated {
      let answer = isolated.check(z3.smtlib(), variables: names.map(\.name), deadline: deadline)
      guard case .satisfiable = answer.result, let values = answer.values else {
        return Answer(result: answer.result, point: nil)
      }
      return Answer(result: answer.result, point: point(forms, values))
    }
    z3.limit(resources: resources, milliseconds: deadline.map { Int(min($0.secondsLeft, 1e6) * 1000) })
    let assumptions = tracked.map { z3.boolean("d\($0)") }
    let result = z3.check(assumptions: assumptions, deadline: deadline)
    if wantsCore, isolated == nil, case .unsatisfiable = result {
      let core = z3.core(among: assumptions).map { tracked[$0] }
      return Answer(result: result, point: nil, core: core)
    }
    guard case .satisfiable = result else { return Answer(result: result, point: nil) }
    guard let values = z3.values(of: names.map(\.term)) else {
      return Answer(result: .unknown("the model is not rational"), point: nil)
    }
    return Answer(result: result, point: point(forms, values))
  }

  /// Whether variables can take values within a tolerance, decided by Z3 in a process of its own.
  func check(
    targets: [(variable: Int, value: Rational)], tolerance: Rational, deadline: ContinuousClock.Instant?,
    isolated: Z3Process
  ) -> Answer {
    var rows: [PreparedQuery.Row] = []
    for target in targets {
      for sign in [1.0, -1.0] {
        let rhs = (sign > 0 ? target.value : -target.value) + tolerance
        rows.append(
          PreparedQuery.Row(
            row: VariableRow(variables: [target.variable], coefficients: [sign]), rhs: rhs,
            rhsUp: rhs.roundedUp))
      }
    }
    return check(rows, deadline: deadline, isolated: isolated)
  }

  /// A query that is asked many times with other rows: layers are composed and encoded once.
  final class Session {
    private let query: CondensedQuery
    private let z3: Z3Context
    private let forms: ExactForms
    private let inputs: [(name: String, term: Z3Context.Term)]
    private let columns: [Z3Context.Term]

    init(_ query: CondensedQuery) {
      let z3 = Z3Context()
      let forms = query.forms()
      let inputs = query.build([], [], nil, forms, z3)
      self.query = query
      self.z3 = z3
      self.forms = forms
      self.inputs = inputs
      columns = inputs.map(\.term) + forms.undecided.map { z3.real("a\($0)") }
    }

    /// Whether variables can take values within tolerances, and at which input.
    func check(
      _ targets: [(variable: Int, value: Rational)], tolerance: Rational, resources: Int,
      deadline: ContinuousClock.Instant?
    ) -> Answer {
      z3.push()
      defer { z3.pop() }
      for target in targets {
        let value = query.linear(forms.form(of: target.variable), columns, z3)
        if tolerance.isZero {
          z3.assert(z3.equal(value, z3.numeral(target.value)))
        } else {
          z3.assert(z3.lessOrEqual(z3.numeral(target.value - tolerance), value))
          z3.assert(z3.lessOrEqual(value, z3.numeral(target.value + tolerance)))
        }
      }
      z3.limit(resources: resources, milliseconds: deadline.map { Int(min($0.secondsLeft, 1e6) * 1000) })
      let result = z3.check(deadline: deadline)
      guard case .satisfiable = result else { return Answer(result: result, point: nil) }
      guard let values = z3.values(of: inputs.map(\.term)) else {
        return Answer(result: .unknown("the model is not rational"), point: nil)
      }
      return Answer(result: result, point: query.point(forms, values))
    }
  }

  func forms() -> ExactForms {
    let fixed = lower.indices.map { lower[$0] == upper[$0] ? Optional(lower[$0]) : nil }
    return ExactForms(network, fixed: fixed, phases: phases)
  }

  func point(_ forms: ExactForms, _ values: [Rational]) -> [Rational] {
    var x = lower
    for (column, input) in forms.freeInputs.enumerated() { x[input] = values[column] }
    return x
  }

  /// Asserts the network, rows and equalities. Returns the inputs that can move.
  func build(
    _ rows: [PreparedQuery.Row], _ equalities: [(row: VariableRow, value: Rational)], _ ball: Ball?,
    _ forms: ExactForms, _ z3: Z3Context, tracked: Set<Int> = []
  ) -> [(name: String, term: Z3Context.Term)] {
    let inputs = forms.freeInputs.map { (name: "x\($0)", term: z3.real("x\($0)")) }
    let neurons = forms.undecided.map { z3.real("a\($0)") }
    let columns = inputs.map(\.term) + neurons
    func linear(_ coefficients: [Rational]) -> Z3Context.Term { self.linear(coefficients, columns, z3) }
    let zero = z3.numeral(0)
    for (column, input) in forms.freeInputs.enumerated() {
      z3.assert(z3.lessOrEqual(z3.numeral(lower[input]), inputs[column].term))
      z3.assert(z3.lessOrEqual(inputs[column].term, z3.numeral(upper[input])))
    }
    for (offset, v) in forms.undecided.enumerated() {
      let a = neurons[offset]
      let p = linear(forms.preactivation(of: v))
      if network.isReLU(v) {
        z3.assert(z3.lessOrEqual(zero, a))
        z3.assert(z3.lessOrEqual(p, a))
        z3.assert(
          z3.or([
            z3.and([z3.lessOrEqual(zero, p), z3.equal(a, p)]),
            z3.and([z3.lessOrEqual(p, zero), z3.equal(a, zero)]),
          ]))
      } else {
        z3.assert(
          z3.or([
            z3.and([z3.less(zero, p), z3.equal(a, z3.numeral(1))]),
            z3.and([z3.less(p, zero), z3.equal(a, z3.numeral(-1))]),
            z3.and([z3.equal(p, zero), z3.equal(a, zero)]),
          ]))
      }
    }
    for (v, phase) in decided {
      let p = linear(forms.preactivation(of: v))
      let condition = phase == .active ? z3.lessOrEqual(zero, p) : z3.lessOrEqual(p, zero)
      z3.assert(tracked.contains(v) ? z3.or([z3.not(z3.boolean("d\(v)")), condition]) : condition)
    }
    for row in rows {
      z3.assert(z3.lessOrEqual(linear(combination(row.row, forms)), z3.numeral(row.rhs)))
    }
    for equality in equalities {
      z3.assert(z3.equal(linear(combination(equality.row, forms)), z3.numeral(equality.value)))
    }
    if let ball { assertInside(ball, inputs.map(\.term), forms, z3) }
    return inputs
  }

  /// A form over columns as a term.
  func linear(_ coefficients: [Rational], _ columns: [Z3Context.Term], _ z3: Z3Context)
    -> Z3Context.Term
  {
    var terms: [Z3Context.Term] = []
    for (column, c) in coefficients.dropLast().enumerated() where !c.isZero {
      terms.append(c == 1 ? columns[column] : z3.product(z3.numeral(c), columns[column]))
    }
    let constant = coefficients[coefficients.count - 1]
    if !constant.isZero || terms.isEmpty { terms.append(z3.numeral(constant)) }
    return z3.sum(terms)
  }

  private func assertInside(
    _ ball: Ball, _ inputs: [Z3Context.Term], _ forms: ExactForms, _ z3: Z3Context
  ) {
    var distances: [Z3Context.Term] = []
    for (column, input) in forms.freeInputs.enumerated() {
      let x = inputs[column]
      let c = ball.center[input]
      if ball.isL1 {
        let d = z3.real("d\(input)")
        z3.assert(z3.lessOrEqual(z3.sum([x, z3.numeral(-c)]), d))
        z3.assert(z3.lessOrEqual(z3.sum([z3.numeral(c), z3.product(z3.numeral(-1), x)]), d))
        distances.append(d)
      } else {
        z3.assert(z3.less(x, z3.numeral(c + ball.radius)))
        z3.assert(z3.less(z3.numeral(c - ball.radius), x))
      }
    }
    if ball.isL1 { z3.assert(z3.less(z3.sum(distances), z3.numeral(ball.radius))) }
  }

  /// A row over variables as a row over columns.
  func combination(_ row: VariableRow, _ forms: ExactForms) -> [Rational] {
    var result = [Rational](repeating: 0, count: forms.width)
    for (v, c) in zip(row.variables, row.coefficients) {
      let form = forms.form(of: v)
      let factor = Rational(c)
      for j in result.indices { result[j].addProduct(factor, form[j]) }
    }
    return result
  }
}
