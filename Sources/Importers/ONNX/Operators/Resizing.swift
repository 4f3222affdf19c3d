import Foundation
import IR
import Operators
import Tensors

// Resize and its predecessor: one sparse matrix per axis.
extension OnnxOperators {
  static let resizing: [String: Lower] = [
    "Resize": { node, l in [try resize(node, l)] },
    "Upsample": { node, l in
      guard node.version < 10 else { throw node.unsupported("Upsample ended with opset 9") }
      let x = try node.input(0)
      let scales =
        node.version < 9
        ? try node.require("scales", try node.floats("scales"))
        : try l.doubles(try node.input(1), "the scales")
      guard scales.count == x.rank, scales.allSatisfy({ $0 > 0 && $0 < 0x1p28 }) else {
        throw node.malformed("scales \(scales) do not fit \(x.shape)")
      }
      var rule = ResizeRule()
      rule.coordinates = .asymmetric
      rule.nearest = .floor
      rule.mode = try node.choice("mode", default: .nearest)
      let sizes = zip(x.shape.dims, scales).map { Int((Double($0) * $1).rounded(.down)) }
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
    var mode = Mode.nearest
    var coordinates = Coordinates.halfPixel
    var nearest = Nearest.preferFloor
    var cubicA = -0.75
    var excludesOutside = false
    var antialias = false
    var extrapolation = 0.0
    /// Start and end of the cropped region by axis.
    var region: [(Double, Double)] = []
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
    rule.cubicA = try node.float("cubic_coeff_a", default: -0.75)
    rule.excludesOutside = try node.bool("exclude_outside", default: false)
    rule.antialias = try node.bool("antialias", default: false)
    rule.extrapolation = try node.float("extrapolation_value", default: 0)
    let aspect: ResizeRule.Aspect = try node.choice("keep_aspect_ratio_policy", default: .stretch)
    let axes = try node.ints("axes").map { try l.axes($0, x.rank, node) } ?? Array(0..<x.rank)
    func list(_ index: Int, _ what: String) throws -> [Double]? {
      guard let value = node.optional(index) else { return nil }
      let numbers = try l.doubles(value, what)
      return numbers.isEmpty ? nil : numbers
    }
    var scales = try list(node.version < 11 ? 1 : 2, "the scales")
    let wanted = node.version < 11 ? nil : try list(3, "the sizes")
    var sizes: [Int]
    if let wanted, scales == nil {
      guard wanted.count == axes.count, wanted.allSatisfy({ $0 >= 0 && $0 < 0x1p28 }) else {
        throw node.malformed("sizes \(wanted) do not fit \(axes.count) axes")
      }
      let ratios = zip(wanted, axes).map { $0 / Double(max(1, x.shape[$1])) }
      switch aspect {
      case .stretch:
        scales = ratios
        sizes = wanted.map { Int($0) }
      case .notLarger, .notSmaller:
        let common = (aspect == .notLarger ? ratios.min() : ratios.max()) ?? 1
        scales = ratios.map { _ in common }
        sizes = axes.map { Int((common * Double(x.shape[$0]) + 0.5).rounded(.down)) }
      }
    } else {
      guard let scales, scales.count == axes.count, scales.allSatisfy({ $0 > 0 && $0 < 0x1p28 }) else {
        throw node.malformed("needs one positive scale, or a size, for each of \(axes.count) axes")
      }
      sizes = zip(scales, axes).map { Int((Double(x.shape[$1]) * $0).rounded(.down)) }
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

  private static func resize(
    _ x: Value, axes: [Int], scales: [Double], sizes: [Int], _ rule: ResizeRule, _ l: Lowering
  ) throws -> Value {
    var result = x
    // Elements that lie outside a cropped region, by axis.
    var outside: [(axis: Int, places: Set<Int>)] = []
    for (index, axis) in axes.enumerated() {
      let (scale, size, extent) = (scales[index], sizes[index], x.shape[axis])
      if size == extent && scale == 1 && rule.coordinates != .cropAndResize { continue }
      try l.checkSize([size, max(1, result.shape.count / max(1, extent))])
      // The widest filter of an antialiased reduction covers this many elements.
      try l.require(!rule.antialias || scale > 0x1p-10, "a reduction by \(1 / scale)")
      guard extent > 0 else { throw GraphError(node: "", reason: "an empty axis cannot be resized") }
      var rows: [[SparseEntry]] = []
      var dropped: Set<Int> = []
      for place in 0..<size {
        let region = rule.region.isEmpty ? (0.0, 1.0) : rule.region[index]
        let at = coordinate(place, scale: scale, size: size, extent: extent, region, rule.coordinates)
        if !at.isFinite || (rule.coordinates == .cropAndResize && (at < 0 || at > Double(extent - 1))) {
          dropped.insert(place)
          rows.append([])
        } else {
          rows.append(weights(at, scale: scale, extent: extent, rule))
        }
      }
      if !dropped.isEmpty { outside.append((axis, dropped)) }
      if rows.allSatisfy({ $0.count <= 1 && ($0.first?.coefficient ?? 1) == 1 }) {
        var lengths = result.shape.dims
        lengths[axis] = size
        result = try l.remapAxes(result, lengths: lengths) { a, i in a == axis ? rows[i].first?.index : i }
      } else {
        // Weights come from a handful of operations each.
        result = try alongAxis(result, axis, rows, roundings: 16, l)
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

  /// The position in the input that output `place` looks at (ONNX Resize, coordinate_transformation_mode).
  private static func coordinate(
    _ place: Int, scale: Double, size: Int, extent: Int, _ region: (Double, Double),
    _ mode: ResizeRule.Coordinates
  ) -> Double {
    let x = Double(place)
    let inputs = Double(extent)
    let outputs = scale * inputs
    switch mode {
    case .alignCorners: return outputs == 1 ? 0 : x * (inputs - 1) / (outputs - 1)
    case .asymmetric: return x / scale
    case .cropAndResize:
      let width = region.1 - region.0
      let offset =
        outputs == 1 ? width * (inputs - 1) / 2 : x * width * (inputs - 1) / (outputs - 1)
      return offset + region.0 * (inputs - 1)
    case .pytorchHalfPixel: return outputs == 1 ? -0.5 : (x + 0.5) / scale - 0.5
    case .halfPixel: return (x + 0.5) / scale - 0.5
    case .halfPixelSymmetric:
      let adjustment = Double(size) / outputs
      return inputs / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    }
  }

  /// The input elements that make up the value at a position, and their weights. Elements beyond the ends count as
  /// the outermost ones.
  private static func weights(_ at: Double, scale: Double, extent: Int, _ rule: ResizeRule) -> [SparseEntry] {
    // Far outside only the outermost elements count.
    let at = max(-1e9, min(1e9, at))
    let isInteger = at == at.rounded()
    // The ratio lies in (0, 1]: at an element it is the right neighbour of the pair.
    let base = Int(isInteger ? at - 1 : at.rounded(.down))
    let ratio = isInteger ? 1 : at - at.rounded(.down)
    let coefficients = Self.coefficients(ratio, scale: scale, isInteger: isInteger, rule)
    let first = base - (coefficients.count / 2 - 1)
    var kept = coefficients.indices.map { (first + $0, coefficients[$0]) }
    if rule.excludesOutside {
      kept = kept.filter { $0.0 >= 0 && $0.0 < extent }
      let total = kept.reduce(0) { $0 + $1.1 }
      kept = kept.map { ($0.0, $0.1 / total) }
    }
    var sums: [Int: Double] = [:]
    for (index, weight) in kept where weight != 0 {
      sums[max(0, min(extent - 1, index)), default: 0] += weight
    }
    return sums.sorted { $0.key < $1.key }.map { SparseEntry($0.key, $0.value) }
  }

  private static func coefficients(_ ratio: Double, scale: Double, isInteger: Bool, _ rule: ResizeRule)
    -> [Double]
  {
    let shrink = min(scale, 1)
    switch rule.mode {
    case .nearest:
      if isInteger { return [0, 1] }
      let right: Bool
      switch rule.nearest {
      case .preferFloor: right = ratio > 0.5
      case .preferCeil: right = ratio >= 0.5
      case .floor: right = false
      case .ceil: right = true
      }
      return right ? [0, 1] : [1, 0]
    case .linear:
      if !rule.antialias { return [1 - ratio, ratio] }
      let start = Int((-1 / shrink).rounded(.down)) + 1
      let weights = (start..<(2 - start)).map { max(0, 1 - abs((Double($0) - ratio) * shrink)) }
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    case .cubic:
      let a = rule.cubicA
      func kernel(_ distance: Double) -> Double {
        let t = abs(distance)
        if t <= 1 { return ((a + 2) * t - (a + 3)) * t * t + 1 }
        if t < 2 { return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a }
        return 0
      }
      if !rule.antialias { return [-1, 0, 1, 2].map { kernel($0 - ratio) } }
      let start = Int((-2 / shrink).rounded(.down)) + 1
      let weights = (start..<(2 - start)).map { kernel(shrink * (Double($0) - ratio)) }
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    }
  }
}
