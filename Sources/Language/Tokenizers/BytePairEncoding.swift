/// Byte-pair encoding (Sennrich et al. 2016), over characters or over the stand-ins of bytes.
struct BytePairEncoding: Sendable {
  /// What is done with characters that are not in the vocabulary.
  struct Settings: Sendable {
    /// nil: they are dropped, as the reference library does.
    var unknown: Int?
    /// There is to be an unknown token, but the vocabulary lacks it: a text that needs it is refused.
    var lacksUnknown = false
    /// Unknown characters side by side are one token.
    var fusesUnknown = false
    /// They are spelt with the tokens `<0x00>` to `<0xFF>` where all their bytes have one.
    var bytes: [Int?]?
    /// A word that is a token is not cut.
    var ignoresMerges = false
    /// What the tokens of all characters but the first begin with, and that of the last ends with.
    var continuation = ""
    var suffix = ""
  }

  private let vocabulary: Vocabulary
  /// The rank of a merge and the token it makes, by its two tokens.
  private let merges: [UInt64: (rank: Int, id: Int)]
  private let settings: Settings
  /// Tokens of single characters, without continuation or suffix.
  private let characters: [UInt32: Int]

  /// - Parameter merges: pairs of tokens, the first merged first. Of a pair given twice the last counts.
  /// - Throws: ``Missing`` if a merge needs a token that the vocabulary lacks.
  init(_ vocabulary: Vocabulary, merges pairs: [(String, String)], settings: Settings) throws {
    self.vocabulary = vocabulary
    self.settings = settings
    var merges = [UInt64: (rank: Int, id: Int)](minimumCapacity: pairs.count)
    func id(_ token: String) throws -> Int {
      guard let id = vocabulary.id(of: token) else { throw Missing(token: token) }
      return id
    }
    for (rank, (left, right)) in pairs.enumerated() {
      let rest = right.unicodeScalars.dropFirst(settings.continuation.unicodeScalars.count)
      merges[Self.key(try id(left), try id(right))] = (rank, try id(left + String(rest)))
    }
    self.merges = merges
    var characters: [UInt32: Int] = [:]
    for (token, id) in vocabulary.entries {
      let scalars = token.unicodeScalars
      if let first = scalars.first, scalars.index(after: scalars.startIndex) == scalars.endIndex {
        characters[first.value] = id
      }
    }
    self.characters = characters
  }

  /// A token that a merge needs and the vocabulary lacks.
  struct Missing: Error {
    var token: String
  }

  private static func key(_ left: Int, _ right: Int) -> UInt64 {
    // Token numbers are below 2^31.
    UInt64(left) << 32 | UInt64(right)
  }

  func pieces(_ word: TracedText) throws -> [Piece] {
    if settings.ignoresMerges, let id = vocabulary.id(of: word.text) {
      return [Piece(id: id, range: 0..<word.count)]
    }
    var symbols = try symbols(word)
    merge(&symbols)
    return symbols
  }

  /// A token for every character.
  private func symbols(_ word: TracedText) throws -> [Piece] {
    var result: [Piece] = []
    result.reserveCapacity(word.count)
    /// An unknown token that waits for the next known character: bytes go before it, as in the reference library.
    var waiting: Piece?
    for place in word.indices {
      let range = place..<(place + 1)
      if let id = id(word, place) {
        if let unknown = waiting { result.append(unknown) }
        waiting = nil
        result.append(Piece(id: id, range: range))
        continue
      }
      if let bytes = settings.bytes {
        let ids = text(word, place).utf8.map { bytes[Int($0)] }
        if !ids.contains(nil) {
          for id in ids.compactMap({ $0 }) { result.append(Piece(id: id, range: range)) }
          continue
        }
      }
      if settings.lacksUnknown { throw TokenModel.MissingUnknown() }
      guard let unknown = settings.unknown else { continue }
      if settings.fusesUnknown, let last = waiting {
        waiting?.range = last.range.lowerBound..<range.upperBound
      } else {
        if let last = waiting { result.append(last) }
        waiting = Piece(id: unknown, range: range, isUnknown: true)
      }
    }
    if let unknown = waiting { result.append(unknown) }
    return result
  }

  private func id(_ word: TracedText, _ place: Int) -> Int? {
    if settings.continuation.isEmpty, settings.suffix.isEmpty { return characters[word[place].value] }
    return vocabulary.id(of: text(word, place))
  }

  /// A character as it stands in the vocabulary.
  private func text(_ word: TracedText, _ place: Int) -> String {
    (place == 0 ? "" : settings.continuation) + word[place...place].text
      + (place == word.count - 1 ? settings.suffix : "")
  }

  /// Merges the pair of lowest rank, of equals the leftmost, until none is left.
  private func merge(_ symbols: inout [Piece]) {
    if symbols.count < 2 { return }
    var next = Array(1...symbols.count)
    var previous = Array(-1..<(symbols.count - 1))
    var isGone = [Bool](repeating: false, count: symbols.count)
    var queue = MergeQueue()
    func push(_ left: Int, _ right: Int, _ symbols: [Piece], _ queue: inout MergeQueue) {
      guard left >= 0, right < symbols.count else { return }
      if let merge = merges[Self.key(symbols[left].id, symbols[right].id)] {
        queue.push(MergeQueue.Entry(rank: merge.rank, place: left, id: merge.id))
      }
    }
    for place in 0..<(symbols.count - 1) { push(place, place + 1, symbols, &queue) }
    while let entry = queue.pop() {
      let left = entry.place
      let right = next[left]
      if isGone[left] || right >= symbols.count { continue }
      // The pair may have changed since.
      guard let merge = merges[Self.key(symbols[left].id, symbols[right].id)], merge.id == entry.id else {
        continue
      }
      symbols[left] = Piece(
        id: merge.id, range: symbols[left].range.lowerBound..<symbols[right].range.upperBound)
      isGone[right] = true
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      push(previous[left], left, symbols, &queue)
      push(left, next[left], symbols, &queue)
    }
    symbols = symbols.indices.filter { !isGone[$0] }.map { symbols[$0] }
  }
}

/// Merges to be done, the lowest rank and of equals the leftmost first: a binary heap.
private struct MergeQueue {
  struct Entry {
    var rank: Int
    var place: Int
    /// The token that the merge makes.
    var id: Int

    func isBefore(_ other: Entry) -> Bool { (rank, place) < (other.rank, other.place) }
  }

  private var heap: [Entry] = []

  mutating func push(_ entry: Entry) {
    heap.append(entry)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if !heap[child].isBefore(heap[parent]) { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> Entry? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    if heap.isEmpty { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      if least == parent { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
