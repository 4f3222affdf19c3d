import FileFormats

/// The tokens of a model and their numbers.
///
/// Tokens are compared byte by byte: Swift's `String` equates canonically equivalent texts, a vocabulary does not.
public struct Vocabulary: Sendable {
  /// A token's UTF-8 bytes.
  struct Key: Hashable, Sendable {
    let bytes: [UInt8]
    init(_ text: String) { bytes = Array(text.utf8) }
    init<S: Sequence<Unicode.Scalar>>(scalars: S) {
      var view = String.UnicodeScalarView()
      view.append(contentsOf: scalars)
      bytes = Array(String(view).utf8)
    }
  }

  private var numbers: [Key: Int]
  private var names: [Int: String]

  /// A vocabulary from tokens and their numbers.
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

  func id(_ key: Key) -> Int? { numbers[key] }

  /// The token of a number.
  public func token(of id: Int) -> String? { names[id] }

  /// A JSON object of tokens and numbers (`vocab.json`, `model.vocab` of `tokenizer.json`).
  init(json field: JSONField) throws {
    let members = try field.members()
    self.init(try members.map { ($0.key, try $0.field.int()) })
  }

  /// One token a line, numbered from 0 (`vocab.txt`).
  init(lines path: String) throws {
    let bytes = try Gzip.contents(ofFile: path)
    var entries: [(String, Int)] = []
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    for (id, line) in lines.enumerated() {
      let trimmed = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      guard let token = String(validating: trimmed, as: UTF8.self) else {
        throw FileError(file: path, place: "line \(id + 1)", reason: "the token is not valid UTF-8")
      }
      entries.append((token, id))
    }
    self.init(entries)
  }
}
