/// A tensor as an ONNX file stores it, decoded: name, element type, shape and row-major values.
///
/// Narrow types are widened without loss: float16, bfloat16 and the 8, 6 and 4 bit floating-point types to
/// `Float`, integers and booleans to `Int64`. The number of values always equals the product of `shape`.
public struct OnnxTensor: Sendable, Equatable {
  /// The values in row-major order.
  public enum Values: Sendable, Equatable {
    /// float32 and everything narrower.
    case float32([Float])
    /// float64.
    case float64([Double])
    /// Signed and unsigned integers up to `int64`, and booleans as 0 and 1.
    case integer([Int64])
    /// `uint64`.
    case unsigned([UInt64])
    /// Strings.
    case text([String])
    /// A type whose values are not represented (complex numbers): only type and shape are known.
    case undecoded
  }

  /// The name, empty for tensors without one.
  public var name: String
  /// The element type in the file.
  public var type: OnnxElementType
  /// The extents, none for a scalar.
  public var shape: [Int]
  /// The values.
  public var values: Values

  /// A tensor from its parts. The caller promises that `values` holds as many elements as `shape` says.
  public init(name: String = "", type: OnnxElementType, shape: [Int], values: Values) {
    self.name = name
    self.type = type
    self.shape = shape
    self.values = values
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// True when some element is not a number.
  public var containsNaN: Bool {
    switch values {
    case .float32(let values): values.contains { $0.isNaN }
    case .float64(let values): values.contains { $0.isNaN }
    default: false
    }
  }
}
