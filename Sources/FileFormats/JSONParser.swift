extension JSONValue {
  /// The deepest nesting of arrays and objects that the reader follows.
  public static let depthLimit = ReaderLimits.jsonDepth

  /// Reads one JSON text (RFC 8259, strictly: no comments, no trailing commas, no repeated keys).
  ///
  /// - Parameters:
  ///   - bytes: The text, UTF-8.
  ///   - file: The name that errors carry.
  ///   - firstLine: The number of the first line, for errors inside a file of JSON lines.
  ///   - stored: The size of the file that the text was inflated from; the text's own if nil. It limits how many values
  ///     the text may hold.
  /// - Throws: ``FileError`` with line and column.
  public static func parse(
    _ bytes: [UInt8], file: String, firstLine: Int = 1, stored: Int? = nil
  ) throws -> JSONValue {
    try bytes.withUnsafeBufferPointer { buffer in
      try parse(buffer, file: file, firstLine: firstLine, stored: stored)
    }
  }

  /// Reads one JSON text from a string.
  public static func parse(_ text: String, file: String = "JSON text") throws -> JSONValue {
    var text = text
    return try text.withUTF8 { try parse($0, file: file, firstLine: 1) }
  }

  /// Reads a JSON file, plain or gzip-compressed.
  public static func parse(contentsOf path: String, limit: Int = Gzip.defaultLimit) throws -> JSONValue {
    let (bytes, stored) = try Gzip.sizedContents(ofFile: path, limit: limit)
    return try parse(bytes, file: path, stored: stored)
  }

  /// Reads a file of JSON lines (`.jsonl`), plain or gzip-compressed: one value a line, empty lines skipped.
  ///
  /// - Returns: Each value with its line number, counted from 1.
  public static func parseLines(
    contentsOf path: String, limit: Int = Gzip.defaultLimit
  ) throws -> [(line: Int, value: JSONValue)] {
    try parseLines(Gzip.contents(ofFile: path, limit: limit), file: path)
  }

  /// Reads JSON lines from memory.
  public static func parseLines(_ bytes: [UInt8], file: String) throws -> [(line: Int, value: JSONValue)] {
    var result: [(line: Int, value: JSONValue)] = []
    try bytes.withUnsafeBufferPointer { buffer in
      var start = 0
      var line = 1
      while start < buffer.count {
        let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) ?? buffer.count
        let part = UnsafeBufferPointer(rebasing: buffer[start..<end])
        if part.contains(where: { $0 != 32 && $0 != 9 && $0 != 13 }) {
          result.append((line, try parse(part, file: file, firstLine: line)))
        }
        start = end + 1
        line += 1
      }
    }
    return result
  }

  private static func parse(
    _ buffer: UnsafeBufferPointer<UInt8>, file: String, firstLine: Int, stored: Int? = nil
  ) throws -> JSONValue {
    var parser = JSONParser(bytes: buffer, stored: stored ?? buffer.count)
    do {
      return try parser.document()
    } catch let failure as JSONParser.Failure {
      var line = firstLine
      var column = 1
      for byte in buffer[..<min(failure.offset, buffer.count)] {
        if byte == UInt8(ascii: "\n") {
          line += 1
          column = 1
        } else if byte & 0xC0 != 0x80 {
          column += 1
        }
      }
      throw FileError(file: file, place: "line \(line), column \(column)", reason: failure.reason)
    }
  }
}

/// A recursive-descent reader over raw bytes.
private struct JSONParser {
  struct Failure: Error {
    var offset: Int
    var reason: String
  }

  let bytes: UnsafeBufferPointer<UInt8>
  var i = 0
  var depth = 0
  /// How many more values are accepted.
  private var budget: Int

  init(bytes: UnsafeBufferPointer<UInt8>, stored: Int) {
    self.bytes = bytes
    let (allowed, overflow) = stored.multipliedReportingOverflow(by: ReaderLimits.jsonValuesPerByte)
    budget = max(ReaderLimits.jsonFloor, overflow ? Int.max : allowed)
  }

  /// The byte at the cursor, 0 at the end (a zero byte is valid nowhere outside a string).
  @inline(__always)
  private var current: UInt8 { i < bytes.count ? bytes[i] : 0 }

  private func fail(_ reason: String, at offset: Int? = nil) -> Failure {
    Failure(
      offset: offset ?? i, reason: i >= bytes.count && offset == nil ? "unexpected end: " + reason : reason)
  }

  @inline(__always)
  private mutating func skipSpace() {
    while i < bytes.count {
      let c = bytes[i]
      if c == 32 || c == 10 || c == 13 || c == 9 { i += 1 } else { return }
    }
  }

  mutating func document() throws -> JSONValue {
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { i = 3 }
    skipSpace()
    let value = try value()
    skipSpace()
    if i < bytes.count { throw fail("text after the end of the value") }
    return value
  }

  private mutating func value() throws -> JSONValue {
    budget -= 1
    if budget < 0 { throw fail("more values than a file of this size can mean") }
    switch current {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    case UInt8(ascii: "t"):
      try word("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try word("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try word("null")
      return .null
    default:
      throw fail("expected a JSON value")
    }
  }

  private mutating func word(_ text: StaticString) throws {
    let start = i
    for k in 0..<text.utf8CodeUnitCount {
      guard current == text.utf8Start[k] else { throw fail("expected \(text)", at: start) }
      i += 1
    }
  }

  private mutating func number() throws -> String {
    let start = i
    if current == UInt8(ascii: "-") { i += 1 }
    if current == UInt8(ascii: "0") {
      i += 1
    } else {
      try digits()
    }
    if current == UInt8(ascii: ".") {
      i += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      i += 1
      if current == UInt8(ascii: "-") || current == UInt8(ascii: "+") { i += 1 }
      try digits()
    }
    return String(decoding: bytes[start..<i], as: UTF8.self)
  }

  private mutating func digits() throws {
    let start = i
    while i < bytes.count, bytes[i] >= 48, bytes[i] <= 57 { i += 1 }
    if i == start { throw fail("a number needs a digit here") }
  }

  private mutating func string() throws -> String {
    let open = i
    i += 1
    let start = i
    while i < bytes.count {
      let c = bytes[i]
      if c == UInt8(ascii: "\"") {
        let part = bytes[start..<i]
        guard let text = String(validating: part, as: UTF8.self) else {
          throw fail("the string is not valid UTF-8", at: open)
        }
        i += 1
        return text
      }
      if c == UInt8(ascii: "\\") { return try escapedString(open: open, start: start) }
      if c < 32 { throw fail("a control character inside a string must be escaped") }
      i += 1
    }
    throw fail("the string is not closed", at: open)
  }

  private mutating func escapedString(open: Int, start: Int) throws -> String {
    var out = Array(bytes[start..<i])
    while i < bytes.count {
      let c = bytes[i]
      if c == UInt8(ascii: "\"") {
        guard let text = String(validating: out, as: UTF8.self) else {
          throw fail("the string is not valid UTF-8", at: open)
        }
        i += 1
        return text
      }
      if c < 32 { throw fail("a control character inside a string must be escaped") }
      i += 1
      if c != UInt8(ascii: "\\") {
        out.append(c)
        continue
      }
      let escape = current
      i += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escape)
      case UInt8(ascii: "b"): out.append(8)
      case UInt8(ascii: "f"): out.append(12)
      case UInt8(ascii: "n"): out.append(10)
      case UInt8(ascii: "r"): out.append(13)
      case UInt8(ascii: "t"): out.append(9)
      case UInt8(ascii: "u"):
        let scalar = try unicodeEscape()
        out.append(contentsOf: Array(String(Character(scalar)).utf8))
      default: throw fail("unknown escape in a string", at: i - 2)
      }
    }
    throw fail("the string is not closed", at: open)
  }

  private mutating func unicodeEscape() throws -> Unicode.Scalar {
    let start = i - 2
    let first = try hexQuad()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, current == UInt8(ascii: "\\"), i + 1 < bytes.count,
      bytes[i + 1] == UInt8(ascii: "u")
    else { throw fail("a lone surrogate in a string", at: start) }
    i += 2
    let second = try hexQuad()
    guard second >= 0xDC00, second < 0xE000,
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    else { throw fail("a lone surrogate in a string", at: start) }
    return scalar
  }

  private mutating func hexQuad() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      let c = current
      let digit: UInt8
      switch c {
      case 48...57: digit = c - 48
      case 65...70: digit = c - 55
      case 97...102: digit = c - 87
      default: throw fail("\\u needs four hexadecimal digits")
      }
      value = value * 16 + UInt32(digit)
      i += 1
    }
    return value
  }

  private mutating func enter() throws {
    depth += 1
    if depth > JSONValue.depthLimit { throw fail("nested deeper than \(JSONValue.depthLimit) levels") }
    i += 1
    skipSpace()
  }

  private mutating func array() throws -> JSONValue {
    try enter()
    var elements: [JSONValue] = []
    if current == UInt8(ascii: "]") {
      i += 1
      depth -= 1
      return .array([])
    }
    while true {
      elements.append(try value())
      skipSpace()
      if current == UInt8(ascii: ",") {
        i += 1
        skipSpace()
      } else if current == UInt8(ascii: "]") {
        i += 1
        depth -= 1
        return .array(elements)
      } else {
        throw fail("expected , or ] in an array")
      }
    }
  }

  private mutating func object() throws -> JSONValue {
    try enter()
    var members = JSONObject()
    if current == UInt8(ascii: "}") {
      i += 1
      depth -= 1
      return .object(members)
    }
    while true {
      guard current == UInt8(ascii: "\"") else { throw fail("expected a key in double quotes") }
      let start = i
      let key = try string()
      skipSpace()
      guard current == UInt8(ascii: ":") else { throw fail("expected : after the key") }
      i += 1
      skipSpace()
      let member = try value()
      guard members.append(key, member) else { throw fail("the key \"\(key)\" is repeated", at: start) }
      skipSpace()
      if current == UInt8(ascii: ",") {
        i += 1
        skipSpace()
      } else if current == UInt8(ascii: "}") {
        i += 1
        depth -= 1
        return .object(members)
      } else {
        throw fail("expected , or } in an object")
      }
    }
  }
}
