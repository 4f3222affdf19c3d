import IR
import OnnxFormat
import Operators
import Tensors

// Pooling over windows and over whole images.
extension KerasLayers {
  static let pooling: [String: Lower] = {
    var table: [String: Lower] = [:]
    for spatial in 1...3 {
      table["MaxPooling\(spatial)D"] = { call in [try pool(call, spatial, "MaxPool")] }
      table["AveragePooling\(spatial)D"] = { call in [try pool(call, spatial, "AveragePool")] }
      table["GlobalMaxPooling\(spatial)D"] = { call in [try global(call, spatial, isMaximum: true)] }
      table["GlobalAveragePooling\(spatial)D"] = { call in [try global(call, spatial, isMaximum: false)] }
    }
    return table
  }()

  /// Averages are over what lies inside the image.
  private static func pool(_ call: KerasCall, _ spatial: Int, _ op: String) throws -> KerasValue {
    let image = try call.image(spatial)
    let config = call.config
    let window =
      try config.extents(["pool_size", "pool_length"], rank: spatial) ?? [Int](repeating: 2, count: spatial)
    let strides = try config.extents(["strides", "stride"], rank: spatial) ?? window
    let padding = try config.optional(["padding", "border_mode"])?.string() ?? "valid"
    guard ["valid", "same"].contains(padding) else {
      throw config.unsupported("the padding '\(padding)' is not supported", member: "padding")
    }
    // A longer window sees no more; refused before its taps are listed.
    guard zip(window, image.extents).allSatisfy({ $0 <= (padding == "valid" ? $1 : 2 * $1) }) else {
      throw config.unsupported(
        "a window of \(window) is larger than the image, \(image.extents)", member: "pool_size")
    }
    let attributes: [Onnx_AttributeProto] = [
      .ints("kernel_shape", window), .ints("strides", strides),
      .string("auto_pad", padding == "same" ? "SAME_UPPER" : "VALID"),
    ]
    return call.named(call.like(image, try call.onnx(op, [image.value], attributes)[0]))
  }

  private static func global(_ call: KerasCall, _ spatial: Int, isMaximum: Bool) throws -> KerasValue {
    let image = try call.image(spatial)
    let axes = Set(2..<(spatial + 2))
    let y =
      isMaximum
      ? try call.l.reduceExtremum(.maximum, image.value, axes) : try call.l.reduceMean(image.value, axes)
    if try call.config.bool("keepdims", default: false) { return call.named(call.like(image, y)) }
    return call.named(KerasValue(try call.l.reshape(y, [1, image.channels])))
  }
}
