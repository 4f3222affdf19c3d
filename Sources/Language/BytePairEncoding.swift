import FileFormats

/// Byte-level byte-pair encoding (Radford et al. 2019; Sennrich et al. 2016).
struct BytePairEncoding: Sendable {
  private struct Pair: Hashable, Sendable {
    let left: Vocabulary.Key
    let right: Vocabulary.Key
  }

  private let ranks: [Pair: Int]
  private let unknown: String?

  init(merges: [(String, String)], unknown: String? = nil) {
    var ranks = [Pair: Int](minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let pair = Pair(left: Vocabulary.Key(merge.0), right: Vocabulary.Key(merge.1))
      if ranks[pair] == nil { ranks[pair] = rank }
    }
    self.ranks = ranks
    self.unknown = unknown
  }

  /// The printable stand-in of every byte: itself if it is printable Latin-1, else one from U+0100 on.
  static let byteScalars: [Unicode.Scalar] = {
    var table = [Unicode.Scalar](repeating: " ", count: 256)
    var next: UInt32 = 256
    for byte in 0..<256 {
      let printable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      let value = printable ? UInt32(byte) : next
      if !printable { next += 1 }
      // Values are below 0x200, where every number is a scalar.
      table[byte] = Unicode.Scalar(value) ?? " "
    }
    return table
  }()

  private static let scalarBytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: byteScalars.enumerated().map { ($0.element, UInt8($0.offset)) })

  /// The stand-in of the blank, `Ġ`.
  static let blank: Unicode.Scalar = byteScalars[32]

  /// The text with every byte replaced by its stand-in.
  func mapped(_ text: String) -> String {
    var view = String.UnicodeScalarView()
    for byte in text.utf8 { view.append(Self.byteScalars[Int(byte)]) }
    return String(view)
  }

  /// The text of a token: stand-ins back to bytes.
  static func display(_ token: String) -> String {
    var bytes: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard let byte = scalarBytes[scalar] else { return token }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Merges the pair of lowest rank, everywhere, until none is left.
  func encode(_ word: String, in vocabulary: Vocabulary, file: String) throws -> [(token: String, id: Int)] {
    var parts = mapped(word).unicodeScalars.map { Vocabulary.Key(String($0)) }
    while parts.count > 1 {
      var best: (rank: Int, pair: Pair)?
      for i in 0..<(parts.count - 1) {
        let pair = Pair(left: parts[i], right: parts[i + 1])
        if let rank = ranks[pair], rank < best?.rank ?? Int.max { best = (rank, pair) }
      }
      guard let (_, pair) = best else { break }
      let joined = Vocabulary.Key(
        scalars: Self.text(pair.left).unicodeScalars + Self.text(pair.right).unicodeScalars)
      var merged: [Vocabulary.Key] = []
      merged.reserveCapacity(parts.count)
      var i = 0
      while i < parts.count {
        if i + 1 < parts.count, parts[i] == pair.left, parts[i + 1] == pair.right {
          merged.append(joined)
          i += 2
        } else {
          merged.append(parts[i])
          i += 1
        }
      }
      parts = merged
    }
    return try parts.map { part in
      if let id = vocabulary.id(part) { return (Self.text(part), id) }
      if let unknown, let id = vocabulary.id(of: unknown) { return (unknown, id) }
      throw FileError(
        file: file, place: "piece \"\(Self.text(part))\"",
        reason: "is not in the vocabulary and there is no unknown token")
    }
  }

  private static func text(_ key: Vocabulary.Key) -> String { String(decoding: key.bytes, as: UTF8.self) }
}
