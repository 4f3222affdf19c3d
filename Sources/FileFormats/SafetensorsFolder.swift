import Foundation

/// The weights of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
public struct SafetensorsFolder: Sendable {
  /// The folder as the user gave it.
  public let folder: String
  /// The files in the order they were opened.
  public let files: [SafetensorsFile]
  private let owner: [String: Int]

  /// No files.
  public init(empty folder: String) {
    self.folder = folder
    files = []
    owner = [:]
  }

  /// Opens all files.
  ///
  /// - Throws: ``FileError`` for the first file that is missing or wrong.
  public init(folder: String) throws {
    self.folder = folder
    let single = folder + "/model.safetensors"
    let indexFile = single + ".index.json"
    var files: [SafetensorsFile] = []
    if access(single, F_OK) == 0 || access(indexFile, F_OK) != 0 {
      if access(single, F_OK) != 0 { try Self.refuseOtherFormats(folder) }
      files = [try SafetensorsFile(path: single)]
    } else {
      let root = JSONField(root: try JSONValue.parse(contentsOf: indexFile), file: indexFile)
      var names: [String] = []
      for (_, field) in try root.member("weight_map").members() {
        let name = try field.string()
        guard !name.contains("/") else { throw field.error("a shard must lie in the model's folder") }
        if !names.contains(name) { names.append(name) }
      }
      guard !names.isEmpty else { throw root.error("\"weight_map\" names no file") }
      files = try names.map { try SafetensorsFile(path: folder + "/" + $0) }
    }
    self.files = files
    var owner: [String: Int] = [:]
    for (position, file) in files.enumerated() {
      for entry in file.entries where owner[entry.name] == nil { owner[entry.name] = position }
    }
    self.owner = owner
  }

  /// Names weights in a format that is not read, and how to get the one that is.
  private static func refuseOtherFormats(_ folder: String) throws {
    for name in [
      "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack",
    ] where access(folder + "/" + name, F_OK) == 0 {
      throw FileError(
        file: folder + "/" + name,
        reason: "weights are read from model.safetensors only, which the folder lacks; "
          + "AutoModel...from_pretrained(folder).save_pretrained(folder, safe_serialization=True) writes it")
    }
  }

  /// All tensor names.
  public var names: [String] { files.flatMap { $0.entries.map(\.name) } }

  /// Whether there is a tensor of this name.
  public func contains(_ name: String) -> Bool { owner[name] != nil }

  /// The file that holds a tensor; for a missing one the first, whose error then names it.
  public func file(of name: String) -> SafetensorsFile { files[owner[name] ?? 0] }
}
