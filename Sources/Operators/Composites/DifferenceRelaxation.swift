import IR
import Rigor

/// What is known of z and d where f(z + d) - f(z) is bounded: z in [lower, upper], d in [least, most], z + d in `second`.
public struct DifferenceBox: Sendable {
  public var lower: Double
  public var upper: Double
  public var least: Double
  public var most: Double
  /// Bounds of the second run's argument, never wider than the sum of the two ranges.
  public var second: (lower: Double, upper: Double)

  public init(
    _ lower: Double, _ upper: Double, by least: Double, _ most: Double,
    second: (lower: Double, upper: Double) = (-.infinity, .infinity)
  ) {
    self.lower = lower
    self.upper = upper
    self.least = least
    self.most = most
    self.second = (
      max(second.lower, (lower + least).nextDown), min(second.upper, (upper + most).nextUp)
    )
  }
}

/// A plane `value * z + difference * d + intercept`.
public struct DifferencePlane: Sendable, Equatable {
  public var value: Double
  public var difference: Double
  public var intercept: Double

  public init(value: Double, difference: Double, intercept: Double) {
    self.value = value
    self.difference = difference
    self.intercept = intercept
  }
}

/// Planes below and above f(z + d) - f(z).
///
/// For a piecewise linear f the difference is piecewise linear in (z, d): its distance to any plane is smallest at a corner of the
/// box or where lines z = p, z + d = q through breakpoints meet each other or the box, so every plane gets its best intercept by
/// looking at these points. Slopes are tried from the pieces, from the chords in d alone, and from bounding the runs separately;
/// the plane that is best in the middle is taken. For other functions with a derivative in [m, M], d times that range.
public struct DifferenceRelaxation: Sendable {
  private let function: any ElementwiseFunction
  private let pieces: PiecewiseLinear?
  private let steepest: Double
  private let largestIntercept: Double

  public init?(_ function: any ElementwiseFunction) {
    self.function = function
    pieces = function.pieces
    guard let pieces else {
      guard function.derivativeRange(-1, 1) != nil else { return nil }
      steepest = 0
      largestIntercept = 0
      return
    }
    guard pieces.lines.count <= 8 else { return nil }
    steepest = pieces.lines.map { $0.slope.magnitude }.max() ?? 0
    largestIntercept = pieces.lines.map { $0.intercept.magnitude }.max() ?? 0
  }

  /// Bounds of the difference.
  public func range(_ box: DifferenceBox) -> (lower: Double, upper: Double) {
    guard box.lower.isFinite, box.upper.isFinite, box.least.isFinite, box.most.isFinite else {
      return (-.infinity, .infinity)
    }
    if box.least == 0 && box.most == 0 { return (0, 0) }
    guard let pieces else {
      let ends = smooth(box)
      let low = min(ends.below.difference * box.least, ends.below.difference * box.most).nextDown
      let high = max(ends.above.difference * box.least, ends.above.difference * box.most).nextUp
      return ((low + ends.below.intercept).nextDown, (high + ends.above.intercept).nextUp)
    }
    let points = vertices(pieces, box)
    return (
      intercept(0, 0, below: true, points, box), intercept(0, 0, below: false, points, box)
    )
  }

  /// Planes below and above the difference on a finite box.
  public func lines(_ box: DifferenceBox) -> (below: DifferencePlane, above: DifferencePlane) {
    if box.least == 0 && box.most == 0 {
      let zero = DifferencePlane(value: 0, difference: 0, intercept: 0)
      return (zero, zero)
    }
    guard let pieces else { return smooth(box) }
    let first = touched(pieces, box.lower, box.upper)
    let second = touched(pieces, box.second.lower, box.second.upper)
    if first.count == 1, second.count == 1, let exact = exact(pieces, first.lowerBound, second.lowerBound) {
      return (exact, exact)
    }
    let points = vertices(pieces, box)
    let middle = (0.5 * box.lower + 0.5 * box.upper, 0.5 * box.least + 0.5 * box.most)
    var below = DifferencePlane(value: 0, difference: 0, intercept: -.infinity)
    var above = DifferencePlane(value: 0, difference: 0, intercept: .infinity)
    var best = (-Double.infinity, Double.infinity)
    func consider(_ a: Double, _ b: Double) {
      let low = intercept(a, b, below: true, points, box)
      let high = intercept(a, b, below: false, points, box)
      let center = a * middle.0 + b * middle.1
      if center + low > best.0 {
        best.0 = center + low
        below = DifferencePlane(value: a, difference: b, intercept: low)
      }
      if center + high < best.1 {
        best.1 = center + high
        above = DifferencePlane(value: a, difference: b, intercept: high)
      }
    }
    var flattest = Double.infinity
    var steepest = -Double.infinity
    for i in first {
      for j in second {
        consider(pieces.lines[j].slope - pieces.lines[i].slope, pieces.lines[j].slope)
      }
    }
    for i in min(first.lowerBound, second.lowerBound)..<max(first.upperBound, second.upperBound) {
      flattest = min(flattest, pieces.lines[i].slope)
      steepest = max(steepest, pieces.lines[i].slope)
    }
    consider(0, flattest)
    consider(0, steepest)
    let width = box.most - box.least
    if box.least < 0 && box.most > 0 && width.isFinite {
      consider(0, (flattest * box.most - steepest * box.least) / width)
      consider(0, (steepest * box.most - flattest * box.least) / width)
    }
    if box.second.lower < box.second.upper, box.lower < box.upper {
      let own = function.slopes(box.lower, box.upper, .adaptive)
      let other = function.slopes(box.second.lower, box.second.upper, .adaptive)
      consider(other.below - own.above, other.below)
      consider(other.above - own.below, other.above)
    }
    return (below, above)
  }

  /// The pieces that meet an interval.
  private func touched(_ pieces: PiecewiseLinear, _ lower: Double, _ upper: Double) -> Range<Int> {
    var first = 0
    while first < pieces.breakpoints.count, pieces.breakpoints[first] <= lower { first += 1 }
    // An interval that ends at a breakpoint does not need the piece behind it.
    var last = pieces.breakpoints.count
    while last > first, pieces.breakpoints[last - 1] >= upper { last -= 1 }
    return first..<(last + 1)
  }

  /// The difference where each run keeps to one piece, if its coefficients are exact.
  private func exact(_ pieces: PiecewiseLinear, _ i: Int, _ j: Int) -> DifferencePlane? {
    let (s, t) = (pieces.lines[i].slope, pieces.lines[j].slope)
    let (p, q) = (pieces.lines[i].intercept, pieces.lines[j].intercept)
    let (a, c) = (t - s, q - p)
    // No rounding where the difference gives its terms back.
    guard t - a == s, a + s == t, q - c == p, c + p == q else { return nil }
    return DifferencePlane(value: a, difference: t, intercept: c)
  }

  private struct Vertex {
    var z: Double
    var d: Double
    var value: Double
  }

  private func evaluate(_ pieces: PiecewiseLinear, _ x: Double) -> Double {
    var index = 0
    while index < pieces.breakpoints.count, x > pieces.breakpoints[index] { index += 1 }
    let line = pieces.lines[index]
    return line.slope * x + line.intercept
  }

  private func vertices(_ pieces: PiecewiseLinear, _ box: DifferenceBox) -> [Vertex] {
    var points: [Vertex] = []
    points.reserveCapacity(16)
    // Lines z + d = q: breakpoints, and the ends of what the second argument may be. A little outside is a looser plane, never
    // a wrong one.
    let slack = 8 * Rounding.unit * (magnitude(box) + largestIntercept)
    func add(_ z: Double, _ d: Double) {
      let sum = z + d
      guard sum >= box.second.lower - slack, sum <= box.second.upper + slack else { return }
      points.append(Vertex(z: z, d: d, value: evaluate(pieces, sum) - evaluate(pieces, z)))
    }
    func sums(_ body: (Double) -> Void) {
      for q in pieces.breakpoints where q > box.second.lower && q < box.second.upper { body(q) }
      body(box.second.lower)
      body(box.second.upper)
    }
    func column(_ z: Double) {
      add(z, box.least)
      add(z, box.most)
      sums { q in
        let d = q - z
        if d > box.least && d < box.most { add(z, d) }
      }
    }
    column(box.lower)
    column(box.upper)
    for p in pieces.breakpoints where p > box.lower && p < box.upper { column(p) }
    for d in [box.least, box.most] {
      sums { q in
        let z = q - d
        if z > box.lower && z < box.upper { add(z, d) }
      }
    }
    return points
  }

  private func magnitude(_ box: DifferenceBox) -> Double {
    max(box.lower.magnitude, box.upper.magnitude) + max(box.least.magnitude, box.most.magnitude)
  }

  /// The largest c with a z + b d + c below the difference everywhere, or the smallest above.
  ///
  /// With u = 2^-53, m = |z| + |d|, L the steepest slope and C the largest intercept: the two values of f round by
  /// 5 u (L m + C) together with their argument, their difference by 2 u (L m + C), a z, b d and the two subtractions by
  /// 3 u (|a| + |b|) m + 4 u (L m + C); a corner that is rounded by u m moves the distance by at most (2 L + |a| + |b|) u m. In all less
  /// than 16 u ((L + |a| + |b|) m + C); twice that is taken, which also covers its own rounding.
  private func intercept(_ a: Double, _ b: Double, below: Bool, _ points: [Vertex], _ box: DifferenceBox)
    -> Double
  {
    var extreme = below ? Double.infinity : -Double.infinity
    for p in points {
      let rest = p.value - a * p.z - b * p.d
      extreme = below ? min(extreme, rest) : max(extreme, rest)
    }
    // Two disjoint statements about the second argument: nothing is known.
    guard extreme.isFinite else { return below ? -.infinity : .infinity }
    let error =
      32 * Rounding.unit * ((steepest + a.magnitude + b.magnitude) * magnitude(box) + largestIntercept)
      + 0x1p-1060
    return below ? (extreme - error).nextDown : (extreme + error).nextUp
  }

  /// m d <= f(z + d) - f(z) <= M d for d >= 0 and the other way round for d <= 0, with [m, M] the range of the derivative: the
  /// lines of that bow tie.
  private func smooth(_ box: DifferenceBox) -> (below: DifferencePlane, above: DifferencePlane) {
    let low = min(box.lower, box.second.lower)
    let high = max(box.upper, box.second.upper)
    guard let (m, M) = function.derivativeRange(low, high), m.isFinite, M.isFinite else {
      return (
        DifferencePlane(value: 0, difference: 0, intercept: -.infinity),
        DifferencePlane(value: 0, difference: 0, intercept: .infinity)
      )
    }
    if box.least >= 0 {
      return (
        DifferencePlane(value: 0, difference: m, intercept: 0),
        DifferencePlane(value: 0, difference: M, intercept: 0)
      )
    }
    if box.most <= 0 {
      return (
        DifferencePlane(value: 0, difference: M, intercept: 0),
        DifferencePlane(value: 0, difference: m, intercept: 0)
      )
    }
    let width = box.most - box.least
    let below = (m * box.most - M * box.least) / width
    let above = (M * box.most - m * box.least) / width
    // The line must reach M least and m most (below), M most and m least (above); each side rounds a few times.
    let size = max(m.magnitude, M.magnitude) * (box.most - box.least)
    let error = 16 * Rounding.unit * (size + max(below.magnitude, above.magnitude) * width) + 0x1p-1060
    return (
      DifferencePlane(
        value: 0, difference: below,
        intercept: (min(M * box.least - below * box.least, m * box.most - below * box.most) - error).nextDown),
      DifferencePlane(
        value: 0, difference: above,
        intercept: (max(M * box.most - above * box.most, m * box.least - above * box.least) + error).nextUp)
    )
  }
}
