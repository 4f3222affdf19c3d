import FileFormats
import IR

/// Reads Keras models from HDF5 files: whole models of Keras 2 and 3, Keras 1 weights with a `.json` description beside
/// them.
///
/// Sequential and functional models are read, with shared layers, models in models, several inputs and outputs. Convolution
/// kernels that Theano wrote are stored flipped in all spatial axes and are turned back. Images with channels last keep their
/// layout at the input and wherever the model looks at it; inside, convolutions work on channels first. The outputs are those
/// of the model, named after the layers that give them.
public enum KerasImporter {
  /// Imports a file.
  ///
  /// Extents that the file leaves open are those of the shape or the value that the options give for the input.
  ///
  /// - Throws: `FileError` for a damaged or incomplete file, `UnsupportedOperator` for layers, or uses of them, that the
  ///   toolkit does not know.
  public static func load(_ path: String, _ options: ImportOptions = ImportOptions()) throws
    -> ImportedNetwork
  {
    let file = try KerasFile(path: path)
    let session = KerasSession(file, options)
    return ImportedNetwork(
      graph: try session.graph(), file: path, format: "Keras \(file.version), HDF5",
      operatorCounts: session.operatorCounts)
  }
}
