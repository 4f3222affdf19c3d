/// The most probable cut of a word into tokens (Kudo 2018), by Viterbi's algorithm.
struct Unigram: Sendable {
  private let trie: Trie
  private let scores: [Double]
  private let unknown: Int?
  /// The tokens `<0x00>` to `<0xFF>`, if what is not in the vocabulary is spelt in bytes that all have one.
  private let bytes: [Int?]?
  /// The score of a character that is not in the vocabulary.
  private let unknownScore: Double

  /// - Parameters:
  ///   - tokens: the tokens in the order of their numbers, with the logarithms of their probabilities.
  ///   - unknown: the number of the unknown token.
  ///   - bytes: the numbers of the tokens `<0x00>` to `<0xFF>`, if they are to be used.
  init(_ tokens: [(token: String, score: Double)], unknown: Int?, bytes: [Int?]?) {
    var trie = Trie()
    for (id, entry) in tokens.enumerated() { trie.insert(entry.token, value: id) }
    self.trie = trie
    scores = tokens.map(\.score)
    self.unknown = unknown
    self.bytes = bytes
    unknownScore = (scores.min() ?? 0) - 10
  }

  func pieces(_ word: TracedText) throws -> [Piece] {
    /// For every place the best way there: its score, where its last token starts, and that token (nil: unknown).
    var best = [(score: Double, start: Int, id: Int?)?](repeating: nil, count: word.count + 1)
    best[0] = (0, 0, nil)
    for start in word.indices {
      // Every place is reached: the unknown token has one character.
      let score = best[start]?.score ?? 0
      var hasSingle = false
      var node = Trie.root
      var end = start
      while end < word.count, let next = trie.step(node, word[end].value) {
        node = next
        end += 1
        guard let id = trie.value(node) else { continue }
        let candidate = score + scores[id]
        if best[end].map({ candidate > $0.score }) ?? true { best[end] = (candidate, start, id) }
        if end == start + 1 { hasSingle = true }
      }
      if !hasSingle {
        let candidate = score + unknownScore
        if best[start + 1].map({ candidate > $0.score }) ?? true {
          // The reference library fails here, even where a better way does not use the token.
          if unknown == nil { throw TokenModel.MissingUnknown() }
          best[start + 1] = (candidate, start, nil)
        }
      }
    }
    var cut: [(range: Range<Int>, id: Int?)] = []
    var end = word.count
    while end > 0, let step = best[end] {
      // Unknown characters side by side are one token.
      if step.id == nil || step.id == unknown, let last = cut.last, last.id == nil {
        cut[cut.count - 1].range = step.start..<last.range.upperBound
      } else {
        cut.append((step.start..<end, step.id == unknown ? nil : step.id))
      }
      end = step.start
    }
    return try cut.reversed().flatMap { range, id in try piece(word, range, id) }
  }

  private func piece(_ word: TracedText, _ range: Range<Int>, _ id: Int?) throws -> [Piece] {
    if let id { return [Piece(id: id, range: range)] }
    // What is joined may be a token after all.
    if let (end, id) = trie.longest(word, from: range.lowerBound), end == range.upperBound {
      return [Piece(id: id, range: range, isUnknown: id == unknown)]
    }
    if let bytes {
      let pieces = range.flatMap { place in
        ByteAlphabet.utf8(word[place].value).map { (bytes[Int($0)], place) }
      }
      let spelt = pieces.compactMap { id, place in id.map { Piece(id: $0, range: place..<(place + 1)) } }
      if spelt.count == pieces.count { return spelt }
    }
    guard let unknown else { throw TokenModel.MissingUnknown() }
    return [Piece(id: unknown, range: range, isUnknown: true)]
  }
}
