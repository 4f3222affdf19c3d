/// Decoders of the floating-point formats that Swift has no type for. Every value is exact in `Float`.
enum NarrowFloat {
  static func bfloat16(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// Sign, `exponentBits` and `mantissaBits` with the given bias, subnormals at exponent 0 and no special values.
  private static func finite(_ bits: UInt8, exponentBits: Int, mantissaBits: Int, bias: Int) -> Float {
    let exponent = Int(bits >> UInt8(mantissaBits)) & ((1 << exponentBits) - 1)
    let mantissa = Int(bits) & ((1 << mantissaBits) - 1)
    let negative = (Int(bits) >> (exponentBits + mantissaBits)) & 1 == 1
    let significand = exponent == 0 ? mantissa : mantissa + (1 << mantissaBits)
    let power = max(exponent, 1) - bias - mantissaBits
    let magnitude = Float(sign: .plus, exponent: power, significand: Float(significand))
    return negative ? -magnitude : magnitude
  }

  /// The value of one element of an 8, 6 or 4 bit type, its bits in the low end of `bits`; nil for other types.
  ///
  /// Formats: FP8 Formats for Deep Learning (arXiv 2209.05433), 8-bit Numerical Formats for Deep Neural
  /// Networks (arXiv 2206.02915) and the OCP Microscaling specification 1.0.
  static func value(_ bits: UInt8, of type: OnnxElementType) -> Float? {
    switch type {
    case .float8e4m3fn:
      bits & 0x7f == 0x7f ? .nan : finite(bits, exponentBits: 4, mantissaBits: 3, bias: 7)
    case .float8e4m3fnuz:
      bits == 0x80 ? .nan : finite(bits, exponentBits: 4, mantissaBits: 3, bias: 8)
    case .float8e5m2:
      // The top half of binary16.
      Float(Float16(bitPattern: UInt16(bits) << 8))
    case .float8e5m2fnuz:
      bits == 0x80 ? .nan : finite(bits, exponentBits: 5, mantissaBits: 2, bias: 16)
    case .float8e8m0:
      bits == 0xff ? .nan : Float(sign: .plus, exponent: Int(bits) - 127, significand: 1)
    case .float4e2m1: finite(bits, exponentBits: 2, mantissaBits: 1, bias: 1)
    case .float6e2m3: finite(bits, exponentBits: 2, mantissaBits: 3, bias: 1)
    case .float6e3m2: finite(bits, exponentBits: 3, mantissaBits: 2, bias: 3)
    default: nil
    }
  }
}
