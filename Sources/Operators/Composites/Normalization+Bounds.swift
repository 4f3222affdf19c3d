import Foundation
import IR
import Rigor
import Tensors

extension Normalization {
  /// Bounds that treat numerator and denominator together.
  ///
  /// Let t be the (centred) element and R the sum of the squares of the others, so that z = t / sqrt((t^2 + R) / n + e),
  /// which increases with t and, for t > 0, decreases with R. Hence z is at most its value at the largest t with the
  /// least R if that t is positive, with the greatest R otherwise; likewise below. If centred, the others sum to -t, so
  /// that R >= t^2 / (n - 1) (Cauchy-Schwarz): |z| < sqrt(n - 1) whatever the box.
  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = Tensor<Double>.zeros(shape)
    var high = Tensor<Double>.zeros(shape)
    let n = blockLength
    for start in stride(from: 0, to: shape.count, by: n) {
      let l = Array(lower[0].elements[start..<(start + n)])
      let u = Array(upper[0].elements[start..<(start + n)])
      let (least, greatest) = isCentered ? centred(l, u) : (l, u)
      let (small, large) = otherSquares(least, greatest)
      for i in 0..<n {
        let z = (
          normalized(least[i], least[i] < 0 ? small[i] : large[i], .down),
          normalized(greatest[i], greatest[i] > 0 ? small[i] : large[i], .up)
        )
        let (a, b) = scaled(z.0, z.1, at: start + i)
        low[flat: start + i] = a
        high[flat: start + i] = b
      }
    }
    return (low, high)
  }

  /// Bounds of x_i - mean(x) = ((n - 1) x_i - sum of the others) / n, each element moved to its own worst end.
  ///
  /// Sums over the others come from sums before and after, at most n additions: n u of the sum of magnitudes each, plus
  /// four roundings here; (n + 8) 2u covers them.
  private func centred(_ l: [Double], _ u: [Double]) -> ([Double], [Double]) {
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
  private func others(_ x: [Double]) -> (sums: [Double], sizes: [Double]) {
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
      others(small).sums.map { max(0, $0 * (1 - relative) - 0x1p-1000) },
      others(large).sums.map { $0 * (1 + relative) + 0x1p-1000 }
    )
  }

  /// t / sqrt((t^2 + R) / n + e) rounded outward; with R raised to t^2 / (n - 1) if centred.
  ///
  /// All terms under the root are non-negative: at most eight roundings of 2^-53 in total, 2^-49 covers them twice.
  private func normalized(_ t: Double, _ others: Double, _ direction: FloatingPointRoundingRule) -> Double {
    let n = Double(blockLength)
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

  /// scale z + bias: two roundings.
  private func scaled(_ low: Double, _ high: Double, at index: Int) -> (Double, Double) {
    var (a, b) = (low, high)
    if let scale {
      let factor = scale.values[flat: index]
      let (p, q) = (a * factor, b * factor)
      a = min(p, q).nextDown
      b = max(p, q).nextUp
      if factor == 0 { (a, b) = (0, 0) }
    }
    if let bias {
      let offset = bias.values[flat: index]
      a = (a + offset).nextDown
      b = (b + offset).nextUp
    }
    return (a.isNaN ? -.infinity : a, b.isNaN ? .infinity : b)
  }
}
