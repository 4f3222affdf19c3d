import Rigor

/// The step vectors of a manipulation lattice, `k` in `{-below...above}` by coordinate.
struct Lattice: Sendable {
  /// Steps to either side by coordinate (a ReLU makes the two sides differ).
  var below: [Int]
  var above: [Int]

  init(steps: Int, dimensions: Int) {
    below = [Int](repeating: steps, count: dimensions)
    above = below
  }

  init(below: [Int], above: [Int]) {
    self.below = below
    self.above = above
  }

  /// The number of points, nil beyond `limit`.
  func count(limit: Int) -> Int? {
    var product = 1
    for (b, a) in zip(below, above) {
      let (value, overflow) = product.multipliedReportingOverflow(by: a + b + 1)
      if overflow || value > limit { return nil }
      product = value
    }
    return product
  }

  /// Step vectors in order of growing distance from the centre, at most `limit` of them.
  ///
  /// Complete shells come first, so that the first misclassified point met is a nearest one.
  func ordered(isL2: Bool, limit: Int) -> [[Int16]] {
    var result: [[Int16]] = []
    var shell = 0
    // All vectors within a growing box; a point belongs to the shell of its largest step.
    let widest = max(below.max() ?? 0, above.max() ?? 0)
    let isSmall = count(limit: limit) != nil
    if isSmall { shell = widest }
    while shell <= widest && result.count < limit {
      let inner = isSmall ? -1 : shell - 1
      var vector = below.map { Int16(-min($0, shell)) }
      while true {
        if vector.contains(where: { abs(Int($0)) > inner }) || (inner < 0) {
          result.append(vector)
          if result.count >= limit { break }
        }
        var axis = vector.count - 1
        while axis >= 0 {
          if Int(vector[axis]) < min(above[axis], shell) {
            vector[axis] += 1
            break
          }
          vector[axis] = Int16(-min(below[axis], shell))
          axis -= 1
        }
        if axis < 0 { break }
      }
      shell += 1
    }
    return result.enumerated().sorted { a, b in
      let p = Self.norm(a.element, isL2: isL2)
      let q = Self.norm(b.element, isL2: isL2)
      return p != q ? p < q : a.offset < b.offset
    }.map(\.element)
  }

  /// The L1 norm, or the square of the L2 norm, of a step vector.
  static func norm(_ vector: [Int16], isL2: Bool) -> Int {
    vector.reduce(0) { $0 + (isL2 ? Int($1) * Int($1) : abs(Int($1))) }
  }
}
