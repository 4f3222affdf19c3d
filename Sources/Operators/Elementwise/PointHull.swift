/// The convex envelope of points in the plane, for functions made of straight pieces.
struct PointHull {
  /// By ascending x; points of equal x (the two sides of a jump) in any order.
  var points: [(x: Double, y: Double)]

  /// The slope of the envelope below (`sign` 1) or above (`sign` -1) the points at `target`, between the first and the
  /// last x; at a corner the slope to its right.
  func slope(sign: Double, at target: Double) -> Double {
    let hull = corners(sign: sign)
    guard hull.count > 1 else { return 0 }
    var index = 0
    while index + 2 < hull.count && hull[index + 1].x <= target { index += 1 }
    return Self.slope(hull[index], hull[index + 1])
  }

  /// The least and the greatest slope of the envelope.
  func slopeRange(sign: Double) -> ClosedRange<Double> {
    let hull = corners(sign: sign)
    guard hull.count > 1 else { return 0...0 }
    let first = Self.slope(hull[0], hull[1])
    let last = Self.slope(hull[hull.count - 2], hull[hull.count - 1])
    return min(first, last)...max(first, last)
  }

  private static func slope(_ a: (x: Double, y: Double), _ b: (x: Double, y: Double)) -> Double {
    let slope = (b.y - a.y) / (b.x - a.x)
    return slope.isFinite ? slope : 0
  }

  /// Andrew's monotone chain.
  private func corners(sign: Double) -> [(x: Double, y: Double)] {
    var hull: [(x: Double, y: Double)] = []
    for point in points {
      if let last = hull.last, last.x == point.x {
        if sign * (point.y - last.y) >= 0 { continue }
        hull.removeLast()
      }
      while hull.count >= 2 {
        let a = hull[hull.count - 2]
        let b = hull[hull.count - 1]
        let cross = (b.x - a.x) * (point.y - a.y) - (point.x - a.x) * (b.y - a.y)
        if sign * cross > 0 { break }
        hull.removeLast()
      }
      hull.append(point)
    }
    return hull
  }
}
