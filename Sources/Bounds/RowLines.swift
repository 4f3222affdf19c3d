import IR
import Operators
import Tensors

/// The free slopes of one elementwise node for every row of an optimisation: elements whose line below (or above) may
/// be turned, and the lines chosen.
///
/// Only elements that have a choice in some example are stored; for ReLU these are the unstable neurons.
struct RowLines: Sendable {
  /// One side's free elements.
  struct Free: Sendable {
    var side: Side
    /// Flat element indices of the node, ascending.
    var elements: [Int]
    /// `[B, elements]`: limits of the slopes; equal where an example leaves no choice.
    var low: [Double]
    var high: [Double]
    /// `[B, elements]`: pivots (x, f(x)), NaN where supports must be asked for.
    var pivotX: [Double]
    var pivotValue: [Double]
    /// `[B, elements]`: the argument's bounds.
    var lower: [Double]
    var upper: [Double]
    /// `[R, elements]`: position between the limits, in 0...1: what is optimised.
    var position: [Double]
    /// `[R, elements]`: the lines that follow from it.
    var slope: [Double]
    var intercept: [Double]
    var touch: [Double]
  }

  let function: any ElementwiseFunction
  let examples: Int
  let rows: Int
  var below: Free?
  var above: Free?

  /// nil if nothing is free.
  init?(_ f: any ElementwiseFunction, lines: Lines, lower: Tensor<Double>, upper: Tensor<Double>, rows: Int) {
    function = f
    examples = lines.charge.batch
    self.rows = rows
    below = Self.free(f, .below, lines.belowSlope, lower, upper, examples, rows)
    above = Self.free(f, .above, lines.aboveSlope, lower, upper, examples, rows)
    if below == nil && above == nil { return nil }
    update()
  }

  /// Whether slopes of a function are worth optimising. Those of one that jumps are not: a line's intercept costs more
  /// than the walk that uses it, and at a jump the default lines are seldom improved.
  private static func hasChoice(_ f: any ElementwiseFunction) -> Bool {
    !(f is any PiecewiseFunction) || f.pieces != nil
  }

  /// Whether any element of the function's argument has a free slope.
  static func hasChoice(_ f: any ElementwiseFunction, _ lower: Tensor<Double>, _ upper: Tensor<Double>)
    -> Bool
  {
    guard hasChoice(f) else { return false }
    return (0..<lower.count).contains { i in
      let (l, u) = (lower[flat: i], upper[flat: i])
      return range(f, .below, l, u) != nil || range(f, .above, l, u) != nil
    }
  }

  /// The slopes that a line may have, if there are several.
  private static func range(_ f: any ElementwiseFunction, _ side: Side, _ l: Double, _ u: Double)
    -> ClosedRange<Double>?
  {
    guard l < u, l.isFinite, u.isFinite, f.linearPiece(l, u) == nil else { return nil }
    let range = f.slopeLimits(side: side, l, u)
    guard range.lowerBound < range.upperBound, range.lowerBound.isFinite, range.upperBound.isFinite else {
      return nil
    }
    return range
  }

  private static func free(
    _ f: any ElementwiseFunction, _ side: Side, _ start: Tensor<Double>, _ lower: Tensor<Double>,
    _ upper: Tensor<Double>, _ examples: Int, _ rows: Int
  ) -> Free? {
    guard hasChoice(f) else { return nil }
    let n = lower.count / max(examples, 1)
    var elements: [Int] = []
    var limits = [ClosedRange<Double>?](repeating: nil, count: examples * n)
    for j in 0..<n {
      var isFree = false
      for b in 0..<examples {
        let (l, u) = (lower[flat: b * n + j], upper[flat: b * n + j])
        guard let range = Self.range(f, side, l, u) else { continue }
        limits[b * n + j] = range
        isFree = true
      }
      if isFree { elements.append(j) }
    }
    if elements.isEmpty { return nil }
    var free = Free(
      side: side, elements: elements, low: [], high: [], pivotX: [], pivotValue: [], lower: [], upper: [],
      position: [], slope: [], intercept: [], touch: [])
    var initial: [Double] = []
    for b in 0..<examples {
      for j in elements {
        let place = b * n + j
        let slope = start[flat: place]
        let range = limits[place] ?? slope...slope
        let (l, u) = (lower[flat: place], upper[flat: place])
        free.low.append(range.lowerBound)
        free.high.append(range.upperBound)
        free.lower.append(l)
        free.upper.append(u)
        let pivot = limits[place] == nil ? nil : f.pivot(side: side, l, u)
        free.pivotX.append(pivot?.x ?? .nan)
        free.pivotValue.append(pivot?.value ?? .nan)
        let width = range.upperBound - range.lowerBound
        initial.append(width > 0 ? min(1, max(0, (slope - range.lowerBound) / width)) : 0)
      }
    }
    let each = max(1, rows / examples)
    let m = elements.count
    free.position = (0..<rows).flatMap { r in initial[((r / each) * m)..<((r / each + 1) * m)] }
    free.slope = [Double](repeating: 0, count: rows * m)
    free.intercept = free.slope
    free.touch = free.slope
    return free
  }

  /// The lines at the current positions.
  mutating func update() {
    if let free = below { below = updated(free) }
    if let free = above { above = updated(free) }
  }

  private func updated(_ free: Free) -> Free {
    var free = free
    let m = free.elements.count
    let each = max(1, rows / examples)
    for r in 0..<rows {
      let o = (r / each) * m
      for i in 0..<m {
        let slope = free.low[o + i] + free.position[r * m + i] * (free.high[o + i] - free.low[o + i])
        free.slope[r * m + i] = slope
        let pivot = free.pivotX[o + i]
        if !pivot.isNaN {
          free.touch[r * m + i] = pivot
          free.intercept[r * m + i] = free.pivotValue[o + i] - slope * pivot
        } else {
          (free.intercept[r * m + i], free.touch[r * m + i]) = line(free, o + i, slope)
        }
      }
    }
    return free
  }

  private func line(_ free: Free, _ place: Int, _ slope: Double) -> (Double, Double) {
    let (l, u) = (free.lower[place], free.upper[place])
    if let piece = function.linearPiece(l, u) { return (piece.intercept, 0) }
    guard l < u, l.isFinite, u.isFinite else {
      let range = function.range(l, u)
      return (free.side == .below ? range.lower : range.upper, 0)
    }
    let support = function.support(slope: slope, side: free.side, l, u)
    return (support.intercept, support.touch)
  }

  /// Replaces what the shared lines did to the free elements by what the row's own lines do.
  func correct(
    _ result: inout Tensor<Double>, original: Tensor<Double>, constant: inout [Double], rows: Int, n: Int
  ) {
    for free in [below, above] {
      guard let free else { continue }
      let m = free.elements.count
      let isBelow = free.side == .below
      result.withMutablePointer { a in
        original.withPointer { c in
          for r in 0..<rows {
            for i in 0..<m {
              let x = c[r * n + free.elements[i]]
              if x == 0 || (x > 0) != isBelow { continue }
              a[r * n + free.elements[i]] = x * free.slope[r * m + i]
            }
          }
        }
      }
      // The shared lines' intercepts were added for these elements; take them out, put the row's in.
      for r in 0..<rows {
        var sum = 0.0
        for i in 0..<m {
          let x = original[flat: r * n + free.elements[i]]
          if x == 0 || (x > 0) != isBelow { continue }
          sum += x * (free.intercept[r * m + i] - shared(free, r, i))
        }
        constant[r] += sum
      }
    }
  }

  /// Intercepts of the shared lines at the free elements, `[B, elements]` per side; set by the optimiser.
  var sharedBelow: [Double] = []
  var sharedAbove: [Double] = []

  private func shared(_ free: Free, _ r: Int, _ i: Int) -> Double {
    let each = max(1, rows / examples)
    return (free.side == .below ? sharedBelow : sharedAbove)[(r / each) * free.elements.count + i]
  }

  /// Full lines for every row: the shared ones with the free elements replaced, intercepts rigorous.
  func lines(_ shared: Lines, n: Int, charge: (Double, Double, Double, Double) -> Double) -> Lines {
    let each = max(1, rows / examples)
    func spread(_ x: Tensor<Double>) -> Tensor<Double> {
      Tensor(writing: [rows, n]) { y in
        x.withPointer { x0 in
          for r in 0..<rows { (y + r * n).update(from: x0 + (r / each) * n, count: n) }
        }
      }
    }
    var result = Lines(
      belowSlope: spread(shared.belowSlope), belowIntercept: spread(shared.belowIntercept),
      aboveSlope: spread(shared.aboveSlope), aboveIntercept: spread(shared.aboveIntercept),
      charge: spread(shared.charge), isFinite: shared.isFinite)
    for free in [below, above] {
      guard let free else { continue }
      let m = free.elements.count
      for r in 0..<rows {
        for i in 0..<m {
          let place = (r / each) * m + i
          if free.low[place] == free.high[place] { continue }
          let slope = free.slope[r * m + i]
          let intercept = line(free, place, slope).0
          guard intercept.isFinite else { continue }
          let at = r * n + free.elements[i]
          if free.side == .below {
            result.belowSlope[flat: at] = slope
            result.belowIntercept[flat: at] = intercept
          } else {
            result.aboveSlope[flat: at] = slope
            result.aboveIntercept[flat: at] = intercept
          }
          let size = max(abs(free.lower[place]), abs(free.upper[place]))
          result.charge[flat: at] += charge(slope, intercept, size, Double(n))
        }
      }
    }
    return result
  }
}
