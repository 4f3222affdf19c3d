import FileFormats

/// Turns texts into token numbers, exactly as the reference library (HuggingFace `tokenizers`) does.
public struct Tokenizer: Sendable {
  /// How a token shows that a word begins with it.
  enum WordStart: Sendable, Equatable {
    /// It does not begin with what continues a word.
    case withoutPrefix(String)
    /// It begins with what stands for a blank.
    case mark(UInt32)
    case always
  }

  /// The file it was read from, for messages.
  public let file: String
  /// `WordPiece`, `byte-level BPE`, `BPE`, `Unigram` or `whitespace` (every word a token).
  public let kind: String
  public let vocabulary: Vocabulary
  /// The tokens with which texts are to be filled up; ``encode(_:)`` leaves them out, as their positions are masked.
  public let padding: Padding?
  let model: TokenModel
  let normalizer: Normalizer
  let splitting: PreTokenizer
  let added: AddedTokens
  let post: PostProcessor
  let truncation: Truncation?
  let wordStart: WordStart

  /// The tokens of a text with the special tokens around it, cut to the tokenizer's length if it sets one. Time is linear in the
  /// text, but for the n log n of merges within a word.
  ///
  /// - Throws: ``FileError`` if a word is not in the vocabulary and there is no unknown token.
  public func encode(_ text: String) throws -> Encoding {
    let raw = TracedText(text)
    var pieces: [TextPiece] = []
    var unknown: [String] = []
    for part in added.splitRaw(raw) {
      if let id = part.id {
        pieces.append(TextPiece(id: id, range: Self.range(part.text[...]), isWhole: true))
        continue
      }
      for part in added.splitNormalized(try normalizer.apply(part.text)) {
        if let id = part.id {
          pieces.append(TextPiece(id: id, range: Self.range(part.text[...]), isWhole: true))
          continue
        }
        for word in try splitting.split(part.text) { try append(word, raw, &pieces, &unknown) }
      }
    }
    let count = pieces.count
    if let truncation, count > truncation.length - post.addedCount {
      let length = truncation.length - post.addedCount
      pieces = Array(truncation.isLeft ? pieces.suffix(length) : pieces.prefix(length))
    }
    let whole = post.apply(pieces) { TextPiece(id: $0, range: 0..<0, isWhole: true) }
    var result = encoding(whole)
    result.unknown = unknown
    result.truncated = count - pieces.count
    return result
  }

  /// A token of a text: its number, the scalars it came from, and whether it is a word of its own.
  private struct TextPiece {
    var id: Int
    var range: Range<Int>
    var isWhole = false
  }

  private static func range(_ part: ArraySlice<TracedScalar>) -> Range<Int> {
    guard let first = part.first, let last = part.last else { return 0..<0 }
    return Int(first.start)..<max(Int(first.start), Int(last.end))
  }

  private func append(
    _ word: TracedText, _ raw: TracedText, _ pieces: inout [TextPiece], _ unknown: inout [String]
  ) throws {
    let own: [Piece]
    do {
      own = try model.pieces(word)
    } catch is TokenModel.MissingUnknown {
      throw FileError(
        file: file, place: "word \"\(word.prefix(100).text)\"",
        reason: "is not in the vocabulary and there is no unknown token")
    }
    // What of the word no token stands for.
    var place = 0
    func report(_ range: Range<Int>) {
      if range.isEmpty { return }
      let origin = Self.range(word[range])
      unknown.append(raw[origin].text)
    }
    for piece in own {
      report(min(place, piece.range.lowerBound)..<piece.range.lowerBound)
      if piece.isUnknown { report(piece.range) }
      place = max(place, piece.range.upperBound)
      pieces.append(TextPiece(id: piece.id, range: Self.range(word[piece.range])))
    }
    report(place..<word.count)
  }

  private func encoding(_ pieces: [TextPiece]) -> Encoding {
    var result = Encoding(tokens: [], ids: [], words: [], wordTexts: [])
    var isAfterWhole = true
    for piece in pieces {
      let token = vocabulary.token(of: piece.id) ?? "\(piece.id)"
      if isAfterWhole || piece.isWhole || startsWord(token) {
        result.wordTexts.append(display(token))
      } else {
        result.wordTexts[result.wordTexts.count - 1] += display(token)
      }
      isAfterWhole = piece.isWhole
      result.tokens.append(token)
      result.ids.append(piece.id)
      result.words.append(result.wordTexts.count - 1)
      result.offsets.append(piece.range)
    }
    return result
  }

  /// The words of a sequence that is given by its numbers, as ``encode(_:)`` would group them.
  ///
  /// - Throws: ``FileError`` if a number is not in the vocabulary.
  public func describe(_ ids: [Int]) throws -> Encoding {
    let special = post.specialIds.union(added.ids)
    return encoding(
      try ids.map { id in
        guard vocabulary.token(of: id) != nil else {
          throw FileError(file: file, place: "token \(id)", reason: "is not in the vocabulary")
        }
        return TextPiece(id: id, range: 0..<0, isWhole: special.contains(id))
      })
  }

  /// The tokens of a text filled up as the tokenizer says, with 1 for those that the model is to read and 0 for the others.
  public func padded(_ encoding: Encoding) -> (encoding: Encoding, mask: [Int]) {
    let count = padding?.missing(encoding.ids.count) ?? 0
    var mask = [Int](repeating: 1, count: encoding.ids.count)
    guard let padding, count > 0 else { return (encoding, mask) }
    var result = encoding
    let place = padding.isLeft ? 0 : encoding.ids.count
    result.tokens.insert(contentsOf: [String](repeating: padding.token, count: count), at: place)
    result.ids.insert(contentsOf: [Int](repeating: padding.id, count: count), at: place)
    result.offsets.insert(contentsOf: [Range<Int>](repeating: 0..<0, count: count), at: place)
    mask.insert(contentsOf: [Int](repeating: 0, count: count), at: place)
    let texts = [String](repeating: padding.token, count: count)
    let firstWord = padding.isLeft ? 0 : encoding.wordTexts.count
    result.wordTexts.insert(contentsOf: texts, at: firstWord)
    result.words =
      padding.isLeft
      ? Array(0..<count) + encoding.words.map { $0 + count }
      : encoding.words + (0..<count).map { firstWord + $0 }
    return (result, mask)
  }

  /// A single token by its text, as answers of prompts name it: as it stands, or as the vocabulary writes its bytes or blanks.
  ///
  /// - Throws: ``FileError`` if it is not in the vocabulary.
  public func id(ofToken text: String) throws -> Int {
    if let id = vocabulary.id(of: text) { return id }
    if case .mark(let mark) = wordStart {
      let scalars = TracedText(text)
      let mapped =
        mark == ByteAlphabet.blank
        ? ByteAlphabet.mapped(scalars) : scalars.map { $0.value == 0x20 ? $0.with(mark) : $0 }
      if let id = vocabulary.id(of: mapped.text) { return id }
    }
    throw FileError(file: file, place: "token \"\(text)\"", reason: "is not in the vocabulary")
  }

  /// The token as a person would write it.
  public func display(_ token: String) -> String {
    switch wordStart {
    case .always: return token
    case .withoutPrefix(let prefix):
      guard continues(token, prefix) else { return token }
      return String(token.unicodeScalars.dropFirst(prefix.unicodeScalars.count))
    case .mark(let mark):
      if mark == ByteAlphabet.blank { return ByteAlphabet.text(token) ?? token }
      return TracedText(token).map { $0.value == mark ? $0.with(0x20) : $0 }.text
    }
  }

  private func continues(_ token: String, _ prefix: String) -> Bool {
    token.utf8.count > prefix.utf8.count && token.utf8.starts(with: prefix.utf8)
  }

  private func startsWord(_ token: String) -> Bool {
    switch wordStart {
    case .always: return true
    case .withoutPrefix(let prefix): return !continues(token, prefix)
    case .mark(let mark): return token.unicodeScalars.first?.value == mark
    }
  }
}
