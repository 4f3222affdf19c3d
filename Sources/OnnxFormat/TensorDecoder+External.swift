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
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue,
      let handle = FileHandle(forReadingAtPath: path)
    else { throw error(name, "needs the external file '\(shown)', which cannot be opened") }
    defer { try? handle.close() }
    InputFiles.current?.note(descriptor: handle.fileDescriptor, path: path)
    do {
      let size = Int(clamping: try handle.seekToEnd())
      if offset > size || count > size - offset {
        throw error(
          name, "needs \(count) bytes at offset \(offset) of '\(shown)', which has only \(size) bytes")
      }
      try handle.seek(toOffset: UInt64(offset))
      let data = try handle.read(upToCount: count) ?? Data()
      if data.count != count { throw error(name, "could not be read whole from '\(shown)'") }
      return data
    } catch let failure as FileError {
      throw failure
    } catch let failure {
      throw error(name, "could not be read from '\(shown)': \(failure.localizedDescription)")
    }
  }
}
