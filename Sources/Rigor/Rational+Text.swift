import CGMP

#if canImport(Glibc)
  import Glibc
#endif

extension Rational: LosslessStringConvertible {
  /// The largest decimal exponent (in magnitude) that a text may carry.
  ///
  /// Beyond it a short text would denote a number of unreasonable size.
  public static let largestTextExponent = 20_000

  /// Reads an integer, a quotient `p/q`, or a decimal such as `-1.25e-3`, exactly.
  ///
  /// The result is nil when the text is anything else, when the denominator is 0, or when the exponent exceeds
  /// ``largestTextExponent``.
  public init?(_ text: String) {
    var text = text
    let parsed: Rational? = text.withUTF8 { Rational(utf8: $0) }
    guard let parsed else { return nil }
    self = parsed
  }

  /// Reads the same texts as ``init(_:)`` from UTF-8 bytes.
  public init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    let slash = UInt8(ascii: "/")
    if let position = bytes.firstIndex(of: slash) {
      let left = UnsafeBufferPointer(rebasing: bytes[..<position])
      let right = UnsafeBufferPointer(rebasing: bytes[(position + 1)...])
      guard let p = Self.parseDecimal(left), let q = Self.parseDecimal(right), !q.isZero else { return nil }
      self = p / q
    } else {
      guard let value = Self.parseDecimal(bytes) else { return nil }
      self = value
    }
  }

  private static func parseDecimal(_ bytes: UnsafeBufferPointer<UInt8>) -> Rational? {
    var i = 0
    let n = bytes.count
    var digits: [CChar] = []
    digits.reserveCapacity(n + 2)
    if i < n, bytes[i] == UInt8(ascii: "-") || bytes[i] == UInt8(ascii: "+") {
      if bytes[i] == UInt8(ascii: "-") { digits.append(CChar(bytes[i])) }
      i += 1
    }
    var seen = 0
    var fraction = 0
    var inFraction = false
    while i < n {
      let c = bytes[i]
      if c >= 48, c <= 57 {
        digits.append(CChar(c))
        seen += 1
        if inFraction { fraction += 1 }
      } else if c == UInt8(ascii: "."), !inFraction {
        inFraction = true
      } else {
        break
      }
      i += 1
    }
    guard seen > 0 else { return nil }
    var exponent = 0
    if i < n, bytes[i] == UInt8(ascii: "e") || bytes[i] == UInt8(ascii: "E") {
      i += 1
      var negative = false
      if i < n, bytes[i] == UInt8(ascii: "-") || bytes[i] == UInt8(ascii: "+") {
        negative = bytes[i] == UInt8(ascii: "-")
        i += 1
      }
      let start = i
      while i < n, bytes[i] >= 48, bytes[i] <= 57 {
        exponent = exponent * 10 + Int(bytes[i] - 48)
        if exponent > largestTextExponent { return nil }
        i += 1
      }
      if i == start { return nil }
      if negative { exponent = -exponent }
    }
    guard i == n else { return nil }
    digits.append(0)
    let storage = Storage()
    guard __gmpz_set_str(cgmp_mpq_num(storage.q), digits, 10) == 0 else { return nil }
    let value = Rational(storage: storage)
    let scale = exponent - fraction
    if scale == 0 { return value }
    let power = Rational.make { __gmpz_ui_pow_ui(cgmp_mpq_num($0), 10, UInt(scale.magnitude)) }
    return scale > 0 ? value * power : value / power
  }

  /// The reduced quotient, `p/q`, or just `p` for an integer.
  public var description: String {
    guard let text = __gmpq_get_str(nil, 10, q) else { return "" }
    defer { free(text) }
    return String(cString: text)
  }

  /// The number as a finite decimal, or nil when it has none (the denominator has a prime factor other than 2 and 5).
  ///
  /// Every float and double has one, so a witness can be printed exactly and read back by any tool.
  public var decimalText: String? {
    let den = Rational.Storage()
    let factor = Rational.Storage()
    let rest = cgmp_mpq_num(den.q)
    let prime = cgmp_mpq_num(factor.q)
    let denominator = cgmp_mpq_den(q)
    __gmpz_set_ui(prime!, 5)
    let fives = Int(__gmpz_remove(rest, denominator, prime))
    let twos = Int(__gmpz_scan1(denominator, 0))
    // rest = denominator / 5^fives must be exactly 2^twos.
    guard __gmpz_popcount(rest) == 1 else { return nil }
    let places = max(twos, fives)
    if places == 0 { return description }
    let power = Rational.make { __gmpz_ui_pow_ui(cgmp_mpq_num($0), 10, UInt(places)) }
    let scaled = self * power
    guard let text = __gmpz_get_str(nil, 10, cgmp_mpq_num(scaled.q)) else { return nil }
    defer { free(text) }
    var digits = String(cString: text)
    let negative = digits.hasPrefix("-")
    if negative { digits.removeFirst() }
    if digits.utf8.count <= places {
      digits = String(repeating: "0", count: places + 1 - digits.utf8.count) + digits
    }
    let split = digits.index(digits.endIndex, offsetBy: -places)
    return (negative ? "-" : "") + digits[..<split] + "." + digits[split...]
  }
}
