import Explanations
import Testing

/// A game with known values: a fixed pseudo-random table over all subsets, with additive structure and noise.
private func tableGame(_ m: Int, seed: UInt64) -> (game: SubsetGame, table: [Double]) {
  var generator = CounterRandom(seed: seed).generator()
  let weights = (0..<m).map { _ in generator.uniform() / Double(m) }
  let pair = (0..<m).map { _ in 0.2 * (generator.uniform() - 0.5) / Double(m) }
  let table = (0..<(1 << m)).map { subset -> Double in
    var value = 0.9
    for e in 0..<m where subset >> e & 1 == 1 {
      value -= weights[e]
      if subset >> ((e + 1) % m) & 1 == 1 { value += pair[e] }
    }
    return value + 0.02 * (generator.uniform() - 0.5)
  }
  let game = SubsetGame(elementCount: m, valueCount: 2) { flags, rows in
    var out = [Double](repeating: 0, count: rows * 2)
    for r in 0..<rows {
      var subset = 0
      for e in 0..<m where flags[r * m + e] == 1 { subset |= 1 << e }
      out[2 * r] = table[subset]
      out[2 * r + 1] = table[subset] > 0.5 ? 1 : 0
    }
    return out
  }
  return (game, table)
}

/// The expectation from the definition, one subset at a time.
private func expectation(_ table: [Double], _ m: Int, _ p: Double) -> Double {
  var sum = 0.0
  for (subset, value) in table.enumerated() {
    var probability = 1.0
    for e in 0..<m { probability *= subset >> e & 1 == 1 ? p : 1 - p }
    sum += probability * value
  }
  return sum
}

@Suite("Estimators")
struct EstimatorTests {
  @Test("One enumeration gives the expectation at every probability")
  func levels() throws {
    let (game, table) = tableGame(11, seed: 3)
    let levels = try LevelMeans(enumerating: game)
    for p in [0.0, 0.1, 0.37, 0.5, 0.9, 1.0] {
      #expect(abs(levels.expectation(removing: p)[0] - expectation(table, 11, p)) < 1e-12)
    }
    #expect(levels.evaluations == 2048)
  }

  @Test(
    "Stratified and naive estimates are unbiased and their standard errors honest",
    arguments: [0.1, 0.3, 0.5, 0.9])
  func unbiased(_ p: Double) throws {
    let m = 12
    let (game, table) = tableGame(m, seed: 5)
    let truth = expectation(table, m, p)
    let intact = try game.evaluate([UInt8](repeating: 0, count: m), 1)
    for method in [EstimationMethod.stratified, .naive] {
      var moments = Moments()
      var variance = 0.0
      var covered = 0
      let runs = 400
      for run in 0..<runs {
        let plan = EstimationPlan(method: method, samples: 50)
        let estimator = try RemovalEstimator(
          game, plan: plan, random: CounterRandom(seed: UInt64(run) + 100), intact: intact)
        let estimate = try estimator.expectation(removing: p)
        moments.add(estimate.values[0] - truth)
        variance += estimate.standardErrors[0] * estimate.standardErrors[0] / Double(runs)
        if let interval = estimate.guaranteed?[0], interval.contains(truth) { covered += 1 }
        #expect(estimate.evaluations <= 60)
      }
      let standardError = (moments.variance / Double(runs)).squareRoot()
      #expect(abs(moments.mean) < 4 * standardError + 1e-12, "bias of \(method) at \(p)")
      let ratio = (variance / moments.variance).squareRoot()
      #expect(ratio > 0.7 && ratio < 1.8, "reported/true error \(ratio) of \(method) at \(p)")
      #expect(covered >= runs * 95 / 100)
    }
  }

  @Test("Stratification beats independent samples")
  func variance() throws {
    let m = 16
    let (game, table) = tableGame(m, seed: 8)
    let truth = expectation(table, m, 0.1)
    let intact = try game.evaluate([UInt8](repeating: 0, count: m), 1)
    var squares: [EstimationMethod: Double] = [:]
    for method in [EstimationMethod.stratified, .naive] {
      for run in 0..<200 {
        let estimator = try RemovalEstimator(
          game, plan: EstimationPlan(method: method, samples: 50), random: CounterRandom(seed: UInt64(run)),
          intact: intact)
        let value = try estimator.expectation(removing: 0.1).values[0]
        squares[method, default: 0] += (value - truth) * (value - truth)
      }
    }
    #expect(squares[.stratified, default: 1] < 0.2 * squares[.naive, default: 0])
  }

  @Test("Sampling stops at the target error")
  func target() throws {
    let m = 18
    let (game, _) = tableGame(m, seed: 2)
    let intact = try game.evaluate([UInt8](repeating: 0, count: m), 1)
    let estimator = try RemovalEstimator(
      game, plan: EstimationPlan(method: .naive, targetError: 0.002), random: CounterRandom(seed: 1),
      intact: intact)
    let estimate = try estimator.expectation(removing: 0.4)
    #expect(estimate.standardErrors[0] <= 0.002)
    #expect(estimate.evaluations > 500)
  }

  @Test("Trivial probabilities need no samples; too large sets are refused")
  func edges() throws {
    let (game, table) = tableGame(10, seed: 4)
    let intact = [table[0], 1]
    let estimator = try RemovalEstimator(
      game, plan: EstimationPlan(method: .stratified, samples: 20), random: CounterRandom(seed: 1),
      intact: intact)
    #expect(try estimator.expectation(removing: 0).values[0] == table[0])
    #expect(try estimator.expectation(removing: 1).values[0] == table[1023])
    #expect(throws: ExplanationError.tooManyElements(count: 27, limit: 26)) {
      _ = try EstimationPlan(method: .exact).method(for: 27)
    }
  }
}

@Suite("Counter-based randomness")
struct CounterRandomTests {
  @Test("Philox 4x32-10 agrees with the published test vectors")
  func vectors() {
    // Known answers of the authors' Random123 distribution (kat_vectors), words in order.
    let zero = CounterRandom.philox(counter: (0, 0), key: 0)
    #expect(UInt32(truncatingIfNeeded: zero.0) == 0x6627_e8d5)
    #expect(UInt32(truncatingIfNeeded: zero.0 >> 32) == 0xe169_c58d)
    #expect(UInt32(truncatingIfNeeded: zero.1) == 0xbc57_ac4c)
    #expect(UInt32(truncatingIfNeeded: zero.1 >> 32) == 0x9b00_dbd8)
    let ones = CounterRandom.philox(counter: (.max, .max), key: .max)
    #expect(UInt32(truncatingIfNeeded: ones.0) == 0x408f_276d)
    #expect(UInt32(truncatingIfNeeded: ones.0 >> 32) == 0x41c8_3b0e)
  }

  @Test("Integers below a bound are uniform")
  func integers() {
    var generator = CounterRandom(seed: 9).generator()
    var counts = [Int](repeating: 0, count: 7)
    for _ in 0..<70_000 { counts[generator.index(below: 7)] += 1 }
    for count in counts { #expect(abs(Double(count) - 10_000) < 500) }
  }
}
