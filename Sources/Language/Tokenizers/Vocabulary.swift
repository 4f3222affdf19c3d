import FileFormats

/// The tokens of a model and their numbers.
///
/// Tokens are compared byte by byte: Swift's `String` equates canonically equivalent texts, a vocabulary does not.
public struct Vocabulary: Sendable {
  /// A token's UTF-8 bytes.
  private struct Key: Hashable, Sendable {
    let bytes: [UInt8]
    init(_ text: String) { bytes = Array(text.utf8) }
  }

  private var numbers: [Key: Int]
  private var names: [Int: String]

  /// A vocabulary from tokens and their numbers. Of a token given twice the last number counts.
  public init(_ entries: [(token: String, id: Int)]) {
    numbers = Dictionary(minimumCapacity: entries.count)
    names = Dictionary(minimumCapacity: entries.count)
    for (token, id) in entries { add(token, id) }
  }

  mutating func add(_ token: String, _ id: Int) {
    numbers[Key(token)] = id
    names[id] = token
  }

  public var count: Int { numbers.count }

  /// The number of a token, nil for one that is not in the vocabulary.
  public func id(of token: String) -> Int? { numbers[Key(token)] }

  /// The token of a number.
  public func token(of id: Int) -> String? { names[id] }

  /// Every token with its number, in no order.
  var entries: [(token: String, id: Int)] {
    numbers.map { (String(decoding: $0.key.bytes, as: UTF8.self), $0.value) }
  }

  /// The tokens of all texts as a trie.
  var trie: Trie {
    var trie = Trie()
    for (token, id) in entries { trie.insert(token, value: id) }
    return trie
  }

  /// A JSON object of tokens and numbers (`vocab.json`, `model.vocab` of `tokenizer.json`).
  init(json field: JSONField) throws {
    try self.init(
      field.members().map { key, field in
        let id = try field.int()
        guard id >= 0, id < Int(Int32.max) else { throw field.error("token numbers are 0 to 2^31 - 2") }
        return (key, id)
      })
  }

  /// One token a line, numbered from 0 (`vocab.txt`). White space at the end of a line belongs to no token.
  init(lines path: String) throws {
    let bytes = try Gzip.contents(ofFile: path)
    var entries: [(String, Int)] = []
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    for (id, line) in lines.enumerated() {
      guard let token = String(validating: line, as: UTF8.self) else {
        throw FileError(file: path, place: "line \(id + 1)", reason: "the token is not valid UTF-8")
      }
      var scalars = token.unicodeScalars[...]
      while let last = scalars.last, UnicodeTables.isSpace(last.value) { scalars.removeLast() }
      entries.append((String(scalars), id))
    }
    self.init(entries)
  }
}
