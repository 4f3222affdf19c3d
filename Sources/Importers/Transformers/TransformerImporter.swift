import FileFormats
import IR
import Tensors

/// HuggingFace folders of the GPT-2 and BERT families as networks over embeddings.
public enum TransformerImporter {
  /// The length of sequences if the options name none.
  static let defaultLength = 8

  /// The network's input `embeddings`, `[positions, width]`, is what the first block reads: token and position embeddings
  /// summed, in the BERT family after their norm. The number of positions is that of the shape or the value given for
  /// `embeddings`, or the dimension `sequence`, else 8 or what the model can read.
  ///
  /// - Throws: `FileError` for a folder that is incomplete or wrong, `UnsupportedOperator` for an unknown activation.
  public static func load(_ path: String, _ options: ImportOptions) throws -> ImportedNetwork {
    let model = try TransformerModel(path: path)
    let width = model.configuration.width
    var positions = options.dimensions["sequence"] ?? min(defaultLength, model.configuration.longestSequence)
    if let shape = options.shapes["embeddings"] ?? options.values["embeddings"]?.shape {
      guard shape.rank >= 2, shape.dims.last == width else {
        throw FileError(
          file: path, place: "embeddings", reason: "expected the shape [positions, \(width)], got \(shape)")
      }
      positions = shape[shape.rank - 2]
    }
    let transformer = try model.lower(positions: positions)
    var counts: [String: Int] = [:]
    for node in transformer.graph.nodes { counts[node.origin, default: 0] += 1 }
    counts[""] = nil
    let configuration = model.configuration
    return ImportedNetwork(
      graph: transformer.graph, file: path,
      format: "HuggingFace, \(configuration.family.rawValue) (\(configuration.modelType))",
      operatorCounts: counts)
  }
}
