/// A small dense linear program in double arithmetic: minimise `cost . z` with `rows . z <= bounds` in a box.
///
/// Solved by the dual simplex method for bounded variables. Every iterate is dual feasible, so the multipliers are a
/// valid lower bound in exact arithmetic wherever the iteration ends; whoever uses them must check them with rounding
/// counted, because this arithmetic does not. One instance belongs to one thread.
package struct BoundedSimplex {
  /// How the iteration ended.
  package enum Ending: Sendable {
    case optimal
    /// No point satisfies all rows; the multipliers prove it.
    case infeasible
    /// The objective exceeded the limit.
    case aboveLimit
    /// The iteration limit, or pivots too small to trust.
    case stopped
  }

  package struct Solution: Sendable {
    package var ending: Ending
    /// The objective of the last basis, a lower bound of the optimum up to rounding.
    package var objective: Double
    /// The point of the last basis; feasible only where `optimal`.
    package var point: [Double]
    /// Non-negative multipliers of the rows. Where the program is infeasible, those of a contradiction.
    package var rows: [Double]
    /// By variable: the non-negative multiplier of its lower bound.
    package var lower: [Double]
  }

  private let n: Int
  private let m: Int
  /// Structural variables, then slacks.
  private var low: [Double]
  private var high: [Double]
  /// Row-major `m x n`: the rows over the variables that are not basic.
  private var tableau: [Double]
  private var reduced: [Double]
  private var basic: [Int]
  private var nonbasic: [Int]
  private var isAtUpper: [Bool]
  /// The values of basic variables by row, and of the others by column.
  private var value: [Double]
  private var fixedValue: [Double]
  private var objective: Double

  /// - Parameters:
  ///   - rows: Row-major coefficients, `bounds.count` rows of `cost.count`.
  ///   - lower: Finite lower bounds of the variables.
  ///   - upper: Finite upper bounds of the variables.
  package init(cost: [Double], rows: [Double], bounds: [Double], lower: [Double], upper: [Double]) {
    n = cost.count
    m = bounds.count
    low = lower + [Double](repeating: 0, count: m)
    high = upper + [Double](repeating: .infinity, count: m)
    tableau = rows
    reduced = cost
    basic = Array(n..<(n + m))
    nonbasic = Array(0..<n)
    isAtUpper = cost.map { $0 < 0 }
    fixedValue = (0..<n).map { cost[$0] < 0 ? upper[$0] : lower[$0] }
    value = bounds
    objective = 0
    for j in 0..<n { objective += cost[j] * fixedValue[j] }
    for i in 0..<m {
      var sum = 0.0
      for j in 0..<n { sum += rows[i * n + j] * fixedValue[j] }
      value[i] -= sum
    }
  }

  /// Runs the method until it is optimal, infeasible, or the objective exceeds `limit`.
  package mutating func solve(limit: Double = .infinity) -> Solution {
    let rounds = 20 * (m + n) + 100
    var best = (row: -1, column: -1)
    for _ in 0..<rounds {
      if objective > limit { return solution(.aboveLimit, nil) }
      best.row = leavingRow()
      if best.row < 0 { return solution(.optimal, nil) }
      best.column = enteringColumn(best.row)
      if best.column < 0 { return solution(.infeasible, best.row) }
      pivot(best.row, best.column)
    }
    return solution(.stopped, nil)
  }

  /// The basic variable farthest outside its bounds, -1 if all lie within them.
  private func leavingRow() -> Int {
    var row = -1
    var worst = 1e-9
    for i in 0..<m {
      let v = value[i]
      let scale = 1 + abs(v)
      let outside = max(low[basic[i]] - v, v - high[basic[i]]) / scale
      if outside > worst {
        worst = outside
        row = i
      }
    }
    return row
  }

  /// The column that keeps the costs dual feasible, among nearly equal ones the largest pivot; -1 if there is none.
  private func enteringColumn(_ row: Int) -> Int {
    let rises = value[row] < low[basic[row]]
    var column = -1
    var ratio = Double.infinity
    var size = 0.0
    for j in 0..<n {
      let entry = tableau[row * n + j]
      if abs(entry) < 1e-9 || low[nonbasic[j]] == high[nonbasic[j]] { continue }
      // The basic variable falls as this one rises if the entry is positive.
      let helps = rises == ((entry < 0) != isAtUpper[j])
      if !helps { continue }
      let candidate = abs(reduced[j] / entry)
      let isTie = candidate <= ratio + 1e-12
      if candidate < ratio - 1e-12 || (isTie && abs(entry) > size) {
        ratio = min(ratio, candidate)
        size = abs(entry)
        column = j
      }
    }
    return column
  }

  private mutating func pivot(_ row: Int, _ column: Int) {
    let leaving = basic[row]
    let goesLow = value[row] < low[leaving]
    let bound = goesLow ? low[leaving] : high[leaving]
    let p = tableau[row * n + column]
    let step = (value[row] - bound) / p
    objective += reduced[column] * step
    let entering = nonbasic[column]
    let newValue = fixedValue[column] + step
    let inverse = 1 / p
    let (n, m) = (self.n, self.m)
    let multiplier = reduced[column] * inverse
    tableau.withUnsafeMutableBufferPointer { t in
      let r = t.baseAddress.map { $0 + row * n }
      guard let r, let base = t.baseAddress else { return }
      for j in 0..<n { r[j] *= inverse }
      r[column] = inverse
      for i in 0..<m where i != row {
        let a = base + i * n
        let factor = a[column]
        if factor == 0 { continue }
        value[i] -= factor * step
        for j in 0..<n { a[j] -= factor * r[j] }
        a[column] = -factor * inverse
      }
      reduced.withUnsafeMutableBufferPointer { d in
        let cost = d[column]
        if cost != 0 {
          for j in 0..<n { d[j] -= cost * r[j] }
        }
        d[column] = -multiplier
      }
    }
    basic[row] = entering
    value[row] = newValue
    nonbasic[column] = leaving
    isAtUpper[column] = !goesLow
    fixedValue[column] = bound
  }

  private func solution(_ ending: Ending, _ row: Int?) -> Solution {
    var result = Solution(
      ending: ending, objective: objective, point: [Double](repeating: 0, count: n),
      rows: [Double](repeating: 0, count: m), lower: [Double](repeating: 0, count: n))
    for i in 0..<m where basic[i] < n { result.point[basic[i]] = value[i] }
    for j in 0..<n where nonbasic[j] < n { result.point[nonbasic[j]] = fixedValue[j] }
    guard let row else {
      for j in 0..<n {
        let v = nonbasic[j]
        if v >= n { result.rows[v - n] = max(0, reduced[j]) } else { result.lower[v] = max(0, reduced[j]) }
      }
      return result
    }
    // The row that cannot be repaired: a combination of the rows that no point of the box satisfies.
    let sign: Double = value[row] < low[basic[row]] ? 1 : -1
    if basic[row] >= n {
      result.rows[basic[row] - n] = max(0, sign)
    } else {
      result.lower[basic[row]] = max(0, sign)
    }
    for j in 0..<n {
      let v = nonbasic[j]
      let factor = max(0, sign * tableau[row * n + j])
      if v >= n { result.rows[v - n] = factor } else { result.lower[v] = factor }
    }
    return result
  }
}
