import FileFormats
import Foundation

/// A Keras model file: its description, and the weights of its layers.
///
/// Two layouts: a whole model in one HDF5 file (Keras 2 and 3: attribute `model_config`, weights below
/// `model_weights`), or a weight file with the description in a `.json` beside it (Keras 1).
struct KerasFile {
  let path: String
  let model: KerasModel
  /// As the file gives it: `2.4.0`, `3.1.1`; `1` if it does not.
  let version: String
  /// `theano`, `tensorflow`, .., or nil where the file does not say.
  let backend: String?
  let weights: KerasWeights

  /// The first number of the version.
  var majorVersion: Int { version.split(separator: ".").first.flatMap { Int($0) } ?? 1 }

  init(path: String) throws {
    try Self.refuseArchive(path)
    self = try HDF5File.read(path) { try KerasFile($0) }
  }

  private init(_ file: borrowing HDF5File) throws {
    path = file.path
    let description: JSONField
    if let text = try file.string(attribute: "model_config") {
      description = JSONField(root: try JSONValue.parse(Array(text.utf8), file: path), file: path)
    } else {
      let beside = Self.besides(path)
      do {
        description = JSONField(root: try JSONValue.parse(contentsOf: beside), file: beside)
      } catch let error as FileError where error.place == nil {
        throw FileError(
          file: path, place: "attribute model_config",
          reason: "the file holds weights only, and the description beside it cannot be read (\(error))")
      }
    }
    model = try KerasModel(description)
    version = try file.string(attribute: "keras_version") ?? "1"
    backend = try file.string(attribute: "backend")
    let root = file.exists("model_weights") ? "model_weights/" : ""
    weights = try KerasWeights(file, root: root, layers: model.layers.map(\.name))
  }

  private static func besides(_ path: String) -> String {
    guard let dot = path.lastIndex(of: "."), path[dot...].firstIndex(of: "/") == nil else {
      return path + ".json"
    }
    return path[..<dot] + ".json"
  }

  /// The archives of Keras 3, which begin like every zip file, are named for what they are.
  private static func refuseArchive(_ path: String) throws {
    // A pipe in place of a file is refused, not waited for.
    guard try RegularFile.size(path) >= 2, try RegularFile.part(path, offset: 0, count: 2) == Array("PK".utf8)
    else { return }
    throw FileError(
      file: path,
      reason: "is a .keras archive, which is not read; save the model as HDF5 instead: "
        + "keras.models.load_model(..).save(\"model.h5\")")
  }
}

/// The weights of a file by layer.
struct KerasWeights {
  struct Entry {
    /// As the file lists it: `dense/kernel:0`, `sequential/dense/kernel`, `dense_1_W`.
    var name: String
    var data: HDF5File.Dataset
  }

  private let file: String
  private var groups: [String: [Entry]] = [:]

  init(_ file: borrowing HDF5File, root: String, layers: [String]) throws {
    self.file = file.path
    for layer in layers where !layer.isEmpty {
      let group = root + layer
      guard file.exists(group) else { continue }
      guard let names = try file.strings(attribute: "weight_names", of: group) else {
        throw FileError(file: file.path, place: group, reason: "has no attribute weight_names")
      }
      groups[layer] = try names.map { name in
        let data = try file.dataset(group + "/" + name)
        guard data.values.allSatisfy(\.isFinite) else {
          throw FileError(
            file: file.path, place: group + "/" + name, reason: "holds values that are not finite")
        }
        return Entry(name: name, data: data)
      }
    }
  }

  /// The weights of a layer in the order that the file lists them.
  ///
  /// - Parameter path: the layer's name, before it those of the models that it stands in.
  func entries(_ path: [String]) throws -> [Entry] {
    guard let top = path.first, let all = groups[top] else {
      throw FileError(
        file: file, place: path.joined(separator: "/"), reason: "the weights of this layer are missing")
    }
    if path.count == 1 { return all }
    // The group of a model lists the weights of all its layers, each with names that lead to it.
    let chain = path.dropFirst()
    func follows(_ entry: Entry, _ chain: ArraySlice<String>) -> Bool {
      var rest = chain
      for part in entry.name.split(separator: "/") where rest.first.map({ $0 == part }) ?? false {
        rest.removeFirst()
      }
      return rest.isEmpty
    }
    let exact = all.filter { follows($0, chain) }
    return exact.isEmpty ? all.filter { follows($0, chain.suffix(1)) } : exact
  }
}
