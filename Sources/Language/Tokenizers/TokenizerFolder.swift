import FileFormats
import Foundation

extension Tokenizer {
  /// Reads the tokenizer of a model folder: `tokenizer.json`, which then says everything; else `vocab.json` with `merges.txt`
  /// (GPT-2's or RoBERTa's byte-level BPE); else `vocab.txt` (BERT's WordPiece), both with what `tokenizer_config.json`,
  /// `special_tokens_map.json` and `added_tokens.json` say, as `AutoTokenizer` reads them; else `vocab.json` alone (words between
  /// blanks).
  ///
  /// - Returns: nil if the folder holds none of these files.
  /// - Throws: ``FileError`` for a file that is malformed or needs a step that is not supported.
  public static func load(folder: String) throws -> Tokenizer? {
    let files = TokenizerFiles(folder: folder)
    if let path = files.path("tokenizer.json") { return try fromTokenizerJSON(path) }
    let vocabulary = files.path("vocab.json")
    let merges = files.path("merges.txt")
    let words = files.path("vocab.txt")
    if vocabulary == nil || merges == nil, words == nil {
      guard let vocabulary else { return nil }
      return try wordLevel(vocabulary)
    }
    switch try files.family() ?? (vocabulary != nil && merges != nil ? .gpt2 : .bert) {
    case .bert:
      guard let words else { throw FileError(file: folder, reason: "vocab.txt is missing") }
      return try bert(words, files)
    case let family:
      guard let vocabulary, let merges else {
        throw FileError(file: folder, reason: "vocab.json or merges.txt is missing")
      }
      return try bytePair(vocabulary, merges, isRoberta: family == .roberta, files)
    }
  }

  /// Reads the tokenizer of a model folder, a `tokenizer.json`, or the tokenizer beside an ONNX file.
  ///
  /// - Throws: ``FileError`` if there is none, or as ``load(folder:)``.
  public static func load(path: String) throws -> Tokenizer {
    if path.hasSuffix(".json") { return try fromTokenizerJSON(path) }
    var folder = path
    if path.hasSuffix(".onnx") {
      let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
      folder = parent.isEmpty ? "/" : parent
    }
    guard access(folder, F_OK) == 0 else { throw FileError(file: path, reason: "there is no such file") }
    guard let tokenizer = try load(folder: folder) else {
      throw FileError(
        file: path, reason: "there is no tokenizer.json, vocab.txt, or vocab.json with merges.txt")
    }
    return tokenizer
  }

  private static func wordLevel(_ path: String) throws -> Tokenizer {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    let vocabulary = try Vocabulary(json: root)
    let normalizer = Normalizer(steps: [])
    return Tokenizer(
      file: path, kind: "whitespace", vocabulary: vocabulary, padding: nil,
      model: .wordLevel(WordLevel(vocabulary: vocabulary, unknown: vocabulary.id(of: "<unk>"))),
      normalizer: normalizer, splitting: PreTokenizer(rules: [.whitespaceSplit]),
      added: try AddedTokens([], normalizer, file: path), post: PostProcessor(), truncation: nil,
      wordStart: .always)
  }

  private static func bert(_ path: String, _ files: TokenizerFiles) throws -> Tokenizer {
    let settings = try files.settings()
    var vocabulary = try Vocabulary(lines: path)
    let model = WordPiece(
      vocabulary, unknown: vocabulary.id(of: try settings.special("unk_token") ?? "[UNK]"))
    let normalizer = Normalizer(
      steps: Normalizer.bert(
        clean: true, ideographs: try settings.flag("tokenize_chinese_chars") ?? true,
        stripAccents: try settings.flag("strip_accents"),
        lowercase: try settings.flag("do_lower_case") ?? true))
    let defaults = [
      "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
      "mask_token": "[MASK]",
    ]
    let added = try settings.addedTokens(defaults, &vocabulary)
    let post = try around(settings, defaults, vocabulary, file: path)
    return Tokenizer(
      file: path, kind: "WordPiece", vocabulary: vocabulary, padding: nil, model: .wordPiece(model),
      normalizer: normalizer, splitting: PreTokenizer(rules: [.bert]),
      added: try AddedTokens(added, normalizer, file: path), post: post, truncation: nil,
      wordStart: .withoutPrefix("##"))
  }

  private static func bytePair(
    _ path: String, _ merges: String, isRoberta: Bool, _ files: TokenizerFiles
  ) throws -> Tokenizer {
    let settings = try files.settings()
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    var vocabulary = try Vocabulary(json: root)
    let model = try bytePair(vocabulary, readMerges(merges), BytePairEncoding.Settings(), file: merges)
    let normalizer = Normalizer(steps: [])
    let defaults: [String: String]
    if isRoberta {
      defaults = [
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
      ]
    } else {
      defaults = ["bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"]
    }
    let added = try settings.addedTokens(defaults, &vocabulary)
    var post = PostProcessor()
    if isRoberta {
      post = try around(settings, defaults, vocabulary, file: path)
    } else {
      func item(_ flag: String, _ key: String) throws -> [PostProcessor.Item] {
        guard try settings.flag(flag) ?? false, let token = try settings.special(key) ?? defaults[key] else {
          return []
        }
        return [.special([try number(token, vocabulary, file: path)])]
      }
      post.templates = [
        try item("add_bos_token", "bos_token") + [.text] + item("add_eos_token", "eos_token")
      ]
    }
    let prefix = try settings.flag("add_prefix_space") ?? false
    return Tokenizer(
      file: path, kind: "byte-level BPE", vocabulary: vocabulary, padding: nil, model: .bytePair(model),
      normalizer: normalizer,
      splitting: PreTokenizer(rules: [.byteLevel(addPrefixSpace: prefix, usesPattern: true)]),
      added: try AddedTokens(added, normalizer, file: path), post: post, truncation: nil,
      wordStart: .mark(ByteAlphabet.blank))
  }

  /// The text between the tokens of its beginning and its end.
  private static func around(
    _ settings: TokenizerSettings, _ defaults: [String: String], _ vocabulary: Vocabulary, file: String
  ) throws -> PostProcessor {
    func item(_ key: String) throws -> PostProcessor.Item {
      // The defaults have both keys.
      let token = try settings.special(key) ?? defaults[key] ?? ""
      return .special([try number(token, vocabulary, file: file)])
    }
    return PostProcessor(templates: [[try item("cls_token"), .text, try item("sep_token")]])
  }

  private static func number(_ token: String, _ vocabulary: Vocabulary, file: String) throws -> Int {
    guard let id = vocabulary.id(of: token) else {
      throw FileError(file: file, reason: "the token \(token) is missing")
    }
    return id
  }

  private static func readMerges(_ path: String) throws -> [(String, String)] {
    var pairs: [(String, String)] = []
    for (number, line) in try Gzip.contents(ofFile: path)
      .split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
    {
      let bytes = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      let text = String(decoding: bytes, as: UTF8.self)
      if text.isEmpty || text.utf8.starts(with: "#version".utf8) { continue }
      guard let merge = merge(text) else {
        throw FileError(
          file: path, place: "line \(number + 1)", reason: "a merge is two tokens with a blank between")
      }
      pairs.append(merge)
    }
    return pairs
  }
}
