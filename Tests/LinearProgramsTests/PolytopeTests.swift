import LinearPrograms
import Rigor
import TestSupport
import Testing

@Suite struct PolytopeTests {
  @Test func rangesOfASimplex() throws {
    // x >= -1/3, y >= 2, x + 2y <= 7.
    let polytope = try #require(
      Polytope(dimension: 2, rows: [[-1, 0, Rational(1, 3)], [0, -1, -2], [1, 2, 7]]))
    #expect(polytope.maximum(of: 0) == .value(3))
    #expect(polytope.maximum(of: 0, negated: true) == .value(Rational(1, 3)))
    #expect(polytope.maximum(of: 1) == .value(Rational(11, 3)))
    #expect(polytope.maximum(of: 1, negated: true) == .value(-2))
  }

  @Test func emptyAndUnboundedOnesAreTold() throws {
    #expect(Polytope(dimension: 1, rows: [[1, 0], [-1, -1]]) == nil)
    let half = try #require(Polytope(dimension: 2, rows: [[1, 1, 1]]))
    #expect(half.maximum(of: 0) == .unbounded && half.maximum(of: 1, negated: true) == .unbounded)
    // A line: x = y, cut on one side.
    let ray = try #require(Polytope(dimension: 2, rows: [[1, -1, 0], [-1, 1, 0], [1, 0, 5]]))
    #expect(ray.maximum(of: 1) == .value(5) && ray.maximum(of: 1, negated: true) == .unbounded)
    #expect(Polytope(dimension: 1, rows: [])?.maximum(of: 0) == .unbounded)
  }

  /// Against the exact system over a wide box: no point beyond the range, one at its end.
  @Test func randomRangesAreAttainedAndNotExceeded() {
    var random = UnitGenerator(state: 7)
    for _ in 0..<60 {
      let n = 1 + Int(random.unit() * 3)
      var rows = (0..<(1 + Int(random.unit() * 5))).map { _ in
        (0...n).map { _ in Rational(Int(random.unit() * 13) - 6, 1 + Int(random.unit() * 3)) }
      }
      for j in 0..<n {
        for sign in [Rational(1), -1] {
          var row = [Rational](repeating: 0, count: n + 1)
          row[j] = sign
          row[n] = 9
          rows.append(row)
        }
      }
      func decide(_ coordinate: Int, _ bound: Rational, isStrict: Bool) -> Bool {
        let wide = [Rational](repeating: 20, count: n)
        var system = LinearSystem(lower: wide.map { -$0 }, upper: wide)
        for row in rows { system.require(Array(row.dropLast()), -row[n], isStrict: false) }
        var unit = [Rational](repeating: 0, count: n)
        unit[coordinate] = -1
        system.require(unit, bound, isStrict: isStrict)
        if case .point = system.decide() { return true }
        return false
      }
      guard let polytope = Polytope(dimension: n, rows: rows) else {
        #expect(!decide(0, -20, isStrict: false))
        continue
      }
      for j in 0..<n {
        guard case .value(let most) = polytope.maximum(of: j) else {
          Issue.record("a bounded polytope is called unbounded")
          continue
        }
        #expect(decide(j, most, isStrict: false) && !decide(j, most, isStrict: true))
      }
    }
  }
}
