import IR
import Operators
import Rigor
import Tensors

// Sampling an image at points that are known at import: the result is linear in the image. Places and weights are
// computed as fractions, because the integer part of a place decides which elements count.
extension OnnxOperators {
  static let sampling: [String: Lower] = [
    "GridSample": { node, l in [try gridSample(node, l)] },
    "AffineGrid": { node, l in [try affineGrid(node, l)] },
    "RoiAlign": { node, l in [try roiAlign(node, l)] },
    "NonMaxSuppression": { node, l in [try nonMaxSuppression(node, l)] },
  ]

  private enum Interpolation: String, CaseIterable { case linear, nearest, cubic, bilinear, bicubic }
  private enum Padding: String, CaseIterable { case zeros, border, reflection }

  private static func gridSample(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, grid) = (try node.input(0), try node.input(1))
    let mode: Interpolation = try node.choice("mode", default: node.version < 20 ? .bilinear : .linear)
    let padding: Padding = try node.choice("padding_mode", default: .zeros)
    let aligned = try node.bool("align_corners", default: false)
    let rank = x.rank - 2
    guard rank >= 1, grid.rank == x.rank, grid.shape[grid.rank - 1] == rank, grid.shape[0] == x.shape[0]
    else {
      throw node.malformed("a grid of shape \(grid.shape) does not fit \(x.shape)")
    }
    let points = try l.rationals(grid, "the sampling grid")
    let extent = Array(x.shape.dims[2...])
    guard !extent.contains(0) else { throw node.malformed("an empty image cannot be sampled") }
    let places = Array(grid.shape.dims[1..<(grid.rank - 1)])
    let perExample = places.reduce(1, *)
    let plane = extent.reduce(1, *)
    let shape = Shape([x.shape[0], x.shape[1]] + places)
    try l.checkSize(shape)
    // Weights of all points, once for all channels.
    var exact: [[(index: Int, weight: Rational)]] = []
    for point in 0..<(x.shape[0] * perExample) {
      // The grid's last axis counts axes from the innermost one.
      let at = (0..<rank).map { axis -> Rational in
        let g = points[point * rank + (rank - 1 - axis)] + 1
        let n = extent[axis]
        return (aligned ? g * Rational(n - 1) : g * Rational(n) - 1) / 2
      }
      exact.append(sample(at, extent, mode, padding, aligned))
    }
    let sampled = try ExactRows(exact)
    var rows: [[SparseEntry]] = []
    rows.reserveCapacity(shape.count)
    for n in 0..<x.shape[0] {
      for c in 0..<x.shape[1] {
        let base = (n * x.shape[1] + c) * plane
        for p in 0..<perExample {
          rows.append(
            sampled.rows[n * perExample + p].map { SparseEntry(base + $0.index, $0.coefficient) })
        }
      }
    }
    let map = SparseMap(
      x.shape, to: shape, rows: rows, denominator: sampled.denominator, roundings: sampled.roundings)
    return try l.linear(map, x)
  }

  /// The weights of one point: a product over the axes.
  private static func sample(
    _ at: [Rational], _ extent: [Int], _ mode: Interpolation, _ padding: Padding, _ aligned: Bool
  ) -> [(index: Int, weight: Rational)] {
    let strides = Shape(extent).strides
    let half = Rational(1, 2)
    var result = [(index: 0, weight: Rational.one)]
    for axis in extent.indices {
      let n = extent[axis]
      let last = Rational(n - 1)
      let low = aligned ? .zero : -half
      let high = aligned ? last : last + half
      var x = mode == .nearest ? nearestInteger(at[axis]) : at[axis]
      // A point outside moves to where the padding takes its value from.
      if x < low || x > high {
        switch padding {
        case .border: x = max(.zero, min(last, x))
        case .reflection: x = reflected(x, low, high)
        // No tap of a point so far out lies inside.
        case .zeros where x < -3 || x > last + 3: return []
        case .zeros: break
        }
      }
      // The point lies within a few elements of the axis.
      let base = x.floor.int ?? 0
      let t = x - x.floor
      let taps: [(Int, Rational)]
      switch mode {
      case .nearest: taps = [(nearestInteger(x).int ?? 0, .one)]
      case .linear, .bilinear: taps = [(base, 1 - t), (base + 1, t)]
      case .cubic, .bicubic:
        let kernel = cubicKernel(Rational(-3, 4))
        taps = (-1...2).map { (base + $0, kernel((Rational($0) - t).magnitude)) }
      }
      var sums: [Int: Rational] = [:]
      for (index, weight) in taps where !weight.isZero {
        var place = index
        if place < 0 || place >= n {
          switch padding {
          case .zeros: continue
          case .border: place = max(0, min(n - 1, place))
          case .reflection:
            place = max(0, min(n - 1, reflected(Rational(place), low, high).floor.int ?? 0))
          }
        }
        sums[place, default: .zero] += weight
      }
      let along = sums.sorted { $0.key < $1.key }
      result = result.flatMap { entry in
        along.map { (entry.index + $0.key * strides[axis], entry.weight * $0.value) }
      }
    }
    return result
  }

  /// The nearest integer, ties to even.
  private static func nearestInteger(_ x: Rational) -> Rational {
    let below = x.floor
    let rest = x - below
    let half = Rational(1, 2)
    if rest == half { return (below / 2).isInteger ? below : below + 1 }
    return rest < half ? below : below + 1
  }

  /// Reflects a coordinate back into [low, high].
  private static func reflected(_ x: Rational, _ low: Rational, _ high: Rational) -> Rational {
    let range = high - low
    if range.sign <= 0 { return low }
    let distance = x < low ? low - x : x - high
    if distance.sign <= 0 { return x }
    let turns = (distance / range).floor
    let rest = distance - turns * range
    let fromLow = (x < low) == (turns / 2).isInteger
    return fromLow ? low + rest : high - rest
  }

  /// The grid that an affine transformation makes of the regular one.
  private static func affineGrid(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let theta = try node.input(0)
    let size = try l.ints(try node.input(1), "the size")
    let aligned = try node.bool("align_corners", default: false)
    guard size.count == 4 || size.count == 5, theta.rank == 3, theta.shape[0] == size[0],
      theta.shape[1] == size.count - 2, theta.shape[2] == size.count - 1,
      size.allSatisfy({ $0 > 0 && $0 < 1 << 24 })
    else { throw node.malformed("a transformation of shape \(theta.shape) does not fit a size of \(size)") }
    let extent = Array(size[2...])
    let shape = Shape([extent.reduce(1, *), extent.count + 1])
    try l.checkSize(shape, limit: l.foldingLimit)
    var points: [Rational] = []
    for coordinate in coordinates(extent) {
      // Innermost axis first, then 1.
      for axis in extent.indices.reversed() {
        let (i, n) = (coordinate[axis], extent[axis])
        if aligned {
          points.append(n == 1 ? -1 : Rational(2 * i - (n - 1), n - 1))
        } else {
          points.append(Rational(2 * i + 1 - n, n))
        }
      }
      points.append(.one)
    }
    let regular = try ExactRows.constant(points, shape, theta.type)
    let moved = try l.matmul(regular, try l.transposeMatrix(theta))
    return try l.reshape(moved, Shape([size[0]] + extent + [extent.count]))
  }

  private enum RoiMode: String, CaseIterable { case avg, max }
  private enum RoiCoordinates: String, CaseIterable {
    case halfPixel = "half_pixel"
    case outputHalfPixel = "output_half_pixel"
  }

  private static func roiAlign(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, rois) = (try node.input(0), try node.input(1))
    let batch = try l.ints(try node.input(2), "the batch indices")
    let boxes = try l.rationals(rois, "the regions")
    let mode: RoiMode = try node.choice("mode", default: .avg)
    let coordinates: RoiCoordinates = try node.choice(
      "coordinate_transformation_mode", default: node.version < 16 ? .outputHalfPixel : .halfPixel)
    let height = try node.int("output_height", default: 1)
    let width = try node.int("output_width", default: 1)
    let ratio = try node.int("sampling_ratio", default: 0)
    let scale = Rational(try node.float("spatial_scale", default: 1))
    guard x.rank == 4, rois.rank == 2, rois.shape[1] == 4, batch.count == rois.shape[0], height > 0,
      width > 0,
      height < 1 << 16, width < 1 << 16, ratio >= 0, ratio < 1 << 10,
      batch.allSatisfy({ $0 >= 0 && $0 < x.shape[0] })
    else { throw node.malformed("regions of shape \(rois.shape) do not fit \(x.shape)") }
    let (channels, h, w) = (x.shape[1], x.shape[2], x.shape[3])
    try l.require(h > 0 && w > 0, "an empty image cannot be sampled")
    try l.checkSize([batch.count, channels, height, width])
    // Adaptive sampling takes about as many samples as a region has elements.
    try l.require(
      boxes.allSatisfy { ($0 * scale).magnitude < Rational(1 << 20) }
        && batch.count * channels * height * width < 1 << 22,
      "regions of this size and number are not supported")
    let isShifted = coordinates == .halfPixel
    /// The samples of every bin along one axis of one region.
    func samples(_ r: Int, _ first: Int, bins: Int, extent: Int) -> [[[(index: Int, weight: Rational)]]] {
      let offset = isShifted ? Rational(1, 2) : .zero
      let start = boxes[4 * r + first] * scale - offset
      var length = boxes[4 * r + first + 2] * scale - offset - start
      if !isShifted { length = Swift.max(length, 1) }
      let bin = length / Rational(bins)
      let count = ratio > 0 ? ratio : Swift.min(1024, Swift.max(0, bin.ceiling.int ?? 0))
      return (0..<bins).map { b in
        (0..<count).map { i in
          clampedTaps(start + bin * (Rational(b) + Rational(2 * i + 1, 2 * count)), extent)
        }
      }
    }
    // The weights of one plane of each region, once for all channels. By bin: one list of entries, or for the maximum
    // one list of corners.
    var planes: [[(index: Int, weight: Rational)]] = []
    for r in batch.indices {
      let down = samples(r, 1, bins: height, extent: h)
      let across = samples(r, 0, bins: width, extent: w)
      for rows in down {
        for columns in across {
          planes.append(
            mode == .avg
              ? average(rows, columns, stride: w) : corners(rows, columns, stride: w))
        }
      }
    }
    let weights = try ExactRows(planes)
    var lists: [[SparseEntry]] = []
    let bins = height * width
    for r in batch.indices {
      for c in 0..<channels {
        let base = (batch[r] * channels + c) * h * w
        for bin in 0..<bins {
          lists.append(
            weights.rows[r * bins + bin].map { SparseEntry(base + $0.index, $0.coefficient) })
        }
      }
    }
    let shape: Shape = [batch.count, channels, height, width]
    if mode == .avg {
      let map = SparseMap(
        x.shape, to: shape, rows: lists, denominator: weights.denominator, roundings: weights.roundings)
      return try l.linear(map, x)
    }
    // The largest of the weighted corners, as the operator's reference computes it.
    guard lists.allSatisfy({ !$0.isEmpty }) else { throw node.unsupported("a region has no samples") }
    let count = lists.reduce(0) { $0 + $1.count }
    try l.checkSize([count])
    let scaled = try l.linear(
      SparseMap(
        x.shape, to: [count], rows: lists.joined().map { [$0] }, denominator: weights.denominator,
        roundings: weights.roundings), x)
    let widest = lists.map(\.count).max() ?? 1
    var candidates: [Int32] = []
    var next = 0
    for list in lists {
      for i in 0..<widest { candidates.append(i < list.count ? Int32(next + i) : -1) }
      next += list.count
    }
    return try l.selection(
      Selection(.maximum, inputShapes: [[count]], outputShape: shape, width: widest, candidates: candidates),
      [scaled])
  }

  /// The two elements around a coordinate that is clamped to its axis, and their weights; none for points further out
  /// than one element.
  private static func clampedTaps(_ value: Rational, _ extent: Int) -> [(index: Int, weight: Rational)] {
    guard value >= -1, value <= Rational(extent) else { return [] }
    let at = Swift.max(value, .zero)
    // At most the extent.
    let low = at.floor.int ?? 0
    if low >= extent - 1 { return [(extent - 1, .one), (extent - 1, .zero)] }
    let rest = at - at.floor
    return [(low, 1 - rest), (low + 1, rest)]
  }

  /// The mean over all pairs of samples: the weights are products, so the axes are summed apart.
  private static func average(
    _ rows: [[(index: Int, weight: Rational)]], _ columns: [[(index: Int, weight: Rational)]], stride: Int
  ) -> [(index: Int, weight: Rational)] {
    func sums(_ samples: [[(index: Int, weight: Rational)]]) -> [(key: Int, value: Rational)] {
      var sums: [Int: Rational] = [:]
      for tap in samples.joined() where !tap.weight.isZero { sums[tap.index, default: .zero] += tap.weight }
      return sums.sorted { $0.key < $1.key }
    }
    let share = Rational(1, Swift.max(1, rows.count * columns.count))
    let across = sums(columns)
    return sums(rows).flatMap { row in
      across.map { (row.key * stride + $0.key, row.value * $0.value * share) }
    }
  }

  /// The weighted corners of all samples one by one; a sample outside the plane is a 0.
  private static func corners(
    _ rows: [[(index: Int, weight: Rational)]], _ columns: [[(index: Int, weight: Rational)]], stride: Int
  ) -> [(index: Int, weight: Rational)] {
    rows.flatMap { row in
      columns.flatMap { column -> [(index: Int, weight: Rational)] in
        if row.isEmpty || column.isEmpty { return [(0, .zero)] }
        return row.flatMap { y in
          column.map { (y.index * stride + $0.index, y.weight * $0.weight) }
        }
      }
    }
  }

  /// Greedy suppression of overlapping boxes; boxes and scores are known at import.
  private static func nonMaxSuppression(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (boxes, scores) = (try node.input(0), try node.input(1))
    let corners = try l.rationals(boxes, "the boxes")
    let points = try l.exactDoubles(scores, "the scores")
    let most = try node.optional(2).map { try l.int($0, "the number of boxes") } ?? 0
    let overlap = Rational(try node.optional(3).map { try l.scalar($0, "the overlap") } ?? 0)
    let threshold = try node.optional(4).map { try l.scalar($0, "the score threshold") }
    let centered = try node.bool("center_point_box", default: false)
    guard boxes.rank == 3, scores.rank == 3, boxes.shape[2] == 4, scores.shape[2] == boxes.shape[1],
      scores.shape[0] == boxes.shape[0]
    else { throw node.malformed("boxes \(boxes.shape) and scores \(scores.shape) do not fit") }
    let count = boxes.shape[1]
    typealias Box = (y0: Rational, x0: Rational, y1: Rational, x1: Rational)
    func box(_ b: Int, _ i: Int) -> Box {
      let c = Array(corners[((b * count + i) * 4)..<((b * count + i + 1) * 4)])
      if centered { return (c[1] - c[3] / 2, c[0] - c[2] / 2, c[1] + c[3] / 2, c[0] + c[2] / 2) }
      return (Swift.min(c[0], c[2]), Swift.min(c[1], c[3]), Swift.max(c[0], c[2]), Swift.max(c[1], c[3]))
    }
    /// Whether the intersection over the union is above the threshold.
    func overlaps(_ b: Int, _ i: Int, _ j: Int) -> Bool {
      let (p, q) = (box(b, i), box(b, j))
      let height = Swift.max(.zero, Swift.min(p.y1, q.y1) - Swift.max(p.y0, q.y0))
      let width = Swift.max(.zero, Swift.min(p.x1, q.x1) - Swift.max(p.x0, q.x0))
      let area = { (r: Box) in (r.y1 - r.y0) * (r.x1 - r.x0) }
      let union = area(p) + area(q) - height * width
      return union.sign > 0 ? height * width > overlap * union : overlap.sign < 0
    }
    var selected: [Double] = []
    for b in 0..<boxes.shape[0] {
      for c in 0..<scores.shape[1] {
        let base = (b * scores.shape[1] + c) * count
        let order = (0..<count).filter { threshold == nil || points[base + $0] > (threshold ?? 0) }
          .sorted { points[base + $0] == points[base + $1] ? $0 < $1 : points[base + $0] > points[base + $1] }
        var kept: [Int] = []
        for i in order where kept.count < most {
          if kept.allSatisfy({ !overlaps(b, i, $0) }) { kept.append(i) }
        }
        for i in kept { selected += [Double(b), Double(c), Double(i)] }
      }
    }
    return Value(selected, [selected.count / 3, 3], .int64)
  }
}
