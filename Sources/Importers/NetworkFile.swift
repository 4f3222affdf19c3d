import FileFormats

/// Network files of every format that is read, told apart by their names.
public enum NetworkFile {
  /// Reads an ONNX or `.nnet` network, plain or gzip-compressed.
  ///
  /// - Throws: `FileError` for files that cannot be read or are wrong, `UnsupportedOperator` for operators, or uses of
  ///   them, that the toolkit does not know.
  public static func load(_ path: String, options: ImportOptions = ImportOptions()) throws -> ImportedNetwork {
    try OnnxImporter.load(path: path, options: options)
  }
}
