import FileFormats
import IR
import OnnxFormat

/// One node of an ONNX file: its inputs resolved, its attributes behind accessors that check them.
///
/// Every accessor error names the node, the operator and the attribute. Attributes that no accessor asked for are
/// refused after lowering (``refuseUnknownAttributes()``): a meaning that is not understood must not be dropped.
final class OnnxNode {
  let proto: Onnx_NodeProto
  let file: String
  /// The node's name, or that of its first output where it has none.
  let label: String
  /// The operator set version that gives the operator its meaning.
  let version: Int
  /// How numbers that programs write as decimals are read.
  let literals: Literals
  /// By position; nil for optional inputs that are left out.
  let inputs: [Value?]
  private let attributes: [String: Onnx_AttributeProto]
  private let tensors: TensorDecoder
  private var asked: Set<String> = []

  init(
    _ proto: Onnx_NodeProto, inputs: [Value?], version: Int, tensors: TensorDecoder,
    literals: Literals = Literals()
  ) throws(FileError) {
    self.literals = literals
    self.proto = proto
    self.inputs = inputs
    self.version = version
    self.tensors = tensors
    file = tensors.file
    label = Self.label(proto)
    var attributes: [String: Onnx_AttributeProto] = [:]
    for attribute in proto.attribute {
      if attributes.updateValue(attribute, forKey: attribute.name) != nil {
        throw FileError(
          file: tensors.file, place: "node '\(label)' (\(proto.opType)), attribute '\(attribute.name)'",
          reason: "is given twice")
      }
    }
    self.attributes = attributes
  }

  static func label(_ proto: Onnx_NodeProto) -> String {
    if !proto.name.isEmpty { return proto.name }
    return proto.output.first { !$0.isEmpty } ?? proto.opType
  }

  var op: String { proto.opType }
  var place: String { "node '\(label)' (\(op))" }

  // MARK: Errors

  /// The file is wrong.
  func malformed(_ reason: String, attribute: String? = nil) -> FileError {
    FileError(file: file, place: place + (attribute.map { ", attribute '\($0)'" } ?? ""), reason: reason)
  }

  /// The file may be right, but this use of the operator is not supported.
  func unsupported(_ reason: String, attribute: String? = nil) -> UnsupportedOperator {
    UnsupportedOperator(node: label, operatorName: op, attribute: attribute, reason: reason)
  }

  // MARK: Inputs and outputs

  /// A required input.
  func input(_ index: Int) throws -> Value {
    guard let value = optional(index) else { throw malformed("lacks its input \(index)") }
    return value
  }

  /// An optional input, nil if it is left out.
  func optional(_ index: Int) -> Value? { index < inputs.count ? inputs[index] : nil }

  /// All inputs, none of which may be left out; at least `minimum` of them.
  func allInputs(minimum: Int = 1) throws -> [Value] {
    guard inputs.count >= minimum else {
      throw malformed("has \(inputs.count) inputs where it needs \(minimum)")
    }
    return try inputs.indices.map { try input($0) }
  }

  /// Whether somebody may use output `index`.
  func wantsOutput(_ index: Int) -> Bool { index < proto.output.count && !proto.output[index].isEmpty }

  // MARK: Attributes

  private func find(
    _ name: String, _ type: Onnx_AttributeProto.AttributeType, _ kind: String,
    _ isSet: (Onnx_AttributeProto) -> Bool
  ) throws(FileError) -> Onnx_AttributeProto? {
    asked.insert(name)
    guard let attribute = attributes[name] else { return nil }
    // The oldest files give no type; the field that is set tells.
    let fits = attribute.type == type || (attribute.type == .undefined && isSet(attribute))
    guard fits else { throw malformed("should be \(kind)", attribute: name) }
    return attribute
  }

  func has(_ name: String) -> Bool { attributes[name] != nil }

  /// Says that attributes have no influence on the values, whatever they hold.
  func ignore(_ names: String...) { asked.formUnion(names) }

  /// An integer, as stored.
  func exactInt(_ name: String) throws(FileError) -> Int? {
    try find(name, .int, "an integer", { $0.hasI }).map { Int($0.i) }
  }
  func exactInts(_ name: String) throws(FileError) -> [Int]? {
    try find(name, .ints, "a list of integers", { !$0.ints.isEmpty }).map { $0.ints.map { Int($0) } }
  }

  /// No extent, axis or count is larger; sums of numbers in this range do not overflow.
  static let integerLimit = 1 << 40

  static func clamped(_ number: Int) -> Int { max(-integerLimit, min(integerLimit, number)) }

  /// An integer that says how many, how far or where: clamped to +-2^40.
  func int(_ name: String) throws(FileError) -> Int? { try exactInt(name).map(Self.clamped) }
  func int(_ name: String, default value: Int) throws(FileError) -> Int { try int(name) ?? value }

  func bool(_ name: String, default value: Bool) throws(FileError) -> Bool {
    guard let number = try int(name) else { return value }
    guard number == 0 || number == 1 else {
      throw malformed("should be 0 or 1, not \(number)", attribute: name)
    }
    return number == 1
  }

  func ints(_ name: String) throws(FileError) -> [Int]? {
    try exactInts(name)?.map(Self.clamped)
  }

  /// A number. For the real-valued network it is the shortest decimal that rounds to the stored float32 (an epsilon
  /// written as 1e-5 is 1e-5, as in the framework it came from), for a deployed one the stored float32.
  func float(_ name: String, infinite: Bool = false) throws(FileError) -> Double? {
    guard let attribute = try find(name, .float, "a number", { $0.hasF }) else { return nil }
    if attribute.f.isNaN || (!infinite && attribute.f.isInfinite) {
      throw malformed("is \(attribute.f)", attribute: name)
    }
    return literals.decimal(attribute.f)
  }

  func float(_ name: String, default value: Double, infinite: Bool = false) throws(FileError) -> Double {
    try float(name, infinite: infinite) ?? literals.standard(value)
  }

  func floats(_ name: String) throws(FileError) -> [Double]? {
    let attribute = try find(name, .floats, "a list of numbers", { !$0.floats.isEmpty })
    guard let numbers = attribute?.floats else { return nil }
    if let bad = numbers.first(where: { !$0.isFinite }) { throw malformed("holds \(bad)", attribute: name) }
    return numbers.map(literals.decimal)
  }

  func string(_ name: String) throws(FileError) -> String? {
    try find(name, .string, "a string", { $0.hasS }).map { String(decoding: $0.s, as: UTF8.self) }
  }

  func strings(_ name: String) throws(FileError) -> [String]? {
    try find(name, .strings, "a list of strings", { !$0.strings.isEmpty }).map {
      $0.strings.map { String(decoding: $0, as: UTF8.self) }
    }
  }

  /// A string attribute that must be one of `choices`.
  func choice<T: RawRepresentable & CaseIterable>(_ name: String, default value: T) throws -> T
  where T.RawValue == String {
    guard let text = try string(name) else { return value }
    guard let choice = T(rawValue: text) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw unsupported("'\(text)' is none of \(known)", attribute: name)
    }
    return choice
  }

  func tensor(_ name: String) throws(FileError) -> OnnxTensor? {
    guard let attribute = try find(name, .tensor, "a tensor", { $0.hasT }) else { return nil }
    var tensor: OnnxTensor
    do {
      tensor = try tensors.tensor(attribute.t, name: attribute.t.name.isEmpty ? label : attribute.t.name)
    } catch {
      throw malformed("\(error.place ?? "tensor"): \(error.reason)", attribute: name)
    }
    tensor.name = label
    return tensor
  }

  func sparseTensor(_ name: String) throws(FileError) -> OnnxTensor? {
    guard let attribute = try find(name, .sparseTensor, "a sparse tensor", { $0.hasSparseTensor }) else {
      return nil
    }
    return try tensors.tensor(attribute.sparseTensor, name: label)
  }

  func graph(_ name: String) throws(FileError) -> Onnx_GraphProto {
    guard let attribute = try find(name, .graph, "a graph", { $0.hasG }) else {
      throw malformed("is missing", attribute: name)
    }
    return attribute.g
  }

  /// An attribute that the operator cannot do without.
  func require<T>(_ name: String, _ value: T?) throws(FileError) -> T {
    guard let value else { throw malformed("is missing", attribute: name) }
    return value
  }

  /// Refuses attributes that the lowering did not look at.
  func refuseUnknownAttributes() throws {
    if let name = attributes.keys.filter({ !asked.contains($0) }).min() {
      throw unsupported("this attribute is not known in opset \(version)", attribute: name)
    }
  }
}
