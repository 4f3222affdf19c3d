/// Greedy longest match from the left (Wu et al. 2016; BERT).
struct WordPiece: Sendable {
  private let trie: Trie
  /// The node of the trie at which tokens inside a word begin, nil if there are none.
  private let inside: Int32?
  private let unknown: Int?
  let continuation: String
  private let longestWord: Int

  /// - Parameters:
  ///   - unknown: the unknown token, nil if the vocabulary lacks it.
  ///   - continuation: what tokens inside a word begin with.
  ///   - longestWord: longer words, in scalars, become the unknown token.
  init(_ vocabulary: Vocabulary, unknown: Int?, continuation: String = "##", longestWord: Int = 100) {
    trie = vocabulary.trie
    var node: Int32? = Trie.root
    for scalar in continuation.unicodeScalars {
      node = node.flatMap { [trie] in trie.step($0, scalar.value) }
    }
    inside = node
    self.unknown = unknown
    self.continuation = continuation
    self.longestWord = longestWord
  }

  func pieces(_ word: TracedText) throws -> [Piece] {
    var result: [Piece] = []
    var place = 0
    while word.count <= longestWord, place < word.count {
      guard let node = place == 0 ? Trie.root : inside,
        let (end, id) = trie.longest(word, from: place, node: node), end > place
      else { break }
      result.append(Piece(id: id, range: place..<end))
      place = end
    }
    if place == word.count { return result }
    guard let unknown else { throw TokenModel.MissingUnknown() }
    return [Piece(id: unknown, range: 0..<word.count, isUnknown: true)]
  }
}
