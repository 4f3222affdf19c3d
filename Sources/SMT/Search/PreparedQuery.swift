import IR
import Rigor

/// A query over a lowered network: rows on variables with exact double coefficients, bounds rounded outward.
struct PreparedQuery: Sendable {
  /// One row of a clause, scaled by a positive integer so that its coefficients are integers.
  struct Row: Sendable {
    var row: VariableRow
    /// The exact right side, and doubles around it.
    var rhs: Rational
    var rhsUp: Double
    /// What the row of the query was multiplied by.
    var scale: Rational = 1
  }

  let network: PiecewiseLinearNetwork
  let query: SafetyQuery
  let clauses: [[Row]]
  /// The box, rounded outward.
  let lower: [Double]
  let upper: [Double]
  /// Inputs that can move.
  let freeInputs: [Int]

  /// - Throws: `GraphError` if sizes do not fit, or a coefficient is too large to be carried exactly.
  init(_ network: PiecewiseLinearNetwork, _ query: SafetyQuery) throws {
    guard query.lower.count == network.inputCount, query.upper.count == network.inputCount else {
      throw GraphError(
        node: "input",
        reason: "the region has \(query.lower.count) coordinates, the network \(network.inputCount) inputs")
    }
    for i in query.lower.indices where query.lower[i] > query.upper[i] {
      throw GraphError(node: "input", reason: "the region is empty in coordinate \(i)")
    }
    self.network = network
    self.query = query
    clauses = try query.violation.map { clause in try clause.map { try Self.row($0, network) } }
    lower = query.lower.map(\.roundedDown)
    upper = query.upper.map(\.roundedUp)
    freeInputs = query.lower.indices.filter { query.lower[$0] < query.upper[$0] }
  }

  private static func row(_ constraint: OutputConstraint, _ network: PiecewiseLinearNetwork) throws -> Row {
    var scale = Rational(1)
    for term in constraint.terms {
      guard term.output >= 0, term.output < network.outputs.count else {
        throw GraphError(
          node: "output",
          reason: "output \(term.output) does not exist, the network has \(network.outputs.count)")
      }
      scale = Rational.leastCommonMultiple(scale, term.coefficient.denominator)
    }
    var row = VariableRow(variables: [], coefficients: [])
    for term in constraint.terms where !term.coefficient.isZero {
      let scaled = term.coefficient * scale
      let value = scaled.nearestDouble
      guard value.magnitude < 0x1p53, Rational(value) == scaled else {
        throw GraphError(
          node: "output",
          reason: "the coefficient \(term.coefficient) has too many digits to be carried exactly")
      }
      row.variables.append(network.outputs[term.output])
      row.coefficients.append(value)
    }
    let rhs = constraint.rhs * scale
    return Row(row: row, rhs: rhs, rhsUp: rhs.roundedUp, scale: scale)
  }

  /// The largest excess of a clause's rows at a point's variables, in double arithmetic, and the row.
  func excess(_ clause: Int, at values: [Double]) -> (value: Double, row: Int) {
    var worst = -Double.infinity
    var index = 0
    for (r, row) in clauses[clause].enumerated() {
      var sum = -row.rhsUp
      for (v, c) in zip(row.row.variables, row.row.coefficients) { sum += c * values[v] }
      if sum > worst {
        worst = sum
        index = r
      }
    }
    return (worst, index)
  }

  /// The clause that is nearest to being satisfied.
  func nearest(_ clauses: [Int], at values: [Double]) -> (clause: Int, row: Int, excess: Double) {
    var best = (clause: 0, row: 0, excess: Double.infinity)
    for clause in clauses {
      let (value, row) = excess(clause, at: values)
      if value < best.excess { best = (clause, row, value) }
    }
    return best
  }
}
