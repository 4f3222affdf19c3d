/// How much of what the model does above doing nothing a circuit does alone:
/// F(C) = (metric(C) - metric(∅)) / (metric(all) - metric(∅)).
public struct Faithfulness: Sendable {
  public let ablator: Ablator
  /// The metric of the whole model.
  public let full: Double
  /// The metric with every head replaced.
  public let empty: Double

  public init(_ ablator: Ablator) throws {
    self.ablator = ablator
    full = ablator.full
    empty = try ablator.metric(circuit: [])
  }

  /// Whether there is anything to explain.
  public var isDefined: Bool { (full - empty).magnitude >= 1e-12 }

  /// F for a metric; nil if undefined.
  public func value(_ metric: Double) -> Double? {
    isDefined ? (metric - empty) / (full - empty) : nil
  }

  /// F of a circuit; nil if undefined.
  public func value(of circuit: some Sequence<CircuitUnit>) throws -> Double? {
    value(try ablator.metric(circuit: nodes(circuit)))
  }

  func nodes(_ units: some Sequence<CircuitUnit>) -> Set<HeadNode> {
    let positions = ablator.plain.transformer.positions
    return Set(units.flatMap { $0.nodes(positions: positions) })
  }

  /// Metrics of circuits.
  func metrics(_ circuits: [[CircuitUnit]]) throws -> [Double] {
    try ablator.metrics(circuits: circuits.map { nodes($0) })
  }

  /// F after each unit of an order has been added to the circuit, at the given sizes.
  public func curve(_ order: [CircuitUnit], sizes: [Int]? = nil) throws -> [(size: Int, faithfulness: Double)]
  {
    let sizes = sizes ?? Array(1...max(1, order.count))
    let metrics = try metrics(sizes.map { Array(order.prefix($0)) })
    return zip(sizes, metrics).map { ($0, value($1) ?? .nan) }
  }

  /// Sizes at which a curve over `count` units is worth evaluating: all up to 30, then ever sparser, the last one.
  public static func sizes(upTo count: Int) -> [Int] {
    var result: [Int] = []
    var size = 1
    while size < count {
      result.append(size)
      size += size < 30 ? 1 : max(1, size / 8)
    }
    if count > 0 { result.append(count) }
    return result
  }

  /// Sizes at which random orders are worth evaluating: about a dozen, growing geometrically.
  public static func coarseSizes(upTo count: Int) -> [Int] {
    var result: [Int] = []
    var size = 1
    while size < count {
      result.append(size)
      size = max(size + 1, size * 8 / 5)
    }
    if count > 0 { result.append(count) }
    return result
  }

  /// The same curve for random orders: mean and 95 % interval of the mean at every size.
  public func randomCurve(_ units: [CircuitUnit], sizes: [Int], runs: Int, seed: UInt64) throws -> [(
    size: Int, mean: Double, low: Double, high: Double
  )] {
    var circuits: [[CircuitUnit]] = []
    for run in 0..<runs {
      var generator = SplitMix(seed: seed &+ UInt64(run) &* 0x9e37_79b9_7f4a_7c15)
      let order = units.shuffled(using: &generator)
      for size in sizes { circuits.append(Array(order.prefix(size))) }
    }
    let values = try metrics(circuits).map { value($0) ?? .nan }
    return sizes.enumerated().map { place, size in
      let own = (0..<runs).map { values[$0 * sizes.count + place] }
      let mean = own.reduce(0, +) / Double(max(1, runs))
      let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, runs - 1))
      let margin = Student.quantile95(max(1, runs - 1)) * (variance / Double(max(1, runs))).squareRoot()
      return (size, mean, mean - margin, mean + margin)
    }
  }
}

/// Two-sided 95 % quantiles of Student's t distribution.
enum Student {
  private static let table = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
  ]
  static func quantile95(_ degrees: Int) -> Double { degrees <= table.count ? table[degrees - 1] : 1.96 }
}

/// SplitMix64 (Steele et al., 2014): the same seed gives the same numbers everywhere.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
