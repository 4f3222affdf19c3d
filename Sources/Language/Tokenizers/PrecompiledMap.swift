import FileFormats
import Foundation

/// SentencePiece's table of replacements: a double-array trie (Aoe 1989) of the UTF-8 of what is replaced, and the replacements.
struct PrecompiledMap: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]

  /// Reads the table in base 64: the size of the trie in bytes, its units, and the replacements, each ended by a zero.
  ///
  /// - Throws: ``FileError`` if it is malformed.
  init(_ field: JSONField) throws {
    guard let data = Data(base64Encoded: try field.string()) else { throw field.error("this is not base 64") }
    let bytes = [UInt8](data)
    func word(_ place: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count >= 4 else { throw field.error("the table has no size") }
    let size = Int(word(0))
    guard size % 4 == 0, size > 0, 4 + size <= bytes.count else {
      throw field.error("the table is shorter than it says")
    }
    units = (0..<(size / 4)).map { word(4 + 4 * $0) }
    replacements = Array(bytes[(4 + size)...])
    guard String(validating: replacements, as: UTF8.self) != nil else {
      throw field.error("a replacement is not valid UTF-8")
    }
  }

  /// What the shortest key that these bytes begin with turns into, nil if there is none. (SentencePiece takes the longest; the
  /// reference library takes the shortest, and so its models were used.)
  private func replacement(_ key: [UInt8]) -> [UInt32]? {
    func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & (1 << 9)) >> 6) }
    guard let root = units.first else { return nil }
    var node = offset(root)
    for byte in key where byte != 0 {
      node ^= Int(byte)
      guard node < units.count, units[node] & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      let unit = units[node]
      node ^= offset(unit)
      guard node < units.count else { return nil }
      if unit >> 8 & 1 == 1 {
        let start = Int(units[node] & 0x7FFF_FFFF)
        guard start <= replacements.count else { return nil }
        let end = replacements[start...].firstIndex(of: 0) ?? replacements.count
        return String(decoding: replacements[start..<end], as: UTF8.self).unicodeScalars.map(\.value)
      }
    }
    return nil
  }

  func apply(_ text: TracedText) -> TracedText {
    var result: TracedText = []
    result.reserveCapacity(text.count)
    var place = 0
    while place < text.count {
      let end = Graphemes.end(of: text, from: place)
      var key: [UInt8] = []
      // Only clusters of less than six bytes are looked up as a whole.
      for scalar in text[place..<end] where key.count < 6 { key += ByteAlphabet.utf8(scalar.value) }
      if key.count < 6, let parts = replacement(key) {
        result += parts.map {
          TracedScalar(value: $0, start: text[place].start, end: text[end - 1].end)
        }
      } else {
        for scalar in text[place..<end] {
          if let parts = replacement(ByteAlphabet.utf8(scalar.value)) {
            result += parts.map(scalar.with)
          } else {
            result.append(scalar)
          }
        }
      }
      place = end
    }
    // What is dropped at the beginning counts as the beginning of what follows.
    if let first = text.first, !result.isEmpty { result[0].start = first.start }
    return result
  }
}

/// Extended grapheme clusters (UAX 29), as far as clusters of less than six bytes need them: Hangul, flags and sequences of
/// emoji are longer, and where they are cut makes no difference.
enum Graphemes {
  static func end(of text: TracedText, from start: Int) -> Int {
    var end = start + 1
    let first = text[start].value
    if first == 13, end < text.count, text[end].value == 10 { return end + 1 }
    if UnicodeTables.clusterControl.contains(first) { return end }
    if first < 0x80, end < text.count, text[end].value < 0x80 { return end }
    while end < text.count {
      let value = text[end].value
      let joins =
        UnicodeTables.clusterExtend.contains(value)
        || UnicodeTables.clusterPrepend.contains(text[end - 1].value)
          && !UnicodeTables.clusterControl.contains(value)
      if !joins { break }
      end += 1
    }
    return end
  }
}
