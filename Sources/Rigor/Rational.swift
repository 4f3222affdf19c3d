import CGMP

/// An exact rational number of any size, always in lowest terms with a positive denominator.
///
/// A value type over GMP's `mpq`: every finite `Double` and `Float` is a dyadic rational and converts exactly,
/// and so does every decimal text. Arithmetic never rounds; conversions back to floating point say in
/// which direction they round.
public struct Rational: Sendable {
  /// The owner of one `mpq_t`. It is written only while uniquely referenced, so sharing it between
  /// threads is safe.
  final class Storage: @unchecked Sendable {
    let q: UnsafeMutablePointer<__mpq_struct>

    init() {
      q = .allocate(capacity: 1)
      __gmpq_init(q)
    }

    deinit {
      __gmpq_clear(q)
      q.deallocate()
    }
  }

  var storage: Storage

  init(storage: Storage) {
    self.storage = storage
  }

  /// Gives a body write access to a fresh value that is 0 beforehand.
  @inline(__always)
  static func make(_ body: (UnsafeMutablePointer<__mpq_struct>) -> Void) -> Rational {
    let storage = Storage()
    body(storage.q)
    return Rational(storage: storage)
  }

  @inline(__always)
  var q: UnsafeMutablePointer<__mpq_struct> { storage.q }

  /// Makes the storage safe to write to. The old value is kept.
  @inline(__always)
  mutating func detach() {
    if !isKnownUniquelyReferenced(&storage) {
      let copy = Storage()
      __gmpq_set(copy.q, storage.q)
      storage = copy
    }
  }

  private static let sharedZero = Storage()

  /// Zero.
  public init() {
    storage = Self.sharedZero
  }

  public static var zero: Rational { Rational() }
  public static let one = Rational(1)

  /// An integer.
  public init(_ value: Int) {
    self = .make { __gmpq_set_si($0, value, 1) }
  }

  /// The quotient of two integers; traps when `denominator` is 0.
  public init(_ numerator: Int, _ denominator: Int) {
    precondition(denominator != 0, "a rational number needs a denominator other than 0")
    self = Rational(numerator) / Rational(denominator)
  }

  /// The exact value of a finite double; nil for infinities and NaN.
  public init?(exactly value: Double) {
    guard value.isFinite else { return nil }
    self = .make { __gmpq_set_d($0, value) }
  }

  /// The exact value of a finite float; nil for infinities and NaN.
  public init?(exactly value: Float) {
    self.init(exactly: Double(value))
  }

  /// The exact value of a double, which must be finite.
  public init(_ value: Double) {
    precondition(value.isFinite, "only finite numbers are rational")
    self = .make { __gmpq_set_d($0, value) }
  }

  /// The exact value of a float, which must be finite.
  public init(_ value: Float) {
    self.init(Double(value))
  }

  /// `mantissa * 2^exponent`.
  public init(_ mantissa: Int, timesTwoTo exponent: Int) {
    self = Rational(mantissa).scaled(byTwoTo: exponent)
  }

  // MARK: Properties

  /// -1, 0 or 1.
  public var sign: Int { Int(cgmp_mpq_sgn(q)) }
  public var isZero: Bool { sign == 0 }
  /// Whether the denominator is 1.
  public var isInteger: Bool { __gmpz_cmp_ui(cgmp_mpq_den(q), 1) == 0 }
  /// Whether the denominator is a power of two, so that the number is a finite binary fraction.
  public var isDyadic: Bool { __gmpz_popcount(cgmp_mpq_den(q)) == 1 }
  /// The number of bits of numerator and denominator together: a measure of how costly the number is.
  public var bitCount: Int {
    Int(__gmpz_sizeinbase(cgmp_mpq_num(q), 2)) + Int(__gmpz_sizeinbase(cgmp_mpq_den(q), 2))
  }
  /// The numerator, as a rational number.
  public var numerator: Rational { .make { __gmpq_set_z($0, cgmp_mpq_num(q)) } }
  /// The positive denominator, as a rational number.
  public var denominator: Rational { .make { __gmpq_set_z($0, cgmp_mpq_den(q)) } }
  public var magnitude: Rational { sign < 0 ? -self : self }
  /// 1 divided by the number, which must not be 0.
  public var reciprocal: Rational {
    precondition(!isZero, "division by zero")
    return .make { __gmpq_inv($0, q) }
  }

  /// The greatest integer not above the number.
  public var floor: Rational {
    .make { __gmpz_fdiv_q(cgmp_mpq_num($0), cgmp_mpq_num(q), cgmp_mpq_den(q)) }
  }
  /// The least integer not below the number.
  public var ceiling: Rational {
    .make { __gmpz_cdiv_q(cgmp_mpq_num($0), cgmp_mpq_num(q), cgmp_mpq_den(q)) }
  }
  /// The number as an `Int`, or nil when it is not an integer or too large.
  public var int: Int? {
    guard isInteger, __gmpz_fits_slong_p(cgmp_mpq_num(q)) != 0 else { return nil }
    return __gmpz_get_si(cgmp_mpq_num(q))
  }

  /// The number times `2^exponent`, exactly.
  public func scaled(byTwoTo exponent: Int) -> Rational {
    .make {
      if exponent >= 0 {
        __gmpq_mul_2exp($0, q, UInt(exponent))
      } else {
        __gmpq_div_2exp($0, q, UInt(-exponent))
      }
    }
  }

  /// Adds `a * b` in place.
  public mutating func addProduct(_ a: Rational, _ b: Rational) {
    if a.isZero || b.isZero { return }
    self += a * b
  }
}

extension Rational: Comparable, Hashable {
  public static func == (a: Rational, b: Rational) -> Bool {
    a.storage === b.storage || __gmpq_equal(a.q, b.q) != 0
  }

  public static func < (a: Rational, b: Rational) -> Bool {
    __gmpq_cmp(a.q, b.q) < 0
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(sign)
    hasher.combine(__gmpz_get_ui(cgmp_mpq_num(q)))
    hasher.combine(__gmpz_get_ui(cgmp_mpq_den(q)))
  }
}

extension Rational: SignedNumeric, ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) {
    self.init(value)
  }

  public init?<T: BinaryInteger>(exactly source: T) {
    if let value = Int(exactly: source) {
      self.init(value)
    } else {
      self.init(String(source))
    }
  }

  public static func + (a: Rational, b: Rational) -> Rational { .make { __gmpq_add($0, a.q, b.q) } }
  public static func - (a: Rational, b: Rational) -> Rational { .make { __gmpq_sub($0, a.q, b.q) } }
  public static func * (a: Rational, b: Rational) -> Rational { .make { __gmpq_mul($0, a.q, b.q) } }

  /// The exact quotient; traps when `b` is 0.
  public static func / (a: Rational, b: Rational) -> Rational {
    precondition(!b.isZero, "division by zero")
    return .make { __gmpq_div($0, a.q, b.q) }
  }

  public static prefix func - (a: Rational) -> Rational { .make { __gmpq_neg($0, a.q) } }

  public static func += (a: inout Rational, b: Rational) {
    a.detach()
    __gmpq_add(a.q, a.q, b.q)
  }

  public static func -= (a: inout Rational, b: Rational) {
    a.detach()
    __gmpq_sub(a.q, a.q, b.q)
  }

  public static func *= (a: inout Rational, b: Rational) {
    a.detach()
    __gmpq_mul(a.q, a.q, b.q)
  }

  public static func /= (a: inout Rational, b: Rational) {
    precondition(!b.isZero, "division by zero")
    a.detach()
    __gmpq_div(a.q, a.q, b.q)
  }
}
