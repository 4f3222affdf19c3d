/// The element types of ONNX tensors, numbered as in `TensorProto.DataType`.
public enum OnnxElementType: Int, Sendable, CaseIterable, CustomStringConvertible {
  case float32 = 1
  case uint8 = 2
  case int8 = 3
  case uint16 = 4
  case int16 = 5
  case int32 = 6
  case int64 = 7
  case string = 8
  case bool = 9
  case float16 = 10
  case float64 = 11
  case uint32 = 12
  case uint64 = 13
  case complex64 = 14
  case complex128 = 15
  case bfloat16 = 16
  case float8e4m3fn = 17
  case float8e4m3fnuz = 18
  case float8e5m2 = 19
  case float8e5m2fnuz = 20
  case uint4 = 21
  case int4 = 22
  case float4e2m1 = 23
  case float8e8m0 = 24
  case uint2 = 25
  case int2 = 26
  case float6e2m3 = 27
  case float6e3m2 = 28

  /// The type's name as ONNX documentation spells it, in lower case.
  public var description: String {
    switch self {
    case .float64: "float64"
    case .float32: "float32"
    case .uint8: "uint8"
    case .int8: "int8"
    case .uint16: "uint16"
    case .int16: "int16"
    case .int32: "int32"
    case .int64: "int64"
    case .string: "string"
    case .bool: "bool"
    case .float16: "float16"
    case .uint32: "uint32"
    case .uint64: "uint64"
    case .complex64: "complex64"
    case .complex128: "complex128"
    case .bfloat16: "bfloat16"
    case .float8e4m3fn: "float8e4m3fn"
    case .float8e4m3fnuz: "float8e4m3fnuz"
    case .float8e5m2: "float8e5m2"
    case .float8e5m2fnuz: "float8e5m2fnuz"
    case .uint4: "uint4"
    case .int4: "int4"
    case .float4e2m1: "float4e2m1"
    case .float8e8m0: "float8e8m0"
    case .uint2: "uint2"
    case .int2: "int2"
    case .float6e2m3: "float6e2m3"
    case .float6e3m2: "float6e3m2"
    }
  }

  /// Bits of one element in raw data, or nil where elements have no fixed width (strings).
  public var bits: Int? {
    switch self {
    case .string: nil
    case .uint2, .int2: 2
    case .uint4, .int4, .float4e2m1: 4
    case .float6e2m3, .float6e3m2: 6
    case .uint8, .int8, .bool, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0: 8
    case .uint16, .int16, .float16, .bfloat16: 16
    case .float32, .int32, .uint32: 32
    case .float64, .int64, .uint64, .complex64: 64
    case .complex128: 128
    }
  }

  /// True for real floating-point types of any width.
  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float64, .float16, .bfloat16, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2,
      .float8e5m2fnuz, .float4e2m1, .float8e8m0, .float6e2m3, .float6e3m2:
      true
    default: false
    }
  }

  /// True for signed and unsigned integers, not for booleans.
  public var isInteger: Bool { integerRange != nil }

  /// The values an integer type holds; nil for other types and for `uint64`'s upper half (see `OnnxTensor.Values`).
  public var integerRange: ClosedRange<Int64>? {
    switch self {
    case .uint2: 0...3
    case .int2: -2...1
    case .uint4: 0...15
    case .int4: -8...7
    case .uint8: 0...255
    case .int8: -128...127
    case .uint16: 0...65535
    case .int16: -32768...32767
    case .uint32: 0...4_294_967_295
    case .int32: Int64(Int32.min)...Int64(Int32.max)
    case .int64: Int64.min...Int64.max
    case .uint64: 0...Int64.max
    default: nil
    }
  }
}
