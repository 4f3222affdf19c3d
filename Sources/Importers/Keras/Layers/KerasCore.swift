import FileFormats
import IR
import Operators
import Tensors

// Dense maps, look-ups, wrappers, and what does nothing outside of training.
extension KerasLayers {
  static let core: [String: Lower] = {
    var table: [String: Lower] = [
      "Dense": { call in [try activated(call, try dense(call))] },
      "Embedding": { call in [try embedding(call)] },
      "TimeDistributed": { call in try timeDistributed(call) },
      "Rescaling": { call in [try rescaling(call)] },
    ]
    // Random while training, the identity afterwards.
    for name in [
      "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise",
      "GaussianDropout", "AlphaDropout", "ActivityRegularization", "RandomFlip", "RandomRotation",
      "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    ] {
      table[name] = { call in
        call.config.ignore(
          "rate", "p", "stddev", "sigma", "l1", "l2", "mode", "factor", "height_factor", "width_factor",
          "fill_mode", "fill_value", "interpolation", "value_range", "data_format", "dim_ordering")
        guard call.inputs.count == 1 else {
          throw call.config.unsupported("\(call.inputs.count) inputs are not supported")
        }
        return [call.x]
      }
    }
    return table
  }()

  /// Whether a layer adds a bias.
  static func usesBias(_ call: KerasCall) throws -> Bool {
    try call.config.optional(["use_bias", "bias"])?.bool() ?? true
  }

  /// Refuses a number in the configuration that the weights contradict.
  static func check(_ call: KerasCall, _ keys: [String], is count: Int) throws {
    if let field = try call.config.optional(keys), try field.int() != count {
      throw field.error("layer \"\(call.label)\" has weights for \(count), not for \(try field.int())")
    }
  }

  private static func dense(_ call: KerasCall) throws -> KerasValue {
    let x = try call.plain()
    let hasBias = try usesBias(call)
    let weights = try call.weights(hasBias ? ["kernel", "bias"] : ["kernel"])
    let kernel = weights[0]
    guard let features = x.shape.dims.last, x.rank >= 2, kernel.shape.count == 2, kernel.shape[0] == features
    else {
      throw FileError(
        file: call.session.file.path, place: "layer '\(call.label)' (Dense)",
        reason: "the kernel has shape \(kernel.shape), which does not fit an input of shape \(x.shape)")
    }
    let units = kernel.shape[1]
    try check(call, ["units", "output_dim"], is: units)
    try check(call, ["input_dim"], is: features)
    let map = Dense(
      Weight(Tensor(Shape(kernel.shape), kernel.values.map { Double($0) })), inputShape: x.shape)
    var bias: Weight?
    if hasBias {
      try call.check(weights[1], "the bias", [units], x.shape)
      bias = spread(weights[1], axis: x.rank - 1, over: map.outputShape)
    }
    return call.named(KerasValue(try call.l.linear(map, x, bias: bias)))
  }

  /// A vector along one axis of a shape, repeated over the others.
  static func spread(_ vector: HDF5File.Dataset, axis: Int, over shape: Shape) -> Weight {
    var dims = [Int](repeating: 1, count: shape.rank)
    dims[axis] = vector.values.count
    let index = Shape(dims).broadcastIndices(to: shape)
    return Weight(Tensor(shape, index.map { Double(vector.values[Int($0)]) }))
  }

  private static func embedding(_ call: KerasCall) throws -> KerasValue {
    guard call.inputs.count == 1 else { throw call.config.unsupported("one input is needed") }
    if try call.config.bool("mask_zero", default: false) {
      throw call.config.unsupported("masks that follow the values are not supported", member: "mask_zero")
    }
    if let type = try call.config.typeName(), !["float32", "int32", "int64"].contains(type) {
      throw call.config.unsupported("the type \(type) is not supported", member: "dtype")
    }
    let x = try call.session.plain(call.x)
    let table = try call.weights(["embeddings"])[0]
    guard table.shape.count == 2 else {
      throw call.config.unsupported("a table of shape \(table.shape) is not supported")
    }
    try check(call, ["input_dim"], is: table.shape[0])
    try check(call, ["output_dim"], is: table.shape[1])
    let indices = x.type.isFloatingPoint ? try call.l.cast(x, to: .int32) : x
    return KerasValue(try call.onnx("Gather", [call.constant(table), indices], [.int("axis", 0)])[0])
  }

  /// A layer applied to every index of the first axis behind the batch.
  private static func timeDistributed(_ call: KerasCall) throws -> [KerasValue] {
    let inner = try innerLayer(call, "layer")
    let x = try call.plain()
    guard x.rank >= 3 else {
      throw call.config.unsupported("needs a time axis, not a value of shape \(x.shape)")
    }
    // A map of the last axis treats all steps alike already.
    if inner.kind == "Dense" || inner.kind == "Activation" && x.rank == 3 {
      return try run(inner, call, [KerasValue(x)], "")
    }
    guard x.shape[1] <= 1024 else { throw call.config.unsupported("\(x.shape[1]) steps are too many") }
    let steps = try (0..<x.shape[1]).map { t -> Value in
      let results = try run(inner, call, [KerasValue(try call.l.select(x, axis: 1, t))], "/\(t)")
      guard results.count == 1 else { throw call.config.unsupported("a layer of several outputs inside") }
      return try call.session.plain(results[0])
    }
    return [KerasValue(try call.l.stack(steps, axis: 1))]
  }

  /// The layer that a wrapper's configuration holds.
  static func innerLayer(_ call: KerasCall, _ key: String) throws -> KerasModel.Layer {
    let field = try call.config.member(key)
    let kind = try field.member("class_name").string()
    guard !KerasModel.modelKinds.contains(kind) else {
      throw call.config.unsupported("a model inside is not supported", member: key)
    }
    let module = try field.optional("module")?.string()
    if let module, module != "keras", !module.hasPrefix("keras.") {
      throw call.config.unsupported("a class that is not Keras's", member: key)
    }
    return KerasModel.Layer(
      kind: kind, name: call.layer.name, config: try field.member("config"), module: module, calls: [],
      model: nil)
  }

  /// Lowers a layer inside a wrapper, which owns its weights.
  static func run(
    _ inner: KerasModel.Layer, _ call: KerasCall, _ inputs: [KerasValue], _ suffix: String,
    weights part: Range<Int>? = nil, reversed: Bool = false
  ) throws -> [KerasValue] {
    let nested = KerasCall(inner, inputs, label: call.label + suffix, path: call.path, call.session)
    nested.part = part
    nested.isReversed = reversed
    return try nested.run()
  }

  /// x * scale + offset; the layer's numbers are those of float32.
  private static func rescaling(_ call: KerasCall) throws -> KerasValue {
    func numbers(_ key: String, _ fallback: Double) throws -> [Double] {
      guard let field = try call.config.optional(key) else { return [fallback] }
      let values = try field.value.doubleValue.map { [$0] } ?? field.elements().map { try $0.double() }
      return values.map { Double(Float($0)) }
    }
    let scale = try numbers("scale", 1)
    let offset = try numbers("offset", 0)
    let x = scale.count == 1 && offset.count == 1 ? try call.single() : KerasValue(try call.plain())
    let last = x.value.shape.dims.last ?? 1
    guard [scale, offset].allSatisfy({ $0.count == 1 || $0.count == last }) else {
      throw call.config.unsupported("\(scale.count) scales do not fit an input of shape \(x.value.shape)")
    }
    let scaled = try call.l.mul(x.value, Value(scale, [scale.count], .float32))
    let y = offset == [0] ? scaled : try call.l.add(scaled, Value(offset, [offset.count], .float32))
    return KerasValue(y, isTransposed: x.isTransposed)
  }
}
