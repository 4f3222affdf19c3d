import FileFormats
import Foundation
import OnnxFormat

extension Importer {
  /// The other files that a network consists of: external data of ONNX tensors, the description beside Keras weights,
  /// everything in a folder.
  ///
  /// - Throws: `FileError` where the network itself cannot be read.
  public static func companions(of path: String) throws -> [String] {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      return (try? FileManager.default.contentsOfDirectory(atPath: path).sorted().map { path + "/" + $0 })
        ?? []
    }
    var name = path.lowercased()
    if name.hasSuffix(".gz") { name.removeLast(3) }
    if name.hasSuffix(".nnet") { return [] }
    if [".h5", ".hdf5", ".keras"].contains(where: name.hasSuffix) {
      return [(path as NSString).deletingPathExtension + ".json"]
    }
    let folder = (path as NSString).deletingLastPathComponent
    let locations = try OnnxModelFile(path: path).externalLocations()
    return locations.sorted().map { folder.isEmpty ? $0 : folder + "/" + $0 }
  }
}
