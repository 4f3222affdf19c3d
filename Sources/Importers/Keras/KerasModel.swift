import FileFormats

/// A Keras model as its description tells it: layers, their calls, inputs and outputs.
///
/// `inbound_nodes` are read in the forms of Keras 1 and 2 (lists of `[layer, call, tensor, arguments]`) and of Keras 3
/// (calls with `args` and `kwargs`).
struct KerasModel {
  /// A tensor that a call of a layer gives.
  struct Reference: Hashable {
    var layer: String
    var call: Int
    var tensor: Int
  }

  /// What a layer is called with.
  enum Argument {
    case tensor(Reference)
    /// A number beside tensors, as in `x + 1`.
    case number(Double)
  }

  /// One layer of the description.
  struct Layer {
    var kind: String
    var name: String
    var config: JSONField
    /// Where Keras finds the class, if the file says so: `keras.layers`, `keras.src.ops.numpy`.
    var module: String?
    /// By call, in the order of the file; empty in a sequential model.
    var calls: [[Argument]]
    /// The layers of a model that stands as a layer.
    var model: KerasModel?
  }

  var layers: [Layer]
  /// Whether the layers form a chain in the order of the file.
  var isSequential: Bool
  var inputs: [Reference]
  var outputs: [Reference]
  /// The description, for errors.
  var field: JSONField

  /// How deep models may stand in each other.
  private static let depthLimit = 32
  static let modelKinds: Set<String> = ["Sequential", "Model", "Functional"]

  /// Reads `{"class_name": .., "config": ..}`.
  init(_ description: JSONField, depth: Int = 0) throws {
    field = description
    guard depth < Self.depthLimit else { throw description.error("models stand in each other too deep") }
    let kind = try description.member("class_name").string()
    let config = try description.member("config")
    guard Self.modelKinds.contains(kind) else {
      throw try description.member("class_name").error(
        "unknown model class \"\(kind)\": Sequential and Functional models are read, and a model class of "
          + "one's own is code that the file does not hold")
    }
    isSequential = kind == "Sequential"
    inputs = []
    outputs = []
    if case .array = config.value {
      // The oldest sequential models are the list itself.
      layers = try config.elements().map { try Self.layer($0, depth) }
    } else {
      layers = try config.member("layers").elements().map { try Self.layer($0, depth) }
    }
    if !isSequential {
      inputs = try Self.references(config.member("input_layers"))
      outputs = try Self.references(config.member("output_layers"))
      if inputs.isEmpty { throw try config.member("input_layers").error("names no layer") }
      if outputs.isEmpty { throw try config.member("output_layers").error("names no layer") }
    }
    if layers.isEmpty { throw config.error("the model has no layers") }
    var names: Set<String> = []
    for layer in layers where !names.insert(layer.name).inserted {
      throw config.error("two layers are called \"\(layer.name)\"")
    }
  }

  private static func layer(_ field: JSONField, _ depth: Int) throws -> Layer {
    let config = try field.member("config")
    let kind = try field.member("class_name").string()
    let module = try field.optional("module")?.string()
    let name: String
    if let own = try field.optional("name") {
      name = try own.string()
    } else if case .object = config.value {
      name = try config.member("name").string()
    } else {
      name = kind
    }
    if let registered = try field.optional("registered_name"), try registered.string().contains(">") {
      throw registered.error("layer \"\(name)\" is of a class of its own, whose code the file does not hold")
    }
    if let module, module != "keras", !module.hasPrefix("keras."), !module.hasPrefix("tf_keras.") {
      throw try field.member("module").error("layer \"\(name)\" is of a class that is not Keras's")
    }
    let calls = try field.optional("inbound_nodes")?.elements().map { try arguments($0) } ?? []
    return Layer(
      kind: kind, name: name, config: config, module: module, calls: calls,
      model: modelKinds.contains(kind) ? try KerasModel(field, depth: depth + 1) : nil)
  }

  // MARK: Calls

  private static func arguments(_ call: JSONField) throws -> [Argument] {
    if case .object = call.value {
      try checkKeywords(try call.optional("kwargs"))
      var arguments: [Argument] = []
      for element in try call.member("args").elements() {
        if case .array = element.value {
          arguments += try element.elements().map { try argument($0) }
        } else {
          arguments.append(try argument(element))
        }
      }
      return arguments
    }
    let elements = try call.elements()
    if let first = elements.first, case .string = first.value { return [.tensor(try reference(call))] }
    return try elements.map { .tensor(try reference($0)) }
  }

  private static func argument(_ field: JSONField) throws -> Argument {
    if let number = field.value.doubleValue { return .number(number) }
    guard case .object = field.value, try field.optional("class_name")?.string() == "__keras_tensor__" else {
      throw field.error("an argument of this kind is not supported")
    }
    return .tensor(try reference(try field.member("config").member("keras_history")))
  }

  /// `[layer, call, tensor]`, in Keras 2 with keyword arguments behind.
  private static func reference(_ field: JSONField) throws -> Reference {
    let parts = try field.elements()
    guard (1...4).contains(parts.count) else { throw field.error("expected a layer, a call and a tensor") }
    if parts.count == 4 { try checkKeywords(parts[3]) }
    func index(_ place: Int) throws -> Int {
      guard parts.count > place else { return 0 }
      let value = try parts[place].int()
      guard value >= 0 else { throw parts[place].error("\(value) is no index") }
      return value
    }
    return Reference(layer: try parts[0].string(), call: try index(1), tensor: try index(2))
  }

  /// Refuses keyword arguments that change what a call means.
  private static func checkKeywords(_ field: JSONField?) throws {
    guard let field else { return }
    for (key, argument) in try field.members() {
      switch argument.value {
      case .null: continue
      case .array(let parts) where parts.allSatisfy({ $0 == .null }): continue
      case .bool(false) where key == "training": continue
      default: throw argument.error("the argument \"\(key)\" of a layer's call is not supported")
      }
    }
  }

  private static func references(_ field: JSONField) throws -> [Reference] {
    if case .object = field.value { return try field.members().flatMap { try references($0.field) } }
    let elements = try field.elements()
    // One reference may stand without the outer list.
    if let first = elements.first, case .string = first.value { return [try reference(field)] }
    return try elements.map { try reference($0) }
  }
}
