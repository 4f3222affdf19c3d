import CGMP

/// A sum of doubles and of products of two doubles, held without any rounding.
///
/// A fixed-point accumulator that covers the whole range of products of two doubles (bits 2^-2148 to 2^2048), in 32-bit
/// digits kept in 64-bit words so that carries are rare: adding one product costs a handful of integer operations, far less
/// than rational arithmetic. After R. M. Neal, "Fast exact summation using small and large superaccumulators" (2015).
public struct ExactSum: Sendable {
  /// Bit weight of digit 0.
  private static let lowestExponent = -2148
  private static let digitCount = 138

  private var digits = [Int64](repeating: 0, count: ExactSum.digitCount)
  /// Additions since the last carry; each changes a word by less than 2^32.
  private var pending = 0

  /// The empty sum.
  public init() {}

  /// Adds a finite number.
  public mutating func add(_ x: Double) {
    addProduct(x, 1)
  }

  /// Adds the exact product of two finite numbers.
  public mutating func addProduct(_ x: Double, _ y: Double) {
    precondition(x.isFinite && y.isFinite, "only finite numbers can be summed exactly")
    digits.withUnsafeMutableBufferPointer { Self.accumulate(x, y, into: $0.baseAddress.unsafelyUnwrapped) }
    pending += 1
    if pending >= 1 << 30 { carry() }
  }

  /// Adds the exact inner product of two vectors of finite numbers, `count` entries each with the given strides.
  public mutating func addDot(
    _ x: UnsafePointer<Double>, stride xStride: Int = 1, _ y: UnsafePointer<Double>, stride yStride: Int = 1,
    count: Int
  ) {
    digits.withUnsafeMutableBufferPointer { buffer in
      let base = buffer.baseAddress.unsafelyUnwrapped
      for i in 0..<count {
        let a = x[i * xStride]
        let b = y[i * yStride]
        precondition(a.isFinite && b.isFinite, "only finite numbers can be summed exactly")
        Self.accumulate(a, b, into: base)
      }
    }
    pending += count
    if pending >= 1 << 30 { carry() }
  }

  /// Adds the exact inner product of two float vectors.
  public mutating func addDot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) {
    digits.withUnsafeMutableBufferPointer { buffer in
      let base = buffer.baseAddress.unsafelyUnwrapped
      for i in 0..<count {
        precondition(x[i].isFinite && y[i].isFinite, "only finite numbers can be summed exactly")
        Self.accumulate(Double(x[i]), Double(y[i]), into: base)
      }
    }
    pending += count
    if pending >= 1 << 30 { carry() }
  }

  @inline(__always)
  private static func split(_ x: Double) -> (mantissa: UInt64, exponent: Int) {
    let bits = x.bitPattern
    let fraction = bits & 0x000F_FFFF_FFFF_FFFF
    let biased = Int((bits >> 52) & 0x7FF)
    if biased == 0 { return (fraction, -1074) }
    return (fraction | (1 << 52), biased - 1075)
  }

  @inline(__always)
  private static func accumulate(_ x: Double, _ y: Double, into digits: UnsafeMutablePointer<Int64>) {
    let a = split(x)
    let b = split(y)
    if a.mantissa == 0 || b.mantissa == 0 { return }
    let product = a.mantissa.multipliedFullWidth(by: b.mantissa)
    let position = a.exponent + b.exponent - lowestExponent
    var digit = digits + (position >> 5)
    let shift = UInt64(position & 31)
    let negative = (x.sign == .minus) != (y.sign == .minus)
    let flip: Int64 = negative ? -1 : 0
    // 106 bits shifted by at most 31 fit five digits.
    let low = product.low
    let high = product.high
    let w0 = low << shift
    let w1 = shift == 0 ? high : (high << shift) | (low >> (64 - shift))
    let w2 = shift == 0 ? 0 : high >> (64 - shift)
    let parts = (
      Int64(w0 & 0xFFFF_FFFF), Int64(w0 >> 32), Int64(w1 & 0xFFFF_FFFF), Int64(w1 >> 32), Int64(w2)
    )
    digit[0] &+= (parts.0 ^ flip) &- flip
    digit[1] &+= (parts.1 ^ flip) &- flip
    digit[2] &+= (parts.2 ^ flip) &- flip
    digit += 3
    digit[0] &+= (parts.3 ^ flip) &- flip
    digit[1] &+= (parts.4 ^ flip) &- flip
  }

  /// Brings every digit but the last into 0..<2^32; the last one carries the sign.
  private mutating func carry() {
    var c: Int64 = 0
    for i in 0..<(Self.digitCount - 1) {
      let v = digits[i] &+ c
      c = v >> 32
      digits[i] = v & 0xFFFF_FFFF
    }
    digits[Self.digitCount - 1] &+= c
    pending = 1
  }

  /// The exact value of the sum.
  public var rational: Rational {
    var copy = self
    copy.carry()
    let negative = copy.digits[Self.digitCount - 1] < 0
    if negative {
      for i in 0..<Self.digitCount { copy.digits[i] = -copy.digits[i] }
      copy.carry()
    }
    guard let first = copy.digits.firstIndex(where: { $0 != 0 }),
      let last = copy.digits.lastIndex(where: { $0 != 0 })
    else { return Rational() }
    let words = copy.digits[first...last].map { UInt32(truncatingIfNeeded: $0) }
    let exponent = Self.lowestExponent + 32 * first
    return .make { q in
      let numerator = cgmp_mpq_num(q)
      __gmpz_import(numerator, words.count, -1, 4, 0, 0, words)
      if negative { __gmpz_neg(numerator, numerator) }
      if exponent >= 0 {
        __gmpq_mul_2exp(q, q, UInt(exponent))
      } else {
        __gmpq_div_2exp(q, q, UInt(-exponent))
      }
    }
  }

  /// The sign of the sum: -1, 0 or 1.
  public var sign: Int {
    var copy = self
    copy.carry()
    if copy.digits[Self.digitCount - 1] < 0 { return -1 }
    return copy.digits.contains { $0 != 0 } ? 1 : 0
  }
}
