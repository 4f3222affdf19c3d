import FileFormats
import IR
import Operators
import Tensors

/// A value on its way through the layers.
struct KerasValue {
  var value: Value
  /// Whether it holds `[1, C] + extents` where the model means `[1] + extents + [C]`.
  var isTransposed = false

  init(_ value: Value, isTransposed: Bool = false) {
    self.value = value
    self.isTransposed = isTransposed
  }

  /// The axis of `value` that stands for an axis of the model.
  func axis(_ axis: Int) -> Int {
    guard isTransposed, axis > 0 else { return axis }
    return axis == value.rank - 1 ? 1 : axis + 1
  }
}

/// One import of one model.
final class KerasSession {
  let file: KerasFile
  let options: ImportOptions
  let lowering: Lowering
  var operatorCounts: [String: Int] = [:]
  /// Names of graph nodes after the layers that they come from.
  var names: [NodeID: String] = [:]

  /// What is known about one model while it is lowered.
  private struct Scope {
    var values: [KerasModel.Reference: KerasValue] = [:]
    /// The names of the models around, the outermost first.
    var path: [String]
  }

  init(_ file: KerasFile, _ options: ImportOptions) {
    self.file = file
    self.options = options
    lowering = Lowering(file: file.path, storedElements: 0)
  }

  /// The whole network.
  func graph() throws -> Graph {
    let model = file.model
    var inputs: [KerasValue] = []
    if model.isSequential {
      let first = try Self.firstLayer(model)
      inputs = [try input(first, name: first.kind == "InputLayer" ? first.name : "input", model)]
    } else {
      for reference in model.inputs {
        guard let layer = model.layers.first(where: { $0.name == reference.layer }),
          layer.kind == "InputLayer"
        else { throw model.field.error("the input \"\(reference.layer)\" is no InputLayer") }
        inputs.append(try input(layer, name: layer.name, model))
      }
    }
    let outputs = try lower(model, inputs, path: [])
    var taken: [String: Int] = [:]
    for (index, output) in outputs.enumerated() {
      var name =
        model.isSequential ? model.layers[model.layers.count - 1].name : model.outputs[index].layer
      if let count = taken[name] {
        taken[name] = count + 1
        name += "_\(count)"
      } else {
        taken[name] = 1
      }
      let node = try lowering.node(try plain(output))
      lowering.builder.output(node, name: name)
    }
    let graph = lowering.builder.build()
    let nodes = graph.nodes.map { node -> Node in
      guard let name = names[node.id] else { return node }
      return Node(
        id: node.id, name: name, origin: node.origin, operation: node.operation, inputs: node.inputs,
        shape: node.shape, elementType: node.elementType)
    }
    return Graph(nodes: nodes, inputs: graph.inputs, outputs: graph.outputs).prunedToOutputs()
  }

  // MARK: Inputs

  /// The layer that tells a chain's input shape.
  private static func firstLayer(_ model: KerasModel) throws -> KerasModel.Layer {
    // Models have layers, and stand in each other only so deep.
    let layer = model.layers[0]
    guard let inner = layer.model else { return layer }
    if inner.isSequential { return try firstLayer(inner) }
    guard inner.inputs.count == 1, let first = inner.layers.first(where: { $0.name == inner.inputs[0].layer })
    else { throw model.field.error("a chain cannot begin with a model of several inputs") }
    return first
  }

  private func input(_ layer: KerasModel.Layer, name: String, _ model: KerasModel) throws -> KerasValue {
    let config = KerasConfiguration(layer)
    if layer.kind == "InputLayer" {
      config.ignore("input_tensor")
      try config.refuseUnknown()
    }
    let type = try elementType(config)
    lowering.builder.origin = "InputLayer"
    func node(_ shape: Shape) -> KerasValue {
      KerasValue(Value(lowering.builder.input(name, shape, type: type), shape, type))
    }
    let field: JSONField
    if let found = try config.optional(["batch_input_shape", "batch_shape"]) {
      field = found
    } else if layer.kind != "Embedding", let width = try config.optional("input_dim") {
      return node([1, try KerasConfiguration.extent(width)])
    } else if let built = try model.field.member("config").value["build_input_shape"], built != .null {
      field = try model.field.member("config").member("build_input_shape")
    } else {
      throw layer.config.error("\"batch_input_shape\" is missing")
    }
    let given = options.shapes[name] ?? options.values[name]?.shape
    var extents = [1]
    let dims = try field.elements()
    guard !dims.isEmpty else { throw field.error("has no batch axis") }
    for (axis, element) in dims.enumerated() where axis > 0 {
      if element.value != .null {
        extents.append(try KerasConfiguration.extent(element))
      } else if let given, given.rank == dims.count, given[axis] > 0 {
        extents.append(given[axis])
      } else {
        throw UnsupportedOperator(
          node: name, operatorName: "InputLayer", attribute: "batch_shape",
          reason: "axis \(axis) is open in the file; give an input with its shape")
      }
    }
    let shape = Shape(extents)
    guard shape.checkedCount(limit: Lowering.sizeLimit) != nil else {
      throw field.error("an input of shape \(shape) is too large")
    }
    return node(shape)
  }

  private func elementType(_ config: KerasConfiguration) throws -> ElementType {
    // Keras 1 gave the input's type beside the layer's.
    let name = try config.optional("input_dtype")?.string() ?? config.typeName() ?? "float32"
    switch name {
    case "float32": return .float32
    case "int32": return .int32
    case "int64": return .int64
    case "uint8": return .uint8
    case "bool": return .bool
    default: throw config.unsupported("inputs of type \(name) are not supported", member: "dtype")
    }
  }

  // MARK: Layers

  /// The outputs of a model for inputs.
  private func lower(_ model: KerasModel, _ inputs: [KerasValue], path: [String]) throws -> [KerasValue] {
    if model.isSequential {
      guard inputs.count == 1 else { throw model.field.error("a chain has one input, not \(inputs.count)") }
      var values = inputs
      for (index, layer) in model.layers.enumerated() {
        if layer.kind == "InputLayer" {
          guard index == 0 else { throw layer.config.error("an InputLayer stands inside a chain") }
          count(layer)
          continue
        }
        values = try call(layer, 0, values, path: path)
        guard values.count == 1 || index == model.layers.count - 1 else {
          throw layer.config.error("layer \"\(layer.name)\" has several outputs inside a chain")
        }
      }
      return values
    }
    guard inputs.count == model.inputs.count else {
      throw model.field.error("a model of \(model.inputs.count) inputs is called with \(inputs.count)")
    }
    var scope = Scope(path: path)
    for (reference, value) in zip(model.inputs, inputs) {
      if let layer = model.layers.first(where: { $0.name == reference.layer }) { count(layer) }
      scope.values[KerasModel.Reference(layer: reference.layer, call: 0, tensor: 0)] = value
    }
    try settle(model, &scope)
    return try model.outputs.map { reference in
      guard let value = scope.values[reference] else {
        throw model.field.error("layer \"\(reference.layer)\" has no tensor \(reference.tensor)")
      }
      return value
    }
  }

  /// Lowers the calls that the outputs need, each after those it reads.
  private func settle(_ model: KerasModel, _ scope: inout Scope) throws {
    struct Call: Hashable {
      var layer: Int
      var call: Int
    }
    let places = Dictionary(
      uniqueKeysWithValues: model.layers.enumerated().map { ($0.element.name, $0.offset) })
    func call(_ reference: KerasModel.Reference, from reader: String) throws -> Call {
      guard let place = places[reference.layer] else {
        throw model.field.error("\(reader) reads \"\(reference.layer)\", which is no layer")
      }
      let layer = model.layers[place]
      guard reference.call < max(1, layer.calls.count) else {
        throw layer.config.error("layer \"\(layer.name)\" is not called \(reference.call + 1) times")
      }
      return Call(layer: place, call: reference.call)
    }
    func arguments(_ call: Call) -> [KerasModel.Argument] {
      let calls = model.layers[call.layer].calls
      return call.call < calls.count ? calls[call.call] : []
    }
    var done: Set<Call> = []
    var open: Set<Call> = []
    for reference in model.inputs { done.insert(try call(reference, from: "the model")) }
    for output in model.outputs {
      var stack = [try call(output, from: "the model")]
      while let next = stack.last {
        if done.contains(next) {
          stack.removeLast()
          continue
        }
        let layer = model.layers[next.layer]
        let read = arguments(next)
        var waits: [Call] = []
        for case .tensor(let reference) in read {
          let source = try call(reference, from: "layer \"\(layer.name)\"")
          if !done.contains(source) { waits.append(source) }
        }
        if !waits.isEmpty {
          guard open.insert(next).inserted else {
            throw layer.config.error("layer \"\(layer.name)\" waits for its own output")
          }
          stack += waits.reversed()
          continue
        }
        let inputs = try read.map { argument -> KerasValue in
          switch argument {
          case .number(let number): return KerasValue(Value(scalar: Double(Float(number)), .float32))
          case .tensor(let reference):
            guard let value = scope.values[reference] else {
              throw layer.config.error(
                "layer \"\(layer.name)\" reads a tensor that \"\(reference.layer)\" lacks")
            }
            return value
          }
        }
        let results = try self.call(layer, next.call, inputs, path: scope.path)
        for (tensor, value) in results.enumerated() {
          scope.values[KerasModel.Reference(layer: layer.name, call: next.call, tensor: tensor)] = value
        }
        done.insert(next)
        stack.removeLast()
      }
    }
  }

  private func count(_ layer: KerasModel.Layer) { operatorCounts[layer.kind, default: 0] += 1 }

  /// The outputs of one call of a layer.
  private func call(_ layer: KerasModel.Layer, _ number: Int, _ inputs: [KerasValue], path: [String]) throws
    -> [KerasValue]
  {
    let path = path + [layer.name]
    let label = path.joined(separator: "/") + (number == 0 ? "" : ":\(number)")
    if let model = layer.model { return try lower(model, inputs, path: path) }
    if number == 0 { count(layer) }
    guard !inputs.isEmpty else { throw layer.config.error("layer \"\(layer.name)\" has no input") }
    let call = KerasCall(layer, inputs, label: label, path: path, self)
    let results = try call.run()
    for result in results where result.value.shape.count == 0 {
      throw call.config.unsupported("its output would be empty (shape \(result.value.shape))")
    }
    return results
  }

  // MARK: Layout

  /// The value with its axes as the model means them.
  func plain(_ x: KerasValue) throws -> Value {
    guard x.isTransposed else { return x.value }
    return try transposed(x.value, [0] + Array(2..<x.value.rank) + [1])
  }

  /// Moves the last axis behind the batch axis.
  func channelsFirst(_ x: KerasValue) throws -> Value {
    if x.isTransposed { return x.value }
    return try transposed(x.value, [0, x.value.rank - 1] + Array(1..<(x.value.rank - 1)))
  }

  private func transposed(_ x: Value, _ permutation: [Int]) throws -> Value {
    let origin = lowering.builder.origin
    lowering.builder.origin = "Transpose"
    defer { lowering.builder.origin = origin }
    return try lowering.transpose(x, permutation)
  }
}
