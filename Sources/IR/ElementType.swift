/// The element type a file declares for a value (ONNX names).
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case float32, float64, float16, bfloat16
  case int8, int16, int32, int64, uint8, uint16, uint32, uint64
  case bool

  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float64, .float16, .bfloat16: true
    default: false
    }
  }

  /// Inclusive range of an integer type, for the 64-bit types up to the last Double inside it; nil for the others.
  public var integerRange: ClosedRange<Double>? {
    switch self {
    case .int8: -128...127
    case .int16: -32768...32767
    case .int32: -2_147_483_648...2_147_483_647
    case .int64: -9_223_372_036_854_775_808...9_223_372_036_854_774_784
    case .uint8: 0...255
    case .uint16: 0...65535
    case .uint32: 0...4_294_967_295
    case .uint64: 0...18_446_744_073_709_549_568
    default: nil
    }
  }

  /// Whether a deployed run computes in Float (then rounds to half precision if narrower) rather than in Double.
  /// Integers and booleans are carried in Double, where they are exact up to 2^53.
  public var runsInFloat: Bool { self == .float32 || self == .float16 || self == .bfloat16 }
}
