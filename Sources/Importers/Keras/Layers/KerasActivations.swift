import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

// Activation functions: layers of their own, and what other layers name.
extension KerasLayers {
  static let activations: [String: Lower] = [
    "Activation": { call in
      [try activation(try call.config.member("activation"), try call.single(), call, suffix: "")]
    },
    "ReLU": { call in
      let x = try call.single()
      let slope = try call.config.optional(["negative_slope", "alpha"])?.double() ?? 0
      let threshold = try call.config.double("threshold", default: 0)
      let limit = try call.config.optional("max_value")?.double()
      return [try relu(x, slope: slope, threshold: threshold, limit: limit, call)]
    },
    "LeakyReLU": { call in
      let slope = try call.config.optional(["negative_slope", "alpha"])?.double() ?? 0.3
      return [try onnx("LeakyRelu", try call.single(), call, [.float("alpha", slope)])]
    },
    "ELU": { call in
      let alpha = try call.config.double("alpha", default: 1)
      return [try onnx("Elu", try call.single(), call, [.float("alpha", alpha)])]
    },
    "ThresholdedReLU": { call in
      let theta = try call.config.double("theta", default: 1)
      return [try onnx("ThresholdedRelu", try call.single(), call, [.float("alpha", theta)])]
    },
    "PReLU": { call in [try prelu(call)] },
    "Softmax": { call in
      let x = try call.single()
      let axes = try call.config.axes("axis", rank: x.value.rank, default: [x.value.rank - 1])
      return [try softmax(x, axes, call)]
    },
  ]

  /// The result of a layer through the activation that its configuration names.
  static func activated(_ call: KerasCall, _ x: KerasValue) throws -> KerasValue {
    guard let field = try call.config.optional("activation") else { return x }
    return try activation(field, x, call, suffix: nil)
  }

  /// - Parameter suffix: what follows the layer's name in that of the node; nil for the function's name.
  static func activation(_ field: JSONField, _ x: KerasValue, _ call: KerasCall, suffix: String?) throws
    -> KerasValue
  {
    var name: String
    if case .string(let text) = field.value {
      name = text
    } else {
      // An object: a function by name, or a layer.
      let kind = try field.member("class_name").string()
      let config = try field.member("config")
      if case .string(let text) = config.value, kind == "function" {
        if let registered = try field.optional("registered_name")?.string(), registered.contains(">") {
          throw call.config.unsupported("'\(registered)' is code that the file does not hold")
        }
        name = text
      } else if activations[kind] != nil, kind != "PReLU" {
        let layer = KerasModel.Layer(
          kind: kind, name: call.layer.name, config: config,
          module: try field.optional("module")?.string(), calls: [], model: nil)
        return try run(layer, call, [x], "/" + kind)[0]
      } else {
        throw call.config.unsupported("the activation '\(kind)' is not supported", member: "activation")
      }
    }
    if name == "linear" { return x }
    let origin = call.l.builder.origin
    call.l.builder.origin = name == "relu" ? "Relu" : name
    defer { call.l.builder.origin = origin }
    let result: KerasValue
    switch name {
    case "softmax": result = try softmax(x, [x.value.rank - 1], call)
    case "log_softmax":
      result = KerasValue(
        try call.l.logSoftmax(x.value, axis: x.axis(x.value.rank - 1)), isTransposed: x.isTransposed)
    case "glu":
      let axis = x.axis(x.value.rank - 1)
      let half = x.value.shape[axis] / 2
      guard x.value.shape[axis] == 2 * half else {
        throw call.config.unsupported("an odd extent cannot be halved", member: "activation")
      }
      let gate = try call.l.elementwise(
        Sigmoid(), try call.l.slice(x.value, axis: axis, half..<(2 * half)))
      result = KerasValue(
        try call.l.mul(try call.l.slice(x.value, axis: axis, 0..<half), gate), isTransposed: x.isTransposed)
    default:
      guard let y = try function(name, x.value, call) else {
        throw call.config.unsupported("the activation '\(name)' is not supported", member: "activation")
      }
      result = KerasValue(y, isTransposed: x.isTransposed)
    }
    return call.named(result, suffix ?? "/" + name)
  }

  /// Functions of every element that are one operation.
  private static let functions: [String: any ElementwiseFunction] = [
    "relu": Relu(), "sigmoid": Sigmoid(), "tanh": Tanh(), "softplus": Softplus(), "softsign": Softsign(),
    "silu": Silu(), "swish": Silu(), "gelu": Gelu(), "mish": Mish(), "exponential": Exp(),
    "elu": Elu.elu(alpha: 1), "celu": Elu.celu(alpha: 1), "relu6": Operators.Clip(0, 6),
    // The constants of Klambauer et al. (2017) as Keras has them.
    "selu": Elu.selu(alpha: 1.6732632423543772, gamma: 1.0507009873554805),
    "leaky_relu": Relu(negativeSlope: 0.2), "hard_silu": HardSwish(), "hard_swish": HardSwish(),
    "hard_tanh": Operators.Clip(-1, 1), "soft_shrink": Shrink(lambda: 0.5, bias: 0.5),
    "hard_shrink": Shrink(lambda: 0.5, bias: 0), "sparse_sigmoid": HardSigmoid(alpha: 0.5, beta: 0.5),
  ]

  /// A function of every element by Keras's name for it; nil if it is not known.
  private static func function(_ name: String, _ x: Value, _ call: KerasCall) throws -> Value? {
    let l = call.l
    switch name {
    case "hard_sigmoid":
      // Before version 3 the slope was 0.2.
      return try l.elementwise(HardSigmoid(alpha: call.isKeras3 ? 1.0 / 6 : 0.2, beta: 0.5), x)
    case "tanh_shrink": return try l.sub(x, try l.elementwise(Tanh(), x))
    case "log_sigmoid": return try l.negate(try l.elementwise(Softplus(), try l.negate(x)))
    case "squareplus":
      let root = try l.sqrt(try l.add(try l.square(x), 4))
      return try l.scale(try l.add(x, root), 0.5)
    case "sparse_plus":
      // 0 up to -1, (x + 1)^2 / 4 up to 1, then x.
      let middle = try l.square(try l.add(try l.elementwise(Operators.Clip(-1, 1), x), 1))
      return try l.add(try l.scale(middle, 0.25), try l.elementwise(Relu(), try l.add(x, -1)))
    default: return try functions[name].map { try l.elementwise($0, x) }
    }
  }

  private static func onnx(
    _ op: String, _ x: KerasValue, _ call: KerasCall, _ attributes: [Onnx_AttributeProto]
  ) throws -> KerasValue {
    KerasValue(try call.onnx(op, [x.value], attributes)[0], isTransposed: x.isTransposed)
  }

  /// x above the threshold (clipped at the limit, then also at 0), else slope (x - threshold).
  private static func relu(
    _ x: KerasValue, slope: Double, threshold: Double, limit: Double?, _ call: KerasCall
  ) throws -> KerasValue {
    guard slope >= 0, threshold.isFinite, limit ?? 0 >= 0 else {
      throw call.config.unsupported("negative slopes and limits are not supported")
    }
    let l = call.l
    call.l.builder.origin = "Relu"
    var y: Value
    if threshold != 0 {
      y = try call.onnx("ThresholdedRelu", [x.value], [.float("alpha", threshold)])[0]
      if let limit { y = try l.elementwise(Operators.Clip(0, Double(Float(limit))), y) }
    } else if let limit {
      y = try l.elementwise(Operators.Clip(0, Double(Float(limit))), x.value)
    } else if slope != 0 {
      return try onnx("LeakyRelu", x, call, [.float("alpha", slope)])
    } else {
      y = try l.elementwise(Relu(), x.value)
    }
    if slope != 0 {
      let below = try l.elementwise(
        Relu(), try l.add(try l.negate(x.value), Literals.decimal(Float(threshold))))
      y = try l.sub(y, try l.scale(below, Literals.decimal(Float(slope))))
    }
    return KerasValue(y, isTransposed: x.isTransposed)
  }

  /// x where it is positive, else alpha x, with a learned alpha that may be shared along axes.
  private static func prelu(_ call: KerasCall) throws -> KerasValue {
    let x = try call.plain()
    let alpha = try call.weights(["alpha"])[0]
    var dims = Array(x.shape.dims.dropFirst())
    if let shared = try call.config.optional("shared_axes") {
      for field in try shared.elements() {
        let axis = try KerasConfiguration.axis(field, rank: x.rank)
        guard axis > 0 else { throw field.error("the batch axis cannot be shared") }
        dims[axis - 1] = 1
      }
    }
    try call.check(alpha, "alpha", dims, x.shape)
    return KerasValue(try call.onnx("PRelu", [x, call.constant(alpha, Shape([1] + dims))])[0])
  }

  /// Softmax over one axis or over several together.
  private static func softmax(_ x: KerasValue, _ axes: [Int], _ call: KerasCall) throws -> KerasValue {
    guard !axes.isEmpty, !axes.contains(0) else {
      throw call.config.unsupported("a softmax over the batch is not supported", member: "axis")
    }
    if axes.count == 1 {
      return KerasValue(try call.l.softmax(x.value, axis: x.axis(axes[0])), isTransposed: x.isTransposed)
    }
    let plain = try call.session.plain(x)
    let order = (0..<plain.rank).filter { !axes.contains($0) } + axes
    let moved = try call.l.transpose(plain, order)
    let kept = moved.shape.dims.dropLast(axes.count)
    let joined = try call.l.reshape(moved, Shape(kept + [axes.map { plain.shape[$0] }.reduce(1, *)]))
    let result = try call.l.reshape(try call.l.softmax(joined, axis: kept.count), moved.shape)
    return KerasValue(try call.l.transpose(result, order.indices.map { order.firstIndex(of: $0) ?? 0 }))
  }
}
