/// The printable stand-ins of bytes in byte-level vocabularies (Radford et al. 2019).
enum ByteAlphabet {
  /// The stand-in of every byte: itself if it is printable Latin-1, else one from U+0100 on.
  static let scalars: [UInt32] = {
    var table: [UInt32] = []
    var next: UInt32 = 256
    for byte in UInt32(0)..<256 {
      let printable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      table.append(printable ? byte : next)
      if !printable { next += 1 }
    }
    return table
  }()

  private static let bytes: [UInt32: UInt8] = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($0.element, UInt8($0.offset)) })

  /// The stand-in of the blank, `Ġ`.
  static let blank: UInt32 = scalars[32]

  /// The text with every byte of its UTF-8 replaced by its stand-in.
  static func mapped(_ text: TracedText) -> TracedText {
    var result: TracedText = []
    result.reserveCapacity(text.count)
    for scalar in text {
      if scalar.value < 0x80 {
        result.append(scalar.with(scalars[Int(scalar.value)]))
      } else {
        for byte in utf8(scalar.value) { result.append(scalar.with(scalars[Int(byte)])) }
      }
    }
    return result
  }

  /// The UTF-8 of a scalar.
  static func utf8(_ value: UInt32) -> [UInt8] {
    guard let scalar = Unicode.Scalar(value) else { return [] }
    return Array(String(Character(scalar)).utf8)
  }

  /// The text of a token: stand-ins back to bytes; nil if there is another character.
  static func text(_ token: String) -> String? {
    var result: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard let byte = bytes[scalar.value] else { return nil }
      result.append(byte)
    }
    return String(decoding: result, as: UTF8.self)
  }
}
