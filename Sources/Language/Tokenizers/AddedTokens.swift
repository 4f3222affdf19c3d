import FileFormats

/// A token that is recognised in the text before anything else.
struct AddedToken: Sendable, Equatable {
  var content: String
  /// Recognised only where no word character touches it.
  var isSingleWord = false
  /// White space before it, or after it, belongs to it.
  var stripsLeft = false
  var stripsRight = false
  /// Looked for in the normalised text, its content normalised too; else in the raw text.
  var isNormalized = true
  var isSpecial = false

  init(_ content: String) { self.content = content }

  /// A special token: looked for in the raw text.
  init(special content: String) {
    self.content = content
    isNormalized = false
    isSpecial = true
  }

  /// An object with `content` and flags; `normalized` is true unless the token is special, as in the reference library.
  init(_ field: JSONField) throws {
    content = try field.member("content").string()
    func flag(_ key: String) throws -> Bool? { try field.optional(key)?.bool() }
    isSingleWord = try flag("single_word") ?? false
    stripsLeft = try flag("lstrip") ?? false
    stripsRight = try flag("rstrip") ?? false
    isSpecial = try flag("special") ?? false
    isNormalized = try flag("normalized") ?? !isSpecial
  }
}

/// All added tokens of a tokenizer, and where they are in a text.
struct AddedTokens: Sendable {
  private(set) var tokens: [(token: AddedToken, id: Int)] = []
  private var raw = Trie()
  private var normalized = Trie()
  /// The numbers of all of them.
  private(set) var ids: Set<Int> = []

  /// - Throws: ``FileError`` (of `file`) if normalising leaves nothing of a token.
  init(_ tokens: [(token: AddedToken, id: Int)], _ normalizer: Normalizer, file: String) throws {
    for (token, id) in tokens where !token.content.isEmpty {
      let place = self.tokens.count
      self.tokens.append((token, id))
      ids.insert(id)
      if token.isNormalized {
        let content = try normalizer.apply(TracedText(token.content))
        if content.isEmpty {
          throw FileError(
            file: file, place: "added token \"\(token.content)\"", reason: "normalising leaves nothing of it")
        }
        normalized.insert(content.lazy.map(\.value), value: place, replace: false)
      } else {
        raw.insert(token.content, value: place, replace: false)
      }
    }
  }

  /// A stretch of a text: a token's number, or what lies between tokens.
  typealias Part = (text: TracedText, id: Int?)

  /// The text cut at the tokens that are looked for in raw texts.
  func splitRaw(_ text: TracedText) -> [Part] { split(text, raw) }

  /// The text cut at the tokens that are looked for in normalised texts.
  func splitNormalized(_ text: TracedText) -> [Part] { split(text, normalized) }

  private func split(_ text: TracedText, _ trie: Trie) -> [Part] {
    if text.isEmpty { return [] }
    var result: [Part] = []
    var start = 0
    var place = 0
    while place < text.count {
      guard let (end, index) = trie.longest(text, from: place) else {
        place += 1
        continue
      }
      let (token, id) = tokens[index]
      let match = place
      // Whether it counts or not, no token is looked for inside.
      place = end
      if token.isSingleWord {
        func isWord(_ place: Int) -> Bool {
          text.indices.contains(place) && UnicodeTables.word.contains(text[place].value)
        }
        if isWord(match - 1) || isWord(end) { continue }
      }
      var low = match
      var high = end
      if token.stripsLeft {
        while low > start, UnicodeTables.isSpace(text[low - 1].value) { low -= 1 }
      }
      if token.stripsRight {
        while high < text.count, UnicodeTables.isSpace(text[high].value) { high += 1 }
      }
      if start < low { result.append((Array(text[start..<low]), nil)) }
      result.append((Array(text[min(low, high)..<high]), id))
      start = high
    }
    if start < text.count { result.append((Array(text[start...]), nil)) }
    return result
  }
}
