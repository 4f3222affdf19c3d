import FileFormats
import Foundation

/// The tokenizer's files of a folder.
struct TokenizerFiles {
  let folder: String

  /// The path of a file, nil if there is none.
  func path(_ name: String) -> String? {
    let path = folder + "/" + name
    return access(path, F_OK) == 0 ? path : nil
  }

  func document(_ name: String) throws -> JSONField? {
    try path(name).map { JSONField(root: try JSONValue.parse(contentsOf: $0), file: $0) }
  }

  /// What a vocabulary without `tokenizer.json` is for.
  enum Family { case bert, gpt2, roberta }

  /// The family that the configuration names; nil if there is no configuration that says.
  ///
  /// - Throws: ``FileError`` naming a class of tokenizers that is not supported.
  func family() throws -> Family? {
    let settings = try document("tokenizer_config.json")
    let configuration = try document("config.json")
    if let field = try settings?.optional("tokenizer_class") ?? configuration?.optional("tokenizer_class") {
      let name = try field.string()
      let stem = name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
      switch stem {
      case "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer",
        "ConvBertTokenizer", "LayoutLMTokenizer", "SqueezeBertTokenizer":
        return .bert
      case "GPT2Tokenizer": return .gpt2
      case "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer": return .roberta
      default:
        throw field.error("\(name) without tokenizer.json is not supported; save the tokenizer with it")
      }
    }
    switch try configuration?.optional("model_type")?.string() {
    case "bert", "distilbert", "electra", "mobilebert", "convbert", "layoutlm", "squeezebert",
      "megatron-bert", "ernie", "nezha", "visual_bert":
      return .bert
    case "gpt2", "gpt_neo", "gptj", "opt", "codegen", "phi", "starcoder2": return .gpt2
    case "roberta", "roberta-prelayernorm", "bart", "longformer", "ibert", "data2vec-text", "lilt":
      return .roberta
    default: return nil
    }
  }

  /// - Throws: ``FileError`` for files that are malformed.
  func settings() throws -> TokenizerSettings {
    TokenizerSettings(
      configuration: try document("tokenizer_config.json"),
      specialMap: try document("special_tokens_map.json"), added: try document("added_tokens.json"))
  }
}

/// What the files beside a bare vocabulary say.
struct TokenizerSettings {
  let configuration: JSONField?
  /// `special_tokens_map.json` and `added_tokens.json`, which older folders have; a configuration that lists its added tokens
  /// replaces both.
  private let specialMap: JSONField?
  private let added: JSONField?

  init(configuration: JSONField?, specialMap: JSONField?, added: JSONField?) {
    self.configuration = configuration
    let isListed = configuration?.value["added_tokens_decoder"] != nil
    self.specialMap = isListed ? nil : specialMap
    self.added = isListed ? nil : added
  }

  func flag(_ key: String) throws -> Bool? { try configuration?.optional(key)?.bool() }

  /// The names of special tokens, in the order in which new ones are numbered.
  private static let names = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// The text of a special token, nil if no file names it.
  func special(_ key: String) throws -> String? { try token(key)?.content }

  private func token(_ key: String) throws -> AddedToken? {
    guard let field = try specialMap?.optional(key) ?? configuration?.optional(key) else { return nil }
    return try Self.token(field)
  }

  private static func token(_ field: JSONField) throws -> AddedToken {
    if case .string(let content) = field.value { return AddedToken(special: content) }
    var token = try AddedToken(field)
    if field.value["normalized"] == nil { token.isNormalized = false }
    token.isSpecial = true
    return token
  }

  /// The added tokens with their numbers: those that are listed, by number; then special tokens that are not among them.
  ///
  /// - Throws: ``FileError`` for a listed number that is not the one the reference library gives.
  func addedTokens(_ defaults: [String: String], _ vocabulary: inout Vocabulary) throws
    -> [(token: AddedToken, id: Int)]
  {
    var tokens: [(token: AddedToken, stated: Int?, field: JSONField?)] = []
    var named: [AddedToken] = []
    for key in Self.names {
      if let token = try token(key) {
        named.append(token)
      } else if let content = defaults[key] {
        named.append(AddedToken(special: content))
      }
    }
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      guard let field = try specialMap?.optional(key) ?? configuration?.optional(key) else { continue }
      guard case .array = field.value else { throw field.error("expected an array of tokens") }
      for element in try field.elements() { named.append(try Self.token(element)) }
    }
    if let listed = try configuration?.optional("added_tokens_decoder") {
      for (key, field) in try listed.members() {
        guard let id = Int(key) else { throw field.error("\"\(key)\" is no token number") }
        tokens.append((try AddedToken(field), id, field))
      }
    }
    for (content, field) in try added?.members() ?? [] {
      let isNamed = named.contains { $0.content.utf8.elementsEqual(content.utf8) }
      tokens.append(
        (isNamed ? AddedToken(special: content) : AddedToken(content), try field.int(), field))
    }
    tokens.sort { ($0.stated ?? 0) < ($1.stated ?? 0) }
    for token in named
    where !tokens.contains(where: { $0.token.content.utf8.elementsEqual(token.content.utf8) }) {
      tokens.append((token, nil, nil))
    }
    var numbering = AddedNumbers(vocabulary)
    return try tokens.map { token, stated, field in
      let id = numbering.number(token.content, &vocabulary)
      if let stated, let field, stated != id {
        throw field.error("\"\(token.content)\" has the number \(stated), where \(id) would follow")
      }
      return (token, id)
    }
  }
}
