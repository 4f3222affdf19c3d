/// The mean over independent removals: sample s removes element e iff its uniform number U(s, e) is below p.
///
/// U depends on the stream, the sample and the element alone, so two expectations with the same stream use
/// common random numbers.
public func naiveEstimate(
  _ game: SubsetGame, removing p: Double, samples: Int, random: CounterRandom
) throws -> Estimate {
  let values = try game.values(
    naiveRemovals(keys: game.keys, removing: p, samples: samples, random: random), rows: samples)
  let count = game.valueCount
  var means = [Double](repeating: 0, count: count)
  var errors = means
  for v in 0..<count {
    var moments = Moments()
    for s in 0..<samples { moments.add(values[s * count + v]) }
    means[v] = moments.mean
    errors[v] = (moments.variance / Double(max(samples, 1))).squareRoot()
  }
  let radius = hoeffdingRadius(sumOfSquaredWeights: 1 / Double(max(samples, 1)))
  return Estimate(
    method: .naive, values: means, standardErrors: errors, evaluations: samples,
    guaranteed: means.map { clippedInterval($0, radius) })
}

/// The removal flags of ``naiveEstimate(_:removing:samples:random:)``, row-major [samples, keys].
public func naiveRemovals(
  keys: [Int], removing p: Double, samples: Int, random: CounterRandom
) -> [UInt8] {
  let m = keys.count
  var flags = [UInt8](repeating: 0, count: samples * m)
  for s in 0..<samples {
    for e in 0..<m where random.uniform(at: UInt64(s) << 32 | UInt64(keys[e])) < p { flags[s * m + e] = 1 }
  }
  return flags
}

/// Half the width of Hoeffding's two-sided interval at ``Estimate/confidence`` for a weighted sum of
/// independent values in [0, 1]. Sampling without replacement within a stratum only concentrates it
/// (Hoeffding 1963, section 6).
func hoeffdingRadius(sumOfSquaredWeights: Double) -> Double {
  (logarithm(2 / (1 - Estimate.confidence)) / 2 * sumOfSquaredWeights).squareRoot()
}

func clippedInterval(_ center: Double, _ radius: Double) -> ClosedRange<Double> {
  let low = max(0, min(1, center - radius))
  return low...max(low, min(1, center + radius))
}

/// Running mean and variance (Welford).
public struct Moments: Sendable {
  public private(set) var count = 0
  public private(set) var mean = 0.0
  private var sum2 = 0.0

  public init() {}

  public mutating func add(_ x: Double) {
    count += 1
    let delta = x - mean
    mean += delta / Double(count)
    sum2 += delta * (x - mean)
  }

  /// The unbiased sample variance; 0 for fewer than two values.
  public var variance: Double { count < 2 ? 0 : sum2 / Double(count - 1) }
}
