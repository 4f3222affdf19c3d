import Foundation
import IR
import OnnxFormat
import Operators
import Rigor
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
      return [try range(first, try node.input(1), try node.input(2), node, l)]
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
      let elements = try l.exactDoubles(x, "the elements to look at")
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
        numbers[0].isFinite
      {
        var value = try constant(tensor, node)
        value.literal = Literals.Readings(stored: numbers[0], literals: l.literals)
        return [value]
      }
      return [try constant(tensor, node)]
    },
  ]

  /// Range: `first`, `first + delta` and so on below the limit.
  private static func range(_ first: Value, _ last: Value, _ delta: Value, _ node: OnnxNode, _ l: Lowering)
    throws -> Value
  {
    func number(_ value: Value, _ what: String) throws -> Rational {
      let elements = try l.rationals(value, what)
      guard elements.count == 1 else { throw node.malformed("\(what) should be one number") }
      return elements[0]
    }
    let start = try number(first, "the start")
    let step = try number(delta, "the step")
    let limit = try number(last, "the limit")
    guard !step.isZero else { throw node.malformed("a range with the step 0 has no end") }
    guard let count = ((limit - start) / step).ceiling.int, count <= l.foldingLimit else {
      throw node.malformed("the range has too many elements")
    }
    if let (a, d) = start.int.flatMap({ a in step.int.map { (a, $0) } }), a.magnitude < 1 << 40,
      d.magnitude < 1 << 20
    {
      // Integers that Float64 holds: fewer than 2^25 steps.
      return Value((0..<max(0, count)).map { Double(a + $0 * d) }, [max(0, count)], first.type)
    }
    let elements = (0..<max(0, count)).map { start + Rational($0) * step }
    return try ExactRows.constant(elements, [elements.count], first.type)
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
    let elements = try l.exactDoubles(x, "the elements to look at")
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
