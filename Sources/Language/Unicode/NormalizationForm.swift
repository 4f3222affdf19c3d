/// The normalisation forms of Unicode (UAX 15), by the reference tokenizers' tables.
enum NormalizationForm: Sendable {
  case nfc, nfd, nfkc, nfkd

  private var isCompatible: Bool { self == .nfkc || self == .nfkd }
  private var composes: Bool { self == .nfc || self == .nfkc }

  /// The text in this form; linear but for runs of marks, which are sorted.
  func apply(_ text: TracedText) -> TracedText {
    // ASCII is in every form.
    if text.allSatisfy({ $0.value < 0x80 }) { return text }
    let result = decompose(text)
    return composes ? Self.compose(result) : result
  }

  private func decompose(_ text: TracedText) -> TracedText {
    var result: TracedText = []
    result.reserveCapacity(text.count)
    /// Where the run of marks at the end of `result` starts, with their classes.
    var classes: [UInt8] = []
    func sortMarks(_ result: inout TracedText) {
      if classes.count > 1 {
        let start = result.count - classes.count
        // The sort must keep the order of equals: places decide between them. Origins stay in order.
        let sorted = zip(classes.indices, classes).sorted { ($0.1, $0.0) < ($1.1, $1.0) }
        let values = sorted.map { result[start + $0.0].value }
        for (place, value) in values.enumerated() { result[start + place].value = value }
      }
      classes.removeAll(keepingCapacity: true)
    }
    func append(_ scalar: TracedScalar, _ result: inout TracedText) {
      let order = scalar.value < 0x300 ? 0 : UnicodeTables.order[scalar.value]
      if order == 0 { sortMarks(&result) } else { classes.append(order) }
      result.append(scalar)
    }
    for scalar in text {
      if scalar.value < 0xA0 {
        append(scalar, &result)
      } else if let parts = Hangul.decompose(scalar.value)
        ?? (isCompatible ? UnicodeTables.compatible[scalar.value] : nil)
        ?? UnicodeTables.canonical[scalar.value]
      {
        for part in parts { append(scalar.with(part), &result) }
      } else {
        append(scalar, &result)
      }
    }
    sortMarks(&result)
    return result
  }

  private static func compose(_ text: TracedText) -> TracedText {
    var result: TracedText = []
    result.reserveCapacity(text.count)
    /// The place in `result` of the last scalar that others can join.
    var starter: Int?
    /// The class of the last scalar after the starter that was kept, nil for none.
    var last: UInt8?
    for scalar in text {
      let order = scalar.value < 0x300 ? 0 : UnicodeTables.order[scalar.value]
      if let place = starter, last == nil || order != 0 && last.map({ $0 < order }) == true,
        let whole = pair(result[place].value, scalar.value)
      {
        result[place].value = whole
        result[place].end = max(result[place].end, scalar.end)
        continue
      }
      if order == 0 {
        starter = result.count
        last = nil
      } else {
        last = order
      }
      result.append(scalar)
    }
    return result
  }

  private static func pair(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if second < 0x300 { return nil }
    return Hangul.compose(first, second) ?? UnicodeTables.composed[UInt64(first) << 32 | UInt64(second)]
  }
}

/// Hangul syllables, which are composed by arithmetic (Unicode 3.12).
enum Hangul {
  private static let syllables: UInt32 = 0xAC00
  private static let leading: UInt32 = 0x1100
  private static let vowel: UInt32 = 0x1161
  private static let trailing: UInt32 = 0x11A7

  static func decompose(_ value: UInt32) -> [UInt32]? {
    guard value >= syllables, value < syllables + 11172 else { return nil }
    let index = value - syllables
    let parts = [leading + index / 588, vowel + index % 588 / 28]
    return index % 28 == 0 ? parts : parts + [trailing + index % 28]
  }

  static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first >= leading, first < leading + 19, second >= vowel, second < vowel + 21 {
      return syllables + ((first - leading) * 21 + second - vowel) * 28
    }
    if first >= syllables, first < syllables + 11172, (first - syllables) % 28 == 0, second > trailing,
      second < trailing + 28
    {
      return first + second - trailing
    }
    return nil
  }
}
