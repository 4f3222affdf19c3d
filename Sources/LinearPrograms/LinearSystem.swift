import Rigor

/// Linear conditions over a box, strict or not, decided in exact arithmetic.
package struct LinearSystem: Sendable {
  package enum Answer: Sendable {
    /// A point that satisfies all conditions.
    case point([Rational])
    /// No point does.
    case empty
  }

  /// `coefficients . x + constant <= 0`, or `< 0` if strict.
  private struct Row {
    var coefficients: [Rational]
    var constant: Rational
    var isStrict: Bool
  }

  private let lower: [Rational]
  private let upper: [Rational]
  private var rows: [Row] = []

  /// - Parameters:
  ///   - lower: The least values of the variables.
  ///   - upper: The largest values.
  package init(lower: [Rational], upper: [Rational]) {
    self.lower = lower
    self.upper = upper
  }

  /// Requires `coefficients . x + constant <= 0`, or `< 0` if strict.
  package mutating func require(_ coefficients: [Rational], _ constant: Rational, isStrict: Bool) {
    rows.append(Row(coefficients: coefficients, constant: constant, isStrict: isStrict))
  }

  /// Finds a point, or shows that there is none.
  ///
  /// All strict rows get the same margin d <= 1, which is made as large as possible; they can be satisfied if it is
  /// positive. The dual simplex method starts at once because the only cost, that of 1 - d, is not negative.
  package func decide() -> Answer {
    let n = lower.count
    var cost = [Rational](repeating: 0, count: n + 1)
    cost[n] = 1
    var tableau: [[Rational]] = []
    let zeros = [Rational](repeating: 0, count: n + 1)
    for row in rows {
      // With x = lower + z and d = 1 - w: a z - w <= -(a lower + c) - 1, without w and 1 if not strict.
      var bound = -row.constant
      var entries = zeros
      for j in 0..<n where !row.coefficients[j].isZero {
        entries[j] = row.coefficients[j]
        bound -= row.coefficients[j] * lower[j]
      }
      if row.isStrict {
        entries[n] = -1
        bound -= 1
      }
      tableau.append(entries + [bound])
    }
    for j in 0..<n {
      var entries = zeros
      entries[j] = 1
      tableau.append(entries + [upper[j] - lower[j]])
    }
    var entries = zeros
    entries[n] = 1
    tableau.append(entries + [1])
    guard let values = ExactLinearProgram.dualSimplex(&tableau, &cost, check: {}) else { return .empty }
    if rows.contains(where: \.isStrict), values[n] == 1 { return .empty }
    return .point((0..<n).map { lower[$0] + values[$0] })
  }
}
