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
      guard let range = type.integerRange, range.upperBound < 0x1p32 else {
        throw node.unsupported("quantising to \(type) is not supported")
      }
      let s = try perAxis(scale, x, axis, node, l)
      var y = try l.elementwise(Round(), try l.div(x, s))
      if let zero = node.optional(2) {
        y = try l.add(y, try perAxis(try l.cast(zero, to: x.type), x, axis, node, l))
      }
      let clipped = try l.elementwise(Operators.Clip(range.lowerBound, range.upperBound), y)
      return [try l.cast(clipped, to: type)]
    },
    "MatMulInteger": { node, l in
      let (a, b) = (try centered(node, 0, zero: 2, axis: -2, l), try centered(node, 1, zero: 3, axis: -1, l))
      return [try l.matmul(a, b)]
    },
  ]

  /// An integer input as int32 with its zero point subtracted.
  private static func centered(_ node: OnnxNode, _ index: Int, zero: Int, axis: Int, _ l: Lowering) throws
    -> Value
  {
    let x = try l.cast(try node.input(index), to: .int32)
    guard let zeroPoint = node.optional(zero) else { return x }
    var z = try l.cast(zeroPoint, to: .int32)
    if z.rank == 1, z.shape.count > 1, axis == -2 { z = try l.unsqueeze(z, axis: 1) }
    return try l.sub(x, z)
  }

  /// A scale or zero point in the shape that broadcasts to `x`: one number, one per index of an axis, or blocks.
  private static func perAxis(_ value: Value, _ x: Value, _ axis: Int, _ node: OnnxNode, _ l: Lowering) throws
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
