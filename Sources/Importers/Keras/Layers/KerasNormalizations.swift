import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

// Normalisation by stored statistics and by those of the value.
extension KerasLayers {
  static let normalizations: [String: Lower] = [
    "BatchNormalization": { call in [try batchNormalization(call)] },
    "LayerNormalization": { call in [try layerNormalization(call)] },
    "RMSNormalization": { call in
      let x = try call.plain()
      try requireLastAxis(call, x)
      let scale = try call.weights(["scale"])[0]
      try call.check(scale, "the scale", [x.shape[x.rank - 1]], x.shape)
      let epsilon = try call.config.double("epsilon", default: 1e-6)
      return [
        KerasValue(
          try call.onnx(
            "RMSNormalization", [x, call.constant(scale)], [.int("axis", -1), .float("epsilon", epsilon)])[0])
      ]
    },
    "GroupNormalization": { call in [try groupNormalization(call)] },
    "Normalization": { call in [try normalization(call)] },
  ]

  private static func requireLastAxis(_ call: KerasCall, _ x: Value) throws {
    let axes = try call.config.axes("axis", rank: x.rank, default: [x.rank - 1])
    guard axes == [x.rank - 1] else {
      throw call.config.unsupported("only the last axis is supported", member: "axis")
    }
  }

  /// Gain and shift, each of which may be switched off.
  private static func gainAndShift(_ call: KerasCall, also others: [String] = []) throws -> (
    gain: HDF5File.Dataset?, shift: HDF5File.Dataset?, others: [HDF5File.Dataset]
  ) {
    let scales = try call.config.bool("scale", default: true)
    let centers = try call.config.bool("center", default: true)
    let names = (scales ? ["gamma"] : []) + (centers ? ["beta"] : []) + others
    if names.isEmpty { return (nil, nil, []) }
    let weights = try call.weights(names)
    return (
      scales ? weights[0] : nil, centers ? weights[scales ? 1 : 0] : nil, Array(weights.suffix(others.count))
    )
  }

  private static func batchNormalization(_ call: KerasCall) throws -> KerasValue {
    let x = try call.single()
    let axes = try call.config.axes("axis", rank: x.value.rank, default: [x.value.rank - 1])
    guard axes.count == 1, axes[0] > 0 else {
      throw call.config.unsupported("statistics along one axis are supported", member: "axis")
    }
    let epsilon = try call.config.double("epsilon", default: 1e-3)
    let (gain, shift, moving) = try gainAndShift(call, also: ["moving_mean", "moving_variance"])
    // ONNX has the channels on axis 1.
    let isLast = axes[0] == x.value.rank - 1
    var value = isLast ? try call.session.channelsFirst(x) : try call.session.plain(x)
    if !isLast { value = try call.l.moveAxis(value, axes[0], to: 1) }
    let channels = value.shape[1]
    func vector(_ data: HDF5File.Dataset?, _ name: String, _ number: Double) throws -> Value {
      guard let data else { return try call.l.filled(number, [channels], .float32) }
      try call.check(data, name, [channels], x.value.shape)
      return call.constant(data)
    }
    var y = try call.onnx(
      "BatchNormalization",
      [
        value, try vector(gain, "gamma", 1), try vector(shift, "beta", 0),
        try vector(moving[0], "the moving mean", 0), try vector(moving[1], "the moving variance", 1),
      ], [.float("epsilon", epsilon)])[0]
    if !isLast { y = try call.l.moveAxis(y, 1, to: axes[0]) }
    return KerasValue(y, isTransposed: isLast && y.rank > 2)
  }

  private static func layerNormalization(_ call: KerasCall) throws -> KerasValue {
    let x = try call.plain()
    let axes = try call.config.axes("axis", rank: x.rank, default: [x.rank - 1])
    guard let first = axes.first, first > 0, axes == Array(first..<x.rank) else {
      throw call.config.unsupported("only the last axes are supported", member: "axis")
    }
    let epsilon = try call.config.double("epsilon", default: 1e-3)
    let dims = Array(x.shape.dims[first...])
    let (gain, shift, _) = try gainAndShift(call)
    if let gain { try call.check(gain, "gamma", dims, x.shape) }
    if let shift { try call.check(shift, "beta", dims, x.shape) }
    let scale = try gain.map { call.constant($0) } ?? call.l.filled(1, Shape(dims), .float32)
    return KerasValue(
      try call.onnx(
        "LayerNormalization", [x, scale, shift.map { call.constant($0) }],
        [.int("axis", first), .float("epsilon", epsilon)])[0])
  }

  private static func groupNormalization(_ call: KerasCall) throws -> KerasValue {
    let x = try call.single()
    let rank = x.value.rank
    let axes = try call.config.axes("axis", rank: rank, default: [rank - 1])
    guard axes == [rank - 1] || axes == [1] else {
      throw call.config.unsupported("channels first or last are supported", member: "axis")
    }
    let isLast = axes == [rank - 1]
    let value = isLast ? try call.session.channelsFirst(x) : try call.session.plain(x)
    let channels = value.shape[1]
    let told = try call.config.optional("groups")?.int() ?? 32
    let groups = told == -1 ? channels : told
    guard groups > 0, channels % groups == 0 else {
      throw call.config.unsupported("\(told) groups do not divide \(channels) channels", member: "groups")
    }
    let epsilon = try call.config.double("epsilon", default: 1e-3)
    let (gain, shift, _) = try gainAndShift(call)
    if let gain { try call.check(gain, "gamma", [channels], x.value.shape) }
    if let shift { try call.check(shift, "beta", [channels], x.value.shape) }
    let scale = try gain.map { call.constant($0) } ?? call.l.filled(1, [channels], .float32)
    let bias = try shift.map { call.constant($0) } ?? call.l.filled(0, [channels], .float32)
    let y = try call.onnx(
      "GroupNormalization", [value, scale, bias],
      [.int("num_groups", groups), .float("epsilon", epsilon)])[0]
    return KerasValue(y, isTransposed: isLast && rank > 2)
  }

  /// (x - mean) / max(sqrt(variance), 1e-7), or its inverse.
  private static func normalization(_ call: KerasCall) throws -> KerasValue {
    let x = try call.plain()
    let axes = try call.config.axes("axis", rank: x.rank, default: [x.rank - 1])
    guard !axes.contains(0) else {
      throw call.config.unsupported("statistics along the batch are not supported", member: "axis")
    }
    var mean: [Double]
    var variance: [Double]
    if let field = try call.config.optional("mean") {
      mean = try numbers(field).map { Double(Float($0)) }
      variance = try numbers(try call.config.member("variance")).map { Double(Float($0)) }
    } else {
      call.config.ignore("variance")
      let weights = try call.weights(["mean", "variance", "count"])
      mean = weights[0].values.map { Double($0) }
      variance = weights[1].values.map { Double($0) }
    }
    let dims = (0..<x.rank).map { axes.contains($0) ? x.shape[$0] : 1 }
    let count = dims.reduce(1, *)
    if mean.count == 1 { mean = [Double](repeating: mean[0], count: count) }
    if variance.count == 1 { variance = [Double](repeating: variance[0], count: count) }
    guard mean.count == count, variance.count == count, variance.allSatisfy({ $0 >= 0 }) else {
      throw call.config.unsupported("\(mean.count) means do not fit an input of shape \(x.shape)")
    }
    // A correctly rounded root is off by at most 2^-53 of itself.
    let deviation = Value(
      Weight(Tensor(Shape(dims), variance.map { max($0.squareRoot(), 1e-7) })), .float32, roundings: 1)
    let center = Value(mean, Shape(dims), .float32)
    if try call.config.bool("invert", default: false) {
      return KerasValue(try call.l.add(try call.l.mul(x, deviation), center))
    }
    return KerasValue(try call.l.div(try call.l.sub(x, center), deviation))
  }

  /// A number, or all numbers of lists in lists.
  private static func numbers(_ field: JSONField) throws -> [Double] {
    if let number = field.value.doubleValue { return [number] }
    return try field.elements().flatMap { element -> [Double] in
      if let number = element.value.doubleValue { return [number] }
      return try element.elements().map { try $0.double() }
    }
  }
}
