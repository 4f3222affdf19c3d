import FileFormats
import Foundation
import IR
import OnnxFormat
import Operators
import Tensors

/// One call of a layer while it is lowered: its inputs, configuration and weights.
final class KerasCall {
  let layer: KerasModel.Layer
  let inputs: [KerasValue]
  let config: KerasConfiguration
  let session: KerasSession
  /// What nodes are called: the layer's name with those of the models around it.
  let label: String
  /// The names that lead to the layer's weights.
  let path: [String]
  /// The part of the layer's weights that an inner layer reads; nil for all.
  var part: Range<Int>?
  /// Whether a recurrent layer runs against the direction of its configuration.
  var isReversed = false

  init(
    _ layer: KerasModel.Layer, _ inputs: [KerasValue], label: String, path: [String], _ session: KerasSession
  ) {
    self.layer = layer
    self.inputs = inputs
    self.label = label
    self.path = path
    self.session = session
    config = KerasConfiguration(layer)
  }

  var l: Lowering { session.lowering }
  var x: KerasValue { inputs[0] }
  var isKeras3: Bool { session.file.majorVersion >= 3 }

  /// The layer's outputs.
  func run() throws -> [KerasValue] {
    guard let lower = try KerasLayers.lowering(layer) else {
      throw config.unsupported("this kind of layer is not supported")
    }
    l.builder.origin = layer.kind
    l.builder.scope = label + "/"
    do {
      let results = try lower(self)
      try config.refuseUnknown()
      return results
    } catch let error as GraphError {
      throw FileError(
        file: session.file.path, place: "layer '\(label)' (\(layer.kind))", reason: error.reason)
    }
  }

  // MARK: Inputs

  /// The only input, as floating-point numbers.
  func single() throws -> KerasValue {
    guard inputs.count == 1 else { throw config.unsupported("\(inputs.count) inputs are not supported") }
    return try number(x)
  }

  /// All inputs, as floating-point numbers.
  func all(minimum: Int = 1) throws -> [KerasValue] {
    guard inputs.count >= minimum else {
      throw config.unsupported("needs \(minimum) inputs, has \(inputs.count)")
    }
    return try inputs.map { try number($0) }
  }

  private func number(_ x: KerasValue) throws -> KerasValue {
    KerasValue(try l.cast(x.value, to: .float32), isTransposed: x.isTransposed)
  }

  /// The only input with the axes as the model means them.
  func plain() throws -> Value { try session.plain(try single()) }

  /// Whether images of this layer have their channels before the spatial axes.
  func isChannelsFirst() throws -> Bool {
    if let order = try config.optional("dim_ordering") {
      let name = try order.string()
      guard ["th", "tf"].contains(name) else { throw order.error("'\(name)' is neither th nor tf") }
      return name == "th"
    }
    guard let format = try config.optional("data_format") else { return false }
    let name = try format.string()
    guard ["channels_first", "channels_last"].contains(name) else {
      throw format.error("'\(name)' is neither channels_first nor channels_last")
    }
    return name == "channels_first"
  }

  /// An image, channels first.
  struct Image {
    /// `[1, C] + extents`.
    var value: Value
    /// Whether the model means it so, too.
    var isPlain: Bool
    var extents: [Int] { Array(value.shape.dims[2...]) }
    var channels: Int { value.shape[1] }
  }

  /// The only input as an image with so many spatial axes.
  func image(_ spatial: Int) throws -> Image {
    let x = try single()
    guard x.value.rank == spatial + 2 else {
      throw config.unsupported(
        "needs \(spatial) spatial axes and channels, not a value of shape \(x.value.shape)")
    }
    let isFirst = try isChannelsFirst()
    return Image(value: isFirst ? try session.plain(x) : try session.channelsFirst(x), isPlain: isFirst)
  }

  /// A value laid out like an image of this layer.
  func like(_ image: Image, _ value: Value) -> KerasValue {
    KerasValue(value, isTransposed: !image.isPlain)
  }

  // MARK: Results

  /// Gives a value's node the layer's name, with a suffix if it is not the layer's only one.
  func named(_ x: KerasValue, _ suffix: String = "") -> KerasValue {
    if case .node(let id) = x.value.content, session.names[id] == nil, !isInput(id) {
      session.names[id] = label + suffix
    }
    return x
  }

  private func isInput(_ id: NodeID) -> Bool {
    if case .input = l.builder[id].operation { return true }
    return inputs.contains { input in
      if case .node(id) = input.value.content { return true }
      return false
    }
  }

  // MARK: Weights

  /// The layer's weights of these names, as the file stores them.
  ///
  /// The last parts of the stored names decide; files of Keras 1, whose names say something else, list them in order.
  func weights(_ names: [String]) throws -> [HDF5File.Dataset] {
    var entries = try session.file.weights.entries(path)
    if let part {
      guard part.upperBound <= entries.count else { throw missing(names, entries) }
      entries = Array(entries[part])
    }
    let stored = entries.map { entry -> String in
      let last = entry.name.split(separator: "/").last.map(String.init) ?? entry.name
      return String(last.split(separator: ":", omittingEmptySubsequences: false)[0])
    }
    guard entries.count == names.count else { throw missing(names, entries) }
    if Set(stored) == Set(names) {
      return names.map { name in entries[stored.firstIndex(of: name) ?? 0].data }
    }
    guard Set(stored).isDisjoint(with: KerasLayers.weightNames) else { throw missing(names, entries) }
    return entries.map(\.data)
  }

  private func missing(_ names: [String], _ entries: [KerasWeights.Entry]) -> FileError {
    FileError(
      file: session.file.path, place: "layer '\(label)' (\(layer.kind))",
      reason: "expected the weights \(names.joined(separator: ", ")), the file lists "
        + (entries.isEmpty ? "none" : entries.map(\.name).joined(separator: ", ")))
  }

  /// Refuses a weight of a shape that does not fit.
  func check(_ data: HDF5File.Dataset, _ name: String, _ shape: [Int], _ x: Shape) throws {
    guard data.shape == shape else {
      throw FileError(
        file: session.file.path, place: "layer '\(label)' (\(layer.kind))",
        reason: "\(name) has the shape \(data.shape) where an input of shape \(x) needs \(shape)")
    }
  }

  /// A stored weight as a constant, under another shape if one is given.
  func constant(_ data: HDF5File.Dataset, _ shape: Shape? = nil) -> Value {
    Value(data.values.map { Double($0) }, shape ?? Shape(data.shape), .float32)
  }

  // MARK: Operators

  /// An ONNX operator on values; what Keras's layers have in common with it is read there once.
  func onnx(_ op: String, _ inputs: [Value?], _ attributes: [Onnx_AttributeProto] = [], outputs: Int = 1)
    throws -> [Value]
  {
    var proto = Onnx_NodeProto()
    proto.name = label
    proto.opType = op
    proto.output = (0..<outputs).map { "\(label)_\($0)" }
    proto.attribute = attributes
    let node = try OnnxNode(
      proto, inputs: inputs, version: OnnxImporter.opsets.upperBound,
      tensors: TensorDecoder(file: session.file.path))
    return try OnnxOperators.lower(node, on: l)
  }
}

extension Onnx_AttributeProto {
  static func int(_ name: String, _ value: Int) -> Self { make(name, .int) { $0.i = Int64(value) } }
  static func ints(_ name: String, _ values: [Int]) -> Self {
    make(name, .ints) { $0.ints = values.map { Int64($0) } }
  }
  static func float(_ name: String, _ value: Double) -> Self { make(name, .float) { $0.f = Float(value) } }
  static func floats(_ name: String, _ values: [Double]) -> Self {
    make(name, .floats) { $0.floats = values.map { Float($0) } }
  }
  static func string(_ name: String, _ value: String) -> Self {
    make(name, .string) { $0.s = Data(value.utf8) }
  }
  static func strings(_ name: String, _ values: [String]) -> Self {
    make(name, .strings) { $0.strings = values.map { Data($0.utf8) } }
  }

  private static func make(_ name: String, _ type: AttributeType, _ set: (inout Self) -> Void) -> Self {
    var attribute = Self()
    attribute.name = name
    attribute.type = type
    set(&attribute)
    return attribute
  }
}
