import Rigor

/// Bounds of z = t / sqrt(mean square + epsilon) for every element t of blocks of `length` elements in a box.
///
/// With R the sum of the squares of the others, z = t / sqrt((t^2 + R) / n + e) increases with t and, for t > 0, decreases
/// with R. Hence z is at most its value at the largest t with the least R if that t is positive, with the greatest R
/// otherwise; likewise below. If the elements sum to 0, the others sum to -t, so that R >= t^2 / (n - 1) (Cauchy-Schwarz):
/// |z| < sqrt(n - 1) whatever the box.
struct BlockEnclosure {
  let length: Int
  let epsilon: Double
  let isCentered: Bool
  private(set) var lower: [Double]
  private(set) var upper: [Double]

  /// Precondition: the counts are equal and multiples of `length`.
  init(length: Int, epsilon: Double, isCentered: Bool, _ least: [Double], _ greatest: [Double]) {
    self.length = length
    self.epsilon = epsilon
    self.isCentered = isCentered
    lower = least
    upper = greatest
    for start in stride(from: 0, to: least.count, by: length) {
      let l = Array(least[start..<(start + length)])
      let u = Array(greatest[start..<(start + length)])
      let (small, large) = otherSquares(l, u)
      for i in 0..<length {
        let least = normalized(l[i], l[i] < 0 ? small[i] : large[i], .down)
        let greatest = normalized(u[i], u[i] > 0 ? small[i] : large[i], .up)
        lower[start + i] = least
        upper[start + i] = greatest
      }
    }
  }

  /// Whether values of a block may be no numbers: infinity over infinity, or 0 over 0 without an epsilon.
  ///
  /// - Parameter leastSquare: a lower bound of the mean square.
  static func mayBeNaN(
    length: Int, epsilon: Double, _ block: Int, _ least: [Double], _ greatest: [Double], leastSquare: Double
  ) -> Bool {
    let range = (block * length)..<((block + 1) * length)
    if range.contains(where: { !least[$0].isFinite || !greatest[$0].isFinite }) { return true }
    return epsilon == 0 && !(leastSquare > 0)
      && range.allSatisfy { least[$0] <= 0 && greatest[$0] >= 0 }
  }

  /// `centred` of every block.
  static func centred(_ least: [Double], _ greatest: [Double], length: Int) -> ([Double], [Double]) {
    var low: [Double] = []
    var high: [Double] = []
    for start in stride(from: 0, to: least.count, by: length) {
      let (l, u) = centred(Array(least[start..<(start + length)]), Array(greatest[start..<(start + length)]))
      low += l
      high += u
    }
    return (low, high)
  }

  /// Bounds of x_i - mean(x) = ((n - 1) x_i - sum of the others) / n, each element moved to its own worst end.
  ///
  /// Sums over the others come from sums before and after, at most n additions: n u of the sum of magnitudes each, plus
  /// four roundings here; (n + 8) 2u covers them.
  private static func centred(_ l: [Double], _ u: [Double]) -> ([Double], [Double]) {
    let n = l.count
    let (lowOthers, lowSize) = others(l)
    let (highOthers, highSize) = others(u)
    let count = Double(n)
    let unit = Double(n + 8) * 0x1p-52
    var least = l
    var greatest = u
    for i in 0..<n {
      let a = (count - 1) * l[i]
      let b = (count - 1) * u[i]
      let slackLow = unit * (a.magnitude + highSize[i]) + 0x1p-1060
      let slackHigh = unit * (b.magnitude + lowSize[i]) + 0x1p-1060
      least[i] = (a - highOthers[i] - slackLow) / count
      greatest[i] = (b - lowOthers[i] + slackHigh) / count
      // The quotient rounds once more.
      least[i] = n == 1 ? 0 : least[i].nextDown
      greatest[i] = n == 1 ? 0 : greatest[i].nextUp
      if least[i].isNaN { least[i] = -.infinity }
      if greatest[i].isNaN { greatest[i] = .infinity }
    }
    return (least, greatest)
  }

  /// For every i the sum of the other elements, and the sum of their magnitudes.
  private static func others(_ x: [Double]) -> (sums: [Double], sizes: [Double]) {
    let n = x.count
    var sums = [Double](repeating: 0, count: n)
    var sizes = sums
    var running = 0.0
    var size = 0.0
    for i in 0..<n {
      sums[i] = running
      sizes[i] = size
      running += x[i]
      size += x[i].magnitude
    }
    running = 0
    size = 0
    for i in stride(from: n - 1, through: 0, by: -1) {
      sums[i] += running
      sizes[i] += size
      running += x[i]
      size += x[i].magnitude
    }
    return (sums, sizes)
  }

  /// Least and greatest sums of the squares of the other elements, rounded outward: n + 2 roundings of non-negative terms.
  private func otherSquares(_ least: [Double], _ greatest: [Double]) -> ([Double], [Double]) {
    let n = least.count
    let relative = Double(n + 8) * 0x1p-52
    var small = least
    var large = least
    for i in 0..<n {
      let (a, b) = (least[i], greatest[i])
      let near = a > 0 ? a : b < 0 ? -b : 0
      let far = max(a.magnitude, b.magnitude)
      small[i] = near * near
      large[i] = far * far
    }
    return (
      Self.others(small).sums.map { max(0, $0 * (1 - relative) - 0x1p-1000) },
      Self.others(large).sums.map { $0 * (1 + relative) + 0x1p-1000 }
    )
  }

  /// t / sqrt((t^2 + R) / n + e) rounded outward; with R raised to t^2 / (n - 1) if centred.
  ///
  /// All terms under the root are non-negative: at most eight roundings of 2^-53 in total, 2^-49 covers them twice.
  private func normalized(_ t: Double, _ others: Double, _ direction: FloatingPointRoundingRule) -> Double {
    let n = Double(length)
    if t == 0 { return 0 }
    let limit = isCentered ? max(n - 1, 0).squareRoot() : n.squareRoot()
    let outward = (direction == .up) == (t > 0)
    let bound = limit * (1 + 0x1p-50)
    guard t.isFinite else {
      // Far out the others vanish beside t, or t beside the others.
      if outward { return t > 0 ? bound : -bound }
      return 0
    }
    let square = t * t
    // The bound through Cauchy-Schwarz holds for the same t, so it may replace a smaller sum.
    let rest = isCentered && outward ? max(others, square / (n - 1) * (1 - 0x1p-50)) : others
    let root = ((square + rest) / n + epsilon).squareRoot()
    // Squares this small may have lost their digits to underflow.
    let magnitude = root < 0x1p-480 ? (outward ? .infinity : 0) : t.magnitude / root
    let widened =
      outward ? magnitude * (1 + 0x1p-49) + 0x1p-1060 : max(0, magnitude * (1 - 0x1p-49) - 0x1p-1060)
    let z = min(widened, bound)
    // Overflow of the square: nothing but the limit is known.
    let safe = z.isNaN ? (outward ? bound : 0) : z
    return t > 0 ? safe : -safe
  }
}
