import FileFormats

/// A token of a word.
struct Piece: Sendable, Equatable {
  var id: Int
  /// The scalars of the word that it stands for; several pieces of one character share them.
  var range: Range<Int>
  /// Whether it is the unknown token.
  var isUnknown = false
}

/// What splits a word into tokens.
enum TokenModel: Sendable {
  case wordPiece(WordPiece)
  case bytePair(BytePairEncoding)
  case wordLevel(WordLevel)
  case unigram(Unigram)

  /// The pieces of a word, from the left.
  ///
  /// - Throws: ``MissingUnknown`` if a piece is not in the vocabulary and there is no unknown token.
  func pieces(_ word: TracedText) throws -> [Piece] {
    switch self {
    case .wordPiece(let model): return try model.pieces(word)
    case .bytePair(let model): return try model.pieces(word)
    case .wordLevel(let model): return try model.pieces(word)
    case .unigram(let model): return try model.pieces(word)
    }
  }

  /// A word is not in the vocabulary, and the reference library fails too.
  struct MissingUnknown: Error {}
}

/// Every word a token.
struct WordLevel: Sendable {
  let vocabulary: Vocabulary
  let unknown: Int?

  func pieces(_ word: TracedText) throws -> [Piece] {
    if let id = vocabulary.id(of: word.text) { return [Piece(id: id, range: 0..<word.count)] }
    guard let unknown else { throw TokenModel.MissingUnknown() }
    return [Piece(id: unknown, range: 0..<word.count, isUnknown: true)]
  }
}
