import FileFormats
import Foundation
import Language

/// Reads a network of any supported format.
public enum Importer {
  /// Reads ONNX (`.onnx`), NNet (`.nnet`) and Keras (`.h5`, `.hdf5`, `.keras`) files, ONNX and NNet also with `.gz`
  /// appended, and HuggingFace folders of transformers. Anything else is taken for ONNX.
  ///
  /// - Throws: `FileError` for files that cannot be read or are wrong, `UnsupportedOperator` for what the toolkit does
  ///   not know.
  public static func load(_ path: String, _ options: ImportOptions = ImportOptions()) throws
    -> ImportedNetwork
  {
    var name = path.lowercased()
    if name.hasSuffix(".gz") { name.removeLast(3) }
    if ModelFolder.exists(at: path) { return try TransformerImporter.load(path, options) }
    if name.hasSuffix(".nnet") { return try NNetImporter.load(path: path, options: options) }
    if [".h5", ".hdf5", ".keras"].contains(where: name.hasSuffix) {
      return try KerasImporter.load(path, options)
    }
    return try OnnxImporter.load(path: path, options: options)
  }
}
