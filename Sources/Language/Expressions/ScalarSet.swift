/// A set of code points as a class of a regular expression describes it.
struct ScalarSet: Sendable {
  /// What a set consists of.
  enum Part: Sendable {
    case range(UInt32, UInt32)
    /// General categories, a bit each.
    case categories(UInt32)
    case space
    case word
    case script(ScalarRuns)
    case set(ScalarSet)
  }

  private var parts: [Part]
  private var isNegated: Bool
  /// Sets that it is intersected with.
  private var others: [ScalarSet]
  /// Membership of ASCII, worked out once.
  private var ascii: (UInt64, UInt64) = (0, 0)

  init(_ parts: [Part], negated: Bool = false, others: [ScalarSet] = []) {
    self.parts = parts
    isNegated = negated
    self.others = others
    for value in 0..<UInt32(64) where decide(value) { ascii.0 |= 1 << UInt64(value) }
    for value in UInt32(64)..<128 where decide(value) { ascii.1 |= 1 << UInt64(value - 64) }
  }

  @inline(__always)
  func contains(_ value: UInt32) -> Bool {
    if value < 64 { return ascii.0 >> UInt64(value) & 1 == 1 }
    if value < 128 { return ascii.1 >> UInt64(value - 64) & 1 == 1 }
    return decide(value)
  }

  private func decide(_ value: UInt32) -> Bool {
    let inside = parts.contains { Self.decide($0, value) } && others.allSatisfy { $0.contains(value) }
    return inside != isNegated
  }

  private static func decide(_ part: Part, _ value: UInt32) -> Bool {
    switch part {
    case .range(let low, let high): return value >= low && value <= high
    case .categories(let mask): return mask >> UInt32(UnicodeTables.categories[value]) & 1 == 1
    case .space: return UnicodeTables.isSpace(value)
    case .word: return UnicodeTables.expressionWord.contains(value)
    case .script(let runs): return runs.contains(value)
    case .set(let set): return set.contains(value)
    }
  }

  /// The set of a property's name: a general category, a group of them (`L`), or a script that is known here.
  static func property(_ name: String) -> Part? {
    switch name {
    case "Han": return .script(UnicodeTables.han)
    case "Hiragana": return .script(UnicodeTables.hiragana)
    case "Katakana": return .script(UnicodeTables.katakana)
    case "Hangul": return .script(UnicodeTables.hangul)
    default: break
    }
    let long = [
      "Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Symbol": "S", "Separator": "Z",
      "Other": "C",
    ]
    let short = long[name] ?? name
    guard (1...2).contains(short.utf8.count) else { return nil }
    var mask: UInt32 = 0
    for category in GeneralCategory.allCases
    where short.utf8.count == 1 ? category.name.utf8.first == short.utf8.first : category.name == short {
      mask |= 1 << UInt32(category.rawValue)
    }
    return mask == 0 ? nil : .categories(mask)
  }
}

extension ScalarSet {
  static func isLetter(_ value: UInt32) -> Bool {
    value >= 65 && value <= 90 || value >= 97 && value <= 122
  }

  /// Parts that match without regard to case, for ASCII.
  ///
  /// - Throws: ``ExpressionParser/Unsupported`` for anything beyond ASCII.
  static func folded(_ parts: [Part]) throws -> [Part] {
    var result = parts
    for part in parts {
      guard case .range(let low, let high) = part, high < 128 else {
        throw ExpressionParser.Unsupported(reason: "more than ASCII without regard to case")
      }
      for value in low...high where isLetter(value) {
        result.append(.range(value ^ 32, value ^ 32))
        // The long s and the Kelvin sign fold to ASCII.
        if value | 32 == 0x73 { result.append(.range(0x17F, 0x17F)) }
        if value | 32 == 0x6B { result.append(.range(0x212A, 0x212A)) }
      }
    }
    return result
  }
}
