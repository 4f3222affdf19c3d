import Rigor
import Specifications
import Testing

@Suite struct FormulaTests {
  /// A random formula over inputs 0-2 and output 3 with small integer coefficients.
  func formula(_ random: inout SystemRandomNumberGenerator, depth: Int) -> Formula {
    if depth < 4, Int.random(in: 0..<10, using: &random) < 6 {
      let parts = (0..<Int.random(in: 0...3, using: &random)).map { _ in formula(&random, depth: depth + 1) }
      return Bool.random(using: &random) ? .all(parts) : .any(parts)
    }
    var terms: [Polynomial.Term] = []
    for _ in 0..<Int.random(in: 1...2, using: &random) {
      terms.append(
        .init(
          variable: Int.random(in: 0..<4, using: &random),
          coefficient: Rational(Int.random(in: -2...2, using: &random))))
    }
    let relations: [Relation] = [.less, .lessOrEqual, .greater, .greaterOrEqual, .equal, .notEqual]
    return .comparison(
      Comparison(
        expression: Polynomial(constant: Rational(Int.random(in: -2...2, using: &random)), terms: terms),
        relation: relations[Int.random(in: 0..<6, using: &random)],
        position: SourcePosition(line: 1, column: 1)))
  }

  func query(_ formula: Formula) throws -> Query {
    var query = try Query(
      text: """
        (vnnlib-version <2.0>)
        (declare-network f (declare-input X real [3]) (declare-output Y real []))
        (assert (<= X[0] 1.0))
        """)
    query.formula = formula
    return query
  }

  @Test func clausesAndRegionsMeanTheFormula() throws {
    var random = SystemRandomNumberGenerator()
    var holding = 0
    for _ in 0..<400 {
      let formula = formula(&random, depth: 0)
      let form = DisjunctiveForm(formula)
      guard let count = form.count, count < 2000 else { continue }
      let clauses = (0..<count).map { form.clause($0) }
      #expect(Array(form).count == count)
      let query = try query(formula)
      let variants = [query.cases(), query.cases(limit: 1)]
      for _ in 0..<20 {
        let point = (0..<4).map { _ in Rational(Int.random(in: -3...3, using: &random), 2) }
        let value: (Int) -> Rational = { point[$0] }
        let truth = formula.holds(value)
        if truth { holding += 1 }
        #expect(formula.negated.holds(value) == !truth)
        let byClauses = clauses.contains { clause in
          clause.allSatisfy { $0.relation.holds(forSign: $0.expression.evaluated(value).sign) }
        }
        #expect(byClauses == truth)
        for cases in variants {
          let byCases = cases.contains { part in
            part.bounds.allSatisfy { $0.value.contains(point[$0.key]) } && part.condition.holds(value)
          }
          #expect(byCases == truth)
        }
      }
    }
    #expect(holding > 100)
  }

  @Test func hugeNormalFormsAreLazy() {
    func either(_ i: Int) -> Formula {
      .any(
        (0..<10).map { k in
          .comparison(
            Comparison(
              expression: Polynomial(constant: Rational(10 * i + k)), relation: .less,
              position: SourcePosition(line: 1, column: 1)))
        })
    }
    let form = DisjunctiveForm(.all((0..<60).map(either)))
    #expect(form.count == nil)
    #expect(form.clause(0).count == 60)
    let clause = form.clause(123_456_789)
    let digits = clause.suffix(9).map { $0.expression.constant.int ?? 0 }.map { $0 % 10 }
    #expect(digits == [1, 2, 3, 4, 5, 6, 7, 8, 9])
    #expect(Array(form.prefix(3)).count == 3)
  }

  @Test func disjunctsWithOneBoxAreOneRegion() throws {
    let query = try Query(
      text: """
        (declare-const X_0 Real)
        (declare-const Y_0 Real)
        (assert (or
          (and (>= X_0 0) (<= X_0 1) (<= Y_0 0))
          (and (>= X_0 0) (<= X_0 1) (>= Y_0 5))
          (and (>= X_0 2) (<= X_0 1) (>= Y_0 5))
          (and (>= X_0 2) (<= X_0 3) (>= Y_0 5))))
        """)
    let cases = query.cases()
    #expect(cases.count == 2)
    #expect(cases[0].bounds[0] == VariableBounds(lower: 0, upper: 1))
    guard case .any(let parts) = cases[0].condition else {
      Issue.record("not a disjunction")
      return
    }
    #expect(parts.count == 2)
  }
}
