import Rigor

/// A linear program over a few variables in exact arithmetic: the nearest point of a polytope to a centre.
///
/// Solved by the dual simplex method on a dense tableau of rationals with the least-index rule, which cannot cycle.
/// Meant for patterns of small networks: few variables, some dozen to some hundred constraints.
package struct ExactLinearProgram {
  package let lower: [Rational]
  package let upper: [Rational]
  /// Asked between the rows of every pivot: with dozens of variables, numbers grow until one pivot takes seconds.
  let limit: TimeLimit
  /// Rows `coefficients . x + constant <= 0`.
  private var rows: [[Rational]] = []

  package init(lower: [Rational], upper: [Rational], limit: TimeLimit = .never) {
    self.lower = lower
    self.upper = upper
    self.limit = limit
  }

  /// Requires `coefficients . x + constant <= 0`; the constant is the last entry.
  package mutating func require(_ row: [Rational]) {
    // A row without variables is either always true or makes the program infeasible; both are kept as they are.
    if row.dropLast().allSatisfy(\.isZero), row[row.count - 1].sign <= 0 { return }
    rows.append(row)
  }

  /// The point of the polytope nearest to the centre, nil if the polytope is empty.
  ///
  /// - Throws: `OutOfTime` at the time limit.
  package func nearest(to center: [Rational], isL1: Bool) throws(OutOfTime) -> (
    point: [Rational], distance: Rational
  )? {
    // Shifted variables y = x - center in terms of non-negative ones: y = p - q. With L1 the objective is the sum of all
    // p and q, with L-infinity a radius e >= p + q for each coordinate. All costs are non-negative, so the slack
    // basis is dual feasible and the dual simplex method applies at once.
    let n = center.count
    let variables = isL1 ? 2 * n : 2 * n + 1
    var cost = [Rational](repeating: isL1 ? 1 : 0, count: variables)
    if !isL1 { cost[2 * n] = 1 }
    var tableau: [[Rational]] = []
    func add(_ coefficients: [Rational], _ bound: Rational) { tableau.append(coefficients + [bound]) }
    for row in rows {
      var coefficients = [Rational](repeating: 0, count: variables)
      var bound = -row[n]
      for i in 0..<n where !row[i].isZero {
        coefficients[i] = row[i]
        coefficients[n + i] = -row[i]
        bound -= row[i] * center[i]
      }
      add(coefficients, bound)
    }
    for i in 0..<n {
      var up = [Rational](repeating: 0, count: variables)
      up[i] = 1
      up[n + i] = -1
      add(up, upper[i] - center[i])
      add(up.map { -$0 }, center[i] - lower[i])
      if !isL1 {
        // y_i <= e and -y_i <= e.
        up[2 * n] = -1
        add(up, 0)
        var down = up.map { -$0 }
        down[2 * n] = -1
        add(down, 0)
      }
    }
    let limit = self.limit
    let values = try Self.dualSimplex(&tableau, &cost) { () throws(OutOfTime) in try limit.check() }
    guard let values else { return nil }
    var point = center
    for i in 0..<n { point[i] += values[i] - values[n + i] }
    var distance = Rational()
    for i in 0..<n {
      let d = (point[i] - center[i]).magnitude
      if isL1 { distance += d } else { distance = max(distance, d) }
    }
    return (point, distance)
  }

  /// What the dual simplex method ends with.
  package enum Ending: Sendable {
    /// The values of the variables.
    case optimal([Rational])
    /// By row: how often to take it so that the sum cannot be satisfied by any `z >= 0` (Farkas).
    case infeasible([Rational])
  }

  /// Minimises `cost . z` for `z >= 0`, rows `a . z <= b`, with non-negative costs. Nil if infeasible.
  ///
  /// - Parameter check: Called between rows; what it throws ends the iteration.
  package static func dualSimplex<Failure: Error>(
    _ tableau: inout [[Rational]], _ cost: inout [Rational], check: () throws(Failure) -> Void
  ) throws(Failure) -> [Rational]? {
    if case .optimal(let values) = try solve(&tableau, &cost, check: check) { return values }
    return nil
  }

  /// The same, with the reason why nothing is feasible.
  package static func solve<Failure: Error>(
    _ tableau: inout [[Rational]], _ cost: inout [Rational], check: () throws(Failure) -> Void
  ) throws(Failure) -> Ending {
    let n = cost.count
    let m = tableau.count
    // Column j holds non-basic variable nonbasic[j]; row i basic variable basic[i]; slacks are n ..< n + m.
    var nonbasic = Array(0..<n)
    var basic = Array(n..<(n + m))
    var rounds = 0
    while true {
      try check()
      rounds += 1
      // Leaving row: a negative bound, the most violated in floating point; by least variable after many rounds, which
      // with the same rule for columns cannot cycle.
      var leaving = -1
      var worst = 0.0
      for i in 0..<m where tableau[i][n].sign < 0 {
        if rounds > 4 * (n + m) {
          if leaving < 0 || basic[i] < basic[leaving] { leaving = i }
          continue
        }
        let size = tableau[i].dropLast().reduce(0.0) { max($0, abs($1.roundedDown)) }
        let violation = tableau[i][n].roundedDown / max(size, 1e-300)
        if leaving < 0 || violation < worst {
          worst = violation
          leaving = i
        }
      }
      if leaving < 0 { break }
      // Entering column: a negative coefficient with the least ratio of costs (ties by least variable).
      var entering = -1
      var ratio = Rational()
      for j in 0..<n where tableau[leaving][j].sign < 0 {
        let candidate = cost[j] / -tableau[leaving][j]
        if entering < 0 || candidate < ratio || (candidate == ratio && nonbasic[j] < nonbasic[entering]) {
          ratio = candidate
          entering = j
        }
      }
      if entering < 0 {
        // The row says: its variable and others, a non-negative number of times each, add up to a negative number.
        var multipliers = [Rational](repeating: 0, count: m)
        if basic[leaving] >= n { multipliers[basic[leaving] - n] = 1 }
        for j in 0..<n where nonbasic[j] >= n { multipliers[nonbasic[j] - n] = tableau[leaving][j] }
        return .infeasible(multipliers)
      }
      try pivot(&tableau, &cost, leaving, entering, check)
      swap(&basic[leaving], &nonbasic[entering])
    }
    var values = [Rational](repeating: 0, count: n)
    for i in 0..<m where basic[i] < n { values[basic[i]] = tableau[i][n] }
    return .optimal(values)
  }

  private static func pivot<Failure: Error>(
    _ tableau: inout [[Rational]], _ cost: inout [Rational], _ r: Int, _ c: Int,
    _ check: () throws(Failure) -> Void
  ) throws(Failure) {
    let n = cost.count
    let inverse = tableau[r][c].reciprocal
    for j in 0...n where j != c { tableau[r][j] *= inverse }
    tableau[r][c] = inverse
    let row = tableau[r]
    for i in tableau.indices where i != r {
      let factor = tableau[i][c]
      if factor.isZero { continue }
      try check()
      for j in 0...n where j != c && !row[j].isZero { tableau[i][j] -= factor * row[j] }
      tableau[i][c] = -(factor * inverse)
    }
    let factor = cost[c]
    if !factor.isZero {
      for j in 0..<n where j != c && !row[j].isZero { cost[j] -= factor * row[j] }
      cost[c] = -(factor * inverse)
    }
  }
}
