import IR
import Operators
import Tensors

// Conversion between integers and the numbers they stand for. Types of at least 8 bits.
extension OnnxOperators {
  static let quantization: [String: Lower] = [
    "DequantizeLinear": { node, l in
      node.ignore("output_dtype", "block_size")
      let (x, scale) = (try node.input(0), try node.input(1))
      let axis = try node.int("axis", default: 1)
      let s = try perAxis(scale, x, axis, node, l)
      let zero = try node.optional(2).map { try perAxis(try l.cast($0, to: scale.type), x, axis, node, l) }
      var y = try l.cast(x, to: scale.type)
      if let zero { y = try l.sub(y, zero) }
      return [try l.mul(y, s)]
    },
    "QuantizeLinear": { node, l in
      node.ignore("saturate", "block_size", "precision")
      let (x, scale) = (try node.input(0), try node.input(1))
      let axis = try node.int("axis", default: 1)
      let given = try node.int("output_dtype", default: 0)
      let named = given == 0 ? nil : try elementType(given, node, "output_dtype")
      let type = named ?? node.optional(2)?.type ?? .uint8
      let zero = try node.optional(2).map { try perAxis($0, x, axis, node, l) }
      return [try quantize(x, scale: try perAxis(scale, x, axis, node, l), zero: zero, to: type, node, l)]
    },
    "DynamicQuantizeLinear": { node, l in
      let quantized = try dynamicallyQuantized(try node.input(0), node, l)
      return [quantized.values, quantized.scale, quantized.zero]
    },
    "MatMulInteger": { node, l in
      let (a, b) = (try centered(node, 0, zero: 2, axis: -2, l), try centered(node, 1, zero: 3, axis: -1, l))
      return [try l.matmul(a, b)]
    },
    "ConvInteger": { node, l in
      let x = try centered(node, 0, zero: 2, axis: -1, l)
      return [try conv(x, try centeredKernel(node, 1, zero: 3, l), nil, node, l)]
    },
    "QLinearMatMul": { node, l in
      let (a, b) = (try centered(node, 0, zero: 2, axis: -2, l), try centered(node, 3, zero: 5, axis: -1, l))
      let left = try rows(try node.input(1), l)
      let factor = try l.div(try l.mul(left, try node.input(4)), try node.input(6))
      let y = try l.mul(try l.cast(try l.matmul(a, b), to: .float32), factor)
      return [try requantize(y, zero: try node.input(7), node, l)]
    },
    "QLinearConv": { node, l in
      let x = try centered(node, 0, zero: 2, axis: -1, l)
      let sums = try conv(x, try centeredKernel(node, 3, zero: 5, l), node.optional(8), node, l)
      let scale = try l.mul(try node.input(1), try channels(try node.input(4), sums, node, l))
      let y = try l.mul(try l.cast(sums, to: .float32), try l.div(scale, try node.input(6)))
      return [try requantize(y, zero: try node.input(7), node, l)]
    },
  ]

  /// The nearest integer to x / scale plus the zero point, in the range of `type`; ties go to even numbers.
  ///
  /// - Parameters:
  ///   - zero: a zero point that broadcasts to `x`, of any type; nil for 0.
  static func quantize(
    _ x: Value, scale: Value, zero: Value?, to type: ElementType, _ node: OnnxNode, _ l: Lowering
  ) throws -> Value {
    try requantize(try l.div(x, scale), zero: zero, to: type, node, l)
  }

  /// Numbers in units of the result's scale, rounded and shifted by the zero point into the range of its type.
  static func requantize(
    _ x: Value, zero: Value?, to given: ElementType? = nil, _ node: OnnxNode, _ l: Lowering
  ) throws -> Value {
    let type = given ?? zero?.type ?? .uint8
    guard let range = type.integerRange, range.upperBound < 0x1p32 else {
      throw node.unsupported("quantising to \(type) is not supported")
    }
    var y = try l.elementwise(Round(), x)
    if let zero { y = try l.add(y, try l.cast(zero, to: x.type)) }
    let clipped = try l.elementwise(Operators.Clip(range.lowerBound, range.upperBound), y)
    // Integers already: the cast moves data and truncates nothing.
    return try l.linear(Reshape.identity(clipped.shape), clipped, type: type)
  }

  /// (x - zero) scale, in the type of the scale.
  static func dequantize(_ x: Value, scale: Value, zero: Value?, _ l: Lowering) throws -> Value {
    var y = try l.cast(x, to: scale.type)
    if let zero { y = try l.sub(y, try l.cast(zero, to: scale.type)) }
    return try l.mul(y, scale)
  }

  /// Bytes with a scale and a zero point that follow from the values themselves.
  struct DynamicallyQuantized {
    /// uint8.
    var values: Value
    /// One float32, one uint8.
    var scale: Value
    var zero: Value
  }

  /// Bytes that span the values and 0. Where all values are 0 the scale is 1, as in deployed runtimes; the standard
  /// leaves the case open.
  static func dynamicallyQuantized(_ x: Value, _ node: OnnxNode, _ l: Lowering) throws
    -> DynamicallyQuantized
  {
    guard x.type == .float32, x.shape.count > 0 else {
      throw node.malformed("needs float32 numbers, not \(x.type) of shape \(x.shape)")
    }
    let axes = Set(0..<x.rank)
    func span(_ extremum: Selection.Extremum) throws -> Value {
      let one = try l.reshape(try l.reduceExtremum(extremum, x, axes), [])
      return try l.extremum(extremum, [one, Value(scalar: 0, x.type)])
    }
    let (top, bottom) = (try span(.maximum), try span(.minimum))
    let steps = Value(scalar: 255, x.type)
    let width = try l.composite(Quotient([], []), [try l.sub(top, bottom), steps])
    let isEmpty = try l.compare(.equal, width, Value(scalar: 0, x.type))
    let scale = try l.choose(isEmpty, Value(scalar: 1, x.type), width)
    let offset = try l.elementwise(Operators.Clip(0, 255), try l.div(try l.negate(bottom), scale))
    let zero = try l.linear(
      Reshape.identity([]), try l.elementwise(Round(), offset), type: .uint8)
    return DynamicallyQuantized(
      values: try quantize(x, scale: scale, zero: zero, to: .uint8, node, l), scale: scale, zero: zero)
  }

  /// A quantised input's kernel as int32 with its zero point, one or one per output channel, subtracted.
  private static func centeredKernel(_ node: OnnxNode, _ index: Int, zero: Int, _ l: Lowering) throws -> Value
  {
    let w = try l.cast(try node.input(index), to: .int32)
    guard let zeroPoint = node.optional(zero) else { return w }
    var z = try l.cast(zeroPoint, to: .int32)
    if z.shape.count == 1 {
      z = try l.reshape(z, [])
    } else {
      guard z.rank == 1, w.rank > 0, z.shape[0] == w.shape[0] else {
        throw node.malformed("zero points of shape \(z.shape) do not fit weights of shape \(w.shape)")
      }
      z = try l.reshape(z, Shape([z.shape[0]] + [Int](repeating: 1, count: w.rank - 1)))
    }
    return try l.sub(w, z)
  }

  /// One scale, or one per row of a matrix, in the shape that broadcasts to the product.
  private static func rows(_ scale: Value, _ l: Lowering) throws -> Value {
    scale.rank == 1 && scale.shape.count > 1 ? try l.unsqueeze(scale, axis: 1) : scale
  }

  /// One number, or one per channel of `y`, in the shape that broadcasts to it.
  private static func channels(_ value: Value, _ y: Value, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    if value.shape.count == 1 { return try l.reshape(value, []) }
    guard value.rank == 1, y.rank >= 2, value.shape[0] == y.shape[1] else {
      throw node.malformed("scales of shape \(value.shape) do not fit \(y.shape)")
    }
    return try l.reshape(value, Shape([1, value.shape[0]] + [Int](repeating: 1, count: y.rank - 2)))
  }

  /// An integer input as int32 with its zero point subtracted.
  static func centered(_ node: OnnxNode, _ index: Int, zero: Int, axis: Int, _ l: Lowering) throws
    -> Value
  {
    let x = try l.cast(try node.input(index), to: .int32)
    guard let zeroPoint = node.optional(zero) else { return x }
    var z = try l.cast(zeroPoint, to: .int32)
    if z.rank == 1, z.shape.count > 1, axis == -2 { z = try l.unsqueeze(z, axis: 1) }
    return try l.sub(x, z)
  }

  /// A scale or zero point in the shape that broadcasts to `x`: one number, one per index of an axis, or blocks.
  static func perAxis(_ value: Value, _ x: Value, _ axis: Int, _ node: OnnxNode, _ l: Lowering) throws
    -> Value
  {
    if value.shape.count == 1 { return try l.reshape(value, []) }
    let resolved = try l.axis(axis, x.rank, node)
    if value.rank == x.rank {
      let blocks = value.shape[resolved]
      guard blocks > 0, x.shape[resolved] % blocks == 0 else {
        throw node.malformed("blocks of \(value.shape) do not fit \(x.shape)")
      }
      let size = x.shape[resolved] / blocks
      return try l.take(value, axis: resolved, (0..<x.shape[resolved]).map { $0 / size })
    }
    guard value.rank == 1, value.shape[0] == x.shape[resolved] else {
      throw node.malformed("scales of shape \(value.shape) do not fit axis \(axis) of \(x.shape)")
    }
    var dims = [Int](repeating: 1, count: x.rank)
    dims[resolved] = value.shape[0]
    return try l.reshape(value, Shape(dims))
  }
}
