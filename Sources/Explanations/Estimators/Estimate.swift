/// How an expectation was obtained.
public enum EstimationMethod: String, Sendable, CaseIterable {
  /// All subsets were evaluated; there is no sampling error.
  case exact
  /// Strata by number of removed elements, small strata enumerated, the rest sampled with a control variate.
  case stratified
  /// Independent samples.
  case naive
}

/// Expectations of the values of a subset game, with what is needed to trust them.
public struct Estimate: Sendable {
  public var method: EstimationMethod
  /// The expectations.
  public var values: [Double]
  /// Standard errors of `values`; zeros when the method is exact.
  public var standardErrors: [Double]
  /// Network evaluations spent.
  public var evaluations: Int
  /// An interval that holds with probability at least `confidence` whatever the distribution (Hoeffding, for
  /// values in [0, 1]); nil when exact.
  public var guaranteed: [ClosedRange<Double>]?
  /// The confidence of `guaranteed`.
  public static let confidence = 0.95

  public init(
    method: EstimationMethod, values: [Double], standardErrors: [Double], evaluations: Int,
    guaranteed: [ClosedRange<Double>]? = nil
  ) {
    self.method = method
    self.values = values
    self.standardErrors = standardErrors
    self.evaluations = evaluations
    self.guaranteed = guaranteed
  }
}

/// What to spend on an expectation.
public struct EstimationPlan: Sendable {
  /// Exact, stratified or naive; nil chooses exact up to `autoExactLimit` elements and stratified beyond.
  public var method: EstimationMethod?
  /// The number of evaluations of a sampled estimate; nil samples until `targetError`.
  public var samples: Int?
  /// The standard error to reach when `samples` is nil.
  public var targetError: Double
  /// With no method given, sets of up to this many elements are enumerated.
  public var autoExactLimit: Int
  /// The largest set that `exact` agrees to enumerate.
  public var exactLimit: Int
  /// The most evaluations `targetError` may cost.
  public var maximumSamples: Int

  public init(
    method: EstimationMethod? = nil, samples: Int? = nil, targetError: Double = 0.002,
    autoExactLimit: Int = 12, exactLimit: Int = 26, maximumSamples: Int = 1_000_000
  ) {
    self.method = method
    self.samples = samples
    self.targetError = targetError
    self.autoExactLimit = autoExactLimit
    self.exactLimit = exactLimit
    self.maximumSamples = maximumSamples
  }

  /// The method for a set of m elements.
  /// - Throws: ``ExplanationError/tooManyElements(count:limit:)`` when `exact` is asked for too large a set.
  public func method(for m: Int) throws -> EstimationMethod {
    switch method {
    case .exact where m > exactLimit:
      throw ExplanationError.tooManyElements(count: m, limit: exactLimit)
    case .some(let chosen): return chosen
    case nil:
      if m <= autoExactLimit { return .exact }
      // Enumeration is no dearer than the samples asked for: take the answer without error.
      if let samples, m < 31, 1 << m <= samples { return .exact }
      return .stratified
    }
  }
}

/// The one place where an expectation over removals is computed.
public struct RemovalEstimator: Sendable {
  public let game: SubsetGame
  public let plan: EstimationPlan
  public let random: CounterRandom
  /// The level means, present when the set was enumerated.
  public let levels: LevelMeans?
  /// The values with nothing removed.
  public let intact: [Double]

  /// - Parameter intact: the values with nothing removed, which the caller usually knows.
  public init(
    _ game: SubsetGame, plan: EstimationPlan, random: CounterRandom, intact: [Double]
  ) throws {
    self.game = game
    self.plan = plan
    self.random = random
    self.intact = intact
    levels = try plan.method(for: game.elementCount) == .exact ? LevelMeans(enumerating: game) : nil
  }

  /// The expectation when every element is removed independently with probability p.
  ///
  /// After an enumeration every p costs nothing; p = 0 and p = 1 never need sampling.
  public func expectation(removing p: Double) throws -> Estimate {
    let zeros = [Double](repeating: 0, count: game.valueCount)
    if game.elementCount == 0 || p <= 0 {
      return Estimate(method: .exact, values: intact, standardErrors: zeros, evaluations: 1)
    }
    if let levels {
      return Estimate(
        method: .exact, values: levels.expectation(removing: p), standardErrors: zeros,
        evaluations: levels.evaluations)
    }
    if p >= 1 {
      let flags = [UInt8](repeating: 1, count: game.elementCount)
      return Estimate(
        method: .exact, values: try game.evaluate(flags, 1), standardErrors: zeros, evaluations: 1)
    }
    let method = try plan.method(for: game.elementCount)
    if let samples = plan.samples { return try sample(method, p, samples, random) }
    return try untilTarget(method, p)
  }

  private func sample(
    _ method: EstimationMethod, _ p: Double, _ samples: Int, _ stream: CounterRandom
  ) throws -> Estimate {
    if method == .naive {
      return try naiveEstimate(game, removing: p, samples: samples, random: stream)
    }
    return try StratifiedDesign(elementCount: game.elementCount, removing: p, samples: samples)
      .estimate(game, intact: intact, random: stream)
  }

  /// A pilot sets the size; the answer comes from fresh samples alone, so that stopping causes no bias.
  private func untilTarget(_ method: EstimationMethod, _ p: Double) throws -> Estimate {
    var size = max(64, min(4 * game.elementCount, 256))
    var spent = 0
    var round: UInt64 = 1
    while true {
      var estimate = try sample(method, p, size, random.stream(round))
      spent += estimate.evaluations
      let worst = estimate.standardErrors.first ?? 0
      estimate.evaluations = spent
      if worst <= plan.targetError || size >= plan.maximumSamples { return estimate }
      let ratio = worst / plan.targetError
      let wanted = Double(size) * ratio * ratio * 1.25 + 16
      size = Int(min(Double(plan.maximumSamples), max(wanted, Double(size) * 1.5)))
      round += 1
    }
  }
}
