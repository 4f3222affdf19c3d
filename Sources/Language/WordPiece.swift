import FileFormats

/// Greedy longest match from the left (Wu et al. 2016; BERT).
struct WordPiece: Sendable {
  var unknown: String
  var continuation: String
  var longestWord: Int

  init(unknown: String = "[UNK]", continuation: String = "##", longestWord: Int = 100) {
    self.unknown = unknown
    self.continuation = continuation
    self.longestWord = longestWord
  }

  func encode(_ word: String, in vocabulary: Vocabulary, file: String) throws -> [(token: String, id: Int)] {
    let scalars = Array(word.unicodeScalars)
    func unknownPiece() throws -> [(token: String, id: Int)] {
      guard let id = vocabulary.id(of: unknown) else {
        throw FileError(
          file: file, place: "word \"\(word)\"", reason: "is not in the vocabulary, nor is \(unknown)")
      }
      return [(unknown, id)]
    }
    if scalars.count > longestWord { return try unknownPiece() }
    var result: [(token: String, id: Int)] = []
    var start = 0
    let mark = Array(continuation.unicodeScalars)
    while start < scalars.count {
      var end = scalars.count
      var found: Int?
      while end > start {
        let key = Vocabulary.Key(scalars: (start > 0 ? mark : []) + scalars[start..<end])
        if let id = vocabulary.id(key) {
          found = id
          break
        }
        end -= 1
      }
      guard let id = found, let token = vocabulary.token(of: id) else { return try unknownPiece() }
      result.append((token, id))
      start = end
    }
    return result
  }
}
