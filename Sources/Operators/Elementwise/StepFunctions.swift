import IR
import Rigor

/// Functions that jump: their derivative is 0 where it exists (but for the pieces of ThresholdedRelu and Shrink).

/// x above a threshold, else 0.
public struct ThresholdedRelu: PiecewiseFunction {
  public let alpha: Double
  public init(alpha: Double = 1) { self.alpha = alpha }
  public var name: String { "ThresholdedRelu" }
  public func value(_ x: Double) -> Double { x > alpha ? x : x.isNaN ? x : 0 }
  public func value(_ x: Float) -> Float { x > Float(alpha) ? x : x.isNaN ? x : 0 }
  public func derivative(_ x: Double) -> Double { x > alpha ? 1 : 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    clippedSegments([(-.infinity, alpha, 0, 0), (alpha, .infinity, 1, 0)], lower, upper)
  }
}

/// x + bias below -lambda, x - bias above lambda, else 0.
public struct Shrink: PiecewiseFunction {
  public let lambda: Double
  public let bias: Double
  /// Precondition: lambda >= 0.
  public init(lambda: Double = 0.5, bias: Double = 0) {
    self.lambda = lambda
    self.bias = bias
  }
  public var name: String { "Shrink" }
  public func value(_ x: Double) -> Double {
    x < -lambda ? x + bias : x > lambda ? x - bias : x.isNaN ? x : 0
  }
  public func derivative(_ x: Double) -> Double { x.magnitude > lambda ? 1 : 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    clippedSegments(
      [(-.infinity, -lambda, 1, bias), (-lambda, lambda, 0, 0), (lambda, .infinity, 1, -bias)], lower, upper)
  }
  public var kernelError: KernelError { bias == 0 ? .exact : DeployedKernel.shrink.error }
}

/// -1, 0 or 1.
public struct Sign: PiecewiseFunction {
  public init() {}
  public var name: String { "Sign" }
  public func value(_ x: Double) -> Double { x > 0 ? 1 : x < 0 ? -1 : x }
  public func derivative(_ x: Double) -> Double { 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    if lower == 0 && upper == 0 { return [Segment(0, 0, slope: 0, intercept: 0)] }
    return clippedSegments([(-.infinity, 0, 0, -1), (0, .infinity, 0, 1)], lower, upper, at: 0, 0)
  }
}

/// Whether x is not 0, as 0 or 1: a cast to bool.
public struct NonZero: PiecewiseFunction {
  public init() {}
  public var name: String { "Cast" }
  public var absorbsNaN: Bool { true }
  public func value(_ x: Double) -> Double { x == 0 ? 0 : 1 }
  public func value(_ x: Float) -> Float { x == 0 ? 0 : 1 }
  public func derivative(_ x: Double) -> Double { 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    if lower == 0 && upper == 0 { return [Segment(0, 0, slope: 0, intercept: 0)] }
    return clippedSegments([(-.infinity, 0, 0, 1), (0, .infinity, 0, 1)], lower, upper, at: 0, 0)
  }
}

/// Whether x is not a number: 0, unless nothing is known of the argument.
public struct IsNaN: PiecewiseFunction {
  public init() {}
  public var name: String { "IsNaN" }
  public var absorbsNaN: Bool { true }
  public func value(_ x: Double) -> Double { x.isNaN ? 1 : 0 }
  public func value(_ x: Float) -> Float { x.isNaN ? 1 : 0 }
  public func derivative(_ x: Double) -> Double { 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    let values: [Double] = lower == -.infinity && upper == .infinity ? [0, 1] : [0]
    return values.map { Segment(lower, upper, slope: 0, intercept: $0) }
  }
}

/// Whether x is infinite: 0 for bounded arguments.
public struct IsInf: PiecewiseFunction {
  public let detectsNegative: Bool
  public let detectsPositive: Bool
  public init(detectsNegative: Bool = true, detectsPositive: Bool = true) {
    self.detectsNegative = detectsNegative
    self.detectsPositive = detectsPositive
  }
  public var name: String { "IsInf" }
  public var absorbsNaN: Bool { true }
  public func value(_ x: Double) -> Double {
    (x == .infinity && detectsPositive) || (x == -.infinity && detectsNegative) ? 1 : 0
  }
  public func derivative(_ x: Double) -> Double { 0 }
  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    let isOpen = (upper == .infinity && detectsPositive) || (lower == -.infinity && detectsNegative)
    let values: [Double] = lower == upper ? [value(lower)] : isOpen ? [0, 1] : [0]
    return values.map { Segment(lower, upper, slope: 0, intercept: $0) }
  }
}

/// The largest integer not above x.
public struct Floor: IntegerRounding {
  public init() {}
  public var name: String { "Floor" }
  public func value(_ x: Double) -> Double { x.rounded(.down) }
  public func step(_ k: Double) -> (Double, Double) { (k, k + 1) }
}

/// The smallest integer not below x.
public struct Ceil: IntegerRounding {
  public init() {}
  public var name: String { "Ceil" }
  public func value(_ x: Double) -> Double { x.rounded(.up) }
  public func step(_ k: Double) -> (Double, Double) { (k - 1, k) }
}

/// The nearest integer, ties to even.
public struct Round: IntegerRounding {
  public init() {}
  public var name: String { "Round" }
  public func value(_ x: Double) -> Double { x.rounded(.toNearestOrEven) }
  public func step(_ k: Double) -> (Double, Double) { (k - 0.5, k + 0.5) }
}

/// The integer part: a cast to an integer type.
public struct Truncate: IntegerRounding {
  public init() {}
  public var name: String { "Cast" }
  public func value(_ x: Double) -> Double { x.rounded(.towardZero) }
  public func step(_ k: Double) -> (Double, Double) { k > 0 ? (k, k + 1) : k < 0 ? (k - 1, k) : (-1, 1) }
}

/// A monotone function onto the integers, within 1 of its argument.
public protocol IntegerRounding: PiecewiseFunction {
  /// The closure of the set on which the value is k.
  func step(_ k: Double) -> (Double, Double)
}

extension IntegerRounding {
  public func derivative(_ x: Double) -> Double { 0 }

  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    let first: Double = value(lower)
    let last: Double = value(upper)
    // Halves are no longer numbers; all that is used is that the value is within 1 of the argument.
    if lower < -0x1p50 || upper > 0x1p50 {
      return [-1, 1].map { Segment(lower, upper, slope: 1, intercept: $0) }
    }
    var result: [Segment] = []
    func append(_ k: Double) {
      let (a, b) = step(k)
      result.append(Segment(max(a, lower), min(b, upper), slope: 0, intercept: k))
    }
    if lower == upper { return [Segment(lower, upper, slope: 0, intercept: first)] }
    // Complete steps in the middle: f(x) - slope x at their ends is linear in k, so the first and the last decide (for
    // Truncate on each side of 0).
    if last - first <= 16 {
      var k = first
      while k <= last {
        append(k)
        k += 1
      }
    } else {
      var chosen: [Double] = [first, first + 1, last - 1, last]
      if first < 0 && last > 0 { chosen += [-1, 0, 1] }
      for k in Set(chosen).sorted() { append(k) }
    }
    return result
  }
}

extension PiecewiseFunction {
  /// The given pieces (lower, upper, slope, intercept) cut to [lower, upper]; pieces of length 0 are dropped unless the
  /// interval is a point. With a single value at a jump if one is given.
  func clippedSegments(
    _ pieces: [(Double, Double, Double, Double)], _ lower: Double, _ upper: Double, at point: Double? = nil,
    _ value: Double = 0
  ) -> [Segment] {
    var result: [Segment] = []
    for (start, end, slope, intercept) in pieces {
      let a = max(start, lower)
      let b = min(end, upper)
      if let point, start == point, lower <= point, point <= upper {
        result.append(Segment(point, point, slope: 0, intercept: value))
      }
      if a > b { continue }
      // At a single point only the value itself counts.
      if a == b && a.isFinite {
        let own: Double = self.value(a)
        if slope * a + intercept != own { continue }
      }
      result.append(Segment(a, b, slope: slope, intercept: intercept))
    }
    return result
  }
}
