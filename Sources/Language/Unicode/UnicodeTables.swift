/// General categories of Unicode, in the order of the generated table.
enum GeneralCategory: UInt8, CaseIterable, Sendable {
  case Lu, Ll, Lt, Lm, Lo, Mn, Mc, Me, Nd, Nl, No, Pc, Pd, Ps, Pe, Pi, Pf, Po, Sm, Sc, Sk, So, Zs, Zl, Zp
  case Cc, Cf, Co, Cn

  var name: String { "\(self)" }
}

/// A set of code points as the ascending ends of runs that are alternately outside and inside.
struct ScalarRuns: Sendable {
  private let ends: [UInt32]

  init(_ text: StaticString) {
    var reader = TableReader(text)
    var ends: [UInt32] = []
    var end: UInt32 = 0
    while let length = reader.next() {
      end &+= length
      ends.append(end)
    }
    self.ends = ends
  }

  func contains(_ value: UInt32) -> Bool {
    var low = 0
    var high = ends.count
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] <= value { low = middle + 1 } else { high = middle }
    }
    return low & 1 == 1
  }
}

/// A value for every code point, as runs.
struct ScalarClasses: Sendable {
  private let ends: [UInt32]
  private let values: [UInt8]

  init(_ text: StaticString) {
    var reader = TableReader(text)
    var ends: [UInt32] = []
    var values: [UInt8] = []
    var end: UInt32 = 0
    while let length = reader.next(), let value = reader.next() {
      end &+= length
      ends.append(end)
      values.append(UInt8(truncatingIfNeeded: value))
    }
    self.ends = ends
    self.values = values
  }

  subscript(_ value: UInt32) -> UInt8 {
    var low = 0
    var high = ends.count
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] <= value { low = middle + 1 } else { high = middle }
    }
    return low < values.count ? values[low] : 0
  }
}

/// What some code points turn into.
struct ScalarMap: Sendable {
  let entries: [UInt32: [UInt32]]

  init(_ text: StaticString) {
    var reader = TableReader(text)
    var entries: [UInt32: [UInt32]] = [:]
    var source: UInt32 = 0
    while let step = reader.next(), let count = reader.next() {
      source &+= step
      var target: [UInt32] = []
      for _ in 0..<count {
        guard let distance = reader.next() else { break }
        let half = distance >> 1
        target.append(distance & 1 == 0 ? source &+ half : source &- half &- 1)
      }
      entries[source] = target
    }
    self.entries = entries
  }

  @inline(__always)
  subscript(_ value: UInt32) -> [UInt32]? { entries[value] }
}

/// Reads the numbers of a generated table: base 32, lowest digit first, digits from `0` on, those before the last 32 higher.
private struct TableReader {
  private let text: StaticString
  private var place = 0

  init(_ text: StaticString) { self.text = text }

  mutating func next() -> UInt32? {
    var value: UInt32 = 0
    var shift: UInt32 = 0
    // The tables are longer than one scalar, so the literal is stored as a pointer.
    while place < text.utf8CodeUnitCount {
      let digit = UInt32(text.utf8Start[place]) &- 48
      place += 1
      value |= (digit & 31) << shift
      if digit < 32 { return value }
      shift += 5
    }
    return nil
  }
}

/// Classes and mappings of code points as the reference tokenizers have them. Their versions of Unicode differ from one another and
/// from Foundation's; the generator says how each table was found.
enum UnicodeTables {
  static let categories = ScalarClasses(UnicodeData.categories)
  static let han = ScalarRuns(UnicodeData.scriptHan)
  static let hiragana = ScalarRuns(UnicodeData.scriptHiragana)
  static let katakana = ScalarRuns(UnicodeData.scriptKatakana)
  static let hangul = ScalarRuns(UnicodeData.scriptHangul)
  static let expressionWord = ScalarRuns(UnicodeData.expressionWord)
  static let word = ScalarRuns(UnicodeData.word)
  static let numeric = ScalarRuns(UnicodeData.numeric)
  static let punctuation = ScalarRuns(UnicodeData.punctuation)
  static let control = ScalarRuns(UnicodeData.control)
  static let ideograph = ScalarRuns(UnicodeData.ideograph)
  static let bertAccent = ScalarRuns(UnicodeData.bertAccent)
  static let accent = ScalarRuns(UnicodeData.accent)
  static let clusterExtend = ScalarRuns(UnicodeData.clusterExtend)
  static let clusterControl = ScalarRuns(UnicodeData.clusterControl)
  static let clusterPrepend = ScalarRuns(UnicodeData.clusterPrepend)
  static let lowercase = ScalarMap(UnicodeData.lowercase)
  static let canonical = ScalarMap(UnicodeData.canonical)
  static let compatible = ScalarMap(UnicodeData.compatible)
  static let order = ScalarClasses(UnicodeData.order)

  /// What two scalars compose to, by the first shifted left by 32 plus the second.
  static let composed: [UInt64: UInt32] = {
    var result: [UInt64: UInt32] = [:]
    for (whole, parts) in ScalarMap(UnicodeData.composed).entries where parts.count == 2 {
      result[UInt64(parts[0]) << 32 | UInt64(parts[1])] = whole
    }
    return result
  }()

  /// White space: the 25 code points of Unicode's property, the same in every version since 6.3.
  static func isSpace(_ value: UInt32) -> Bool {
    switch value {
    case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
      return true
    default: return false
    }
  }
}
