import FileFormats
import Foundation

extension Tokenizer {
  /// Reads the tokenizer of a model folder: `tokenizer.json`; else `vocab.json` with `merges.txt` (byte-level BPE);
  /// else `vocab.txt` (WordPiece); else `vocab.json` alone (words between blanks).
  ///
  /// Truncation and padding that `tokenizer.json` sets are ignored: the analyses take the text as it is.
  ///
  /// - Returns: nil if the folder holds none of these files.
  /// - Throws: ``FileError`` for a file that is malformed or needs a step that is not supported.
  public static func load(folder: String) throws -> Tokenizer? {
    func exists(_ name: String) -> String? {
      let path = folder + "/" + name
      return access(path, F_OK) == 0 ? path : nil
    }
    if let path = exists("tokenizer.json") { return try fromTokenizerJSON(path) }
    if let vocabulary = exists("vocab.json"), let merges = exists("merges.txt") {
      return try bytePair(vocabulary: vocabulary, merges: merges)
    }
    if let path = exists("vocab.txt") {
      var lower = true
      if let settings = exists("tokenizer_config.json") {
        let root = JSONField(root: try JSONValue.parse(contentsOf: settings), file: settings)
        lower = try root.optional("do_lower_case")?.bool() ?? true
      }
      return try wordPiece(vocabulary: path, lowercase: lower)
    }
    if let path = exists("vocab.json") {
      let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
      return Tokenizer(
        file: path, vocabulary: try Vocabulary(json: root), model: .wordLevel(unknown: "<unk>"),
        normalizer: Normalizer(steps: []), splitting: PreTokenizer(rules: [.whitespaceSplit]), added: [],
        prefix: [], suffix: [])
    }
    return nil
  }

  /// BERT's tokenizer from its word list.
  ///
  /// - Throws: ``FileError`` if the file is unreadable or lacks `[CLS]` or `[SEP]`.
  public static func wordPiece(vocabulary path: String, lowercase: Bool) throws -> Tokenizer {
    let vocabulary = try Vocabulary(lines: path)
    func special(_ token: String) throws -> (token: String, id: Int) {
      guard let id = vocabulary.id(of: token) else {
        throw FileError(file: path, reason: "the token \(token) is missing")
      }
      return (token, id)
    }
    let added = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].compactMap { token in
      vocabulary.id(of: token).map { (text: token, id: $0) }
    }
    return Tokenizer(
      file: path, vocabulary: vocabulary, model: .wordPiece(WordPiece()),
      normalizer: Normalizer(
        steps: [.clean, .spaceIdeographs] + (lowercase ? [.stripAccents, .lowercase] : [])),
      splitting: PreTokenizer(rules: [.bert]), added: added, prefix: [try special("[CLS]")],
      suffix: [try special("[SEP]")])
  }

  /// GPT-2's tokenizer from its vocabulary and its merges.
  ///
  /// - Throws: ``FileError`` if a file is malformed.
  public static func bytePair(vocabulary path: String, merges: String) throws -> Tokenizer {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    let bytes = try Gzip.contents(ofFile: merges)
    var pairs: [(String, String)] = []
    for (number, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .enumerated()
    {
      let text = String(decoding: line, as: UTF8.self)
      if text.isEmpty || text == "\r" || number == 0 && text.hasPrefix("#version") { continue }
      pairs.append(try merge(text, FileError(file: merges, place: "line \(number + 1)", reason: "")))
    }
    return Tokenizer(
      file: path, vocabulary: try Vocabulary(json: root), model: .bytePair(BytePairEncoding(merges: pairs)),
      normalizer: Normalizer(steps: []), splitting: PreTokenizer(rules: [.byteLevel(addPrefixSpace: false)]),
      added: [], prefix: [], suffix: [])
  }

  private static func merge(_ text: String, _ failure: FileError) throws -> (String, String) {
    let parts = text.unicodeScalars.split(whereSeparator: { $0 == " " || $0 == "\r" })
    guard parts.count == 2 else {
      throw FileError(
        file: failure.file, place: failure.place, reason: "a merge is two tokens with a blank between")
    }
    return (String(parts[0]), String(parts[1]))
  }

  /// Reads a `tokenizer.json`.
  ///
  /// - Throws: ``FileError`` for a malformed file, or naming the step that is not supported.
  public static func fromTokenizerJSON(_ path: String) throws -> Tokenizer {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    let modelField = try root.member("model")
    var vocabulary = try Vocabulary(json: modelField.member("vocab"))
    let unknown = try modelField.optional("unk_token")?.string()
    let model: Model
    // Early files name no type; what they hold tells.
    let type =
      try modelField.optional("type")?.string()
      ?? (modelField.optional("merges") != nil ? "BPE" : "WordPiece")
    switch type {
    case "WordPiece":
      model = .wordPiece(
        WordPiece(
          unknown: unknown ?? "[UNK]",
          continuation: try modelField.optional("continuing_subword_prefix")?.string() ?? "##",
          longestWord: try modelField.optional("max_input_chars_per_word")?.int() ?? 100))
    case "BPE":
      let merges = try modelField.member("merges").elements().map { field -> (String, String) in
        if case .array = field.value {
          let pair = try field.elements()
          guard pair.count == 2 else { throw field.error("a merge is two tokens") }
          return (try pair[0].string(), try pair[1].string())
        }
        return try merge(try field.string(), field.error(""))
      }
      model = .bytePair(BytePairEncoding(merges: merges, unknown: unknown))
    case "WordLevel": model = .wordLevel(unknown: unknown)
    default: throw modelField.error("tokenizers of type \(type) are not supported")
    }
    var added: [(text: String, id: Int)] = []
    for field in try root.optional("added_tokens")?.elements() ?? [] {
      let token = try field.member("content").string()
      let id = try field.member("id").int()
      if vocabulary.id(of: token) == nil { vocabulary.add(token, id) }
      if !token.isEmpty { added.append((token, id)) }
    }
    added.sort { $0.text.utf8.count > $1.text.utf8.count }
    let normalizer = Normalizer(steps: try root.optional("normalizer").map(normalizerSteps) ?? [])
    var rules = try root.optional("pre_tokenizer").map(splittingRules) ?? []
    if case .bytePair = model, !rules.contains(where: { if case .byteLevel = $0 { true } else { false } }) {
      throw root.error("BPE without a ByteLevel pre-tokenizer is not supported")
    }
    if rules.isEmpty { rules = [] }
    let (prefix, suffix) = try specialTokens(root.optional("post_processor"))
    return Tokenizer(
      file: path, vocabulary: vocabulary, model: model, normalizer: normalizer,
      splitting: PreTokenizer(rules: rules), added: added, prefix: prefix, suffix: suffix)
  }

  private static func normalizerSteps(_ field: JSONField) throws -> [Normalizer.Step] {
    let type = try field.member("type").string()
    switch type {
    case "Sequence": return try field.member("normalizers").elements().flatMap(normalizerSteps)
    case "BertNormalizer":
      let lower = try field.optional("lowercase")?.bool() ?? true
      let strip = try field.optional("strip_accents")?.bool() ?? lower
      var steps: [Normalizer.Step] = []
      if try field.optional("clean_text")?.bool() ?? true { steps.append(.clean) }
      if try field.optional("handle_chinese_chars")?.bool() ?? true { steps.append(.spaceIdeographs) }
      if strip { steps.append(.stripAccents) }
      if lower { steps.append(.lowercase) }
      return steps
    case "Lowercase": return [.lowercase]
    case "StripAccents": return [.stripAccents]
    case "NFD": return [.decompose]
    case "NFC": return [.compose]
    case "NFKD": return [.compatibilityDecompose]
    case "NFKC": return [.compatibilityCompose]
    default: throw field.error("the normalizer \(type) is not supported")
    }
  }

  private static func splittingRules(_ field: JSONField) throws -> [PreTokenizer.Rule] {
    let type = try field.member("type").string()
    switch type {
    case "Sequence": return try field.member("pretokenizers").elements().flatMap(splittingRules)
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "Whitespace": return [.whitespace]
    case "BertPreTokenizer": return [.bert]
    case "Punctuation": return [.punctuation]
    case "Digits":
      guard try field.optional("individual_digits")?.bool() ?? false else {
        throw field.error("Digits without individual_digits is not supported")
      }
      return [.digits]
    case "ByteLevel":
      guard try field.optional("use_regex")?.bool() ?? true else {
        throw field.error("ByteLevel without use_regex is not supported")
      }
      return [.byteLevel(addPrefixSpace: try field.optional("add_prefix_space")?.bool() ?? true)]
    default: throw field.error("the pre-tokenizer \(type) is not supported")
    }
  }

  private typealias Special = (token: String, id: Int)

  private static func specialTokens(_ field: JSONField?) throws -> (prefix: [Special], suffix: [Special]) {
    guard let field else { return ([], []) }
    let type = try field.member("type").string()
    switch type {
    case "ByteLevel": return ([], [])
    case "Sequence":
      var result: (prefix: [Special], suffix: [Special]) = ([], [])
      for processor in try field.member("processors").elements() {
        let (prefix, suffix) = try specialTokens(processor)
        result.prefix = prefix + result.prefix
        result.suffix += suffix
      }
      return result
    case "BertProcessing", "RobertaProcessing":
      func pair(_ key: String) throws -> Special {
        let parts = try field.member(key).elements()
        guard parts.count == 2 else { throw field.error("\"\(key)\" must be a token and its number") }
        return (try parts[0].string(), try parts[1].int())
      }
      return ([try pair("cls")], [try pair("sep")])
    case "TemplateProcessing":
      var ids: [String: Int] = [:]
      for (key, special) in try field.member("special_tokens").members() {
        let numbers = try special.member("ids").elements()
        guard numbers.count == 1 else { throw special.error("one number is needed") }
        ids[key] = try numbers[0].int()
      }
      var prefix: [Special] = []
      var suffix: [Special] = []
      var seenText = false
      for item in try field.member("single").elements() {
        if let special = try item.optional("SpecialToken") {
          let name = try special.member("id").string()
          guard let id = ids[name] else { throw special.error("\(name) is not among special_tokens") }
          if seenText { suffix.append((name, id)) } else { prefix.append((name, id)) }
        } else {
          seenText = true
        }
      }
      return (prefix, suffix)
    default: throw field.error("the post-processor \(type) is not supported")
    }
  }
}
