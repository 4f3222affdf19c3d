import IR
import Importers
import Rigor
import SMT
import TestSupport
import Testing

/// Bounds of the solver and of the checker against exact values: whatever slopes and multipliers are given, they hold.
@Suite struct BoundTests {
  private static func network(_ folder: String, _ seed: Int, _ sizes: [Int]) throws -> (
    Graph, PiecewiseLinearNetwork
  ) {
    let c = try LearningTests.Case(folder, seed: UInt64(seed), sizes: sizes, radius: 0.1, share: 0)
    let graph = try Importer.load(c.record.network).graph
    return (graph, try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node))
  }

  /// Any multipliers of decided phases and any slopes: no point that agrees with the decisions lies below the bound.
  @Test(arguments: 0..<12) func dualBoundsHoldWhereThePhasesDo(seed: Int) throws {
    try SharedRegions.withTemporaryFolder { folder in
      let (_, network) = try Self.network(folder, 100 + seed, [4, 9, 9, 9, 2])
      let relaxation = LinearRelaxation(network)
      var g = UnitGenerator(state: UInt64(seed) + 41)
      let lower = (0..<4).map { _ in g.unit() - 0.5 }
      let upper = lower.map { $0 + 0.6 }
      func sample() -> [Double] { (0..<4).map { lower[$0] + g.unit() * (upper[$0] - lower[$0]) } }
      let root = try #require(relaxation.bounds(lower: lower, upper: upper, splits: [:]))
      let open = root.undecided(of: network)
      var tight = 0
      for _ in 0..<20 {
        // Decisions that some point agrees with.
        let values = network.evaluate(sample())
        var splits: [Int: Phase] = [:]
        for v in open where g.unit() < 0.3 { splits[v] = values[v] > 0 ? .active : .inactive }
        let b = try #require(relaxation.bounds(lower: lower, upper: upper, splits: splits))
        let row = VariableRow(variables: [network.outputs[0], network.outputs[1]], coefficients: [1, -1])
        var duals = LinearRelaxation.Duals(
          rows: [1], alpha: (0..<network.variableCount).map { _ in g.unit() },
          beta: [Double](repeating: 0, count: network.variableCount))
        for (v, phase) in splits { duals.beta[v] = (phase == .active ? 1 : -1) * g.unit() }
        let bound = relaxation.dualBound([row], rhs: [0.25], b, duals)
        var least = Double.infinity
        for _ in 0..<3000 {
          let at = network.evaluate(sample())
          let agrees = splits.allSatisfy { v, phase in (at[v] > 0) == (phase == .active) }
          if agrees { least = min(least, at[network.outputs[0]] - at[network.outputs[1]] - 0.25) }
        }
        if least.isFinite {
          #expect(bound <= least + 1e-9)
          tight += 1
        }
      }
      #expect(tight > 5)
    }
  }

  /// At a single point, bounds lie below the exact value, by no more than rounding can explain.
  @Test(arguments: 0..<20) func pointsAreBoundedFromBelow(seed: Int) throws {
    try SharedRegions.withTemporaryFolder { folder in
      let (graph, network) = try Self.network(folder, 200 + seed, [6, 12, 12, 12, 12, 12, 12, 2])
      let relaxation = LinearRelaxation(network)
      let checked = try CheckerNetwork(graph, to: graph.outputs[0].node)
      let evaluator = try CheckerEvaluator(checked)
      var g = UnitGenerator(state: UInt64(seed) + 99)
      for _ in 0..<20 {
        let x = (0..<6).map { _ in g.unit() * 2 - 1 }
        let exact = network.exactOutputs(at: x.map { Rational($0) })
        for (k, sign) in [(0, 1.0), (0, -1.0), (1, 1.0)] {
          let value = Rational(sign) * exact[k]
          let b = try #require(relaxation.bounds(lower: x, upper: x, splits: [:]))
          let row = VariableRow(variables: [network.outputs[k]], coefficients: [sign])
          let duals = LinearRelaxation.Duals(
            rows: [1], alpha: [Double](repeating: 1, count: network.variableCount),
            beta: [Double](repeating: 0, count: network.variableCount))
          let bound = Rational(relaxation.dualBound([row], rhs: [0], b, duals))
          #expect(bound <= value && (value - bound).nearestDouble < 1e-7)
          let point = x.map { Rational($0) }
          #expect(
            try evaluator.bound(
              lower: point.map { try Fixed.down($0) }, upper: point.map { try Fixed.up($0) }, phases: [:]))
          let own = try evaluator.lowerBound(
            [(variable: checked.outputs[k], coefficient: Rational(sign))], slopes: [:], multipliers: [:])
          #expect(
            own <= value && (value - own).nearestDouble < 1e-6,
            "\(value.nearestDouble) \(own.nearestDouble) \((value - own).nearestDouble) \(k) \(sign)")
        }
      }
    }
  }

  /// The checker's integers keep all their digits when they become rational numbers, to the last one that they hold.
  @Test func largeIntegersKeepTheirDigits() {
    var values: [Int128] = [0, 1, -1, .max, .min, .max - 1, .min + 1]
    for bit in 0..<127 {
      for offset in [-1, 0, 1] as [Int128] {
        values.append((Int128(1) << bit) + offset)
        values.append(-(Int128(1) << bit) + offset)
      }
    }
    for value in values {
      #expect(Fixed.rational(value, exponent: 0) == Rational(exactly: value), "\(value)")
      #expect(Fixed.rational(value, exponent: 3) * 8 == Rational(exactly: value))
    }
  }

  /// Only bounds that are beyond rounding decide a phase for a learned clause.
  @Test func impliedPhasesAreBeyondRounding() throws {
    try SharedRegions.withTemporaryFolder { folder in
      let (_, network) = try Self.network(folder, 300, [3, 5, 2])
      var b = try #require(
        LinearRelaxation(network).bounds(lower: [-1, -1, -1], upper: [1, 1, 1], splits: [:]))
      let v = 3
      b.size[v] = 10
      for (low, high, phase) in [
        (-0.05, 2.0, Phase.undecided), (-2, 0.05, .undecided), (0.1, 2, .active), (-2, -0.1, .inactive),
        (1e-9, 2, .undecided), (-2, -1e-9, .undecided), (0, 0, .undecided),
      ] {
        b.preLower[v] = low
        b.preUpper[v] = high
        #expect(SafetySolver.implied(v, b) == phase, "\(low) \(high)")
      }
    }
  }
}
