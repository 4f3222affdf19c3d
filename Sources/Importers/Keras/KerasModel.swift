import FileFormats

/// The layers of a Keras model file and where their weights are.
///
/// Two layouts: a whole model in one HDF5 file (Keras 2: attribute `model_config`, weights below `model_weights`), or
/// a weight file with the description in a `.json` beside it (Keras 1).
struct KerasModel {
  /// One layer of the description.
  struct Layer {
    var kind: String
    var name: String
    var config: JSONField
    /// The layers it reads; empty in a sequential model.
    var inbound: [String]
  }

  var file: String
  var layers: [Layer]
  /// Whether the layers form a chain in the order of the file.
  var isSequential: Bool
  var inputNames: [String]
  var outputNames: [String]
  var version: String
  /// `theano`, `tensorflow`, or nil where the file does not say.
  var backend: String?
  /// The group that holds the layers' weights; empty for the root.
  var weightGroup: String

  /// Reads the description that belongs to an HDF5 file.
  init(_ file: borrowing HDF5File) throws {
    self.file = file.path
    let description: JSONField
    if let text = try file.string(attribute: "model_config") {
      description = JSONField(root: try JSONValue.parse(Array(text.utf8), file: file.path), file: file.path)
    } else {
      let beside = Self.besides(file.path)
      do {
        description = JSONField(root: try JSONValue.parse(contentsOf: beside), file: beside)
      } catch let error as FileError where error.place == nil {
        throw FileError(
          file: file.path, place: "attribute model_config",
          reason: "the file holds weights only, and the description beside it cannot be read (\(error))")
      }
    }
    weightGroup = file.exists("model_weights") ? "model_weights" : ""
    version = try file.string(attribute: "keras_version") ?? "1"
    backend = try file.string(attribute: "backend")
    let kind = try description.member("class_name").string()
    let config = try description.member("config")
    switch kind {
    case "Sequential":
      isSequential = true
      if case .array = config.value {
        layers = try config.elements().map { try Self.layer($0) }
      } else {
        layers = try config.member("layers").elements().map { try Self.layer($0) }
      }
      inputNames = []
      outputNames = []
    case "Model", "Functional":
      isSequential = false
      layers = try config.member("layers").elements().map { try Self.layer($0) }
      inputNames = try Self.references(config.member("input_layers"))
      outputNames = try Self.references(config.member("output_layers"))
    default:
      throw try description.member("class_name").error("unknown model class \"\(kind)\"")
    }
    if layers.isEmpty { throw config.error("the model has no layers") }
  }

  private static func besides(_ path: String) -> String {
    guard let dot = path.lastIndex(of: "."), path[dot...].firstIndex(of: "/") == nil else {
      return path + ".json"
    }
    return path[..<dot] + ".json"
  }

  private static func layer(_ field: JSONField) throws -> Layer {
    let config = try field.member("config")
    let name = try (field.optional("name") ?? config.member("name")).string()
    var inbound: [String] = []
    if let nodes = try field.optional("inbound_nodes") {
      let calls = try nodes.elements()
      guard calls.count <= 1 else {
        throw nodes.error("a layer that is used more than once is not supported")
      }
      for call in calls {
        inbound += try call.elements().map { try $0.elements().first.map { try $0.string() } ?? "" }
      }
    }
    return Layer(kind: try field.member("class_name").string(), name: name, config: config, inbound: inbound)
  }

  private static func references(_ field: JSONField) throws -> [String] {
    let elements = try field.elements()
    // One reference may stand without the outer list.
    if let first = elements.first, case .string(let name) = first.value { return [name] }
    return try elements.map { element in
      guard let name = try element.elements().first else { throw element.error("expected a layer's name") }
      return try name.string()
    }
  }

  /// A layer's weights in the order that the file lists them.
  func weights(of layer: Layer, in file: borrowing HDF5File) throws -> [HDF5File.Dataset] {
    let group = weightGroup.isEmpty ? layer.name : weightGroup + "/" + layer.name
    guard file.exists(group) else {
      throw FileError(file: file.path, place: group, reason: "the weights of this layer are missing")
    }
    guard let names = try file.strings(attribute: "weight_names", of: group) else {
      throw FileError(file: file.path, place: group, reason: "has no attribute weight_names")
    }
    return try names.map { try file.dataset(group + "/" + $0) }
  }
}
