import Tensors

/// A scalar function applied to every element.
///
/// `range` and `support` are rigorous: they hold for the real-valued function whatever the rounding of their own
/// arithmetic. Everything a bound method needs (chords, tangents, optimisable slopes) comes from `support`, the
/// concave/convex conjugate of the function on an interval: any slope gives a sound line.
public protocol ElementwiseFunction: Sendable {
  var name: String { get }

  func value(_ x: Double) -> Double
  func value(_ x: Float) -> Float
  /// The derivative; at a kink one of the one-sided derivatives.
  func derivative(_ x: Double) -> Double

  func apply(_ x: Tensor<Double>) -> Tensor<Double>
  func apply(_ x: Tensor<Float>) -> Tensor<Float>

  /// The closed interval on which the function is defined, as far as this matters to bounds (`log`: above 0).
  var domain: ClosedRange<Double> { get }

  /// Bounds of the function on [lower, upper].
  func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double)

  /// The slopes of the default relaxation on [lower, upper] (lower < upper), for the line below and the line above.
  func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (below: Double, above: Double)

  /// For a line of the given slope: an intercept t such that slope * x + t <= f(x) on [lower, upper]
  /// (`side == .below`) or >= (`side == .above`), as close as rounding permits, and the point at which the line
  /// touches the function (the derivative of -t in the slope, for optimised bounds).
  func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  )

  /// The slopes worth trying for the line of that side; a single value if there is nothing to optimise.
  func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double>

  /// A point through which every sound line of that side with a slope inside `slopeLimits` passes (the kink of ReLU),
  /// if there is one: optimisers then need not ask for supports.
  func pivot(side: Side, _ lower: Double, _ upper: Double) -> (x: Double, value: Double)?

  /// Whether the function is one straight line on [lower, upper], and which. The relaxation is then exact.
  func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)?

  /// Breakpoints and lines between them if the function is piecewise linear and continuous, for exact encodings.
  var pieces: PiecewiseLinear? { get }

  /// Bounds of the difference quotients (f(y) - f(x)) / (y - x) over [lower, upper]: of the derivative, where there is one. They relate
  /// two runs of the function; nil if none are known.
  func derivativeRange(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double)?

  /// What a deployed implementation may be off by.
  var kernelError: KernelError { get }

  /// Whether the value at minus or plus infinity is not a number, as that of sin is.
  var undefinedAtInfinity: (negative: Bool, positive: Bool) { get }

  /// Whether the function gives a number even for an argument that is none, as IsNaN does.
  var absorbsNaN: Bool { get }
}

/// Below or above the function.
public enum Side: Sendable, Hashable { case below, above }

/// How the lower line of a ReLU-like function is chosen on an interval around its kink (names of the field).
public enum SlopePolicy: String, Sendable, Hashable, CaseIterable {
  /// Slope 1 if the upper line is steeper than 1/2, else 0 (least area).
  case adaptive
  /// The same without tolerance for ties between the two choices, as published results were computed.
  case strictlyAdaptive = "strictly-adaptive"
  case zero
  case one
  /// The slope of the upper line.
  case same
}

/// A continuous piecewise linear function: line i holds between breakpoints i-1 and i.
public struct PiecewiseLinear: Sendable, Equatable {
  public var breakpoints: [Double]
  /// One more than breakpoints.
  public var lines: [(slope: Double, intercept: Double)]

  public init(breakpoints: [Double], lines: [(slope: Double, intercept: Double)]) {
    self.breakpoints = breakpoints
    self.lines = lines
  }

  public static func == (a: PiecewiseLinear, b: PiecewiseLinear) -> Bool {
    a.breakpoints == b.breakpoints && a.lines.elementsEqual(b.lines, by: ==)
  }
}

extension ElementwiseFunction {
  public func apply(_ x: Tensor<Double>) -> Tensor<Double> { x.map { self.value($0) as Double } }
  public func apply(_ x: Tensor<Float>) -> Tensor<Float> { x.map { self.value($0) as Float } }
  public func value(_ x: Float) -> Float { Float(value(Double(x))) }
  public var domain: ClosedRange<Double> { -Double.infinity...Double.infinity }
  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? { nil }
  public var pieces: PiecewiseLinear? { nil }
  public func pivot(side: Side, _ lower: Double, _ upper: Double) -> (x: Double, value: Double)? { nil }
  public func derivativeRange(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double)? { nil }
  public var kernelError: KernelError { .exact }
  public var undefinedAtInfinity: (negative: Bool, positive: Bool) { (false, false) }
  public var absorbsNaN: Bool { false }
  public func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double> {
    let (below, above) = slopes(lower, upper, .adaptive)
    let slope = side == .below ? below : above
    return slope...slope
  }

  /// The generic function in the engine's precision.
  @inline(__always)
  public func apply<T: Real>(any x: Tensor<T>) -> Tensor<T> {
    // Real has exactly two conformances, so one of the casts succeeds.
    if let x = x as? Tensor<Double> { return apply(x) as! Tensor<T> }
    return apply(x as! Tensor<Float>) as! Tensor<T>
  }
}
