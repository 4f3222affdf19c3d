import IR
import Operators
import Tensors

// Operators of the domain com.microsoft that quantisation tools write: bytes with a scale and a zero point in, the same
// out. Everywhere the meaning is to dequantise, apply the operator and quantise the result.
extension OnnxOperators {
  /// The domain of these operators.
  static let microsoftDomain = "com.microsoft"

  static let microsoft: [String: Lower] = [
    "DynamicQuantizeLSTM": { node, l in try quantizedLSTM(node, l) },
    "DynamicQuantizeMatMul": { node, l in
      let a = try dynamicallyQuantized(try node.input(0), node, l)
      let b = try centered(node, 1, zero: 3, axis: -1, l)
      let left = try l.sub(try l.cast(a.values, to: .int32), try l.cast(a.zero, to: .int32))
      let product = try l.cast(try l.matmul(left, b), to: .float32)
      let y = try l.mul(product, try l.mul(a.scale, try node.input(2)))
      return [try node.optional(4).map { try l.add(y, $0) } ?? y]
    },
    "MatMulIntegerToFloat": { node, l in
      let (a, b) = (try centered(node, 0, zero: 4, axis: -2, l), try centered(node, 1, zero: 5, axis: -1, l))
      var scale = try node.input(2)
      if scale.rank == 1, scale.shape.count > 1 { scale = try l.unsqueeze(scale, axis: 1) }
      let product = try l.cast(try l.matmul(a, b), to: .float32)
      let y = try l.mul(product, try l.mul(scale, try node.input(3)))
      return [try node.optional(6).map { try l.add(y, $0) } ?? y]
    },
    "QLinearAdd": { node, l in try quantizedPair(node, l) { try l.add($0, $1) } },
    "QLinearMul": { node, l in try quantizedPair(node, l) { try l.mul($0, $1) } },
    "QLinearLeakyRelu": { node, l in
      let slope = try node.float("alpha", default: 0.01)
      return try quantizedUnary(node, l) { try l.elementwise(Relu(negativeSlope: slope), $0) }
    },
    "QLinearSigmoid": { node, l in try quantizedUnary(node, l) { try l.elementwise(Sigmoid(), $0) } },
    "QLinearSoftmax": { node, l in
      let axis = try node.int("axis", default: -1)
      let opset = try node.int("opset", default: 13)
      return try quantizedUnary(node, l) { x in
        let axis = try l.axis(axis, x.rank, node)
        if opset >= 13 || x.shape.dims[(axis + 1)...].allSatisfy({ $0 == 1 }) {
          return try l.softmax(x, axis: axis)
        }
        let rows = x.shape.dims[..<axis].reduce(1, *)
        let matrix = try l.reshape(x, [rows, x.shape.count / max(1, rows)])
        return try l.reshape(try l.softmax(matrix, axis: 1), x.shape)
      }
    },
    "QLinearAveragePool": { node, l in
      let isLast = try node.bool("channels_last", default: false)
      return try quantizedUnary(node, l) { x in
        try channelsFirst(x, isLast, l) { try averagePool($0, node, l) }
      }
    },
    "QLinearGlobalAveragePool": { node, l in
      let isLast = try node.bool("channels_last", default: false)
      return try quantizedUnary(node, l) { x in
        try channelsFirst(x, isLast, l) {
          guard $0.rank >= 3 else { throw node.malformed("needs spatial axes, not \($0.shape)") }
          return try l.reduceMean($0, Set(2..<$0.rank))
        }
      }
    },
    "QLinearConcat": { node, l in
      guard node.inputs.count >= 5, node.inputs.count % 3 == 2 else {
        throw node.malformed("needs a scale and a zero point, and then three inputs for every part")
      }
      let parts = try stride(from: 2, to: node.inputs.count, by: 3).map { i in
        try dequantize(
          try node.input(i), scale: try scalar(node, i + 1, l), zero: try zeroPoint(node, i + 2, l), l)
      }
      let axis = try l.axis(try node.require("axis", try node.int("axis")), parts[0].rank, node)
      let y = try l.concat(parts, axis: axis)
      let zero = try zeroPoint(node, 1, l)
      return [
        try quantize(
          y, scale: try scalar(node, 0, l), zero: zero, to: zero?.type ?? (try node.input(2)).type, node, l)
      ]
    },
    "QGemm": { node, l in try quantizedGemm(node, l) },
  ]

  /// A scale that is one number.
  private static func scalar(_ node: OnnxNode, _ index: Int, _ l: Lowering) throws -> Value {
    let value = try node.input(index)
    guard value.shape.count == 1 else {
      throw node.malformed("input \(index) should be one number, not a tensor of shape \(value.shape)")
    }
    return try l.reshape(value, [])
  }

  private static func zeroPoint(_ node: OnnxNode, _ index: Int, _ l: Lowering) throws -> Value? {
    node.optional(index) == nil ? nil : try scalar(node, index, l)
  }

  /// Inputs x, its scale and zero point, the result's scale and zero point.
  private static func quantizedUnary(_ node: OnnxNode, _ l: Lowering, _ body: (Value) throws -> Value) throws
    -> [Value]
  {
    let given = try node.input(0)
    let x = try dequantize(given, scale: try scalar(node, 1, l), zero: try zeroPoint(node, 2, l), l)
    let zero = try zeroPoint(node, 4, l)
    return [
      try quantize(
        try body(x), scale: try scalar(node, 3, l), zero: zero, to: zero?.type ?? given.type, node, l)
    ]
  }

  /// Two operands of three inputs each, then the result's scale and zero point.
  private static func quantizedPair(
    _ node: OnnxNode, _ l: Lowering, _ body: (Value, Value) throws -> Value
  ) throws -> [Value] {
    let given = try node.input(0)
    let a = try dequantize(given, scale: try scalar(node, 1, l), zero: try zeroPoint(node, 2, l), l)
    let b = try dequantize(
      try node.input(3), scale: try scalar(node, 4, l), zero: try zeroPoint(node, 5, l), l)
    let zero = try zeroPoint(node, 7, l)
    return [
      try quantize(
        try body(a, b), scale: try scalar(node, 6, l), zero: zero, to: zero?.type ?? given.type, node, l)
    ]
  }

  private static func channelsFirst(
    _ x: Value, _ isLast: Bool, _ l: Lowering, _ body: (Value) throws -> Value
  ) throws -> Value {
    guard isLast else { return try body(x) }
    try l.require(x.rank >= 3, "needs spatial axes, not \(x.shape)")
    return try l.moveAxis(try body(try l.moveAxis(x, x.rank - 1, to: 1)), 1, to: x.rank - 1)
  }

  /// alpha a_scale b_scale ((A - a_zero) (B - b_zero) + C), with C in int32; a number, or bytes where a scale and a zero
  /// point of the result are given.
  private static func quantizedGemm(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    func operand(_ index: Int, _ attribute: String) throws -> Value {
      var x = try l.cast(try node.input(index), to: .int32)
      guard x.rank == 2 else { throw node.malformed("needs matrices, not \(x.shape)") }
      let isTransposed = try node.bool(attribute, default: false)
      if isTransposed { x = try l.transposeMatrix(x) }
      guard let zero = node.optional(index + 2) else { return x }
      return try l.sub(x, try l.cast(zero, to: .int32))
    }
    let alpha = try node.float("alpha", default: 1)
    var sums = try l.matmul(try operand(0, "transA"), try operand(3, "transB"))
    if let c = node.optional(6) {
      guard Shape.broadcast(c.shape, sums.shape) == sums.shape else {
        throw node.malformed("C of shape \(c.shape) does not broadcast to \(sums.shape)")
      }
      sums = try l.add(sums, c)
    }
    let scale = try l.scale(try l.mul(try node.input(1), try node.input(4)), alpha)
    guard node.optional(7) != nil else { return [try l.mul(try l.cast(sums, to: .float32), scale)] }
    let y = try l.mul(try l.cast(sums, to: .float32), try l.div(scale, try scalar(node, 7, l)))
    return [try requantize(y, zero: try zeroPoint(node, 8, l), node, l)]
  }
}
