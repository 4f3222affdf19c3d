import LinearPrograms
import TestSupport
import Testing

/// The answers of the simplex method certify themselves: a feasible point and multipliers that meet are the optimum.
@Suite struct BoundedSimplexTests {
  struct Program {
    var cost: [Double]
    var rows: [Double]
    var bounds: [Double]
    var lower: [Double]
    var upper: [Double]

    init(seed: UInt64, variables n: Int, rows m: Int, tightness: Double) {
      var g = UnitGenerator(state: seed)
      cost = (0..<n).map { _ in g.unit() * 2 - 1 }
      rows = (0..<(n * m)).map { _ in g.unit() < 0.3 ? 0 : g.unit() * 2 - 1 }
      bounds = (0..<m).map { _ in g.unit() * 2 - tightness }
      lower = (0..<n).map { _ in -g.unit() }
      upper = lower.map { $0 + g.unit() * 2 }
    }

    /// A lower bound of the objective plus multiplied rows over the box.
    func bound(cost: [Double], multipliers: [Double]) -> Double {
      let n = cost.count
      var total = 0.0
      var covector = cost
      for (i, multiplier) in multipliers.enumerated() {
        total -= multiplier * bounds[i]
        for j in 0..<n { covector[j] += multiplier * rows[i * n + j] }
      }
      for j in 0..<n { total += min(covector[j] * lower[j], covector[j] * upper[j]) }
      return total
    }
  }

  @Test(arguments: 0..<200) func answersCertifyThemselves(seed: Int) {
    let n = 1 + seed % 9
    let m = 1 + seed % 23
    let p = Program(seed: UInt64(seed) + 1, variables: n, rows: m, tightness: Double(seed % 4) * 0.5)
    var simplex = BoundedSimplex(
      cost: p.cost, rows: p.rows, bounds: p.bounds, lower: p.lower, upper: p.upper)
    let solution = simplex.solve()
    #expect(solution.rows.allSatisfy { $0 >= 0 })
    switch solution.ending {
    case .optimal:
      for j in 0..<n {
        #expect(solution.point[j] >= p.lower[j] - 1e-7 && solution.point[j] <= p.upper[j] + 1e-7)
      }
      for i in 0..<m {
        let left = (0..<n).reduce(0.0) { $0 + p.rows[i * n + $1] * solution.point[$1] }
        #expect(left <= p.bounds[i] + 1e-7)
      }
      let value = (0..<n).reduce(0.0) { $0 + p.cost[$1] * solution.point[$1] }
      #expect(abs(value - solution.objective) < 1e-7)
      #expect(abs(p.bound(cost: p.cost, multipliers: solution.rows) - value) < 1e-7)
    case .infeasible:
      let zero = [Double](repeating: 0, count: n)
      #expect(p.bound(cost: zero, multipliers: solution.rows) > 1e-10)
    case .aboveLimit, .stopped: Issue.record("did not end")
    }
  }

  @Test func bothEndingsOccur() {
    var endings = Set<String>()
    for seed in 0..<200 {
      let p = Program(
        seed: UInt64(seed) + 1, variables: 1 + seed % 9, rows: 1 + seed % 23,
        tightness: Double(seed % 4) * 0.5)
      var simplex = BoundedSimplex(
        cost: p.cost, rows: p.rows, bounds: p.bounds, lower: p.lower, upper: p.upper)
      endings.insert("\(simplex.solve().ending)")
    }
    #expect(endings == ["optimal", "infeasible"])
  }

  /// An iteration that ends early still gives a true bound.
  @Test func earlyEndsAreBounds() {
    for seed in 0..<50 {
      let p = Program(seed: UInt64(seed) + 500, variables: 6, rows: 14, tightness: 0)
      var simplex = BoundedSimplex(
        cost: p.cost, rows: p.rows, bounds: p.bounds, lower: p.lower, upper: p.upper)
      let early = simplex.solve(limit: -1.5)
      let bound = p.bound(cost: p.cost, multipliers: early.rows)
      #expect(bound >= early.objective - 1e-7)
      let full = simplex.solve()
      if full.ending == .optimal { #expect(bound <= full.objective + 1e-7) }
    }
  }
}
