import FileFormats

/// What is done to a text before it is cut into words.
struct Normalizer: Sendable {
  enum Step: Sendable {
    /// BERT's cleaning: control characters dropped, every kind of white space a blank.
    case clean
    /// Blanks around CJK ideographs.
    case spaceIdeographs
    case lowercase
    /// Decomposed, and nonspacing marks dropped (BERT).
    case stripAccentsOfBert
    /// Marks dropped; nothing is decomposed.
    case stripAccents
    case form(NormalizationForm)
    case replace(TextPattern, with: [UInt32])
    case prepend([UInt32])
    case strip(left: Bool, right: Bool)
    /// The cleaning of NMT: control characters dropped, invisible ones turned into blanks.
    case nmt
    /// Every byte replaced by its printable stand-in.
    case bytes
    /// SentencePiece's table.
    case precompiled(PrecompiledMap)
  }

  var steps: [Step]

  func apply(_ text: TracedText) throws -> TracedText {
    var text = text
    for step in steps { text = try Self.apply(step, text) }
    return text
  }

  func apply(_ text: String) throws -> String { try apply(TracedText(text)).text }

  private static func apply(_ step: Step, _ text: TracedText) throws -> TracedText {
    switch step {
    case .clean:
      return text.compactMap { scalar in
        let value = scalar.value
        if value == 0x20 { return scalar }
        if value == 0 || value == 0xFFFD || UnicodeTables.control.contains(value) { return nil }
        return UnicodeTables.isSpace(value) ? scalar.with(0x20) : scalar
      }
    case .spaceIdeographs:
      guard text.contains(where: { $0.value > 0x3000 && UnicodeTables.ideograph.contains($0.value) }) else {
        return text
      }
      return text.flatMap { scalar -> [TracedScalar] in
        UnicodeTables.ideograph.contains(scalar.value)
          ? [scalar.with(0x20), scalar, scalar.with(0x20)] : [scalar]
      }
    case .lowercase:
      var result: TracedText = []
      result.reserveCapacity(text.count)
      for scalar in text {
        if let lower = UnicodeTables.lowercase[scalar.value] {
          for value in lower { result.append(scalar.with(value)) }
        } else {
          result.append(scalar)
        }
      }
      return result
    case .stripAccentsOfBert:
      return NormalizationForm.nfd.apply(text).filter {
        $0.value < 0x300 || !UnicodeTables.bertAccent.contains($0.value)
      }
    case .stripAccents:
      return text.filter { $0.value < 0x300 || !UnicodeTables.accent.contains($0.value) }
    case .form(let form): return form.apply(text)
    case .replace(let pattern, let content):
      var result: TracedText = []
      var place = 0
      for match in try pattern.matches(in: text) {
        result += text[place..<match.lowerBound]
        let start = text[match.lowerBound].start
        let end = text[match.upperBound - 1].end
        result += content.map { TracedScalar(value: $0, start: start, end: end) }
        place = match.upperBound
      }
      return place == 0 ? text : result + text[place...]
    case .prepend(let content):
      guard let first = text.first else { return text }
      return content.map(first.inserted) + text
    case .strip(let left, let right):
      var part = text[...]
      if left { part = part.drop { UnicodeTables.isSpace($0.value) } }
      while right, let last = part.last, UnicodeTables.isSpace(last.value) { part.removeLast() }
      return Array(part)
    case .nmt:
      return text.compactMap { scalar in
        switch scalar.value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: return nil
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
          return scalar.with(0x20)
        default: return scalar
        }
      }
    case .bytes: return ByteAlphabet.mapped(text)
    case .precompiled(let map): return map.apply(text)
    }
  }
}

extension Normalizer {
  /// The normaliser that `tokenizer.json` describes.
  ///
  /// - Throws: ``FileError`` naming what is not supported.
  init(_ field: JSONField?) throws { steps = try field.map(Self.steps) ?? [] }

  private static func steps(_ field: JSONField) throws -> [Step] {
    let type = try field.member("type").string()
    func flag(_ key: String) throws -> Bool? { try field.optional(key)?.bool() }
    func content(_ key: String) throws -> [UInt32] {
      try field.member(key).string().unicodeScalars.map(\.value)
    }
    switch type {
    case "Sequence": return try field.member("normalizers").elements().flatMap(steps)
    case "BertNormalizer":
      return bert(
        clean: try flag("clean_text") ?? true, ideographs: try flag("handle_chinese_chars") ?? true,
        stripAccents: try flag("strip_accents"), lowercase: try flag("lowercase") ?? true)
    case "Lowercase": return [.lowercase]
    case "StripAccents": return [.stripAccents]
    case "NFD": return [.form(.nfd)]
    case "NFC": return [.form(.nfc)]
    case "NFKD": return [.form(.nfkd)]
    case "NFKC": return [.form(.nfkc)]
    case "Nmt": return [.nmt]
    case "ByteLevel": return [.bytes]
    case "Strip":
      return [.strip(left: try flag("strip_left") ?? true, right: try flag("strip_right") ?? true)]
    case "Prepend": return [.prepend(try content("prepend"))]
    case "Replace":
      return [.replace(try TextPattern(field.member("pattern")), with: try content("content"))]
    case "Precompiled":
      return [.precompiled(try PrecompiledMap(field.member("precompiled_charsmap")))]
    default: throw field.error("the normalizer \(type) is not supported")
    }
  }

  /// BERT's steps; accents are stripped where text is lowercased, unless it is said otherwise.
  static func bert(clean: Bool, ideographs: Bool, stripAccents: Bool?, lowercase: Bool) -> [Step] {
    var steps: [Step] = []
    if clean { steps.append(.clean) }
    if ideographs { steps.append(.spaceIdeographs) }
    if stripAccents ?? lowercase { steps.append(.stripAccentsOfBert) }
    if lowercase { steps.append(.lowercase) }
    return steps
  }
}
