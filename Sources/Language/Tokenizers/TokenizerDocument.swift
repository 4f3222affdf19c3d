import FileFormats

extension Tokenizer {
  /// Reads a `tokenizer.json`.
  ///
  /// - Throws: ``FileError`` for a malformed file, or naming the step that is not supported.
  public static func fromTokenizerJSON(_ path: String) throws -> Tokenizer {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    let normalizer = try Normalizer(root.optional("normalizer"))
    let splitting = try PreTokenizer(root.optional("pre_tokenizer"))
    let modelField = try root.member("model")
    var (vocabulary, model, kind) = try readModel(modelField)
    var wordStart: WordStart = .always
    if case .wordPiece(let model) = model { wordStart = .withoutPrefix(model.continuation) }
    for rule in splitting.rules {
      switch rule {
      case .byteLevel:
        wordStart = .mark(ByteAlphabet.blank)
        if case .bytePair = model { kind = "byte-level BPE" }
      case .metaspace(let replacement, _, _): wordStart = .mark(replacement)
      default: break
      }
    }
    if splitting.rules.isEmpty {
      // Blanks are marked by the normaliser, or bytes replaced.
      for step in normalizer.steps {
        if case .replace(.literal([0x20]), let content) = step, content.count == 1 {
          wordStart = .mark(content[0])
        }
        if case .bytes = step { wordStart = .mark(ByteAlphabet.blank) }
      }
    }
    let added = try addedTokens(root, &vocabulary)
    let post = try PostProcessor(root.optional("post_processor"))
    for id in post.specialIds where id < 0 || id >= Int(Int32.max) {
      throw root.error("the special token \(id) is no token number")
    }
    return Tokenizer(
      file: path, kind: kind, vocabulary: vocabulary, padding: try root.optional("padding").map(Padding.init),
      model: model, normalizer: normalizer, splitting: splitting,
      added: try AddedTokens(added, normalizer, file: path), post: post,
      truncation: try root.optional("truncation").map { try Truncation($0, addedCount: post.addedCount) },
      wordStart: wordStart)
  }

  private static func readModel(_ field: JSONField) throws -> (Vocabulary, TokenModel, kind: String) {
    // Early files name no type; what they hold tells.
    let type =
      try field.optional("type")?.string()
      ?? (field.optional("merges") != nil
        ? "BPE" : field.optional("unk_id") != nil ? "Unigram" : "WordPiece")
    let unknown = try field.optional("unk_token")?.string()
    switch type {
    case "WordPiece":
      let vocabulary = try Vocabulary(json: field.member("vocab"))
      let model = WordPiece(
        vocabulary, unknown: vocabulary.id(of: unknown ?? "[UNK]"),
        continuation: try field.optional("continuing_subword_prefix")?.string() ?? "##",
        longestWord: try field.optional("max_input_chars_per_word")?.int() ?? 100)
      return (vocabulary, .wordPiece(model), type)
    case "WordLevel":
      let vocabulary = try Vocabulary(json: field.member("vocab"))
      let id = vocabulary.id(of: unknown ?? "<unk>")
      return (vocabulary, .wordLevel(WordLevel(vocabulary: vocabulary, unknown: id)), "whitespace")
    case "BPE":
      let vocabulary = try Vocabulary(json: field.member("vocab"))
      return (vocabulary, .bytePair(try bytePair(field, vocabulary, unknown)), type)
    case "Unigram":
      let (vocabulary, model) = try unigram(field)
      return (vocabulary, .unigram(model), type)
    default: throw field.error("tokenizers of type \(type) are not supported")
    }
  }

  private static func bytePair(_ field: JSONField, _ vocabulary: Vocabulary, _ unknown: String?) throws
    -> BytePairEncoding
  {
    func flag(_ key: String) throws -> Bool { try field.optional(key)?.bool() ?? false }
    if let dropout = try field.optional("dropout"), try dropout.double() != 0 {
      throw dropout.error("dropout is not supported: the tokens would be random")
    }
    var settings = BytePairEncoding.Settings()
    settings.fusesUnknown = try flag("fuse_unk")
    settings.ignoresMerges = try flag("ignore_merges")
    settings.continuation = try field.optional("continuing_subword_prefix")?.string() ?? ""
    settings.suffix = try field.optional("end_of_word_suffix")?.string() ?? ""
    if try flag("byte_fallback") { settings.bytes = byteTokens(vocabulary) }
    if let unknown {
      settings.unknown = vocabulary.id(of: unknown)
      settings.lacksUnknown = settings.unknown == nil
    }
    let merges = try field.member("merges").elements().map { field -> (String, String) in
      if case .array = field.value {
        let pair = try field.elements()
        guard pair.count == 2 else { throw field.error("a merge is two tokens") }
        return (try pair[0].string(), try pair[1].string())
      }
      guard let merge = merge(try field.string()) else {
        throw field.error("a merge is two tokens with a blank between")
      }
      return merge
    }
    return try bytePair(vocabulary, merges, settings, file: field.file)
  }

  /// - Throws: ``FileError`` (of `file`) if a merge needs a token that is missing.
  static func bytePair(
    _ vocabulary: Vocabulary, _ merges: [(String, String)], _ settings: BytePairEncoding.Settings,
    file: String
  ) throws -> BytePairEncoding {
    do {
      return try BytePairEncoding(vocabulary, merges: merges, settings: settings)
    } catch let error as BytePairEncoding.Missing {
      throw FileError(file: file, reason: "a merge needs the token \"\(error.token)\", which is missing")
    }
  }

  /// Two tokens with one blank between, nil for anything else.
  static func merge(_ text: String) -> (String, String)? {
    let parts = text.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false)
    return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
  }

  /// The tokens `<0x00>` to `<0xFF>`, nil where there is none.
  private static func byteTokens(_ vocabulary: Vocabulary) -> [Int?] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return vocabulary.id(of: "<0x\(digits.utf8.count == 1 ? "0" : "")\(digits)>")
    }
  }

  private static func unigram(_ field: JSONField) throws -> (Vocabulary, Unigram) {
    for key in ["alpha", "nbest_size"] {
      if let sampling = try field.optional(key) { throw sampling.error("\(key) is not supported") }
    }
    let tokens = try field.member("vocab").elements().map { entry -> (token: String, score: Double) in
      let parts = try entry.elements()
      guard parts.count == 2 else { throw entry.error("expected a token and its score") }
      let token = try parts[0].string()
      guard !token.isEmpty else { throw entry.error("an empty token is not supported") }
      return (token, try parts[1].double())
    }
    let vocabulary = Vocabulary(tokens.enumerated().map { ($0.element.token, $0.offset) })
    let unknown = try field.optional("unk_id")?.int()
    if let unknown, !tokens.indices.contains(unknown) {
      throw field.error("unk_id \(unknown) is not in the vocabulary")
    }
    let usesBytes = try field.optional("byte_fallback")?.bool() ?? false
    return (
      vocabulary, Unigram(tokens, unknown: unknown, bytes: usesBytes ? byteTokens(vocabulary) : nil)
    )
  }

  /// The added tokens with their numbers: that of the vocabulary, else the next one that is free.
  private static func addedTokens(_ root: JSONField, _ vocabulary: inout Vocabulary) throws
    -> [(token: AddedToken, id: Int)]
  {
    var numbering = AddedNumbers(vocabulary)
    return try (root.optional("added_tokens")?.elements() ?? []).map { field in
      let token = try AddedToken(field)
      let id = numbering.number(token.content, &vocabulary)
      // The reference library warns and goes on with its own number; nobody means that.
      let stated = try field.member("id").int()
      guard stated == id else {
        throw field.error("\"\(token.content)\" has the number \(stated), where \(id) would follow")
      }
      return (token, id)
    }
  }
}

/// The numbers of added tokens, as the reference library gives them.
struct AddedNumbers {
  private let modelCount: Int
  private var last: Int?

  init(_ vocabulary: Vocabulary) { modelCount = vocabulary.count }

  /// The number of a token; one that is new is added to the vocabulary.
  mutating func number(_ content: String, _ vocabulary: inout Vocabulary) -> Int {
    let id = vocabulary.id(of: content) ?? last.map { max($0 + 1, modelCount) } ?? modelCount
    if vocabulary.id(of: content) == nil { vocabulary.add(content, id) }
    last = max(last ?? id, id)
    return id
  }
}
