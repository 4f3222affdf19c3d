import IR
import Rigor

/// |x|.
public struct Abs: ContinuousPiecewiseFunction {
  public let graph = PiecewiseLinear(breakpoints: [0], lines: [(-1, 0), (1, 0)])
  public init() {}
  public var name: String { "Abs" }
  public func value(_ x: Double) -> Double { x.magnitude }
  public func value(_ x: Float) -> Float { x.magnitude }
}

/// x limited to [minimum, maximum]: Clip, HardTanh, Relu6. If minimum > maximum the value is maximum, as in ONNX.
public struct Clip: ContinuousPiecewiseFunction {
  public let minimum: Double
  public let maximum: Double
  public let graph: PiecewiseLinear

  /// Infinite limits are none.
  public init(_ minimum: Double, _ maximum: Double) {
    self.maximum = maximum
    self.minimum = min(minimum, maximum)
    var graph = PiecewiseLinear(breakpoints: [], lines: [])
    if self.minimum > -.infinity {
      graph.breakpoints.append(self.minimum)
      graph.lines.append((0, self.minimum))
    }
    if self.minimum < maximum || maximum == .infinity { graph.lines.append((1, 0)) }
    if maximum < .infinity && self.minimum < maximum {
      graph.breakpoints.append(maximum)
      graph.lines.append((0, maximum))
    } else if maximum < .infinity {
      // A constant.
      graph = PiecewiseLinear(breakpoints: [], lines: [(0, maximum)])
    }
    self.graph = graph
  }

  public static func hardTanh() -> Clip { Clip(-1, 1) }
  public var name: String { "Clip" }
  public func value(_ x: Double) -> Double { x.isNaN ? x : min(max(x, minimum), maximum) }
  public func value(_ x: Float) -> Float { x.isNaN ? x : min(max(x, Float(minimum)), Float(maximum)) }
}

/// max(0, min(1, slope x + offset)).
///
/// Its breakpoints need not be floating-point numbers, so it offers `pieces` only where they are; an affine map followed
/// by Clip(0, 1) is the same function and exact.
public struct HardSigmoid: ContinuousPiecewiseFunction {
  public let slope: Double
  public let offset: Double
  public let graph: PiecewiseLinear
  private let isExact: Bool

  /// Precondition: slope > 0.
  public init(alpha slope: Double = 0.2, beta offset: Double = 0.5) {
    precondition(slope > 0)
    self.slope = slope
    self.offset = offset
    let start = -offset / slope
    let end = (1 - offset) / slope
    graph = PiecewiseLinear(breakpoints: [start, end], lines: [(0, 0), (slope, offset), (0, 1)])
    // fma rounds once: 0 and 1 exactly, and no rounding hidden, only if the products are exact too.
    isExact =
      offset.addingProduct(slope, start) == 0 && offset.addingProduct(slope, end) == 1
      && Rational(slope) * Rational(start) + Rational(offset) == 0
      && Rational(slope) * Rational(end) + Rational(offset) == 1
  }

  public var name: String { "HardSigmoid" }
  public func value(_ x: Double) -> Double { x.isNaN ? x : max(0, min(1, slope * x + offset)) }
  public func value(_ x: Float) -> Float { x.isNaN ? x : max(0, min(1, Float(slope) * x + Float(offset))) }
  public var pieces: PiecewiseLinear? { isExact ? graph : nil }
  /// Four roundings: beyond the two of a piece, breakpoints are rounded by 2^-53 of a quotient, which moves the value by
  /// as much of |offset| or |1 - offset|.
  public func pieceError(_ magnitude: Double) -> Double {
    4 * ElementaryError.unit * (magnitude + offset.magnitude + 1)
  }
  public var hasExactPieces: Bool { isExact }
  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    guard lower <= upper else { return (0, 1) }
    let low: Double = value(lower)
    let high: Double = value(upper)
    let error = pieceError(1)
    return (max(0, low - error), min(1, high + error))
  }
  /// Unclipped values are at most 1, so that both terms are at most 1 + |offset|.
  public var kernelError: KernelError {
    var error = DeployedKernel.hardSigmoid.error
    error.absolute *= 1 + offset.magnitude
    return error
  }
  /// Straight only if it stays clear of where the true breakpoints may be.
  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? {
    let start = graph.breakpoints[0]
    let end = graph.breakpoints[1]
    let margin = 8 * ElementaryError.unit * (start.magnitude + end.magnitude)
    if upper <= start - margin { return (0, 0) }
    if lower >= end + margin { return (0, 1) }
    if lower >= start + margin && upper <= end - margin { return (slope, offset) }
    return nil
  }
}

/// x.
public struct Identity: ContinuousPiecewiseFunction {
  public let graph = PiecewiseLinear(breakpoints: [], lines: [(1, 0)])
  public init() {}
  public var name: String { "Identity" }
  public func value(_ x: Double) -> Double { x }
  public func value(_ x: Float) -> Float { x }
}

/// Logical negation of 0 and 1, which is 1 - x there.
public struct Not: ContinuousPiecewiseFunction {
  public let graph = PiecewiseLinear(breakpoints: [], lines: [(-1, 1)])
  public init() {}
  public var name: String { "Not" }
  public func value(_ x: Double) -> Double { x == 0 ? 1 : 0 }
  public func value(_ x: Float) -> Float { x == 0 ? 1 : 0 }
}

/// x in another floating-point type, which may hold fewer digits: exact in real arithmetic, one rounding in a deployed
/// run.
public struct Conversion: ContinuousPiecewiseFunction {
  public let graph = PiecewiseLinear(breakpoints: [], lines: [(1, 0)])
  public init() {}
  public var name: String { "Cast" }
  public var kernelError: KernelError { DeployedKernel.conversion.error }
  public func value(_ x: Double) -> Double { x }
  public func value(_ x: Float) -> Float { x }
}
