import FileFormats

/// What `Split` and `Replace` look for: a text or a regular expression.
enum TextPattern: Sendable {
  case literal([UInt32])
  case expression(RegularExpression)

  /// `{"String": ..}` or `{"Regex": ..}`.
  ///
  /// - Throws: ``FileError`` for anything else, or an expression that is not supported.
  init(_ field: JSONField) throws {
    if let text = try field.optional("String") {
      self = .literal(try text.string().unicodeScalars.map(\.value))
    } else if let text = try field.optional("Regex") {
      self = .expression(try RegularExpression(text.string(), text))
    } else {
      throw field.error("expected a String or a Regex")
    }
  }

  /// The matches from the left, none overlapping and none empty.
  func matches(in text: TracedText) throws -> [Range<Int>] {
    switch self {
    case .expression(let expression): return try expression.matches(in: text)
    case .literal(let scalars):
      var result: [Range<Int>] = []
      guard let first = scalars.first else { return [] }
      var place = 0
      while place + scalars.count <= text.count {
        if text[place].value == first,
          text[place..<(place + scalars.count)].lazy.map(\.value).elementsEqual(scalars)
        {
          result.append(place..<(place + scalars.count))
          place += scalars.count
        } else {
          place += 1
        }
      }
      return result
    }
  }
}
