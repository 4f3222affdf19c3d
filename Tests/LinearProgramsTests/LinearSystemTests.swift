import LinearPrograms
import Rigor
import TestSupport
import Testing

/// Exact linear systems against Fourier-Motzkin elimination, which shares nothing with the simplex method.
@Suite struct LinearSystemTests {
  struct Condition {
    /// `coefficients . x + constant <= 0`, or `< 0`; the constant is the last entry.
    var row: [Rational]
    var isStrict: Bool
  }

  /// Whether any point satisfies all conditions.
  static func isSatisfiable(_ conditions: [Condition], variables n: Int) -> Bool {
    var conditions = conditions
    for j in 0..<n {
      let above = conditions.filter { $0.row[j].sign > 0 }
      let below = conditions.filter { $0.row[j].sign < 0 }
      conditions.removeAll { $0.row[j].sign != 0 }
      for a in above {
        for b in below {
          let row = (0...n).map { a.row[$0] / a.row[j] - b.row[$0] / b.row[j] }
          conditions.append(Condition(row: row, isStrict: a.isStrict || b.isStrict))
        }
      }
    }
    return conditions.allSatisfy { $0.isStrict ? $0.row[n].sign < 0 : $0.row[n].sign <= 0 }
  }

  /// Small integers make ties common: rows that touch the box or each other in single points.
  @Test func agreesWithElimination() {
    var random = UnitGenerator(state: 9)
    func integer(_ range: Int) -> Rational { Rational(Int(random.unit() * Double(2 * range + 1)) - range) }
    var counts = [0, 0]
    for trial in 0..<600 {
      let n = 1 + trial % 3
      let lower = (0..<n).map { _ in integer(2) }
      let upper = lower.map { $0 + Rational(Int(random.unit() * 3)) }
      var system = LinearSystem(lower: lower, upper: upper)
      var conditions: [Condition] = []
      for j in 0..<n {
        var unit = [Rational](repeating: 0, count: n + 1)
        unit[j] = 1
        unit[n] = -upper[j]
        conditions.append(Condition(row: unit, isStrict: false))
        unit[j] = -1
        unit[n] = lower[j]
        conditions.append(Condition(row: unit, isStrict: false))
      }
      for _ in 0..<(1 + trial % 4) {
        let condition = Condition(row: (0...n).map { _ in integer(2) }, isStrict: random.unit() < 0.5)
        conditions.append(condition)
        system.require(Array(condition.row.prefix(n)), condition.row[n], isStrict: condition.isStrict)
      }
      let expected = Self.isSatisfiable(conditions, variables: n)
      switch system.decide() {
      case .empty: #expect(!expected, "trial \(trial)")
      case .point(let x):
        #expect(expected, "trial \(trial)")
        for condition in conditions {
          var value = condition.row[n]
          for j in 0..<n { value += condition.row[j] * x[j] }
          #expect(condition.isStrict ? value.sign < 0 : value.sign <= 0, "trial \(trial)")
        }
      }
      counts[expected ? 1 : 0] += 1
    }
    #expect(counts.allSatisfy { $0 > 100 }, "\(counts)")
  }
}
