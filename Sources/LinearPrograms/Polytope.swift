import Rigor

/// The points that satisfy rows `coefficients . x <= bound`, without a box around them: how far they reach, exactly.
///
/// The primal simplex method on fractions with Bland's rule, which cannot cycle. One feasible basis serves all directions.
package struct Polytope: Sendable {
  /// The largest value of a linear form.
  package enum Maximum: Sendable, Equatable {
    case value(Rational)
    case unbounded
  }

  /// Basic variables in terms of the others: `basic[i] = rows[i][last] - sum of rows[i][j] * nonbasic[j]`, all
  /// non-negative. Variables 0 ..< n are the coordinates plus variable n, so that coordinates can be negative.
  private struct Basis {
    var rows: [[Rational]]
    var basic: [Int]
    var nonbasic: [Int]

    var last: Int { nonbasic.count }

    mutating func pivot(_ r: Int, _ c: Int, _ objective: inout [Rational]) {
      let inverse = rows[r][c].reciprocal
      for j in rows[r].indices where j != c { rows[r][j] *= inverse }
      rows[r][c] = inverse
      let row = rows[r]
      for i in rows.indices where i != r && !rows[i][c].isZero {
        let factor = rows[i][c]
        for j in row.indices where j != c && !row[j].isZero { rows[i][j] -= factor * row[j] }
        rows[i][c] = -(factor * inverse)
      }
      let factor = objective[c]
      if !factor.isZero {
        for j in 0..<last where j != c && !row[j].isZero { objective[j] -= factor * row[j] }
        objective[last] += factor * row[last]
        objective[c] = -(factor * inverse)
      }
      swap(&basic[r], &nonbasic[c])
    }

    /// Raises an objective (coefficients of the non-basic variables, then its value) as far as it goes; false if that is
    /// without limit.
    mutating func maximise(_ objective: inout [Rational]) -> Bool {
      while true {
        var entering = -1
        for j in 0..<last where objective[j].sign > 0 {
          if entering < 0 || nonbasic[j] < nonbasic[entering] { entering = j }
        }
        if entering < 0 { return true }
        var leaving = -1
        var ratio = Rational()
        for i in rows.indices where rows[i][entering].sign > 0 {
          let candidate = rows[i][last] / rows[i][entering]
          if leaving < 0 || candidate < ratio || (candidate == ratio && basic[i] < basic[leaving]) {
            leaving = i
            ratio = candidate
          }
        }
        if leaving < 0 { return false }
        pivot(leaving, entering, &objective)
      }
    }
  }

  private let basis: Basis
  private let dimension: Int

  /// - Parameters:
  ///   - dimension: The number of coordinates.
  ///   - rows: The coefficients of each row, then its bound.
  /// - Returns: nil if no point satisfies all rows.
  package init?(dimension n: Int, rows: [[Rational]]) {
    dimension = n
    // x_j = z_j - z_n.
    let tableau = rows.map { row -> [Rational] in
      let sum = row.dropLast().reduce(Rational()) { $0 + $1 }
      return row.dropLast() + [-sum, row[n]]
    }
    var basis = Basis(
      rows: tableau, basic: (0..<rows.count).map { n + 1 + $0 }, nonbasic: Array(0...n))
    let worst = basis.rows.indices.min { basis.rows[$0][n + 1] < basis.rows[$1][n + 1] }
    if let worst, basis.rows[worst][n + 1].sign < 0 {
      // One more variable that loosens every row; it has to become 0.
      let loose = n + 1 + rows.count
      for i in basis.rows.indices { basis.rows[i].insert(-1, at: n + 1) }
      basis.nonbasic.append(loose)
      var objective = [Rational](repeating: 0, count: n + 3)
      objective[n + 1] = -1
      basis.pivot(worst, n + 1, &objective)
      guard basis.maximise(&objective), objective[n + 2].isZero else { return nil }
      if let row = basis.basic.firstIndex(of: loose) {
        // It is 0 there: any column will do; without one the row says 0 = 0.
        if let column = (0..<basis.last).first(where: { !basis.rows[row][$0].isZero }) {
          basis.pivot(row, column, &objective)
        } else {
          basis.rows.remove(at: row)
          basis.basic.remove(at: row)
        }
      }
      if let column = basis.nonbasic.firstIndex(of: loose) {
        for i in basis.rows.indices { basis.rows[i].remove(at: column) }
        basis.nonbasic.remove(at: column)
      }
    }
    self.basis = basis
  }

  /// The largest value of a coordinate, or of its negative.
  package func maximum(of coordinate: Int, negated: Bool = false) -> Maximum {
    var basis = basis
    var objective = [Rational](repeating: 0, count: basis.last + 1)
    let sign: Rational = negated ? -1 : 1
    for (variable, coefficient) in [(coordinate, sign), (dimension, -sign)] {
      if let column = basis.nonbasic.firstIndex(of: variable) {
        objective[column] += coefficient
      } else if let row = basis.basic.firstIndex(of: variable) {
        for j in 0..<basis.last { objective[j] -= coefficient * basis.rows[row][j] }
        objective[basis.last] += coefficient * basis.rows[row][basis.last]
      }
    }
    return basis.maximise(&objective) ? .value(objective[basis.last]) : .unbounded
  }
}
