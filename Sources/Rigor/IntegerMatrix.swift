import CGMP

/// A dense matrix of integers of any size, for exact linear algebra on dyadic numbers.
///
/// Every float is an integer times a power of two, so a whole layer can be carried in integers with one common
/// exponent: exact products then need no greatest common divisors, which makes them an order of magnitude
/// cheaper than rational arithmetic. A reference type: it is filled by one owner and not changed afterwards.
public final class IntegerMatrix: @unchecked Sendable {
  public let rows: Int
  public let columns: Int
  private let base: UnsafeMutablePointer<__mpz_struct>
  private let scratch: UnsafeMutablePointer<__mpz_struct>

  /// A matrix of zeros.
  public init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    let count = rows * columns
    base = .allocate(capacity: max(count, 1))
    for i in 0..<count { __gmpz_init(base + i) }
    scratch = .allocate(capacity: 1)
    __gmpz_init(scratch)
  }

  deinit {
    for i in 0..<(rows * columns) { __gmpz_clear(base + i) }
    base.deallocate()
    __gmpz_clear(scratch)
    scratch.deallocate()
  }

  @inline(__always)
  private func at(_ row: Int, _ column: Int) -> UnsafeMutablePointer<__mpz_struct> {
    base + (row * columns + column)
  }

  /// Sets an entry to the numerator of a rational number.
  public func set(_ row: Int, _ column: Int, numeratorOf value: Rational) {
    __gmpz_set(at(row, column), cgmp_mpq_num(value.q))
  }

  /// Sets an entry to a small integer.
  public func set(_ row: Int, _ column: Int, _ value: Int) {
    __gmpz_set_si(at(row, column), value)
  }

  /// Adds `(mantissa * other[otherRow, j]) << shift` to every entry `j` of a row.
  public func addScaled(
    row: Int, _ other: IntegerMatrix, row otherRow: Int, mantissa: Int, shift: Int
  ) {
    cgmp_row_add_scaled(
      at(row, 0), other.at(otherRow, 0), columns, mantissa, UInt(shift), scratch)
  }

  /// Adds `(mantissa * factor) << shift` to one entry; `factor` must be an integer.
  public func add(row: Int, column: Int, mantissa: Int, shift: Int, factor: Rational) {
    __gmpz_mul_si(scratch, cgmp_mpq_num(factor.q), mantissa)
    __gmpz_mul_2exp(scratch, scratch, UInt(shift))
    __gmpz_add(at(row, column), at(row, column), scratch)
  }

  /// Copies a row of another matrix of the same width.
  public func copy(row: Int, from other: IntegerMatrix, row otherRow: Int) {
    for j in 0..<columns { __gmpz_set(at(row, j), other.at(otherRow, j)) }
  }

  /// Sets a row to zero.
  public func clear(row: Int) {
    for j in 0..<columns { __gmpz_set_ui(at(row, j), 0) }
  }

  /// The sign of an entry.
  public func sign(_ row: Int, _ column: Int) -> Int {
    Int(cgmp_mpz_sgn(at(row, column)))
  }

  /// An entry as a rational number.
  public func rational(_ row: Int, _ column: Int) -> Rational {
    .make { __gmpq_set_z($0, at(row, column)) }
  }
}

extension Rational {
  /// The least common multiple of two positive integers.
  public static func leastCommonMultiple(_ a: Rational, _ b: Rational) -> Rational {
    .make { __gmpz_lcm(cgmp_mpq_num($0), cgmp_mpq_num(a.q), cgmp_mpq_num(b.q)) }
  }

  /// The greatest common divisor of two integers.
  public static func greatestCommonDivisor(_ a: Rational, _ b: Rational) -> Rational {
    .make { __gmpz_gcd(cgmp_mpq_num($0), cgmp_mpq_num(a.q), cgmp_mpq_num(b.q)) }
  }
}

/// A double as `mantissa * 2^exponent` with an odd mantissa (0 as `0 * 2^0`). Precondition: finite.
public func dyadicParts(_ x: Double) -> (mantissa: Int, exponent: Int) {
  if x == 0 { return (0, 0) }
  let bits = x.bitPattern
  let fraction = Int(bits & 0x000F_FFFF_FFFF_FFFF)
  let biased = Int((bits >> 52) & 0x7FF)
  var mantissa = biased == 0 ? fraction : fraction | (1 << 52)
  var exponent = biased == 0 ? -1074 : biased - 1075
  let zeros = mantissa.trailingZeroBitCount
  mantissa >>= zeros
  exponent += zeros
  return (x < 0 ? -mantissa : mantissa, exponent)
}
