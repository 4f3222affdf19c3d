import FileFormats
import Rigor

/// Reads the tokens of a VNN-LIB file from bytes and knows where it is.
struct QueryScanner {
  let file: String
  let bytes: UnsafeBufferPointer<UInt8>
  private(set) var offset = 0
  private var line = 1
  /// A byte of the current line up to which columns are counted, and the column it is in. Moving it along with white
  /// space keeps positions cheap on lines of any length.
  private var anchor = (offset: 0, column: 1)
  /// When reading has to end.
  let deadline: ContinuousClock.Instant?
  private var steps = 0

  init(file: String, bytes: UnsafeBufferPointer<UInt8>, deadline: ContinuousClock.Instant? = nil) {
    self.file = file
    self.bytes = bytes
    self.deadline = deadline
    // A byte order mark says that the text is UTF-8, nothing more.
    if bytes.count >= 3, bytes[0] == 0xef, bytes[1] == 0xbb, bytes[2] == 0xbf {
      offset = 3
      anchor.offset = 3
    }
  }

  /// Throws ``QueryTimeout`` past the deadline; looks at the clock every 64th time.
  mutating func checkTime() throws {
    guard let deadline else { return }
    steps += 1
    if steps % 64 == 0, ContinuousClock.now >= deadline { throw QueryTimeout(file: file) }
  }

  // MARK: Positions and errors

  /// The position of the next byte.
  var position: SourcePosition { position(at: offset) }

  /// The position of a byte on the current line.
  private func position(at offset: Int) -> SourcePosition {
    let column = anchor.column + scalars(anchor.offset..<max(anchor.offset, min(offset, bytes.count)))
    return SourcePosition(line: Int32(clamping: line), column: Int32(clamping: column))
  }

  private func scalars(_ range: Range<Int>) -> Int {
    // Bytes 10xxxxxx continue a scalar.
    range.reduce(0) { $0 + (bytes[$1] & 0xc0 != 0x80 ? 1 : 0) }
  }

  private mutating func startLine(at offset: Int) {
    line += 1
    anchor = (offset, 1)
  }

  func error(_ reason: String, at position: SourcePosition? = nil) -> FileError {
    FileError(file: file, place: (position ?? self.position).description, reason: reason)
  }

  /// An error that quotes what was found instead of what was expected.
  func unexpected(expected: String) -> FileError {
    error("expected \(expected), found \(describeNext())")
  }

  private func describeNext() -> String {
    guard offset < bytes.count else { return "the end of the file" }
    var end = offset
    while end < bytes.count, end - offset < 24, !Self.isSpace(bytes[end]) {
      if end > offset, bytes[end] == UInt8(ascii: "(") || bytes[end] == UInt8(ascii: ")") { break }
      end += 1
    }
    let text = String(decoding: bytes[offset..<max(end, offset + 1)], as: UTF8.self)
    return "'" + text.filter { !$0.isNewline && $0 != "\0" } + "'"
  }

  // MARK: Characters

  static func isSpace(_ c: UInt8) -> Bool { c == 32 || (c >= 9 && c <= 13) }
  static func isDigit(_ c: UInt8) -> Bool { c >= 48 && c <= 57 }
  static func isLetter(_ c: UInt8) -> Bool { (c >= 65 && c <= 90) || (c >= 97 && c <= 122) }
  static func isNamePart(_ c: UInt8) -> Bool { isLetter(c) || isDigit(c) || c == UInt8(ascii: "_") }

  /// Skips white space and comments.
  mutating func skipSpace() {
    while offset < bytes.count {
      let c = bytes[offset]
      if c == 10 {
        startLine(at: offset + 1)
      } else if c == UInt8(ascii: ";") {
        while offset < bytes.count, bytes[offset] != 10 { offset += 1 }
        continue
      } else if !Self.isSpace(c) {
        anchor = (offset, anchor.column + scalars(anchor.offset..<offset))
        return
      }
      offset += 1
    }
  }

  /// The next byte after white space, nil at the end.
  mutating func peek() -> UInt8? {
    skipSpace()
    return offset < bytes.count ? bytes[offset] : nil
  }

  /// The byte right behind the next one, with no space skipped.
  func peekSecond() -> UInt8? { offset + 1 < bytes.count ? bytes[offset + 1] : nil }

  var isAtEnd: Bool { mutating get { peek() == nil } }

  // MARK: Tokens

  /// Takes a punctuation mark if it is next.
  mutating func takeMark(_ mark: Unicode.Scalar) -> Bool {
    guard peek() == UInt8(ascii: mark) else { return false }
    offset += 1
    return true
  }

  /// Takes a punctuation mark or throws.
  mutating func expect(_ mark: Unicode.Scalar) throws {
    guard takeMark(mark) else { throw unexpected(expected: "'\(mark)'") }
  }

  /// Whether a fixed text comes next, after white space.
  mutating func isNext(_ text: StaticString) -> Bool {
    skipSpace()
    guard bytes.count - offset >= text.utf8CodeUnitCount else { return false }
    for i in 0..<text.utf8CodeUnitCount where bytes[offset + i] != text.utf8Start[i] { return false }
    return true
  }

  /// Takes a fixed text if it comes next.
  mutating func take(_ text: StaticString) -> Bool {
    guard isNext(text) else { return false }
    offset += text.utf8CodeUnitCount
    return true
  }

  /// The letters, digits and further characters that follow directly.
  mutating func takeRun(where belongs: (UInt8) -> Bool) -> UnsafeBufferPointer<UInt8> {
    let start = offset
    while offset < bytes.count, belongs(bytes[offset]) { offset += 1 }
    return UnsafeBufferPointer(rebasing: bytes[start..<offset])
  }

  /// A name: a letter, then letters, digits and underscores.
  mutating func name(_ what: String) throws -> String {
    guard let c = peek(), Self.isLetter(c) else { throw unexpected(expected: what) }
    return String(decoding: takeRun(where: Self.isNamePart), as: UTF8.self)
  }

  /// A non-negative integer without sign.
  mutating func integer(_ what: String) throws -> Int {
    guard let c = peek(), Self.isDigit(c) else { throw unexpected(expected: what) }
    let start = position
    var value = 0
    for digit in takeRun(where: Self.isDigit) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.addingReportingOverflow(Int(digit) - 48)
      if overflow || overflow2 { throw error("\(what) is too large", at: start) }
      value = sum
    }
    return value
  }

  /// A text in double quotes on one or several lines; a backslash protects the next character.
  mutating func quoted() throws -> String {
    let start = position
    try expect("\"")
    var content: [UInt8] = []
    while offset < bytes.count {
      let c = bytes[offset]
      offset += 1
      if c == UInt8(ascii: "\"") { return String(decoding: content, as: UTF8.self) }
      if c == 10 { startLine(at: offset) }
      if c == UInt8(ascii: "\\"), offset < bytes.count {
        content.append(bytes[offset])
        offset += 1
      } else {
        content.append(c)
      }
    }
    throw error("the text that starts here is not closed", at: start)
  }

  /// The exact value of an unsigned or signed decimal that was already delimited.
  static func exactValue(_ text: UnsafeBufferPointer<UInt8>) -> Rational? {
    // Up to 18 digits without exponent: one integer and a power of ten, the common case.
    var mantissa = 0
    var fraction = 0
    var inFraction = false
    var digits = 0
    for (i, c) in text.enumerated() {
      if isDigit(c) {
        mantissa = mantissa &* 10 &+ (Int(c) - 48)
        digits += 1
        if inFraction { fraction += 1 }
      } else if c == UInt8(ascii: "."), !inFraction {
        inFraction = true
      } else if i == 0, c == UInt8(ascii: "-") || c == UInt8(ascii: "+") {
        continue
      } else {
        return Rational(utf8: text)
      }
    }
    guard digits > 0, digits <= 18 else { return Rational(utf8: text) }
    if text[0] == UInt8(ascii: "-") { mantissa = -mantissa }
    if fraction == 0 { return Rational(mantissa) }
    var power = 1
    for _ in 0..<fraction { power *= 10 }  // at most 10^18: no overflow
    return Rational(mantissa, power)
  }
}
