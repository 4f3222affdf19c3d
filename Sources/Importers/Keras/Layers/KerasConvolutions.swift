import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

// Convolutions over one to three spatial axes.
extension KerasLayers {
  static let convolutions: [String: Lower] = {
    var table: [String: Lower] = [:]
    for spatial in 1...3 {
      for name in ["Conv\(spatial)D", "Convolution\(spatial)D"] {
        table[name] = { call in [try activated(call, try convolution(call, spatial))] }
      }
      for name in ["Conv\(spatial)DTranspose", "Convolution\(spatial)DTranspose"] {
        table[name] = { call in [try activated(call, try transposed(call, spatial))] }
      }
    }
    for spatial in 1...2 {
      table["DepthwiseConv\(spatial)D"] = { call in [try activated(call, try depthwise(call, spatial))] }
      for name in ["SeparableConv\(spatial)D", "SeparableConvolution\(spatial)D"] {
        table[name] = { call in [try activated(call, try separable(call, spatial))] }
      }
    }
    return table
  }()

  /// How a layer's windows move, as attributes of ONNX's operators.
  private static func windows(_ call: KerasCall, _ spatial: Int, kernel: [Int]) throws -> (
    attributes: [Onnx_AttributeProto], padding: String, dilations: [Int]
  ) {
    let config = call.config
    let ones = [Int](repeating: 1, count: spatial)
    let strides = try config.extents(["strides", "subsample", "subsample_length"], rank: spatial) ?? ones
    let dilations = try config.extents(["dilation_rate", "atrous_rate"], rank: spatial) ?? ones
    var attributes: [Onnx_AttributeProto] = [
      .ints("kernel_shape", kernel), .ints("strides", strides), .ints("dilations", dilations),
    ]
    let padding = try config.optional(["padding", "border_mode"])?.string() ?? "valid"
    switch padding {
    case "valid": break
    case "same": attributes.append(.string("auto_pad", "SAME_UPPER"))
    case "causal" where spatial == 1:
      attributes.append(.ints("pads", [dilations[0] * (kernel[0] - 1), 0]))
    default: throw config.unsupported("the padding '\(padding)' is not supported", member: "padding")
    }
    return (attributes, padding, dilations)
  }

  /// The extents of a kernel in the file, which the configuration must not contradict.
  private static func kernelExtents(_ call: KerasCall, _ stored: [Int]) throws {
    let spatial = stored.count
    if let told = try call.config.extents(["kernel_size", "filter_length"], rank: spatial), told != stored {
      throw call.config.unsupported(
        "the kernel in the file has the extents \(stored)", member: "kernel_size")
    }
    for (axis, key) in ["nb_row", "nb_col"].enumerated() where spatial == 2 {
      try check(call, [key], is: stored[axis])
    }
  }

  private static func wrong(_ call: KerasCall, _ kernel: HDF5File.Dataset, _ x: Shape) -> FileError {
    FileError(
      file: call.session.file.path, place: "layer '\(call.label)' (\(call.layer.kind))",
      reason: "the kernel has shape \(kernel.shape), which does not fit an input of shape \(x)")
  }

  /// A kernel `[taps, a, b]` with its axes in another order.
  private static func reordered(
    _ data: HDF5File.Dataset, taps: Int, _ a: Int, _ b: Int, to shape: Shape,
    _ source: (_ first: Int, _ second: Int, _ tap: Int) -> Int
  ) -> Value {
    var values: [Double] = []
    values.reserveCapacity(data.values.count)
    for first in 0..<a {
      for second in 0..<b {
        for tap in 0..<taps { values.append(Double(data.values[source(first, second, tap)])) }
      }
    }
    return Value(values, shape, .float32)
  }

  private static func biased(_ call: KerasCall, _ weights: [HDF5File.Dataset], channels: Int, _ x: Shape)
    throws
    -> Value?
  {
    guard let bias = weights.last, weights.count > 1 else { return nil }
    try call.check(bias, "the bias", [channels], x)
    return call.constant(bias)
  }

  private static func convolution(_ call: KerasCall, _ spatial: Int) throws -> KerasValue {
    let image = try call.image(spatial)
    let x = image.value
    let hasBias = try usesBias(call)
    let weights = try call.weights(hasBias ? ["kernel", "bias"] : ["kernel"])
    let kernel = weights[0]
    let s = kernel.shape
    guard s.count == spatial + 2, s.allSatisfy({ $0 > 0 }) else { throw wrong(call, kernel, x.shape) }
    // Keras 1 in Theano's order stores (out, in) + extents, flipped; all others extents + (in, out).
    let isTheano =
      try call.config.optional("dim_ordering")?.string() == "th" && call.session.file.backend != "tensorflow"
    let extents = isTheano ? Array(s[2...]) : Array(s[..<spatial])
    let (out, inputs) = isTheano ? (s[0], s[1]) : (s[spatial + 1], s[spatial])
    let groups = try call.config.extent("groups") ?? 1
    guard inputs * groups == image.channels, out % groups == 0 else { throw wrong(call, kernel, x.shape) }
    try kernelExtents(call, extents)
    try check(call, ["filters", "nb_filter"], is: out)
    try check(call, ["input_dim"], is: image.channels)
    let taps = extents.reduce(1, *)
    let weight = reordered(kernel, taps: taps, out, inputs, to: Shape([out, inputs] + extents)) { o, i, tap in
      isTheano ? (o * inputs + i) * taps + (taps - 1 - tap) : (tap * inputs + i) * out + o
    }
    let attributes = try windows(call, spatial, kernel: extents).attributes + [.int("group", groups)]
    let y = try call.onnx(
      "Conv", [x, weight, try biased(call, weights, channels: out, x.shape)], attributes)[0]
    return call.named(call.like(image, y))
  }

  private static func depthwise(_ call: KerasCall, _ spatial: Int) throws -> KerasValue {
    let image = try call.image(spatial)
    let hasBias = try usesBias(call)
    // Before version 3 the kernel was called depthwise_kernel.
    let name = call.isKeras3 ? "kernel" : "depthwise_kernel"
    let weights = try call.weights(hasBias ? [name, "bias"] : [name])
    let (y, channels) = try depthwise(call, image, weights[0], spatial, bias: hasBias ? weights[1] : nil)
    try check(call, ["depth_multiplier"], is: channels / image.channels)
    return call.named(call.like(image, y))
  }

  /// A convolution of every channel by itself, with a number of kernels for each.
  private static func depthwise(
    _ call: KerasCall, _ image: KerasCall.Image, _ kernel: HDF5File.Dataset, _ spatial: Int,
    bias: HDF5File.Dataset?
  ) throws -> (value: Value, channels: Int) {
    let x = image.value
    let s = kernel.shape
    guard s.count == spatial + 2, s.allSatisfy({ $0 > 0 }), s[spatial] == image.channels else {
      throw wrong(call, kernel, x.shape)
    }
    let extents = Array(s[..<spatial])
    let (inputs, each) = (s[spatial], s[spatial + 1])
    try kernelExtents(call, extents)
    let weight = reordered(
      kernel, taps: extents.reduce(1, *), inputs, each, to: Shape([inputs * each, 1] + extents)
    ) { i, m, tap in (tap * inputs + i) * each + m }
    if let bias { try call.check(bias, "the bias", [inputs * each], x.shape) }
    let attributes = try windows(call, spatial, kernel: extents).attributes + [.int("group", inputs)]
    return (
      try call.onnx("Conv", [x, weight, bias.map { call.constant($0) }], attributes)[0], inputs * each
    )
  }

  private static func separable(_ call: KerasCall, _ spatial: Int) throws -> KerasValue {
    let image = try call.image(spatial)
    let hasBias = try usesBias(call)
    let names = ["depthwise_kernel", "pointwise_kernel"]
    let weights = try call.weights(hasBias ? names + ["bias"] : names)
    let (middle, channels) = try depthwise(call, image, weights[0], spatial, bias: nil)
    try check(call, ["depth_multiplier"], is: channels / image.channels)
    let point = weights[1]
    let ones = [Int](repeating: 1, count: spatial)
    guard let out = point.shape.last, out > 0, point.shape == ones + [channels, out] else {
      throw wrong(call, point, middle.shape)
    }
    try check(call, ["filters", "nb_filter"], is: out)
    let weight = reordered(point, taps: 1, out, channels, to: Shape([out, channels] + ones)) { o, i, _ in
      i * out + o
    }
    let bias = hasBias ? try biased(call, weights, channels: out, image.value.shape) : nil
    return call.named(call.like(image, try call.onnx("Conv", [middle, weight, bias])[0]))
  }

  private static func transposed(_ call: KerasCall, _ spatial: Int) throws -> KerasValue {
    let image = try call.image(spatial)
    let x = image.value
    let hasBias = try usesBias(call)
    let weights = try call.weights(hasBias ? ["kernel", "bias"] : ["kernel"])
    let kernel = weights[0]
    let s = kernel.shape
    guard s.count == spatial + 2, s.allSatisfy({ $0 > 0 }), s[spatial + 1] == image.channels else {
      throw wrong(call, kernel, x.shape)
    }
    let extents = Array(s[..<spatial])
    let (out, inputs) = (s[spatial], s[spatial + 1])
    try kernelExtents(call, extents)
    try check(call, ["filters", "nb_filter"], is: out)
    let config = call.config
    if let extra = try config.optional("output_padding") {
      throw config.unsupported("\(extra.value) is not supported", member: "output_padding")
    }
    let weight = reordered(
      kernel, taps: extents.reduce(1, *), inputs, out, to: Shape([inputs, out] + extents)
    ) { i, o, tap in (tap * out + o) * inputs + i }
    let (_, padding, dilations) = try windows(call, spatial, kernel: extents)
    let ones = [Int](repeating: 1, count: spatial)
    let strides = try config.extents(["strides", "subsample"], rank: spatial) ?? ones
    guard dilations.allSatisfy({ $0 == 1 }) || strides == ones else {
      throw config.unsupported("strides and dilations together", member: "dilation_rate")
    }
    // As long as the input of the convolution whose gradient this is; what no window reaches is zero.
    let target = (0..<spatial).map { axis -> Int in
      let span = dilations[axis] * (extents[axis] - 1) + 1
      let steps = image.extents[axis] * strides[axis]
      return padding == "same" ? steps : steps + max(span - strides[axis], 0)
    }
    let attributes: [Onnx_AttributeProto] = [
      .ints("kernel_shape", extents), .ints("strides", strides), .ints("dilations", dilations),
      .ints("output_shape", target), .string("auto_pad", "SAME_UPPER"),
    ]
    let y = try call.onnx(
      "ConvTranspose", [x, weight, try biased(call, weights, channels: out, x.shape)], attributes)[0]
    return call.named(call.like(image, y))
  }
}
