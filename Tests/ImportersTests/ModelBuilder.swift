import FileFormats
import Foundation
import IR
import Importers
import OnnxFormat
import Tensors

/// Builds small ONNX models in memory for tests.
struct ModelBuilder {
  var model = Onnx_ModelProto()

  init(opset: Int = 17, irVersion: Int = 8) {
    model.irVersion = Int64(irVersion)
    var entry = Onnx_OperatorSetIdProto()
    entry.version = Int64(opset)
    model.opsetImport = [entry]
    model.graph.name = "test"
  }

  static func info(_ name: String, _ dims: [Int], _ type: OnnxElementType = .float32) -> Onnx_ValueInfoProto {
    var info = Onnx_ValueInfoProto()
    info.name = name
    info.type.tensorType.elemType = Int32(type.rawValue)
    info.type.tensorType.shape.dim = dims.map { extent in
      var dim = Onnx_TensorShapeProto.Dimension()
      if extent >= 0 { dim.dimValue = Int64(extent) } else { dim.dimParam = "N\(-extent)" }
      return dim
    }
    return info
  }

  static func node(
    _ op: String, _ inputs: [String], _ outputs: [String], domain: String = "",
    _ attributes: [Onnx_AttributeProto] = []
  ) -> Onnx_NodeProto {
    var node = Onnx_NodeProto()
    node.opType = op
    node.domain = domain
    node.input = inputs
    node.output = outputs
    node.attribute = attributes
    return node
  }

  static func attribute(_ name: String, _ fill: (inout Onnx_AttributeProto) -> Void) -> Onnx_AttributeProto {
    var attribute = Onnx_AttributeProto()
    attribute.name = name
    fill(&attribute)
    return attribute
  }
  static func int(_ name: String, _ value: Int) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .int
      $0.i = Int64(value)
    }
  }
  static func ints(_ name: String, _ values: [Int]) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .ints
      $0.ints = values.map { Int64($0) }
    }
  }
  static func float(_ name: String, _ value: Float) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .float
      $0.f = value
    }
  }
  static func text(_ name: String, _ value: String) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .string
      $0.s = Data(value.utf8)
    }
  }
  static func tensor(_ name: String, _ value: Onnx_TensorProto) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .tensor
      $0.t = value
    }
  }
  static func graph(_ name: String, _ value: Onnx_GraphProto) -> Onnx_AttributeProto {
    attribute(name) {
      $0.type = .graph
      $0.g = value
    }
  }
  static func reference(_ name: String, to outer: String, type: Onnx_AttributeProto.AttributeType)
    -> Onnx_AttributeProto
  {
    attribute(name) {
      $0.type = type
      $0.refAttrName = outer
    }
  }

  static func tensor(_ name: String, _ dims: [Int], floats: [Float]) -> Onnx_TensorProto {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dims = dims.map { Int64($0) }
    tensor.dataType = Int32(OnnxElementType.float32.rawValue)
    tensor.floatData = floats
    return tensor
  }
  static func tensor(_ name: String, _ dims: [Int], doubles: [Double]) -> Onnx_TensorProto {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dims = dims.map { Int64($0) }
    tensor.dataType = Int32(OnnxElementType.float64.rawValue)
    tensor.doubleData = doubles
    return tensor
  }
  /// Integers of at most 32 bits.
  static func tensor(_ name: String, _ dims: [Int], _ type: OnnxElementType, small: [Int]) -> Onnx_TensorProto
  {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dims = dims.map { Int64($0) }
    tensor.dataType = Int32(type.rawValue)
    tensor.int32Data = small.map { Int32($0) }
    return tensor
  }
  static func tensor(_ name: String, _ dims: [Int], ints: [Int]) -> Onnx_TensorProto {
    var tensor = Onnx_TensorProto()
    tensor.name = name
    tensor.dims = dims.map { Int64($0) }
    tensor.dataType = Int32(OnnxElementType.int64.rawValue)
    tensor.int64Data = ints.map { Int64($0) }
    return tensor
  }

  mutating func input(_ name: String, _ dims: [Int], _ type: OnnxElementType = .float32) {
    model.graph.input.append(Self.info(name, dims, type))
  }
  mutating func output(_ name: String) {
    var info = Onnx_ValueInfoProto()
    info.name = name
    model.graph.output.append(info)
  }
  mutating func add(
    _ op: String, _ inputs: [String], _ outputs: [String], domain: String = "",
    _ attributes: [Onnx_AttributeProto] = []
  ) {
    model.graph.node.append(Self.node(op, inputs, outputs, domain: domain, attributes))
  }
  mutating func constant(_ name: String, _ dims: [Int], floats: [Float]) {
    model.graph.initializer.append(Self.tensor(name, dims, floats: floats))
  }
  mutating func constant(_ name: String, _ dims: [Int], doubles: [Double]) {
    model.graph.initializer.append(Self.tensor(name, dims, doubles: doubles))
  }
  mutating func constant(_ name: String, _ dims: [Int], _ type: OnnxElementType, small: [Int]) {
    model.graph.initializer.append(Self.tensor(name, dims, type, small: small))
  }
  mutating func constant(_ name: String, ints: [Int]) {
    model.graph.initializer.append(Self.tensor(name, [ints.count], ints: ints))
  }

  /// Writes the model to a temporary file, imports it and removes it.
  func load(_ options: ImportOptions = ImportOptions()) throws -> ImportedNetwork {
    let bytes: [UInt8] = try model.serializedBytes()
    return try Self.load(bytes, options)
  }

  static func load(_ bytes: [UInt8], _ options: ImportOptions = ImportOptions()) throws -> ImportedNetwork {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).onnx").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try Importer.load(path, options)
  }
}

extension ImportedNetwork {
  /// The outputs for one example.
  func run(_ inputs: [[Double]]) throws -> [[Double]] {
    let tensors = zip(inputs, graph.inputNodes).map { Tensor([1] + $1.shape, $0) }
    return try graph.run(tensors, .float64).map(\.float64.elements)
  }
}
