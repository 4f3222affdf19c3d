import FileFormats
import IR

/// The configuration of a layer, every member of which is honoured or refused.
///
/// What is asked for is remembered; members that nobody asked for are refused (``refuseUnknown()``) unless they have no
/// influence on the layer's value: a meaning that is not understood must not be dropped.
final class KerasConfiguration {
  let field: JSONField
  let layer: String
  let kind: String
  private var asked: Set<String> = []

  init(_ layer: KerasModel.Layer) {
    field = layer.config
    self.layer = layer.name
    kind = layer.kind
  }

  /// Members that say nothing about the values: names, training, how weights came about, how code is generated.
  private static let idle: Set<String> = [
    "name", "trainable", "seed", "noise_shape", "momentum", "synchronized", "renorm", "renorm_clipping",
    "renorm_momentum", "virtual_batch_size", "fused", "unit_forget_bias", "unroll", "implementation",
    "dropout", "recurrent_dropout", "zero_output_for_mask", "use_cudnn", "batch_input_shape", "batch_shape",
    "input_dtype", "input_shape", "input_length", "init", "inner_init", "forget_bias_init",
    "shared_object_id", "W_learning_rate_multiplier",
    "b_learning_rate_multiplier", "cache_enabled", "custom_name", "autocast",
  ]

  /// Switches that are understood where they are off.
  private static let offOnly: Set<String> = [
    "ragged", "sparse", "optional", "stateful", "time_major", "mask_zero", "return_state", "rms_scaling",
  ]

  private static func isIdle(_ key: String) -> Bool {
    idle.contains(key)
      || ["_initializer", "_regularizer", "_constraint"].contains(where: key.hasSuffix)
  }

  func optional(_ key: String) throws -> JSONField? {
    asked.insert(key)
    return try field.optional(key)
  }

  /// The first of several names that a member had over the years.
  func optional(_ keys: [String]) throws -> JSONField? {
    try keys.compactMap { try optional($0) }.first
  }

  func member(_ key: String) throws -> JSONField {
    asked.insert(key)
    return try field.member(key)
  }

  /// Says that members have no influence on this layer's value.
  func ignore(_ keys: String...) { asked.formUnion(keys) }

  func bool(_ key: String, default value: Bool) throws -> Bool { try optional(key)?.bool() ?? value }
  func double(_ key: String, default value: Double) throws -> Double { try optional(key)?.double() ?? value }
  func string(_ key: String, default value: String) throws -> String { try optional(key)?.string() ?? value }

  /// No extent, window, stride or number of units is larger.
  static let extentLimit = 1 << 24

  /// A number of things: positive and of sensible size.
  func extent(_ key: String) throws -> Int? { try optional(key).map { try Self.extent($0) } }

  static func extent(_ field: JSONField) throws -> Int {
    let value = try field.int()
    guard value > 0, value < extentLimit else { throw field.error("\(value) is no sensible size") }
    return value
  }

  /// One positive integer for all spatial axes, or one for each.
  func extents(_ keys: [String], rank: Int) throws -> [Int]? {
    guard let field = try optional(keys) else { return nil }
    if field.value.intValue != nil { return [Int](repeating: try Self.extent(field), count: rank) }
    let values = try field.elements().map { try Self.extent($0) }
    guard values.count == rank else { throw field.error("expected \(rank) positive integers") }
    return values
  }

  /// The axis that a number names, counted from the end if negative.
  static func axis(_ field: JSONField, rank: Int) throws -> Int {
    let axis = try field.int()
    guard axis >= -rank, axis < rank else {
      throw field.error("\(axis) is no axis of a value of rank \(rank)")
    }
    return axis < 0 ? axis + rank : axis
  }

  /// Axes given as a number or a list.
  func axes(_ key: String, rank: Int, default value: [Int]) throws -> [Int] {
    guard let field = try optional(key) else { return value }
    if field.value.intValue != nil { return [try Self.axis(field, rank: rank)] }
    let axes = try field.elements().map { try Self.axis($0, rank: rank) }
    guard Set(axes).count == axes.count else { throw field.error("names an axis twice") }
    return axes.sorted()
  }

  /// The layer cannot be read as it is configured.
  func unsupported(_ reason: String, member: String? = nil) -> UnsupportedOperator {
    UnsupportedOperator(node: layer, operatorName: kind, attribute: member, reason: reason)
  }

  /// Refuses what no layer supports: arithmetic other than float32, adapters, quantised weights, unknown members.
  func refuseUnknown() throws {
    if let type = try typeName(), type != "float32", kind != "InputLayer", kind != "Embedding" {
      throw unsupported("the type \(type) is not supported, only float32", member: "dtype")
    }
    for (key, member) in try field.members() where !asked.contains(key) && !Self.isIdle(key) {
      if member.value == .null || member.value == .bool(false) && Self.offOnly.contains(key) { continue }
      throw unsupported("this member of the configuration is not known", member: key)
    }
  }

  /// The name of the type that the layer computes in, if it is said.
  func typeName() throws -> String? {
    guard let field = try optional("dtype") else { return nil }
    if case .string(let name) = field.value { return name }
    return try field.member("config").member("name").string()
  }
}
