/// Values of players in the game of keeping elements.
public enum CoalitionValue: Sendable {
  /// The mean marginal contribution over all orders.
  case shapley
  /// The mean marginal contribution over all subsets.
  case banzhaf

  /// Values of the elements of a removal game (its first value), exact up to `exactLimit` elements.
  ///
  /// Beyond, Shapley values are means over random orders and their reversals (Mitchell et al. 2022); Banzhaf values
  /// use every sampled subset for every element (maximum sample reuse, Wang and Jia 2023).
  public func values(
    _ game: SubsetGame, samples: Int, exactLimit: Int, random: CounterRandom
  ) throws -> (values: [Double], evaluations: Int, isExact: Bool) {
    let m = game.elementCount
    if m == 0 { return ([], 0, true) }
    if m <= min(exactLimit, 22) { return (try exact(game), 1 << m, true) }
    switch self {
    case .shapley: return try sampledShapley(game, samples: samples, random: random)
    case .banzhaf: return try sampledBanzhaf(game, samples: samples, random: random)
    }
  }

  private func exact(_ game: SubsetGame) throws -> [Double] {
    let m = game.elementCount
    let rows = 1 << m
    var flags = [UInt8](repeating: 0, count: rows * m)
    for subset in 0..<rows { for e in 0..<m { flags[subset * m + e] = UInt8(subset >> e & 1) } }
    let all = try game.values(flags, rows: rows)
    let stride = game.valueCount
    var result = [Double](repeating: 0, count: m)
    for e in 0..<m {
      var sum = 0.0
      for removed in 0..<rows where removed >> e & 1 == 0 {
        let gain = all[removed * stride] - all[(removed | 1 << e) * stride]
        let size = removed.nonzeroBitCount
        // Shapley weighs a set of size s among the others by 1 / (m C(m-1, s)).
        let weight = self == .banzhaf ? 2 / Double(rows) : 1 / (Double(m) * Binomial.coefficient(m - 1, size))
        sum += weight * gain
      }
      result[e] = sum
    }
    return result
  }

  private func sampledShapley(
    _ game: SubsetGame, samples: Int, random: CounterRandom
  ) throws -> (values: [Double], evaluations: Int, isExact: Bool) {
    let m = game.elementCount
    let pairs = max(1, samples / (2 * m))
    var flags: [UInt8] = []
    var orders: [[Int]] = []
    for pair in 0..<pairs {
      var generator = random.stream(UInt64(pair)).generator()
      var order = Array(0..<m)
      generator.shuffle(&order)
      orders.append(order)
      orders.append(order.reversed())
    }
    // The intact and the empty set are shared by all orders.
    flags += [UInt8](repeating: 0, count: m)
    flags += [UInt8](repeating: 1, count: m)
    for order in orders {
      var row = [UInt8](repeating: 0, count: m)
      for e in order.dropLast() {
        row[e] = 1
        flags += row
      }
    }
    let rows = flags.count / m
    let values = try game.values(flags, rows: rows)
    let stride = game.valueCount
    var result = [Double](repeating: 0, count: m)
    for (index, order) in orders.enumerated() {
      var before = values[0]
      for (step, e) in order.enumerated() {
        let after = step == m - 1 ? values[stride] : values[(2 + index * (m - 1) + step) * stride]
        result[e] += (before - after) / Double(orders.count)
        before = after
      }
    }
    return (result, rows, false)
  }

  private func sampledBanzhaf(
    _ game: SubsetGame, samples: Int, random: CounterRandom
  ) throws -> (values: [Double], evaluations: Int, isExact: Bool) {
    let m = game.elementCount
    let count = max(4, samples) / 2 * 2
    // Subsets come in complementary pairs: every element is removed in exactly half of the samples.
    var flags = naiveRemovals(keys: game.keys, removing: 0.5, samples: count / 2, random: random)
    flags += flags.map { 1 - $0 }
    let values = try game.values(flags, rows: count)
    let stride = game.valueCount
    var result = [Double](repeating: 0, count: m)
    for s in 0..<count {
      let value = values[s * stride] / Double(count / 2)
      for e in 0..<m { result[e] += flags[s * m + e] == 1 ? -value : value }
    }
    return (result, count, false)
  }
}
