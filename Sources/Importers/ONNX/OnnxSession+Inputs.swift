import FileFormats
import IR
import OnnxFormat
import Tensors

// Initialisers and inputs.
extension OnnxSession {
  /// The engine's element type.
  static func elementType(_ type: OnnxElementType) -> ElementType? {
    switch type {
    case .float32: .float32
    case .float64: .float64
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .int8: .int8
    case .int16: .int16
    case .int32: .int32
    case .int64: .int64
    case .uint8: .uint8
    case .uint16: .uint16
    case .uint32: .uint32
    case .uint64: .uint64
    case .bool: .bool
    default: nil
    }
  }

  /// A tensor of the file as a constant.
  func constant(_ tensor: OnnxTensor) throws -> Value {
    let shape = Shape(tensor.shape)
    if case .text(let strings) = tensor.values { return Value(text: strings, shape: shape) }
    guard let type = Self.elementType(tensor.type) else {
      throw UnsupportedOperator(
        node: tensor.name, operatorName: "tensor",
        reason: "the element type \(tensor.type) is not supported")
    }
    if tensor.containsNaN { throw malformed("tensor '\(tensor.name)'", "holds values that are not numbers") }
    return Value(OnnxElementTypes.doubles(tensor), shape, type)
  }

  /// Defines a graph's initialisers.
  func readInitializers(_ graph: Onnx_GraphProto, into scope: OnnxScope) throws {
    func define(_ name: String, _ tensor: OnnxTensor) throws {
      var tensor = tensor
      tensor.name = name
      guard scope.define(name, try constant(tensor)) else {
        throw malformed("tensor '\(name)'", "is defined twice")
      }
    }
    for proto in graph.initializer { try define(proto.name, try file.tensors.tensor(proto)) }
    for proto in graph.sparseInitializer { try define(proto.values.name, try file.tensors.tensor(proto)) }
  }

  /// Defines the model's inputs: nodes, or constants where a value is built in.
  func readInputs(_ graph: Onnx_GraphProto, into scope: OnnxScope) throws {
    let initialized = Set(graph.initializer.map(\.name) + graph.sparseInitializer.map(\.values.name))
    var named = options.dimensions
    let free = graph.input.filter { !initialized.contains($0.name) }
    // Given shapes settle named dimensions for all inputs.
    for input in free {
      guard let given = options.shapes[input.name] ?? options.values[input.name]?.shape else { continue }
      for (dim, extent) in zip(input.type.tensorType.shape.dim, given.dims) {
        if !dim.dimParam.isEmpty && named[dim.dimParam] == nil { named[dim.dimParam] = extent }
      }
    }
    var batchName: String?
    for input in free {
      guard let first = input.type.tensorType.shape.dim.first, first.dimValue <= 0 else { continue }
      if !first.dimParam.isEmpty && named[first.dimParam] == nil { batchName = batchName ?? first.dimParam }
    }
    if let batch = options.batch, let batchName { named[batchName] = batch }
    for input in free { try readInput(input, named, into: scope) }
  }

  private func readInput(_ input: Onnx_ValueInfoProto, _ named: [String: Int], into scope: OnnxScope) throws {
    let place = "input '\(input.name)'"
    guard case .tensorType(let tensor)? = input.type.value else {
      throw UnsupportedOperator(
        node: input.name, operatorName: "input", reason: "inputs that are no tensors are not supported")
    }
    guard let onnxType = OnnxElementType(rawValue: Int(tensor.elemType)) else {
      throw malformed(place, "has the unknown element type \(tensor.elemType)")
    }
    guard let type = Self.elementType(onnxType) else {
      throw UnsupportedOperator(
        node: input.name, operatorName: "input", reason: "the element type \(onnxType) is not supported")
    }
    let given = options.shapes[input.name] ?? options.values[input.name]?.shape
    let shape: Shape
    if tensor.hasShape {
      shape = try self.shape(tensor.shape, given, named, place, input.name)
    } else if let given {
      shape = given
    } else {
      throw malformed(place, "has no shape in the file; give one")
    }
    guard shape.checkedCount(limit: Lowering.sizeLimit) != nil else {
      throw malformed(place, "has the shape \(shape), more than \(Lowering.sizeLimit) elements")
    }
    lowering.builder.origin = "Input"
    let node = lowering.builder.input(input.name, shape, type: type)
    var value = Value(node, shape, type)
    if bound.contains(input.name), let known = options.values[input.name] {
      guard known.shape == shape else {
        throw malformed(place, "has the shape \(shape), the value given for it \(known.shape)")
      }
      value = Value(Weight(known), type)
    }
    guard scope.define(input.name, value) else { throw malformed(place, "is defined twice") }
  }

  private func shape(
    _ proto: Onnx_TensorShapeProto, _ given: Shape?, _ named: [String: Int], _ place: String,
    _ input: String
  ) throws -> Shape {
    if let given, given.rank != proto.dim.count {
      throw malformed(place, "has \(proto.dim.count) axes, the shape given for it is \(given)")
    }
    var dims: [Int] = []
    for (axis, dim) in proto.dim.enumerated() {
      let extent: Int
      if case .dimValue(let fixed)? = dim.value, fixed >= 0, fixed > 0 || given?[axis] == 0 {
        extent = Int(fixed)
        if let given, given[axis] != extent {
          throw malformed(place, "has extent \(extent) on axis \(axis), the shape given for it is \(given)")
        }
      } else if let given {
        extent = given[axis]
      } else if let known = dim.dimParam.isEmpty ? (axis == 0 ? options.batch : nil) : named[dim.dimParam] {
        extent = known
      } else {
        extent = 1
        assumedExtents.append(AssumedExtent(input: input, axis: axis, name: dim.dimParam, extent: extent))
      }
      dims.append(extent)
    }
    return Shape(dims)
  }
}
