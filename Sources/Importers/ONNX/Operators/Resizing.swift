import IR
import Operators
import Rigor
import Tensors

// Resize and its predecessor: one sparse matrix per axis. Places and weights are fractions of the extents and the stored
// scales and are computed as such: a place that is an integer, or half of one, decides what is taken.
extension OnnxOperators {
  static let resizing: [String: Lower] = [
    "Resize": { node, l in [try resize(node, l)] },
    "Upsample": { node, l in
      guard node.version < 10 else { throw node.unsupported("Upsample ended with opset 9") }
      let x = try node.input(0)
      let scales =
        node.version < 9
        ? try node.require("scales", try node.floats("scales")).map { Rational($0) }
        : try l.rationals(try node.input(1), "the scales")
      guard scales.count == x.rank, scales.allSatisfy({ ResizeRule.scales.contains($0) }) else {
        throw node.malformed("scales \(scales.map(\.nearestDouble)) do not fit \(x.shape)")
      }
      var rule = ResizeRule()
      rule.coordinates = .asymmetric
      rule.nearest = .floor
      rule.mode = try node.choice("mode", default: .nearest)
      let sizes = zip(x.shape.dims, scales).map { size($0, $1) }
      return [try resize(x, axes: Array(0..<x.rank), scales: scales, sizes: sizes, rule, l)]
    },
  ]

  /// How coordinates and weights are computed.
  struct ResizeRule {
    enum Mode: String, CaseIterable { case nearest, linear, cubic }
    enum Coordinates: String, CaseIterable {
      case halfPixel = "half_pixel"
      case halfPixelSymmetric = "half_pixel_symmetric"
      case pytorchHalfPixel = "pytorch_half_pixel"
      case alignCorners = "align_corners"
      case asymmetric
      case cropAndResize = "tf_crop_and_resize"
    }
    enum Nearest: String, CaseIterable {
      case preferFloor = "round_prefer_floor"
      case preferCeil = "round_prefer_ceil"
      case floor, ceil
    }
    enum Aspect: String, CaseIterable {
      case stretch
      case notLarger = "not_larger"
      case notSmaller = "not_smaller"
    }
    /// Scales that are possible: below 2^28, and above the inverse, so that counts fit an Int.
    static let scales = Rational(1, 1 << 40)...Rational(1 << 28)

    var mode = Mode.nearest
    var coordinates = Coordinates.halfPixel
    var nearest = Nearest.preferFloor
    var cubicA = Rational(-3, 4)
    var excludesOutside = false
    var antialias = false
    var extrapolation = 0.0
    /// Start and end of the cropped region by axis.
    var region: [(Rational, Rational)] = []
  }

  private static func resize(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    var rule = ResizeRule()
    rule.mode = try node.choice("mode", default: .nearest)
    if node.version < 11 {
      rule.coordinates = .asymmetric
      rule.nearest = .floor
    } else {
      rule.coordinates = try node.choice("coordinate_transformation_mode", default: .halfPixel)
      rule.nearest = try node.choice("nearest_mode", default: .preferFloor)
    }
    rule.cubicA = Rational(try node.float("cubic_coeff_a", default: -0.75))
    rule.excludesOutside = try node.bool("exclude_outside", default: false)
    rule.antialias = try node.bool("antialias", default: false)
    rule.extrapolation = try node.float("extrapolation_value", default: 0)
    let aspect: ResizeRule.Aspect = try node.choice("keep_aspect_ratio_policy", default: .stretch)
    let axes = try node.ints("axes").map { try l.axes($0, x.rank, node) } ?? Array(0..<x.rank)
    func list(_ index: Int, _ what: String) throws -> [Rational]? {
      guard let value = node.optional(index), value.shape.count > 0 else { return nil }
      return try l.rationals(value, what)
    }
    var scales = try list(node.version < 11 ? 1 : 2, "the scales")
    let wanted = node.version < 11 || scales != nil ? nil : try sizesWanted(node, l)
    var sizes: [Int]
    if let wanted {
      guard wanted.count == axes.count, wanted.allSatisfy({ $0 >= 0 && $0 < 1 << 28 }) else {
        throw node.malformed("sizes \(wanted) do not fit \(axes.count) axes")
      }
      let ratios = zip(wanted, axes).map { Rational($0, max(1, x.shape[$1])) }
      switch aspect {
      case .stretch:
        scales = ratios
        sizes = wanted
      case .notLarger, .notSmaller:
        let common = (aspect == .notLarger ? ratios.min() : ratios.max()) ?? .one
        scales = ratios.map { _ in common }
        // Half of an element is rounded up.
        sizes = axes.map { (common * Rational(x.shape[$0]) + Rational(1, 2)).floor.int ?? 0 }
      }
    } else {
      guard let scales, scales.count == axes.count, scales.allSatisfy({ ResizeRule.scales.contains($0) })
      else {
        throw node.malformed("needs one positive scale, or a size, for each of \(axes.count) axes")
      }
      sizes = zip(scales, axes).map { size(x.shape[$1], $0) }
    }
    if rule.coordinates == .cropAndResize {
      let roi = try list(1, "the region of interest") ?? []
      guard roi.count == 2 * axes.count else {
        throw node.malformed("a region of \(roi.count) numbers does not fit")
      }
      rule.region = axes.indices.map { (roi[$0], roi[axes.count + $0]) }
    }
    return try resize(x, axes: axes, scales: scales ?? [], sizes: sizes, rule, l)
  }

  private static func sizesWanted(_ node: OnnxNode, _ l: Lowering) throws -> [Int]? {
    guard let value = node.optional(3), value.shape.count > 0 else { return nil }
    return try l.ints(value, "the sizes")
  }

  /// The extent of an axis that is scaled: the integer part of the product, which the checks keep small.
  private static func size(_ extent: Int, _ scale: Rational) -> Int {
    (Rational(extent) * scale).floor.int ?? Int.max
  }

  private static func resize(
    _ x: Value, axes: [Int], scales: [Rational], sizes: [Int], _ rule: ResizeRule, _ l: Lowering
  ) throws -> Value {
    var result = x
    // Elements that lie outside a cropped region, by axis.
    var outside: [(axis: Int, places: Set<Int>)] = []
    for (index, axis) in axes.enumerated() {
      let (scale, size, extent) = (scales[index], sizes[index], x.shape[axis])
      if size == extent && scale == 1 && rule.coordinates != .cropAndResize { continue }
      try l.checkSize([size, max(1, result.shape.count / max(1, extent))])
      // The widest filter of an antialiased reduction covers this many elements.
      try l.require(!rule.antialias || scale > Rational(1, 1 << 10), "a reduction to \(scale.nearestDouble)")
      guard extent > 0 else { throw GraphError(node: "", reason: "an empty axis cannot be resized") }
      var rows: [[(index: Int, weight: Rational)]] = []
      var dropped: Set<Int> = []
      let region = rule.region.isEmpty ? (.zero, .one) : rule.region[index]
      for place in 0..<size {
        let at = coordinate(place, scale: scale, size: size, extent: extent, region, rule.coordinates)
        guard let at, rule.coordinates != .cropAndResize || (at >= 0 && at <= Rational(extent - 1)) else {
          dropped.insert(place)
          rows.append([])
          continue
        }
        rows.append(try weights(at, scale: scale, extent: extent, rule))
      }
      if !dropped.isEmpty { outside.append((axis, dropped)) }
      if rows.allSatisfy({ $0.count <= 1 && ($0.first?.weight ?? .one) == .one }) {
        var lengths = result.shape.dims
        lengths[axis] = size
        result = try l.remapAxes(result, lengths: lengths) { a, i in a == axis ? rows[i].first?.index : i }
      } else {
        let exact = try ExactRows(rows)
        result = try alongAxis(
          result, axis, exact.rows, denominator: exact.denominator, roundings: exact.roundings, l)
      }
    }
    if rule.extrapolation != 0 {
      for (axis, places) in outside {
        var dims = [Int](repeating: 1, count: result.rank)
        dims[axis] = result.shape[axis]
        let mask = Value((0..<dims[axis]).map { places.contains($0) ? 1 : 0 }, Shape(dims), .bool)
        result = try l.choose(mask, Value(scalar: rule.extrapolation, x.type), result)
      }
    }
    return result
  }

  /// The position in the input that output `place` looks at (ONNX Resize, coordinate_transformation_mode); nil where
  /// there is none.
  static func coordinate(
    _ place: Int, scale: Rational, size: Int, extent: Int, _ region: (Rational, Rational),
    _ mode: ResizeRule.Coordinates
  ) -> Rational? {
    let half = Rational(1, 2)
    let x = Rational(place)
    let last = Rational(extent - 1)
    let outputs = scale * Rational(extent)
    guard !outputs.isZero else { return nil }
    switch mode {
    case .alignCorners: return outputs == .one ? .zero : x * last / (outputs - 1)
    case .asymmetric: return x / scale
    case .cropAndResize:
      let width = region.1 - region.0
      let offset = outputs == .one ? width * last * half : x * width * last / (outputs - 1)
      return offset + region.0 * last
    case .pytorchHalfPixel: return size == 1 ? .zero : (x + half) / scale - half
    case .halfPixel: return (x + half) / scale - half
    case .halfPixelSymmetric:
      let adjustment = Rational(size) / outputs
      return Rational(extent) * half * (1 - adjustment) + (x + half) / scale - half
    }
  }

  /// The input elements that make up the value at a position, and their weights. Elements beyond the ends count as
  /// the outermost ones.
  static func weights(_ at: Rational, scale: Rational, extent: Int, _ rule: ResizeRule) throws
    -> [(index: Int, weight: Rational)]
  {
    // Far outside only the outermost elements count.
    let far = Rational(1 << 30)
    let at = max(-far, min(far, at))
    // The ratio lies in (0, 1]: at an element it is the right neighbour of the pair.
    let base = at.isInteger ? at - 1 : at.floor
    let coefficients = Self.coefficients(at - base, scale: scale, rule)
    // Within 2^30.
    let first = (base.int ?? 0) - (coefficients.count / 2 - 1)
    var kept = coefficients.indices.map { (index: first + $0, weight: coefficients[$0]) }
    if rule.excludesOutside {
      kept = kept.filter { $0.index >= 0 && $0.index < extent }
      let total = kept.reduce(Rational.zero) { $0 + $1.weight }
      guard !total.isZero else { throw GraphError(node: "", reason: "the weights of an element sum to 0") }
      kept = kept.map { ($0.index, $0.weight / total) }
    }
    var sums: [Int: Rational] = [:]
    for (index, weight) in kept where !weight.isZero {
      sums[max(0, min(extent - 1, index)), default: .zero] += weight
    }
    return sums.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The weights of the elements around a position, by its distance from the left neighbour.
  private static func coefficients(_ ratio: Rational, scale: Rational, _ rule: ResizeRule) -> [Rational] {
    let shrink = min(scale, 1)
    let half = Rational(1, 2)
    switch rule.mode {
    case .nearest:
      let right: Bool
      switch rule.nearest {
      case _ where ratio == .one: right = true
      case .preferFloor: right = ratio > half
      case .preferCeil: right = ratio >= half
      case .floor: right = false
      case .ceil: right = true
      }
      return right ? [.zero, .one] : [.one, .zero]
    case .linear:
      if !rule.antialias { return [1 - ratio, ratio] }
      return filtered(reach: 1, shrink, ratio) { max(.zero, 1 - $0) }
    case .cubic:
      let kernel = cubicKernel(rule.cubicA)
      if !rule.antialias { return [-1, 0, 1, 2].map { kernel((Rational($0) - ratio).magnitude) } }
      return filtered(reach: 2, shrink, ratio, kernel)
    }
  }

  /// The weights of a filter that is widened for a reduction, scaled to a sum of 1.
  private static func filtered(
    reach: Int, _ shrink: Rational, _ ratio: Rational, _ kernel: (Rational) -> Rational
  ) -> [Rational] {
    // At most reach / 2^-10 elements on either side.
    let start = ((Rational(-reach) / shrink).floor.int ?? 0) + 1
    let weights = (start..<(2 - start)).map { kernel(((Rational($0) - ratio) * shrink).magnitude) }
    let total = weights.reduce(.zero, +)
    return total.isZero ? weights : weights.map { $0 / total }
  }

  /// The cubic convolution kernel with parameter a, as a function of the distance (Keys 1981).
  static func cubicKernel(_ a: Rational) -> (Rational) -> Rational {
    { t in
      if t <= 1 { return ((a + 2) * t - (a + 3)) * t * t + 1 }
      if t < 2 { return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a }
      return .zero
    }
  }
}
