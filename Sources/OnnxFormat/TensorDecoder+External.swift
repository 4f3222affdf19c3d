import FileFormats
import Foundation

// Values stored in a file beside the model.
extension TensorDecoder {
  /// Reads exactly `byteCount` bytes of external data.
  ///
  /// The location must be a relative path that stays inside the model's folder, symbolic links included: a model
  /// file must not be able to read other files of whoever opens it.
  func externalData(
    _ proto: Onnx_TensorProto, name: String, byteCount: Int
  ) throws(FileError) -> Data {
    var entries: [String: String] = [:]
    for entry in proto.externalData { entries[entry.key] = entry.value }
    guard let location = entries["location"], !location.isEmpty else {
      throw error(name, "is stored externally without a location")
    }
    guard let folder else { throw error(name, "is stored externally, which needs a model read from a file") }
    let parts = location.split(separator: "/", omittingEmptySubsequences: false)
    if location.hasPrefix("/") || parts.contains("..") || location.contains("\0") {
      throw error(name, "has external data outside the model's folder: '\(location)'")
    }
    let root = folder.resolvingSymlinksInPath().standardizedFileURL.path
    let path = folder.appendingPathComponent(location).resolvingSymlinksInPath().standardizedFileURL.path
    if !path.hasPrefix(root.hasSuffix("/") ? root : root + "/") {
      throw error(name, "has external data outside the model's folder: '\(location)'")
    }
    let offset = try number(entries["offset"], "offset", name) ?? 0
    let length = try number(entries["length"], "length", name) ?? byteCount
    if length != byteCount {
      throw error(name, "claims \(length) bytes of external data where its shape needs \(byteCount)")
    }
    return try read(path, shown: location, offset: offset, count: byteCount, name: name)
  }

  private func number(_ text: String?, _ key: String, _ name: String) throws(FileError) -> Int? {
    guard let text else { return nil }
    guard let value = Int(text), value >= 0 else {
      throw error(name, "has the external \(key) '\(text)', which is no size")
    }
    return value
  }

  private func read(
    _ path: String, shown: String, offset: Int, count: Int, name: String
  ) throws(FileError) -> Data {
    do {
      return Data(try RegularFile.part(path, offset: offset, count: count))
    } catch {
      throw self.error(name, "needs the external file '\(shown)': \(error.reason)")
    }
  }
}
