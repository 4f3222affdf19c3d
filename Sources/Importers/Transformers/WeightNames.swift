import FileFormats
import Language

/// How a checkpoint of a family names its tensors.
struct WeightNames: Sendable {
  /// What stands before every name (`transformer.`, `bert.`, or nothing).
  var prefix: String
  var tokenTable: String
  /// nil if positions are not embedded.
  var positionTable: String?
  var typeTable: String?
  /// A linear map of the token's row, without `.weight` and `.bias`.
  var embeddingMap: String?
  /// The LayerNorm of the embeddings, without `.weight` and `.bias`.
  var embeddingNorm: String?
  var isDistilled: Bool

  init(_ folder: ModelFolder) throws {
    let configuration = folder.configuration
    let weights = folder.weights
    func prefix(_ suffix: String) throws -> String {
      let found = weights.names.filter { $0 == suffix || $0.hasSuffix("." + suffix) }.min {
        $0.count < $1.count
      }
      // Reading the missing entry names it.
      guard let found else {
        return try String(weights.file(of: suffix).entry(suffix).name.dropLast(suffix.count))
      }
      return String(found.dropLast(suffix.count))
    }
    switch configuration.family {
    case .gpt2:
      self.prefix = try prefix("wte.weight")
      tokenTable = self.prefix + "wte.weight"
      positionTable = self.prefix + "wpe.weight"
      typeTable = nil
      embeddingNorm = nil
      isDistilled = false
    case .bert where configuration.projectsEmbeddings:
      self.prefix = try prefix("encoder.layer.0.attention.self.query.weight")
      tokenTable = "embeddings.word_embeddings.weight"
      embeddingMap = "linear_in"
      embeddingNorm = "LayerNorm"
      isDistilled = false
    case .bert:
      self.prefix = try prefix("embeddings.word_embeddings.weight")
      tokenTable = self.prefix + "embeddings.word_embeddings.weight"
      positionTable = self.prefix + "embeddings.position_embeddings.weight"
      typeTable = configuration.tokenTypes > 0 ? self.prefix + "embeddings.token_type_embeddings.weight" : nil
      embeddingNorm = self.prefix + "embeddings.LayerNorm"
      isDistilled = configuration.modelType == "distilbert"
    }
    func check(_ name: String, _ rows: Int) throws {
      let file = weights.file(of: name)
      let entry = try file.entry(name)
      guard entry.shape == [rows, configuration.width] else {
        throw FileError(
          file: file.file, place: "tensor \(name)",
          reason: "expected the shape \([rows, configuration.width]), found \(entry.shape)")
      }
    }
    try check(tokenTable, configuration.vocabularySize)
    if let positionTable { try check(positionTable, configuration.positions) }
    if let typeTable { try check(typeTable, configuration.tokenTypes) }
  }
}
