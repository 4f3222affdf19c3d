import Rigor

/// Shrinks boxes to where linear bounds allow a witness ("clip and verify").
///
/// If g(x) >= A x + c on a box and a witness needs g(x) <= 0, then every witness has A x + c <= 0, which bounds each
/// coordinate given the best of the others. Rounding is counted, so no witness is cut off.
enum Clipping {
  /// Clips a box by one row; false if nothing is left.
  static func clip(
    _ lower: inout [Double], _ upper: inout [Double], _ a: UnsafePointer<Double>, _ constant: Double
  ) -> Bool {
    let n = lower.count
    var total = constant
    var size = abs(constant)
    for j in 0..<n {
      let term = a[j] > 0 ? a[j] * lower[j] : a[j] * upper[j]
      total += term
      size += abs(term)
    }
    // Error of the sum and of what follows: n + 2 roundings of terms that add up to at most 2 size.
    let error = 2 * Rounding.gamma(n + 6) * size
    if total - error > 0 { return false }
    if !total.isFinite { return true }
    for j in 0..<n where a[j] != 0 && lower[j] < upper[j] {
      // a_j x_j <= -(total - its own best): slack is how far a_j x_j may rise above its minimum.
      let slack = -(total - error) + error
      let step = (slack / abs(a[j])) * (1 + 8 * Rounding.unit)
      if !step.isFinite { continue }
      if a[j] > 0 {
        let limit = (lower[j] + step).nextUp
        if limit < upper[j] { upper[j] = limit }
      } else {
        let limit = (upper[j] - step).nextDown
        if limit > lower[j] { lower[j] = limit }
      }
    }
    return true
  }

  /// Clips by a formula: conjunctions one part after the other, disjunctions to the hull of what each part leaves.
  static func clip(
    _ lower: inout [Double], _ upper: inout [Double], _ formula: RowFormula,
    row: (Int) -> (UnsafePointer<Double>, Double)
  ) -> Bool {
    switch formula {
    case .constant(let holds): return holds
    case .row(let number, _):
      let (a, constant) = row(number)
      return clip(&lower, &upper, a, constant)
    case .all(let parts):
      return parts.allSatisfy { clip(&lower, &upper, $0, row: row) }
    case .any(let parts):
      var hull: ([Double], [Double])?
      for part in parts {
        var l = lower
        var u = upper
        guard clip(&l, &u, part, row: row) else { continue }
        if let known = hull {
          hull = (zip(known.0, l).map { min($0, $1) }, zip(known.1, u).map { max($0, $1) })
        } else {
          hull = (l, u)
        }
      }
      guard let hull else { return false }
      (lower, upper) = hull
      return true
    }
  }
}
