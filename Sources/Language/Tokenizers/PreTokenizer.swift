import FileFormats

/// How a text is cut into words.
struct PreTokenizer: Sendable {
  enum Rule: Sendable {
    /// At white space only.
    case whitespaceSplit
    /// Runs of word characters, runs of everything else.
    case whitespace
    /// At white space, every punctuation character alone (BERT).
    case bert
    case punctuation(SplitBehavior)
    case digits(isIndividual: Bool)
    /// Bytes as their stand-ins; with GPT-2's cut, where blanks stay with the word after them.
    case byteLevel(addPrefixSpace: Bool, usesPattern: Bool)
    case metaspace(replacement: UInt32, PrependScheme, isSplitting: Bool)
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case delimiter(UInt32)
    case fixedLength(Int)
  }

  enum PrependScheme: String, Sendable { case first, always, never }

  var rules: [Rule]

  func split(_ text: TracedText) throws -> [TracedText] {
    var parts = text.isEmpty ? [] : [text]
    for rule in rules { parts = try parts.flatMap { try Self.split($0, rule) } }
    return parts
  }

  /// GPT-2's cut.
  private static let gpt2 =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  private static let gpt2Pattern = Result { try RegularExpression(known: gpt2) }

  private static func split(_ text: TracedText, _ rule: Rule) throws -> [TracedText] {
    switch rule {
    case .whitespaceSplit:
      return SplitBehavior.removed.split(text) { UnicodeTables.isSpace($0) }
    case .whitespace:
      return SplitBehavior.removed.split(text) { UnicodeTables.isSpace($0) }.flatMap {
        SplitBehavior.contiguous.split($0) { UnicodeTables.word.contains($0) }
      }
    case .bert:
      return SplitBehavior.removed.split(text) { UnicodeTables.isSpace($0) }.flatMap {
        SplitBehavior.isolated.split($0) { UnicodeTables.punctuation.contains($0) }
      }
    case .punctuation(let behavior):
      return behavior.split(text) { UnicodeTables.punctuation.contains($0) }
    case .digits(let isIndividual):
      return (isIndividual ? SplitBehavior.isolated : .contiguous).split(text) {
        UnicodeTables.numeric.contains($0)
      }
    case .byteLevel(let addPrefixSpace, let usesPattern):
      var text = text
      if addPrefixSpace, let first = text.first, first.value != 0x20 {
        text.insert(first.inserted(0x20), at: 0)
      }
      guard usesPattern else { return [ByteAlphabet.mapped(text)] }
      let matches = try gpt2Pattern.get().matches(in: text)
      return SplitBehavior.isolated.split(text, at: matches).map(ByteAlphabet.mapped)
    case .metaspace(let replacement, let scheme, let isSplitting):
      guard let first = text.first else { return [] }
      var text = text.map { $0.value == 0x20 ? $0.with(replacement) : $0 }
      if text[0].value != replacement, scheme == .always || scheme == .first && first.start == 0 {
        text.insert(first.inserted(replacement), at: 0)
      }
      return isSplitting ? SplitBehavior.mergedWithNext.split(text) { $0 == replacement } : [text]
    case .split(let pattern, let behavior, let isInverted):
      return behavior.split(text, at: try pattern.matches(in: text), isInverted: isInverted)
    case .delimiter(let delimiter): return SplitBehavior.removed.split(text) { $0 == delimiter }
    case .fixedLength(let length):
      return stride(from: 0, to: text.count, by: length).map {
        Array(text[$0..<min(text.count, $0 + length)])
      }
    }
  }
}

extension PreTokenizer {
  /// The pre-tokenizer that `tokenizer.json` describes.
  ///
  /// - Throws: ``FileError`` naming what is not supported.
  init(_ field: JSONField?) throws { rules = try field.map(Self.rules) ?? [] }

  private static func rules(_ field: JSONField) throws -> [Rule] {
    let type = try field.member("type").string()
    func flag(_ key: String) throws -> Bool? { try field.optional(key)?.bool() }
    func character(_ key: String) throws -> UInt32 {
      let scalars = try field.member(key).string().unicodeScalars
      guard scalars.count == 1, let scalar = scalars.first else {
        throw field.error("\"\(key)\" must be one character")
      }
      return scalar.value
    }
    func behavior() throws -> SplitBehavior {
      let name = try field.optional("behavior")?.string() ?? "Isolated"
      guard let behavior = SplitBehavior(rawValue: name) else {
        throw field.error("the behavior \(name) is not supported")
      }
      return behavior
    }
    switch type {
    case "Sequence": return try field.member("pretokenizers").elements().flatMap(rules)
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "Whitespace": return [.whitespace]
    case "BertPreTokenizer": return [.bert]
    case "Punctuation": return [.punctuation(try behavior())]
    case "Digits": return [.digits(isIndividual: try flag("individual_digits") ?? false)]
    case "ByteLevel":
      return [
        .byteLevel(
          addPrefixSpace: try flag("add_prefix_space") ?? true, usesPattern: try flag("use_regex") ?? true)
      ]
    case "Metaspace":
      // Older files say add_prefix_space.
      let older: PrependScheme = try flag("add_prefix_space") ?? true ? .always : .never
      let name = try field.optional("prepend_scheme")?.string() ?? older.rawValue
      guard let scheme = PrependScheme(rawValue: name) else {
        throw field.error("the prepend_scheme \(name) is not supported")
      }
      return [
        .metaspace(
          replacement: try character("replacement"), scheme, isSplitting: try flag("split") ?? true)
      ]
    case "Split":
      return [
        .split(
          try TextPattern(field.member("pattern")), try behavior(), isInverted: try flag("invert") ?? false)
      ]
    case "CharDelimiterSplit": return [.delimiter(try character("delimiter"))]
    case "FixedLength":
      let length = try field.optional("length")?.int() ?? 5
      guard length > 0 else { throw field.error("the length must be above 0") }
      return [.fixedLength(length)]
    default: throw field.error("the pre-tokenizer \(type) is not supported")
    }
  }
}
