import IR
import Operators
import Tensors

// Unary functions of every element.
extension OnnxOperators {
  static let activations: [String: Lower] = {
    var table: [String: Lower] = [
      "Elu": { node, l in
        [try l.elementwise(Elu.elu(alpha: try node.float("alpha", default: 1)), try node.input(0))]
      },
      "Celu": { node, l in
        let alpha = try node.float("alpha", default: 1)
        guard alpha != 0 else { throw node.malformed("must not be 0", attribute: "alpha") }
        return [try l.elementwise(Elu.celu(alpha: alpha), try node.input(0))]
      },
      "Selu": { node, l in
        let alpha = try node.float("alpha", default: 1.67326319217681884765625)
        let gamma = try node.float("gamma", default: 1.05070102214813232421875)
        return [try l.elementwise(Elu.selu(alpha: alpha, gamma: gamma), try node.input(0))]
      },
      "LeakyRelu": { node, l in
        let slope = try node.float("alpha", default: 0.01)
        return [try l.elementwise(Relu(negativeSlope: slope), try node.input(0))]
      },
      "PRelu": { node, l in [try prelu(try node.input(0), try node.input(1), l)] },
      "ThresholdedRelu": { node, l in
        let alpha = try node.float("alpha", default: 1)
        return [try l.elementwise(ThresholdedRelu(alpha: alpha), try node.input(0))]
      },
      "HardSigmoid": { node, l in
        let alpha = try node.float("alpha", default: 0.2)
        let beta = try node.float("beta", default: 0.5)
        return [try hardSigmoid(try node.input(0), alpha, beta, l)]
      },
      "Shrink": { node, l in
        let bias = try node.float("bias", default: 0)
        let lambda = try node.float("lambd", default: 0.5)
        guard lambda >= 0 else {
          throw node.unsupported("negative thresholds are not supported", attribute: "lambd")
        }
        return [try l.elementwise(Shrink(lambda: lambda, bias: bias), try node.input(0))]
      },
      "Gelu": { node, l in
        let x = try node.input(0)
        switch try node.string("approximate") ?? "none" {
        case "none": return [try l.elementwise(Gelu(), x)]
        case "tanh": return [try l.elementwise(GeluTanh(), x)]
        case let other: throw node.malformed("'\(other)' is neither none nor tanh", attribute: "approximate")
        }
      },
      "Swish": { node, l in
        let alpha = try node.float("alpha", default: 1)
        return [try swish(try node.input(0), alpha, l)]
      },
      "SwiGLU": { node, l in
        // Swish of the gate times the linear half; the halves are one input or two.
        let alpha = try node.float("alpha", default: 1)
        let gate: Value
        let linear: Value
        if node.optional(1) != nil {
          gate = try node.input(0)
          linear = try node.input(1)
        } else {
          let x = try node.input(0)
          let axis = try l.axis(try node.int("axis", default: -1), x.rank, node)
          let half = x.shape[axis] / 2
          gate = try l.slice(x, axis: axis, 0..<half)
          linear = try l.slice(x, axis: axis, half..<(2 * half))
        }
        return [try l.mul(try swish(gate, alpha, l), linear)]
      },
      "Dropout": { node, l in
        node.ignore("ratio", "seed")
        if let training = node.optional(2), try l.scalar(training, "the training mode") != 0 {
          throw node.unsupported("in training mode its value is random", attribute: "training_mode")
        }
        let x = try node.input(0)
        let mask = try l.filled(1, x.shape, .bool)
        return [x, mask]
      },
      "Clip": { node, l in [try clip(node, l)] },
      "IsNaN": { node, l in [try l.elementwise(IsNaN(), try node.input(0), type: .bool)] },
      "IsInf": { node, l in
        let positive = try node.bool("detect_positive", default: true)
        let negative = try node.bool("detect_negative", default: true)
        let f = IsInf(detectsNegative: negative, detectsPositive: positive)
        return [try l.elementwise(f, try node.input(0), type: .bool)]
      },
      "Neg": { node, l in [try l.negate(try node.input(0))] },
      "Reciprocal": { node, l in [try l.reciprocal(try node.input(0))] },
      "Identity": { node, l in [try node.input(0)] },
    ]
    for name in Lowering.plainFunctions.keys {
      table[name] = { node, l in
        // The table was made from this dictionary's keys.
        guard let f = Lowering.plainFunctions[node.op] else {
          throw node.unsupported("the operator is not supported")
        }
        let x = try node.input(0)
        if !x.type.isFloatingPoint && Lowering.integerIdentities.contains(node.op) { return [x] }
        return [try l.elementwise(f, x)]
      }
    }
    return table
  }()

  /// max(0, min(1, alpha x + beta)).
  static func hardSigmoid(_ x: Value, _ alpha: Double, _ beta: Double, _ l: Lowering) throws -> Value {
    if alpha > 0 { return try l.elementwise(HardSigmoid(alpha: alpha, beta: beta), x) }
    return try l.elementwise(Operators.Clip(0, 1), try l.add(try l.scale(x, alpha), beta))
  }

  static func swish(_ x: Value, _ alpha: Double, _ l: Lowering) throws -> Value {
    try l.elementwise(Silu(alpha: alpha), x)
  }

  /// x where x >= 0, else slope x: Relu where the slope is a constant of one value, otherwise a sum of two Relus.
  private static func prelu(_ x: Value, _ slope: Value, _ l: Lowering) throws -> Value {
    if let slopes = slope.elements, let first = slopes.first, slopes.allSatisfy({ $0 == first }) {
      return try l.elementwise(Relu(negativeSlope: first), x)
    }
    let positive = try l.elementwise(Relu(), x)
    let negative = try l.negate(try l.elementwise(Relu(), try l.negate(x)))
    return try l.add(positive, try l.mul(negative, slope))
  }

  /// Clip: bounds are attributes before opset 11 and inputs from there on.
  private static func clip(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    if node.version < 11 {
      let low = try node.float("min", default: -.infinity, infinite: true)
      let high = try node.float("max", default: .infinity, infinite: true)
      return try clip(x, low, high, l)
    }
    let low = node.optional(1)
    let high = node.optional(2)
    if low?.isConstant ?? true, high?.isConstant ?? true {
      let lower = try low.map { try l.scalar($0, "the minimum") } ?? -.infinity
      let upper = try high.map { try l.scalar($0, "the maximum") } ?? .infinity
      return try clip(x, lower, upper, l)
    }
    var result = x
    if let low { result = try l.extremum(.maximum, [result, low]) }
    if let high { result = try l.extremum(.minimum, [result, high]) }
    return result
  }

  private static func clip(_ x: Value, _ low: Double, _ high: Double, _ l: Lowering) throws -> Value {
    if low <= -Double(Float.greatestFiniteMagnitude) && high >= Double(Float.greatestFiniteMagnitude) {
      return x
    }
    // Where the bounds cross, the maximum wins.
    if low > high { return try l.filled(high, x.shape, x.type) }
    if low == 0 && high == .infinity { return try l.elementwise(Relu(), x) }
    return try l.elementwise(Operators.Clip(low, high), x)
  }
}
