import FileFormats
import Foundation

/// The sizes and names of a transformer, read from a HuggingFace `config.json`.
public struct ModelConfiguration: Sendable, Equatable {
  /// How the blocks are built.
  public enum Family: String, Sendable, Hashable {
    /// Norm before each block, causal attention, one matrix for q, k and v (GPT-2).
    case gpt2 = "GPT-2"
    /// Norm after each block, attention to all positions (BERT and its relatives).
    case bert = "BERT"
  }

  public var family: Family
  /// `model_type` of the file.
  public var modelType: String
  /// The class that the checkpoint was saved from (the first of `architectures`); nil if the file does not say.
  public var architecture: String?
  /// The token that fills sequences up; nil if the file names none.
  public var paddingToken: Int?
  public var layers: Int
  public var heads: Int
  /// Model width.
  public var width: Int
  /// Width of the MLP.
  public var innerWidth: Int
  /// The name of the activation as the file has it: `gelu`, `gelu_new`, `relu`, ...
  public var activation: String
  /// The ε of every LayerNorm.
  public var epsilon: Double
  public var vocabularySize: Int
  /// Rows of the position table.
  public var positions: Int
  /// The row of the position table that belongs to the first token (2 for RoBERTa).
  public var firstPosition: Int
  public var tokenTypes: Int
  public var tiedEmbeddings: Bool
  /// Divide scores by sqrt(d).
  public var scalesAttention: Bool
  /// GPT-2's extra division of scores by layer + 1.
  public var scalesByLayer: Bool
  /// Names of the classes, by number.
  public var labels: [Int: String]
  /// LayerNorms subtract the mean, but do not divide by the standard deviation (robustness literature: Shi et al.,
  /// "Robustness Verification for Transformers", 2020).
  public var centersOnly = false
  /// The embedding is the token's row through a linear map and the norm; positions and types are not added.
  public var projectsEmbeddings = false

  /// The sizes of a transformer that was recognised in an ONNX file.
  ///
  /// - Parameter vocabulary: nil if the network reads no token numbers.
  public init(
    recognised family: Family, layers: Int, heads: Int, width: Int, innerWidth: Int, vocabulary: Int?,
    positions: Int
  ) {
    self.family = family
    modelType = "onnx"
    self.layers = layers
    self.heads = heads
    self.width = width
    self.innerWidth = innerWidth
    activation = "as in the file"
    epsilon = 0
    // Networks that read tensors have positions for tokens.
    vocabularySize = vocabulary ?? positions
    self.positions = positions
    firstPosition = 0
    tokenTypes = 0
    tiedEmbeddings = false
    scalesAttention = true
    scalesByLayer = false
    labels = [:]
  }

  /// Reads the configuration of a folder: `config.json`, or `model.json` of the format `sst2-transformer`.
  ///
  /// - Throws: as ``init(path:)``.
  public init(folder: String) throws {
    let own = folder + "/model.json"
    guard access(folder + "/config.json", F_OK) != 0, access(own, F_OK) == 0 else {
      try self.init(path: folder + "/config.json")
      return
    }
    try self.init(unscaled: JSONField(root: try JSONValue.parse(contentsOf: own), file: own))
  }

  /// A `model.json` of the format `sst2-transformer`.
  private init(unscaled root: JSONField) throws {
    let format = try root.member("format")
    guard try format.string() == "sst2-transformer" else {
      throw format.error("the format is not known; expected sst2-transformer")
    }
    func size(_ key: String, limit: Int) throws -> Int {
      let field = try root.member(key)
      let value = try field.int()
      guard value > 0, value <= limit else { throw field.error("\(value) is no sensible size") }
      return value
    }
    family = .bert
    modelType = "sst2-transformer"
    layers = try size("layers", limit: 10_000)
    heads = try size("heads", limit: 10_000)
    width = try size("hidden", limit: 1_000_000)
    innerWidth = try size("intermediate", limit: 10_000_000)
    guard try size("embedding", limit: 1_000_000) == width, width % heads == 0 else {
      throw root.error("the widths of embeddings, model and heads do not fit")
    }
    activation = try root.member("activation").string()
    let pooler = try root.member("pooler_activation")
    guard try pooler.string() == "tanh" else { throw pooler.error("only tanh is supported") }
    epsilon = 1e-12
    vocabularySize = try size("vocabulary_size", limit: 10_000_000)
    // Positions are not used, so that nothing but memory limits the length.
    positions = 4096
    firstPosition = 0
    tokenTypes = 0
    tiedEmbeddings = false
    scalesAttention = true
    scalesByLayer = false
    labels = [:]
    centersOnly = true
    projectsEmbeddings = true
  }

  /// Reads and checks a configuration.
  ///
  /// - Throws: ``FileError`` naming the entry that is missing, ill-typed, absurd or of an unsupported kind.
  public init(path: String) throws {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    modelType = try root.member("model_type").string()
    architecture = try root.optional("architectures")?.elements().first?.string()
    paddingToken = try root.optional("pad_token_id")?.int()
    if let code = try root.optional("auto_map"), try !code.members().isEmpty {
      throw code.error("the model is defined by code of its own, which is not run")
    }
    if let heads = try root.optional("pruned_heads"), try !heads.members().isEmpty {
      throw heads.error("models with pruned heads are not supported")
    }
    if let quantized = try root.optional("quantization_config") {
      throw quantized.error("quantised weights are not supported")
    }
    func size(_ keys: String..., fallback: Int? = nil, limit: Int = 10_000_000) throws -> Int {
      for key in keys {
        if let field = try root.optional(key) {
          let value = try field.int()
          guard value > 0, value <= limit else { throw field.error("\(value) is no sensible size") }
          return value
        }
      }
      if let fallback { return fallback }
      return try root.member(keys[0]).int()
    }
    switch modelType {
    case "gpt2":
      family = .gpt2
      layers = try size("n_layer", "num_hidden_layers", limit: 10_000)
      heads = try size("n_head", "num_attention_heads", limit: 10_000)
      width = try size("n_embd", "hidden_size", limit: 1_000_000)
      innerWidth = try size("n_inner", fallback: 4 * width)
      activation = try root.optional("activation_function")?.string() ?? "gelu_new"
      epsilon = try root.optional("layer_norm_epsilon")?.double() ?? 1e-5
      positions = try size("n_positions", "n_ctx", "max_position_embeddings")
      tokenTypes = 0
      firstPosition = 0
    case "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra":
      family = .bert
      layers = try size("num_hidden_layers", "n_layers", limit: 10_000)
      heads = try size("num_attention_heads", "n_heads", limit: 10_000)
      width = try size("hidden_size", "dim", limit: 1_000_000)
      innerWidth = try size("intermediate_size", "hidden_dim")
      activation = try (root.optional("hidden_act") ?? root.optional("activation"))?.string() ?? "gelu"
      epsilon = try root.optional("layer_norm_eps")?.double() ?? 1e-12
      positions = try size("max_position_embeddings")
      tokenTypes = modelType == "distilbert" ? 0 : try root.optional("type_vocab_size")?.int() ?? 2
      let offset = ["roberta", "xlm-roberta", "camembert"].contains(modelType)
      firstPosition = offset ? (try root.optional("pad_token_id")?.int() ?? 1) + 1 : 0
      if let kind = try root.optional("position_embedding_type"), try kind.string() != "absolute" {
        throw kind.error("only absolute position embeddings are supported")
      }
      if let embedding = try root.optional("embedding_size"), try embedding.int() != width {
        throw embedding.error("an embedding width unlike the model's is not supported")
      }
    default:
      throw try root.member("model_type").error(
        "models of type \(modelType) are not of the GPT-2 or BERT family")
    }
    vocabularySize = try size("vocab_size")
    tiedEmbeddings = try root.optional("tie_word_embeddings")?.bool() ?? true
    scalesAttention = try root.optional("scale_attn_weights")?.bool() ?? true
    scalesByLayer = try root.optional("scale_attn_by_inverse_layer_idx")?.bool() ?? false
    if try root.optional("add_cross_attention")?.bool() == true || root.optional("is_decoder")?.bool() == true
    {
      throw root.error("cross-attention and decoders of the BERT family are not supported")
    }
    guard width % heads == 0 else {
      throw root.error("the width \(width) is no multiple of the \(heads) heads")
    }
    guard epsilon > 0, epsilon < 1 else {
      throw root.error("the LayerNorm epsilon \(epsilon) is not sensible")
    }
    guard firstPosition >= 0, firstPosition < positions, tokenTypes >= 0 else {
      throw root.error("the position or token type table is too small")
    }
    labels = [:]
    for (key, field) in try root.optional("id2label")?.members() ?? [] {
      guard let number = Int(key), number >= 0 else {
        throw field.error("the class number \(key) is no number")
      }
      labels[number] = try field.string()
    }
  }

  /// Width of a head.
  public var headWidth: Int { width / heads }

  /// The longest sequence the model can read.
  public var longestSequence: Int { positions - firstPosition }
}
