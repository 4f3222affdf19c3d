import Foundation
import IR
import Operators
import Tensors

// Sampling an image at points that are known at import: the result is linear in the image.
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
    let points = try l.doubles(grid, "the sampling grid")
    let extent = Array(x.shape.dims[2...])
    guard !extent.contains(0) else { throw node.malformed("an empty image cannot be sampled") }
    let places = Array(grid.shape.dims[1..<(grid.rank - 1)])
    let perExample = places.reduce(1, *)
    let plane = extent.reduce(1, *)
    let shape = Shape([x.shape[0], x.shape[1]] + places)
    try l.checkSize(shape)
    // Weights of all points, once for all channels.
    var sampled: [[SparseEntry]] = []
    for point in 0..<(x.shape[0] * perExample) {
      // The grid's last axis counts axes from the innermost one.
      let at = (0..<rank).map { axis -> Double in
        let g = points[point * rank + (rank - 1 - axis)]
        let n = Double(extent[axis])
        return aligned ? (g + 1) / 2 * (n - 1) : ((g + 1) * n - 1) / 2
      }
      sampled.append(sample(at, extent, mode, padding, aligned))
    }
    var rows: [[SparseEntry]] = []
    rows.reserveCapacity(shape.count)
    for n in 0..<x.shape[0] {
      for c in 0..<x.shape[1] {
        let base = (n * x.shape[1] + c) * plane
        for p in 0..<perExample {
          rows.append(sampled[n * perExample + p].map { SparseEntry(base + $0.index, $0.coefficient) })
        }
      }
    }
    return try l.linear(SparseMap(x.shape, to: shape, rows: rows, roundings: 32), x)
  }

  /// The weights of one point: a product over the axes.
  private static func sample(
    _ at: [Double], _ extent: [Int], _ mode: Interpolation, _ padding: Padding, _ aligned: Bool
  ) -> [SparseEntry] {
    let strides = Shape(extent).strides
    var result = [SparseEntry(0, 1)]
    for axis in extent.indices {
      var x = at[axis]
      let n = extent[axis]
      let low = aligned ? 0 : -0.5
      let high = aligned ? Double(n - 1) : Double(n) - 0.5
      if mode == .nearest {
        x = x.rounded(.toNearestOrEven)
      }
      // A point outside moves to where the padding takes its value from.
      if x < low || x > high {
        switch padding {
        case .border: x = max(0, min(Double(n - 1), x))
        case .reflection: x = reflected(x, low, high)
        case .zeros: break
        }
      }
      let taps: [(Int, Double)]
      let base = Int(max(-1e9, min(1e9, x.rounded(.down))))
      let t = x - x.rounded(.down)
      switch mode {
      case .nearest: taps = [(Int(max(-1e9, min(1e9, x.rounded(.toNearestOrEven)))), 1)]
      case .linear, .bilinear: taps = [(base, 1 - t), (base + 1, t)]
      case .cubic, .bicubic:
        let a = -0.75
        func kernel(_ distance: Double) -> Double {
          let d = abs(distance)
          if d <= 1 { return ((a + 2) * d - (a + 3)) * d * d + 1 }
          return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0
        }
        taps = (-1...2).map { (base + $0, kernel(Double($0) - t)) }
      }
      var sums: [Int: Double] = [:]
      for (index, weight) in taps where weight != 0 {
        var place = index
        if place < 0 || place >= n {
          switch padding {
          case .zeros: continue
          case .border: place = max(0, min(n - 1, place))
          case .reflection: place = max(0, min(n - 1, Int(reflected(Double(place), low, high))))
          }
        }
        sums[place, default: 0] += weight
      }
      result = result.flatMap { entry in
        sums.sorted { $0.key < $1.key }.map {
          SparseEntry(entry.index + $0.key * strides[axis], entry.coefficient * $0.value)
        }
      }
    }
    return result
  }

  /// Reflects a coordinate back into [low, high].
  private static func reflected(_ x: Double, _ low: Double, _ high: Double) -> Double {
    let range = high - low
    if range <= 0 { return low }
    let distance = x < low ? low - x : x - high
    if distance <= 0 { return x }
    let turns = Int(max(-1e9, min(1e9, (distance / range).rounded(.down))))
    let rest = distance - Double(turns) * range
    let fromLow = (x < low) == (turns % 2 == 0)
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
    var points: [Double] = []
    for coordinate in coordinates(extent) {
      // Innermost axis first, then 1.
      for axis in extent.indices.reversed() {
        let (i, n) = (Double(coordinate[axis]), Double(extent[axis]))
        points.append(aligned ? (n == 1 ? -1 : -1 + 2 * i / (n - 1)) : -1 + (2 * i + 1) / n)
      }
      points.append(1)
    }
    let regular = Value(points, shape, theta.type)
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
    let boxes = try l.doubles(rois, "the regions")
    let mode: RoiMode = try node.choice("mode", default: .avg)
    let coordinates: RoiCoordinates = try node.choice(
      "coordinate_transformation_mode", default: node.version < 16 ? .outputHalfPixel : .halfPixel)
    let height = try node.int("output_height", default: 1)
    let width = try node.int("output_width", default: 1)
    let ratio = try node.int("sampling_ratio", default: 0)
    let scale = try node.float("spatial_scale", default: 1)
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
      boxes.allSatisfy { ($0 * scale).magnitude < 0x1p20 }
        && batch.count * channels * height * width < 1 << 22,
      "regions of this size and number are not supported")
    let half = coordinates == .halfPixel
    let offset = half ? 0.5 : 0
    var lists: [[[SparseEntry]]] = []
    for r in batch.indices {
      let left = boxes[4 * r] * scale - offset
      let top = boxes[4 * r + 1] * scale - offset
      var roiWidth = boxes[4 * r + 2] * scale - offset - left
      var roiHeight = boxes[4 * r + 3] * scale - offset - top
      if !half {
        roiWidth = Swift.max(roiWidth, 1)
        roiHeight = Swift.max(roiHeight, 1)
      }
      let (binH, binW) = (roiHeight / Double(height), roiWidth / Double(width))
      let gridH = ratio > 0 ? ratio : Int(Swift.min(1024, Swift.max(0, binH.rounded(.up))))
      let gridW = ratio > 0 ? ratio : Int(Swift.min(1024, Swift.max(0, binW.rounded(.up))))
      for c in 0..<channels {
        let base = (batch[r] * channels + c) * h * w
        for ph in 0..<height {
          for pw in 0..<width {
            var samples: [[SparseEntry]] = []
            for iy in 0..<gridH {
              let y = top + Double(ph) * binH + (Double(iy) + 0.5) * binH / Double(gridH)
              for ix in 0..<gridW {
                let xx = left + Double(pw) * binW + (Double(ix) + 0.5) * binW / Double(gridW)
                samples.append(
                  clampedBilinear(y, xx, h, w).map { SparseEntry(base + $0.index, $0.coefficient) })
              }
            }
            lists.append(samples)
          }
        }
      }
    }
    let shape: Shape = [batch.count, channels, height, width]
    if mode == .avg {
      let rows = lists.map { samples -> [SparseEntry] in
        let share = 1 / Double(Swift.max(1, samples.count))
        return samples.joined().map { SparseEntry($0.index, $0.coefficient * share) }
      }
      return try l.linear(SparseMap(x.shape, to: shape, rows: rows, roundings: 32), x)
    }
    // The largest of the weighted corners, as the operator's reference computes it.
    let corners = lists.map { samples in samples.joined().map { $0 } }
    guard corners.allSatisfy({ !$0.isEmpty }) else { throw node.unsupported("a region has no samples") }
    let count = corners.reduce(0) { $0 + $1.count }
    let scaled = try l.linear(
      SparseMap(x.shape, to: [count], rows: corners.joined().map { [$0] }, roundings: 32), x)
    let widest = corners.map(\.count).max() ?? 1
    var candidates: [Int32] = []
    var next = 0
    for list in corners {
      for i in 0..<widest { candidates.append(i < list.count ? Int32(next + i) : -1) }
      next += list.count
    }
    return try l.selection(
      Selection(.maximum, inputShapes: [[count]], outputShape: shape, width: widest, candidates: candidates),
      [scaled])
  }

  /// Bilinear weights with coordinates clamped to the plane; points further out than one element give nothing.
  private static func clampedBilinear(_ y: Double, _ x: Double, _ height: Int, _ width: Int) -> [SparseEntry]
  {
    guard y >= -1, y <= Double(height), x >= -1, x <= Double(width) else {
      return [SparseEntry(0, 0)]
    }
    func axis(_ value: Double, _ extent: Int) -> (Int, Int, Double) {
      let at = Swift.max(value, 0)
      let low = Int(at)
      if low >= extent - 1 { return (extent - 1, extent - 1, 0) }
      return (low, low + 1, at - Double(low))
    }
    let (top, bottom, ly) = axis(y, height)
    let (left, right, lx) = axis(x, width)
    return [
      SparseEntry(top * width + left, (1 - ly) * (1 - lx)), SparseEntry(top * width + right, (1 - ly) * lx),
      SparseEntry(bottom * width + left, ly * (1 - lx)), SparseEntry(bottom * width + right, ly * lx),
    ]
  }

  /// Greedy suppression of overlapping boxes; boxes and scores are known at import.
  private static func nonMaxSuppression(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (boxes, scores) = (try node.input(0), try node.input(1))
    let corners = try l.doubles(boxes, "the boxes")
    let points = try l.doubles(scores, "the scores")
    let most = try node.optional(2).map { try l.int($0, "the number of boxes") } ?? 0
    let overlap = try node.optional(3).map { try l.scalar($0, "the overlap") } ?? 0
    let threshold = try node.optional(4).map { try l.scalar($0, "the score threshold") }
    let centered = try node.bool("center_point_box", default: false)
    guard boxes.rank == 3, scores.rank == 3, boxes.shape[2] == 4, scores.shape[2] == boxes.shape[1],
      scores.shape[0] == boxes.shape[0]
    else { throw node.malformed("boxes \(boxes.shape) and scores \(scores.shape) do not fit") }
    let count = boxes.shape[1]
    func box(_ b: Int, _ i: Int) -> (y0: Double, x0: Double, y1: Double, x1: Double) {
      let c = Array(corners[((b * count + i) * 4)..<((b * count + i + 1) * 4)])
      if centered { return (c[1] - c[3] / 2, c[0] - c[2] / 2, c[1] + c[3] / 2, c[0] + c[2] / 2) }
      return (Swift.min(c[0], c[2]), Swift.min(c[1], c[3]), Swift.max(c[0], c[2]), Swift.max(c[1], c[3]))
    }
    func intersectionOverUnion(_ b: Int, _ i: Int, _ j: Int) -> Double {
      let (p, q) = (box(b, i), box(b, j))
      let height = Swift.max(0, Swift.min(p.y1, q.y1) - Swift.max(p.y0, q.y0))
      let width = Swift.max(0, Swift.min(p.x1, q.x1) - Swift.max(p.x0, q.x0))
      let area = { (r: (y0: Double, x0: Double, y1: Double, x1: Double)) in (r.y1 - r.y0) * (r.x1 - r.x0) }
      let union = area(p) + area(q) - height * width
      return union > 0 ? height * width / union : 0
    }
    var selected: [Double] = []
    for b in 0..<boxes.shape[0] {
      for c in 0..<scores.shape[1] {
        let base = (b * scores.shape[1] + c) * count
        let order = (0..<count).filter { threshold == nil || points[base + $0] > (threshold ?? 0) }
          .sorted { points[base + $0] == points[base + $1] ? $0 < $1 : points[base + $0] > points[base + $1] }
        var kept: [Int] = []
        for i in order where kept.count < most {
          if kept.allSatisfy({ intersectionOverUnion(b, i, $0) <= overlap }) { kept.append(i) }
        }
        for i in kept { selected += [Double(b), Double(c), Double(i)] }
      }
    }
    return Value(selected, [selected.count / 3, 3], .int64)
  }
}
