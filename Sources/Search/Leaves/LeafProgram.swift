import LinearPrograms
import Rigor

/// A linear form over the inputs.
struct LinearForm: Sendable {
  var coefficients: [Double]
  var constant: Double
}

/// Whether linear lower bounds of several rows leave room for a witness in a box: a linear program in double arithmetic
/// whose multipliers are checked with rounding counted.
///
/// Single rows are refuted one by one; what is left needs all rows together, and the sides on which neurons are held.
struct LeafProgram {
  enum Answer: Sendable {
    case refuted
    /// The point that satisfies the rows best, as far as the forms know, and by how much it violates them in parts of
    /// their spread over the box.
    case open(point: [Double], violation: Double)
  }

  let lower: [Double]
  let upper: [Double]
  /// g(x) >= form for every point of the box; a witness needs g(x) <= 0.
  var rows: [LinearForm] = []
  /// Every point in question has h(x) <= 0 for some h(x) >= form.
  var conditions: [LinearForm] = []

  /// Minimises the largest row in the box where the conditions hold.
  func solve() -> Answer {
    let free = lower.indices.filter { lower[$0] < upper[$0] }
    let n = free.count
    let all = rows + conditions
    // Coordinates from 0 to 1 and rows of size 1: the method's tolerances are absolute.
    var matrix = [Double](repeating: 0, count: all.count * (n + 1))
    var bounds = [Double](repeating: 0, count: all.count)
    var scales = [Double](repeating: 1, count: all.count)
    var reach = 1.0
    for (r, form) in all.enumerated() {
      var constant = form.constant
      for j in lower.indices { constant += form.coefficients[j] * lower[j] }
      var size = 0.0
      for j in free { size = max(size, abs(form.coefficients[j]) * (upper[j] - lower[j])) }
      if size == 0 { size = max(abs(constant), .leastNormalMagnitude) }
      scales[r] = 1 / size
      var total = 1 + abs(constant * scales[r])
      for (c, j) in free.enumerated() {
        let entry = form.coefficients[j] * (upper[j] - lower[j]) * scales[r]
        matrix[r * (n + 1) + c] = entry
        total += abs(entry)
      }
      if r < rows.count { matrix[r * (n + 1) + n] = -1 }
      bounds[r] = -constant * scales[r]
      reach = max(reach, total)
    }
    guard reach.isFinite else { return .open(point: middle, violation: -.infinity) }
    var cost = [Double](repeating: 0, count: n + 1)
    cost[n] = 1
    var simplex = BoundedSimplex(
      cost: cost, rows: matrix, bounds: bounds,
      lower: [Double](repeating: 0, count: n) + [-reach], upper: [Double](repeating: 1, count: n) + [reach])
    let solution = simplex.solve()
    if solution.ending == .infeasible || solution.objective > -1e-6 {
      var multipliers = solution.rows
      for r in multipliers.indices { multipliers[r] *= scales[r] }
      if isRefuted(by: multipliers) { return .refuted }
    }
    var point = lower
    for (c, j) in free.enumerated() {
      let x = lower[j] + min(max(solution.point[c], 0), 1) * (upper[j] - lower[j])
      point[j] = min(max(x, lower[j]), upper[j])
    }
    return .open(point: point, violation: solution.ending == .optimal ? solution.objective : 0)
  }

  private var middle: [Double] { zip(lower, upper).map { 0.5 * $0 + 0.5 * $1 } }

  /// Whether the rows and conditions, each taken a non-negative number of times, add up to something positive on the
  /// whole box, while a witness would make the sum at most 0.
  private func isRefuted(by multipliers: [Double]) -> Bool {
    let all = rows + conditions
    var combined = [Double](repeating: 0, count: lower.count)
    var constant = 0.0
    var size = 0.0
    for (r, form) in all.enumerated() where multipliers[r] > 0 && multipliers[r].isFinite {
      let factor = multipliers[r]
      constant += factor * form.constant
      size += abs(factor * form.constant)
      for j in lower.indices {
        let term = factor * form.coefficients[j]
        combined[j] += term
        size += abs(term) * max(abs(lower[j]), abs(upper[j]))
      }
    }
    var least = constant
    for j in lower.indices { least += combined[j] > 0 ? combined[j] * lower[j] : combined[j] * upper[j] }
    // Every term takes part in at most one product by its factor, all.count sums, one product by a bound and one sum per
    // input; 1.01 covers the roundings of the size itself, the last number every product that underflows.
    let error = 1.01 * Rounding.gamma(all.count + lower.count + 8) * size + 0x1p-900
    return error.isFinite && least - error > 0
  }
}
