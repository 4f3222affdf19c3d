import Foundation

/// What is done to a text before it is cut into words.
struct Normalizer: Sendable {
  enum Step: Sendable {
    /// Drop control characters and make every kind of white space a blank.
    case clean
    /// Put blanks around CJK ideographs.
    case spaceIdeographs
    case lowercase
    /// Decompose and drop combining marks.
    case stripAccents
    case decompose
    case compose
    case compatibilityDecompose
    case compatibilityCompose
  }

  var steps: [Step]

  func apply(_ text: String) -> String {
    var text = text
    for step in steps {
      switch step {
      case .clean: text = Self.mapScalars(text, Self.cleaned)
      case .spaceIdeographs:
        text = Self.mapScalars(text) { Self.isIdeograph($0) ? [" ", $0, " "] : [$0] }
      case .lowercase: text = Self.mapScalars(text) { Array($0.properties.lowercaseMapping.unicodeScalars) }
      case .stripAccents:
        text = Self.mapScalars(text.decomposedStringWithCanonicalMapping) {
          $0.properties.generalCategory == .nonspacingMark ? [] : [$0]
        }
      case .decompose: text = text.decomposedStringWithCanonicalMapping
      case .compose: text = text.precomposedStringWithCanonicalMapping
      case .compatibilityDecompose: text = text.decomposedStringWithCompatibilityMapping
      case .compatibilityCompose: text = text.precomposedStringWithCompatibilityMapping
      }
    }
    return text
  }

  private static func mapScalars(_ text: String, _ f: (Unicode.Scalar) -> [Unicode.Scalar]) -> String {
    var view = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { view.append(contentsOf: f(scalar)) }
    return String(view)
  }

  private static func cleaned(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    if isSpace(scalar) { return [" "] }
    if scalar.value == 0 || scalar.value == 0xFFFD { return [] }
    switch scalar.properties.generalCategory {
    case .control, .format, .unassigned, .privateUse, .surrogate: return []
    default: return [scalar]
    }
  }

  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace
  }

  private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B820...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      return true
    default: return false
    }
  }
}

/// How a text is cut into words.
struct PreTokenizer: Sendable {
  enum Rule: Sendable {
    /// At white space only.
    case whitespaceSplit
    /// Runs of word characters, runs of everything else.
    case whitespace
    /// At white space, every punctuation character alone (BERT).
    case bert
    /// Every punctuation character alone.
    case punctuation
    /// Every digit alone.
    case digits
    /// GPT-2's pattern; blanks stay with the word after them.
    case byteLevel(addPrefixSpace: Bool)
  }

  var rules: [Rule]

  func split(_ text: String) -> [String] {
    var parts = [text]
    for rule in rules { parts = parts.flatMap { Self.split($0, rule) } }
    return parts
  }

  private static func split(_ text: String, _ rule: Rule) -> [String] {
    switch rule {
    case .whitespaceSplit: return group(text, drop: Normalizer.isSpace) { _ in .joining(0) }
    case .whitespace:
      return group(text, drop: Normalizer.isSpace) { .joining(isWord($0) ? 1 : 0) }
    case .bert:
      return group(text, drop: Normalizer.isSpace) { isPunctuation($0) ? .alone : .joining(0) }
    case .punctuation:
      return group(text, drop: { _ in false }) { isPunctuation($0) ? .alone : .joining(0) }
    case .digits:
      return group(text, drop: { _ in false }) {
        $0.properties.generalCategory == .decimalNumber ? .alone : .joining(0)
      }
    case .byteLevel(let addPrefixSpace):
      var text = text
      if addPrefixSpace, let first = text.unicodeScalars.first, !Normalizer.isSpace(first) {
        text = " " + text
      }
      return GPT2Pattern.split(text)
    }
  }

  private enum Membership: Equatable {
    case alone
    case joining(Int)
  }

  /// Cuts where the class changes; `drop` characters separate and vanish.
  private static func group(
    _ text: String, drop: (Unicode.Scalar) -> Bool, _ membership: (Unicode.Scalar) -> Membership
  ) -> [String] {
    var result: [String] = []
    var current = String.UnicodeScalarView()
    var kind: Membership = .alone
    func flush() {
      if !current.isEmpty { result.append(String(current)) }
      current = String.UnicodeScalarView()
    }
    for scalar in text.unicodeScalars {
      if drop(scalar) {
        flush()
        continue
      }
      let own = membership(scalar)
      if own == .alone || own != kind { flush() }
      kind = own
      current.append(scalar)
    }
    flush()
    return result
  }

  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == "_" { return true }
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .nonspacingMark, .spacingMark, .enclosingMark, .connectorPunctuation:
      return true
    default: return scalar.properties.isAlphabetic
    }
  }

  static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 33...47, 58...64, 91...96, 123...126: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }
}

/// GPT-2's cut: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
enum GPT2Pattern {
  private enum Class { case letter, number, space, other }

  private static func classify(_ scalar: Unicode.Scalar) -> Class {
    if Normalizer.isSpace(scalar) { return .space }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return .other
    }
  }

  private static let contractions: [[Unicode.Scalar]] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map {
    Array($0.unicodeScalars)
  }

  static func split(_ text: String) -> [String] {
    let scalars = Array(text.unicodeScalars)
    let classes = scalars.map(classify)
    var result: [String] = []
    var i = 0
    while i < scalars.count {
      let end = matchEnd(scalars, classes, i)
      var view = String.UnicodeScalarView()
      view.append(contentsOf: scalars[i..<end])
      result.append(String(view))
      i = end
    }
    return result
  }

  private static func matchEnd(_ scalars: [Unicode.Scalar], _ classes: [Class], _ i: Int) -> Int {
    for contraction in contractions where scalars[i...].starts(with: contraction) {
      return i + contraction.count
    }
    let hasBlank = scalars[i] == " " && i + 1 < scalars.count && classes[i + 1] != .space
    let start = hasBlank ? i + 1 : i
    if classes[start] != .space {
      var end = start
      while end < scalars.count, classes[end] == classes[start] { end += 1 }
      return end
    }
    var end = i
    while end < scalars.count, classes[end] == .space { end += 1 }
    // The last blank before a word belongs to the word, unless it is the only one.
    if end < scalars.count, end - i > 1 { return end - 1 }
    return end
  }
}
