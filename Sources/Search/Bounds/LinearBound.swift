import CKernels
import Rigor

/// Lower bounds of rows over boxes, with the linear forms they come from.
struct LinearBounds {
  /// `rows * inputs`.
  var coefficients: [Double]
  /// g(x) >= A x + constant for every point of the row's box, rounding included.
  var constant: [Double]
  /// The minimum of that over the box.
  var lower: [Double]
}

extension LowerRule {
  /// The linear forms over the input at the end of a walk, with all charges taken off.
  ///
  /// - Parameters:
  ///   - mid, rad: `owners * inputs`; every box lies in [mid - rad, mid + rad].
  ///   - magnitude: `owners * inputs`, the largest absolute value of each input.
  func linearBounds(mid: [Double], rad: [Double]) -> LinearBounds {
    let n = context.inputCount
    var result = LinearBounds(
      coefficients: arrivals[context.inputNode]?.elements ?? [Double](repeating: 0, count: rows * n),
      constant: [Double](repeating: 0, count: rows), lower: [Double](repeating: 0, count: rows))
    // One product and n - 1 sums each for A mid and |A| rad, one sum to join: g(n + 4) of the sizes.
    let g = Rounding.gamma(n + 4)
    // The slack is itself a sum of non-negative terms of at most a few million roundings.
    let growth = 1 + 0x1p-30
    result.coefficients.withUnsafeBufferPointer { a in
      mid.withUnsafeBufferPointer { m in
        rad.withUnsafeBufferPointer { d in
          for group in groups.groups {
            for r in group.first..<(group.first + group.count) {
              var center = 0.0
              var size = 0.0
              var spread = 0.0
              for j in 0..<n {
                let x = a[r * n + j]
                let c = x * m[group.owner * n + j]
                center += c
                size += abs(c)
                spread += abs(x) * d[group.owner * n + j]
              }
              let constant = self.constant[r] - self.slack[r] * growth
              result.constant[r] = (constant - Rounding.unit * 2 * abs(constant)).nextDown
              let error =
                g * (size + spread) + 3 * Rounding.unit * (abs(result.constant[r]) + abs(center) + spread)
              result.lower[r] = (center - spread + result.constant[r] - error * growth).nextDown
              if !result.lower[r].isFinite { result.lower[r] = -.infinity }
            }
          }
        }
      }
    }
    return result
  }
}
