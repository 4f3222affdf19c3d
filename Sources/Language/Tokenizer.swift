import FileFormats

/// A text as a model reads it.
public struct Encoding: Sendable, Equatable {
  public var tokens: [String]
  public var ids: [Int]
  /// For every token the number of the word it belongs to, ascending from 0. A special token is a word of its own.
  public var words: [Int]
  /// The text of each word as a person would write it.
  public var wordTexts: [String]
  /// For models that read a tensor instead of token numbers: its elements, row-major.
  public var values: [Double]?

  public init(tokens: [String], ids: [Int], words: [Int], wordTexts: [String]) {
    self.tokens = tokens
    self.ids = ids
    self.words = words
    self.wordTexts = wordTexts
  }
}

/// Turns texts into token numbers, exactly as the model's own tokenizer does.
public struct Tokenizer: Sendable {
  /// What splits a word into tokens.
  enum Model: Sendable {
    case wordPiece(WordPiece)
    case bytePair(BytePairEncoding)
    case wordLevel(unknown: String?)

    var name: String {
      switch self {
      case .wordPiece: "WordPiece"
      case .bytePair: "byte-level BPE"
      case .wordLevel: "whitespace"
      }
    }
  }

  /// The file it was read from, for messages.
  public let file: String
  public let vocabulary: Vocabulary
  let model: Model
  let normalizer: Normalizer
  let splitting: PreTokenizer
  /// Tokens recognised in the raw text before anything else, longest first.
  let added: [(text: String, id: Int)]
  let prefix: [(token: String, id: Int)]
  let suffix: [(token: String, id: Int)]

  /// `WordPiece`, `byte-level BPE` or `whitespace`.
  public var kind: String { model.name }

  /// The tokens of a text with the special tokens around it.
  ///
  /// - Throws: ``FileError`` if a word is not in the vocabulary and there is no unknown token.
  public func encode(_ text: String) throws -> Encoding {
    var result = Encoding(tokens: [], ids: [], words: [], wordTexts: [])
    func append(_ token: String, _ id: Int, newWord: Bool) {
      if newWord || result.words.isEmpty {
        result.wordTexts.append(display(token))
      } else {
        result.wordTexts[result.wordTexts.count - 1] += display(token)
      }
      result.tokens.append(token)
      result.ids.append(id)
      result.words.append(result.wordTexts.count - 1)
    }
    for special in prefix { append(special.token, special.id, newWord: true) }
    for part in separateAdded(text) {
      if let id = part.id {
        append(part.text, id, newWord: true)
        continue
      }
      for word in splitting.split(normalizer.apply(part.text)) {
        for (place, piece) in try pieces(word).enumerated() {
          append(piece.token, piece.id, newWord: startsWord(piece.token, place: place))
        }
      }
    }
    for special in suffix { append(special.token, special.id, newWord: true) }
    return result
  }

  /// The words of a sequence that is given by its numbers, as ``encode(_:)`` would group them.
  ///
  /// - Throws: ``FileError`` if a number is not in the vocabulary.
  public func describe(_ ids: [Int]) throws -> Encoding {
    let special = Set((prefix + suffix).map(\.id)).union(added.map(\.id))
    var result = Encoding(tokens: [], ids: ids, words: [], wordTexts: [])
    for id in ids {
      guard let token = vocabulary.token(of: id) else {
        throw FileError(file: file, place: "token \(id)", reason: "is not in the vocabulary")
      }
      if result.words.isEmpty || special.contains(id) || startsWord(token, place: 0)
        || special.contains(result.ids[result.words.count - 1])
      {
        result.wordTexts.append(display(token))
      } else {
        result.wordTexts[result.wordTexts.count - 1] += display(token)
      }
      result.tokens.append(token)
      result.words.append(result.wordTexts.count - 1)
    }
    return result
  }

  /// A single token by its text, as answers of prompts name it: as it stands, or the one token its text encodes to.
  ///
  /// - Throws: ``FileError`` if it is not in the vocabulary.
  public func id(ofToken text: String) throws -> Int {
    if let id = vocabulary.id(of: text) { return id }
    if case .bytePair(let encoder) = model {
      let mapped = encoder.mapped(text)
      if let id = vocabulary.id(of: mapped) { return id }
    }
    throw FileError(file: file, place: "token \"\(text)\"", reason: "is not in the vocabulary")
  }

  /// The token as a person would write it.
  public func display(_ token: String) -> String {
    switch model {
    case .wordPiece(let model):
      return token.hasPrefix(model.continuation) && token.count > model.continuation.count
        ? String(token.dropFirst(model.continuation.count)) : token
    case .bytePair: return BytePairEncoding.display(token)
    case .wordLevel: return token
    }
  }

  private func startsWord(_ token: String, place: Int) -> Bool {
    switch model {
    case .wordPiece(let model): return !token.hasPrefix(model.continuation) || token.count <= 2
    case .bytePair: return token.unicodeScalars.first == BytePairEncoding.blank
    case .wordLevel: return true
    }
  }

  private func pieces(_ word: String) throws -> [(token: String, id: Int)] {
    switch model {
    case .wordPiece(let model): return try model.encode(word, in: vocabulary, file: file)
    case .bytePair(let model): return try model.encode(word, in: vocabulary, file: file)
    case .wordLevel(let unknown):
      if let id = vocabulary.id(of: word) { return [(word, id)] }
      if let unknown, let id = vocabulary.id(of: unknown) { return [(unknown, id)] }
      throw FileError(
        file: file, place: "word \"\(word)\"",
        reason: "is not in the vocabulary and there is no unknown token")
    }
  }

  /// The text cut at the added tokens it contains.
  private func separateAdded(_ text: String) -> [(text: String, id: Int?)] {
    if added.isEmpty { return [(text, nil)] }
    let bytes = Array(text.utf8)
    var result: [(text: String, id: Int?)] = []
    var start = 0
    var i = 0
    func flush(_ end: Int) {
      if end > start { result.append((String(decoding: bytes[start..<end], as: UTF8.self), nil)) }
    }
    scan: while i < bytes.count {
      for token in added where bytes[i] == token.text.utf8.first {
        if bytes[i...].starts(with: token.text.utf8) {
          flush(i)
          result.append((token.text, token.id))
          i += token.text.utf8.count
          start = i
          continue scan
        }
      }
      i += 1
    }
    flush(bytes.count)
    return result
  }
}
