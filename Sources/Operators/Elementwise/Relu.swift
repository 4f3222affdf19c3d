import IR
import Tensors

/// max(x, 0), with a slope of its own below zero: Relu (slope 0), LeakyRelu.
///
/// Relaxation on l < 0 < u: above, the chord; below, a line through the origin with a slope between the two pieces'
/// (Zhang et al., "Efficient Neural Network Robustness Certification with General Activation Functions", 2018).
public struct Relu: ElementwiseFunction {
  /// The slope for negative arguments.
  public let negativeSlope: Double

  public init(negativeSlope: Double = 0) { self.negativeSlope = negativeSlope }

  public var name: String { negativeSlope == 0 ? "Relu" : "LeakyRelu" }

  public func value(_ x: Double) -> Double { x < 0 ? negativeSlope * x : x }
  public func value(_ x: Float) -> Float { x < 0 ? Float(negativeSlope) * x : x }
  public func derivative(_ x: Double) -> Double { x > 0 ? 1 : negativeSlope }

  private func map<T: Real>(_ x: Tensor<T>) -> Tensor<T> {
    let n = x.count
    let slope = T(negativeSlope)
    return Tensor(writing: x.shape) { y in
      x.withPointer { x0 in
        if slope == 0 {
          T.relu(n, x0, into: y)
        } else {
          for i in 0..<n { y[i] = x0[i] < 0 ? slope * x0[i] : x0[i] }
        }
      }
    }
  }
  public func apply(_ x: Tensor<Double>) -> Tensor<Double> { map(x) }
  public func apply(_ x: Tensor<Float>) -> Tensor<Float> { map(x) }

  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    guard lower <= upper else { return (-.infinity, .infinity) }
    if negativeSlope == 0 { return (max(lower, 0), max(upper, 0)) }
    if negativeSlope > 0 { return (value(lower, .down), value(upper, .up)) }
    // A negative slope makes a valley at 0.
    let low: Double = lower <= 0 && upper >= 0 ? 0 : min(value(lower, .down), value(upper, .down))
    return (low, max(value(lower, .up), value(upper, .up)))
  }

  private func value(_ x: Double, _ direction: FloatingPointRoundingRule) -> Double {
    if x >= 0 { return x }
    // One rounded product: its neighbour is on the safe side.
    let product = negativeSlope * x
    return direction == .up ? product.nextUp : product.nextDown
  }

  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? {
    if lower >= 0 { return (1, 0) }
    if upper <= 0 { return (negativeSlope, 0) }
    return nil
  }

  public var pieces: PiecewiseLinear? {
    PiecewiseLinear(breakpoints: [0], lines: [(negativeSlope, 0), (1, 0)])
  }

  private func chordSlope(_ lower: Double, _ upper: Double) -> Double {
    (upper - negativeSlope * lower) / (upper - lower)
  }

  public func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) {
    if let piece = linearPiece(lower, upper) { return (piece.slope, piece.slope) }
    guard (upper - lower).isFinite else { return (0, 0) }
    let chord = chordSlope(lower, upper)
    let free: Double
    switch policy {
    // Symmetric intervals are common in hand-made networks: that bounds are rounded outward must not decide them.
    case .adaptive: free = chord > 0.5 + 0x1p-40 ? 1 : negativeSlope
    case .strictlyAdaptive: free = chord > 0.5 ? 1 : negativeSlope
    case .zero: free = negativeSlope
    case .one: free = 1
    case .same: free = chord
    }
    // A slope above 1 makes the function concave: the free line is then the one above.
    return negativeSlope <= 1 ? (free, chord) : (chord, free)
  }

  public func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double> {
    if let piece = linearPiece(lower, upper) { return piece.slope...piece.slope }
    guard (upper - lower).isFinite else { return 0...0 }
    if (side == .below) == (negativeSlope <= 1) { return min(negativeSlope, 1)...max(negativeSlope, 1) }
    let chord = chordSlope(lower, upper)
    return chord...chord
  }

  public func pivot(side: Side, _ lower: Double, _ upper: Double) -> (x: Double, value: Double)? {
    lower < 0 && upper > 0 && (side == .below) == (negativeSlope <= 1) ? (0, 0) : nil
  }

  public func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) {
    // f(x) - slope x is linear on both pieces, so its extrema are at lower, upper and, if inside, 0, where it is 0.
    // Each end needs at most two roundings of terms no larger than |f| and |slope x|; three ulps of their sum cover
    // them. On a straight piece through the origin with that very slope the difference is exactly 0.
    func end(_ x: Double) -> Double {
      if x >= 0 ? slope == 1 : slope == negativeSlope { return 0 }
      if x.isInfinite {
        // The difference tends to plus or minus infinity with the sign of the slopes' difference.
        let rest = x > 0 ? 1 - slope : slope - negativeSlope
        return rest > 0 ? .infinity : -.infinity
      }
      let f = value(x) as Double
      let difference = f - slope * x
      let error = 3 * 0x1p-53 * (f.magnitude + (slope * x).magnitude) + 0x1p-1060
      let bound = side == .below ? difference - error : difference + error
      if bound.isNaN { return side == .below ? -.infinity : .infinity }
      return bound
    }
    var touch = lower
    var best = end(lower)
    for (x, candidate) in [(upper, end(upper))] + (lower < 0 && upper > 0 ? [(0, 0)] : []) {
      if side == .below ? candidate < best : candidate > best {
        best = candidate
        touch = x
      }
    }
    // The kink carries the line whenever the slope lies between the pieces' slopes.
    if best.isInfinite && (best > 0) == (side == .below) {
      best = best > 0 ? .greatestFiniteMagnitude : -.greatestFiniteMagnitude
    }
    return (best, touch)
  }

  public var kernelError: KernelError {
    negativeSlope == 0 || negativeSlope == 1 ? .exact : DeployedKernel.leakyRelu.error
  }
}
