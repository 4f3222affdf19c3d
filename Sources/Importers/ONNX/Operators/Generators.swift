import Foundation
import IR
import OnnxFormat
import Operators
import Tensors

// Operators whose result is known at import: constants, shapes, ranges, windows.
extension OnnxOperators {
  static let generators: [String: Lower] = [
    "ConstantOfShape": { node, l in
      let dims = try l.ints(try node.input(0), "the shape")
      var number = 0.0
      var type = ElementType.float32
      if let tensor = try node.tensor("value") {
        guard tensor.count == 1 else { throw node.malformed("should hold one element", attribute: "value") }
        let value = try constant(tensor, node)
        number = value.elements?.first ?? 0
        type = value.type
      }
      return [try l.filled(number, Shape(dims), type)]
    },
    "Shape": { node, l in
      let x = try node.input(0)
      func clamped(_ index: Int) -> Int { max(0, min(x.rank, index < 0 ? index + x.rank : index)) }
      let start = clamped(try node.int("start", default: 0))
      let end = clamped(try node.int("end", default: x.rank))
      return [Value(integers: start < end ? Array(x.shape.dims[start..<end]) : [])]
    },
    "Size": { node, l in [Value(scalar: Double(try node.input(0).shape.count), .int64)] },
    "Range": { node, l in
      node.ignore("stash_type")
      let first = try node.input(0)
      let start = try l.scalar(first, "the start")
      let limit = try l.scalar(try node.input(1), "the limit")
      let step = try l.scalar(try node.input(2), "the step")
      guard step != 0, start.isFinite, limit.isFinite, step.isFinite else {
        throw node.malformed("a range from \(start) to \(limit) by \(step) has no end")
      }
      let count = max(0, ((limit - start) / step).rounded(.up))
      guard count <= Double(l.foldingLimit) else {
        throw node.malformed("a range of \(count) elements is too long")
      }
      let elements = (0..<Int(count)).map { start + Double($0) * step }
      return [Value(elements, [elements.count], first.type)]
    },
    "EyeLike": { node, l in
      let x = try node.input(0)
      guard x.rank == 2 else { throw node.malformed("needs a matrix, not a tensor of shape \(x.shape)") }
      let type = try node.int("dtype").map { try elementType($0, node, "dtype") } ?? x.type
      let k = try node.int("k", default: 0)
      try l.checkSize(x.shape, limit: l.foldingLimit)
      let columns = x.shape[1]
      let elements = (0..<x.shape.count).map { $0 % columns - $0 / columns == k ? 1.0 : 0.0 }
      return [Value(elements, x.shape, type)]
    },
    "OneHot": { node, l in [try oneHot(node, l)] },
    "NonZero": { node, l in
      let x = try node.input(0)
      let elements = try l.doubles(x, "the elements to look at")
      let places = elements.indices.filter { elements[$0] != 0 }
      let rank = max(1, x.rank)
      let strides = x.rank == 0 ? [1] : x.shape.strides
      let dims = x.rank == 0 ? [1] : x.shape.dims
      let coordinates = (0..<rank).flatMap { axis in places.map { Double($0 / strides[axis] % dims[axis]) } }
      return [Value(coordinates, [rank, places.count], .int64)]
    },
    "Unique": { node, l in try unique(node, l) },
    "Det": { node, l in
      let x = try node.input(0)
      guard x.rank >= 2, x.shape[x.rank - 1] == x.shape[x.rank - 2] else {
        throw node.malformed("needs square matrices, not a tensor of shape \(x.shape)")
      }
      return [try determinant(x, l, node)]
    },
    "Constant": { node, l in
      let scalar: (Double, ElementType)?
      if let f = try node.float("value_float", infinite: true) {
        scalar = (f, .float32)
      } else if let i = try node.exactInt("value_int") {
        scalar = (Double(i), .int64)
      } else {
        scalar = nil
      }
      if let scalar { return [Value(scalar: scalar.0, scalar.1)] }
      if let floats = try node.floats("value_floats") { return [Value(floats, [floats.count], .float32)] }
      if let ints = try node.exactInts("value_ints") { return [Value(integers: ints)] }
      if let text = try node.string("value_string") { return [Value(text: [text], shape: [])] }
      if let texts = try node.strings("value_strings") { return [Value(text: texts, shape: [texts.count])] }
      if let sparse = try node.sparseTensor("sparse_value") { return [try constant(sparse, node)] }
      let tensor = try node.require("value", try node.tensor("value"))
      if case .float32(let numbers) = tensor.values, tensor.type == .float32, numbers.count == 1,
        !numbers[0].isNaN
      {
        let isEpsilon = node.proto.output.contains(where: l.epsilons.contains)
        let literal = isEpsilon ? l.literals.decimal(numbers[0]) : l.literals.root(numbers[0])
        if let literal { return [Value([literal], Shape(tensor.shape), .float32)] }
      }
      return [try constant(tensor, node)]
    },
  ]

  /// Windows of signal processing and the mel filter bank; their size is known at import.
  static let windows: [String: Lower] = [
    "HannWindow": { node, l in [try window(node, l) { 0.5 - 0.5 * cos(2 * .pi * $0) }] },
    "HammingWindow": { node, l in
      // The coefficients of the ONNX definition: 25/46 and 21/46.
      [try window(node, l) { 25.0 / 46 - 21.0 / 46 * cos(2 * .pi * $0) }]
    },
    "BlackmanWindow": { node, l in
      [try window(node, l) { 0.42 - 0.5 * cos(2 * .pi * $0) + 0.08 * cos(4 * .pi * $0) }]
    },
    "MelWeightMatrix": { node, l in [try melWeights(node, l)] },
  ]

  private static func window(_ node: OnnxNode, _ l: Lowering, _ value: (Double) -> Double) throws -> Value {
    let size = try l.int(try node.input(0), "the size")
    guard size >= 0, size <= l.foldingLimit else { throw node.malformed("\(size) is no window size") }
    let type = try elementType(try node.int("output_datatype", default: 1), node, "output_datatype")
    let periodic = try node.bool("periodic", default: true)
    let period = Double(periodic ? size : size - 1)
    return Value((0..<size).map { value(Double($0) / period) }, [size], type)
  }

  private static func melWeights(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let bins = try l.int(try node.input(0), "the number of mel bins")
    let length = try l.int(try node.input(1), "the DFT length")
    let rate = try l.int(try node.input(2), "the sample rate")
    let low = try l.scalar(try node.input(3), "the lower edge")
    let high = try l.scalar(try node.input(4), "the upper edge")
    let type = try elementType(try node.int("output_datatype", default: 1), node, "output_datatype")
    guard bins > 0, length > 0, rate > 0, bins < 1 << 16, length < 1 << 20 else {
      throw node.malformed("\(bins) bins of a DFT of length \(length) at rate \(rate) are not possible")
    }
    let spectrum = length / 2 + 1
    func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
    let step = (mel(high) - mel(low)) / Double(bins + 2)
    let edges = (0..<(bins + 2)).map { i -> Int in
      let hertz = 700 * (pow(10, (Double(i) * step + mel(low)) / 2595) - 1)
      // Edges outside the spectrum reach nothing; those that are no numbers neither.
      let edge = (Double(length + 1) * hertz / Double(rate)).rounded(.down)
      return edge.isFinite ? Int(max(-1, min(1e9, edge))) : -1
    }
    var result = [Double](repeating: 0, count: spectrum * bins)
    for bin in 0..<bins {
      let (left, center, right) = (edges[bin], edges[bin + 1], edges[bin + 2])
      if left == center, center < spectrum, center >= 0 { result[center * bins + bin] = 1 }
      for i in max(0, left)..<max(0, left, min(center + 1, spectrum)) where center > left {
        result[i * bins + bin] = Double(i - left) / Double(center - left)
      }
      for i in max(0, center)..<max(0, center, min(right, spectrum)) where right > center {
        result[i * bins + bin] = Double(right - i) / Double(right - center)
      }
    }
    return Value(result, [spectrum, bins], type)
  }

  /// A tensor attribute as a constant.
  static func constant(_ tensor: OnnxTensor, _ node: OnnxNode) throws -> Value {
    guard let type = OnnxElementTypes.type(tensor.type.rawValue) else {
      if case .text(let strings) = tensor.values { return Value(text: strings, shape: Shape(tensor.shape)) }
      throw node.unsupported("the element type \(tensor.type) is not supported", attribute: "value")
    }
    if tensor.containsNaN { throw node.malformed("holds values that are not numbers", attribute: "value") }
    return Value(OnnxElementTypes.doubles(tensor), Shape(tensor.shape), type)
  }

  private static func oneHot(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let indices = try node.input(0)
    let depth = try l.int(try node.input(1), "the depth")
    let values = try node.input(2)
    guard depth > 0, depth <= l.foldingLimit, values.shape == [2] else {
      throw node.malformed("needs a positive depth and two values")
    }
    let axis = try l.axis(try node.int("axis", default: -1), indices.rank + 1, node)
    // Indices may count from the end; all others outside give 'off' everywhere.
    let negative = try l.compare(.less, indices, Value(scalar: 0, indices.type))
    let resolved = try l.choose(negative, try l.add(indices, Double(depth)), indices)
    let spread = try l.unsqueeze(resolved, axis: axis)
    var dims = [Int](repeating: 1, count: indices.rank + 1)
    dims[axis] = depth
    let classes = Value((0..<depth).map { Double($0) }, Shape(dims), indices.type)
    let hot = try l.compare(.equal, spread, classes)
    let off = try l.select(values, axis: 0, 0)
    let on = try l.select(values, axis: 0, 1)
    return try l.choose(hot, on, off)
  }

  /// Unique: the distinct elements (or slices), where they first stand, the way back, and how often they occur.
  private static func unique(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let x = try node.input(0)
    let elements = try l.doubles(x, "the elements to look at")
    let sorted = try node.bool("sorted", default: true)
    let axis = try node.int("axis").map { try l.axis($0, x.rank, node) }
    let flat = axis == nil ? try l.reshape(x, [x.shape.count]) : try l.moveAxis(x, axis ?? 0, to: 0)
    let rows = flat.shape[0]
    let width = rows == 0 ? 0 : flat.shape.count / rows
    let data = axis == nil ? elements : flat.elements ?? []
    let slices = (0..<rows).map { Array(data[($0 * width)..<(($0 + 1) * width)]) }
    var first: [[Double]: Int] = [:]
    var order: [[Double]] = []
    for (row, slice) in slices.enumerated() where first[slice] == nil {
      first[slice] = row
      order.append(slice)
    }
    if sorted { order.sort { $0.lexicographicallyPrecedes($1) } }
    var place: [[Double]: Int] = [:]
    for (index, slice) in order.enumerated() { place[slice] = index }
    var counts = [Double](repeating: 0, count: order.count)
    let inverse = slices.map { Double(place[$0] ?? 0) }
    for index in inverse { counts[Int(index)] += 1 }
    let firsts = order.map { Double(first[$0] ?? 0) }
    let picked = try l.take(flat, axis: 0, firsts.map { Int($0) })
    let values = try axis.map { try l.moveAxis(picked, 0, to: $0) } ?? picked
    return [
      values, Value(firsts, [firsts.count], .int64), Value(inverse, [inverse.count], .int64),
      Value(counts, [counts.count], .int64),
    ]
  }

  /// The determinant of the matrices of the last two axes, by expansion along the first row.
  private static func determinant(_ x: Value, _ l: Lowering, _ node: OnnxNode) throws -> Value {
    let n = x.shape[x.rank - 1]
    guard n >= 1, n <= 6 else {
      throw node.unsupported("determinants are expanded, which is supported up to 6 x 6")
    }
    let row = try l.select(x, axis: x.rank - 2, 0)
    if n == 1 { return try l.select(row, axis: row.rank - 1, 0) }
    let rest = try l.slice(x, axis: x.rank - 2, 1..<n)
    var terms: [Value] = []
    for column in 0..<n {
      let minor = try l.take(rest, axis: x.rank - 1, (0..<n).filter { $0 != column })
      let product = try l.mul(
        try l.select(row, axis: row.rank - 1, column), try determinant(minor, l, node))
      terms.append(column % 2 == 0 ? product : try l.negate(product))
    }
    return try l.sum(terms)
  }
}
