import Rigor

/// A box of inputs as the checker keeps it: exactly, and in its integers rounded outward where they can hold it.
struct ProofBox {
  private(set) var lower: [Rational]
  private(set) var upper: [Rational]
  /// In units of 2^-52; nil if a bound is out of their range.
  private(set) var units: (lower: [Int128], upper: [Int128])?

  init(lower: [Rational], upper: [Rational]) {
    self.lower = lower
    self.upper = upper
    units = try? (lower.map { try Fixed.down($0) }, upper.map { try Fixed.up($0) })
  }

  /// Keeps what lies at or above a point, at least the upper end: a box of a proof always holds a point, so that two boxes
  /// that share one cover what they divide.
  mutating func raiseLower(_ input: Int, to point: Rational) {
    let bound = min(point, upper[input])
    if bound <= lower[input] { return }
    lower[input] = bound
    if let unit = try? Fixed.down(bound) { units?.lower[input] = unit } else { units = nil }
  }

  /// Keeps what lies at or below a point, at least the lower end.
  mutating func reduceUpper(_ input: Int, to point: Rational) {
    let bound = max(point, lower[input])
    if bound >= upper[input] { return }
    upper[input] = bound
    if let unit = try? Fixed.up(bound) { units?.upper[input] = unit } else { units = nil }
  }

  func isWithin(_ other: ProofBox) -> Bool {
    lower.indices.allSatisfy { lower[$0] >= other.lower[$0] && upper[$0] <= other.upper[$0] }
  }
}

/// A part of the region that still has to be refuted.
struct ProofPart {
  var box: ProofBox
  /// By variable: whether the neuron is active.
  var phases: [Int: Bool]
  /// The clauses that are not refuted yet.
  var open: [Int]
}

/// Bounds over parts: in integers first, in rational arithmetic where these are too coarse or out of range.
final class PartEvaluator {
  let network: CheckerNetwork
  private let integers: CheckerEvaluator?
  private var rationals: ExactEvaluator?
  private var part: ProofPart?
  /// Whether the integers' bounds are those of the part.
  private var usesIntegers = false
  /// What the rationals say of the part, once they were asked.
  private var exactAnswer: Bool?

  init(_ network: CheckerNetwork) {
    self.network = network
    integers = try? CheckerEvaluator(network)
  }

  /// Bounds everything over a part. False if its decisions contradict each other.
  func bound(_ part: ProofPart) throws -> Bool {
    self.part = part
    exactAnswer = nil
    usesIntegers = false
    if let integers, let units = part.box.units {
      do {
        let isPossible = try integers.bound(lower: units.lower, upper: units.upper, phases: part.phases)
        usesIntegers = true
        return isPossible
      } catch is CheckerRangeError {}
    }
    return try boundExactly()
  }

  /// The same of the last part in rational arithmetic.
  func boundExactly() throws -> Bool {
    if let exactAnswer { return exactAnswer }
    guard let part else { return true }
    let evaluator = try rationals ?? ExactEvaluator(network)
    rationals = evaluator
    let answer = evaluator.bound(lower: part.box.lower, upper: part.box.upper, phases: part.phases)
    exactAnswer = answer
    return answer
  }

  /// Whether the last part's bounds decide a neuron's phase so.
  func implies(_ v: Int, active: Bool) throws -> Bool {
    if usesIntegers, let integers,
      active ? integers.argumentLower[v] >= 0 : integers.argumentUpper[v] <= 0
    {
      return true
    }
    guard try boundExactly(), let rationals else { return true }
    return active ? rationals.argumentLower[v].sign >= 0 : rationals.argumentUpper[v].sign <= 0
  }

  /// The exact bounds of a neuron's argument over the last part, once ``boundExactly()`` found it possible.
  func exactArgument(_ v: Int) -> (lower: Rational, upper: Rational)? {
    rationals.map { ($0.argumentLower[v], $0.argumentUpper[v]) }
  }

  /// The same of a variable's value.
  func exactValue(_ v: Int) -> (lower: Rational, upper: Rational)? {
    rationals.map { ($0.lower[v], $0.upper[v]) }
  }

  /// A lower bound over the last part of `sum of coefficient * variable - rhs`; nil if no point is left there.
  ///
  /// - Parameters:
  ///   - slopes: Of lower lines, in 0...1, by variable.
  ///   - multipliers: Of decided phases, by variable: positive for active neurons, negative for inactive ones.
  func excess(
    _ coefficients: [(variable: Int, coefficient: Rational)], rhs: Rational, slopes: [Int: Double],
    multipliers: [Int: Rational]
  ) throws -> Rational? {
    if usesIntegers, let integers {
      let units = slopes.mapValues { Int128($0 * Double(1 << CheckerEvaluator.slopeBits)) }
      do {
        let bound = try integers.lowerBound(coefficients, slopes: units, multipliers: multipliers)
        if bound > rhs { return bound - rhs }
      } catch is CheckerRangeError {}
    }
    guard try boundExactly(), let rationals else { return nil }
    return rationals.lowerBound(
      coefficients, slopes: slopes.mapValues { Rational($0) }, multipliers: multipliers) - rhs
  }
}
