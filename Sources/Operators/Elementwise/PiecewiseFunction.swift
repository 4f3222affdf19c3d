import IR
import Rigor

/// One straight piece of a function: on [lower, upper] the function, or its limit at an end, is slope x + intercept.
public struct Segment: Sendable, Equatable {
  public var lower: Double
  public var upper: Double
  public var slope: Double
  public var intercept: Double
  public init(_ lower: Double, _ upper: Double, slope: Double, intercept: Double) {
    self.lower = lower
    self.upper = upper
    self.slope = slope
    self.intercept = intercept
  }
}

/// A function made of straight pieces, which may jump between them.
///
/// A conforming type lists the pieces that meet an interval; ranges, lines and conjugates follow from the pieces' ends.
public protocol PiecewiseFunction: ElementwiseFunction {
  /// Pieces that cover [lower, upper] and lie in it, in ascending order, closed: at a jump both sides are listed. Long
  /// runs of like pieces may be represented by their first and last pieces if extrema of f(x) - slope x over the run are
  /// attained there for every slope.
  func segments(_ lower: Double, _ upper: Double) -> [Segment]

  /// A bound of the error of evaluating a piece whose terms have this total magnitude.
  func pieceError(_ magnitude: Double) -> Double

  /// Whether breakpoints and constant pieces are exact.
  var hasExactPieces: Bool { get }
}

extension PiecewiseFunction {
  /// slope x + intercept rounds twice.
  public func pieceError(_ magnitude: Double) -> Double { 2 * ElementaryError.unit * magnitude + 0x1p-1070 }
  public var hasExactPieces: Bool { true }

  private func points(_ lower: Double, _ upper: Double) -> [(x: Double, y: Double)] {
    segments(lower, upper).flatMap { segment in
      [segment.lower, segment.upper].map { ($0, Self.value(segment, $0)) }
    }
  }

  private static func value(_ segment: Segment, _ x: Double) -> Double {
    segment.slope == 0 ? segment.intercept : segment.slope * x + segment.intercept
  }

  private func error(_ segment: Segment, _ x: Double) -> Double {
    if hasExactPieces && (segment.slope == 0 || segment.slope.magnitude == 1 && segment.intercept == 0) {
      return 0
    }
    let product = segment.slope == 0 ? 0 : (segment.slope * x).magnitude
    return pieceError(product + segment.intercept.magnitude)
  }

  public func range(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    guard lower <= upper else { return (-.infinity, .infinity) }
    var low = Double.infinity
    var high = -Double.infinity
    for segment in segments(lower, upper) {
      for x in [segment.lower, segment.upper] {
        let y = Self.value(segment, x)
        let slack = y.isInfinite ? 0 : error(segment, x)
        if y.isNaN { return (-.infinity, .infinity) }
        low = min(low, y - slack)
        high = max(high, y + slack)
      }
    }
    return low <= high ? (low, high) : (-.infinity, .infinity)
  }

  public func support(slope: Double, side: Side, _ lower: Double, _ upper: Double) -> (
    intercept: Double, touch: Double
  ) {
    let sign: Double = side == .below ? 1 : -1
    guard lower <= upper, slope.isFinite else { return (-sign * .infinity, lower) }
    var best = Double.infinity
    var touch = lower
    for segment in segments(lower, upper) {
      // On one piece f(x) - slope x is linear: its extrema are at the ends.
      for x in [segment.lower, segment.upper] {
        var bound: Double
        if segment.slope == slope {
          bound = sign * segment.intercept - (hasExactPieces ? 0 : error(segment, x))
        } else if x.isInfinite {
          let trend = sign * (segment.slope - slope) * (x < 0 ? -1 : 1)
          bound = trend > 0 ? .infinity : -.infinity
        } else {
          let p = slope * x
          let y = Self.value(segment, x)
          // The product and the difference round once each.
          let slack =
            p == 0 ? 0 : 3 * ElementaryError.unit * (y.magnitude + p.magnitude) + 0x1p-1070
          bound = sign * (y - p) - slack - error(segment, x)
        }
        if bound.isNaN { bound = -.infinity }
        if bound < best {
          best = bound
          touch = x
        }
      }
    }
    return (sign * min(best, .greatestFiniteMagnitude), touch)
  }

  public func linearPiece(_ lower: Double, _ upper: Double) -> (slope: Double, intercept: Double)? {
    guard lower <= upper else { return nil }
    let segments = segments(lower, upper)
    guard let first = segments.first else { return nil }
    for segment in segments.dropFirst() {
      if segment.lower == segment.upper && lower < upper
        && Self.value(segment, segment.lower) == Self.value(first, segment.lower)
      {
        continue
      }
      if segment.slope != first.slope || segment.intercept != first.intercept { return nil }
    }
    return (first.slope, first.intercept)
  }

  /// On each side the line that supports the envelope at the middle, which leaves the least area: for a ReLU-like kink
  /// the adaptive slope, for two kinks the triangle or the constant. A policy other than `adaptive` chooses the slope of
  /// the free side; a jump leaves both sides free.
  public func slopes(_ lower: Double, _ upper: Double, _ policy: SlopePolicy) -> (
    below: Double, above: Double
  ) {
    if let piece = linearPiece(lower, upper) { return (piece.slope, piece.slope) }
    guard lower < upper, lower.isFinite, upper.isFinite, (upper - lower).isFinite else { return (0, 0) }
    let hull = PointHull(points: points(lower, upper))
    let middle = lower / 2 + upper / 2
    func choose(_ sign: Double) -> Double {
      let limits = hull.slopeRange(sign: sign)
      func nearest(_ x: Double) -> Double { min(max(x, limits.lowerBound), limits.upperBound) }
      switch policy {
      case .adaptive, .strictlyAdaptive: return hull.slope(sign: sign, at: middle)
      case .zero: return nearest(0)
      case .one: return nearest(1)
      case .same:
        let first: Double = value(lower)
        let last: Double = value(upper)
        return (last - first) / (upper - lower)
      }
    }
    return (choose(1), choose(-1))
  }

  public func slopeLimits(side: Side, _ lower: Double, _ upper: Double) -> ClosedRange<Double> {
    if let piece = linearPiece(lower, upper) { return piece.slope...piece.slope }
    guard lower < upper, lower.isFinite, upper.isFinite, (upper - lower).isFinite else { return 0...0 }
    return PointHull(points: points(lower, upper)).slopeRange(sign: side == .below ? 1 : -1)
  }
}

/// A continuous piecewise linear function, given by its breakpoints and lines.
public protocol ContinuousPiecewiseFunction: PiecewiseFunction {
  var graph: PiecewiseLinear { get }
}

extension ContinuousPiecewiseFunction {
  public var pieces: PiecewiseLinear? { graph }

  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    let graph = graph
    var result: [Segment] = []
    var a = lower
    for (index, line) in graph.lines.enumerated() {
      let end = index < graph.breakpoints.count ? min(graph.breakpoints[index], upper) : upper
      if end < a
        || (end == a && index < graph.breakpoints.count && graph.breakpoints[index] <= a && a < upper)
      {
        continue
      }
      result.append(Segment(a, end, slope: line.slope, intercept: line.intercept))
      a = end
      if end >= upper { break }
    }
    return result
  }

  public func derivative(_ x: Double) -> Double {
    let graph = graph
    let index = graph.breakpoints.firstIndex { x <= $0 } ?? graph.breakpoints.count
    return graph.lines[index].slope
  }
}
