import FileFormats
import Foundation
import OnnxFormat
import Testing

@Suite("Tensors of ONNX files")
struct TensorDecoderTests {
  let decoder = TensorDecoder(file: "model.onnx")

  /// A tensor message with raw data.
  static func raw(_ type: OnnxElementType, _ dims: [Int64], _ bytes: [UInt8]) -> Onnx_TensorProto {
    var proto = Onnx_TensorProto()
    proto.name = "w"
    proto.dataType = Int32(type.rawValue)
    proto.dims = dims
    proto.rawData = Data(bytes)
    return proto
  }

  /// A tensor message whose values are set by `fill`.
  static func typed(
    _ type: OnnxElementType, _ dims: [Int64], _ fill: (inout Onnx_TensorProto) -> Void
  ) -> Onnx_TensorProto {
    var proto = Onnx_TensorProto()
    proto.name = "w"
    proto.dataType = Int32(type.rawValue)
    proto.dims = dims
    fill(&proto)
    return proto
  }

  static func littleEndian<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
    values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
  }

  @Test("float32 and float64, raw and typed")
  func wideFloats() throws {
    let singles: [Float] = [1.5, -0.0, .infinity, .leastNonzeroMagnitude]
    let doubles: [Double] = [0.1, -1e300, .leastNonzeroMagnitude, 0]
    let rawSingles = Self.raw(.float32, [2, 2], Self.littleEndian(singles.map(\.bitPattern)))
    let rawDoubles = Self.raw(.float64, [4], Self.littleEndian(doubles.map(\.bitPattern)))
    #expect(try decoder.tensor(rawSingles).values == .float32(singles))
    #expect(try decoder.tensor(rawSingles).shape == [2, 2])
    #expect(try decoder.tensor(rawDoubles).values == .float64(doubles))
    #expect(
      try decoder.tensor(Self.typed(.float32, [4]) { $0.floatData = singles }).values == .float32(singles))
    #expect(
      try decoder.tensor(Self.typed(.float64, [4]) { $0.doubleData = doubles }).values == .float64(doubles))
  }

  @Test("float16 and bfloat16 widen without loss")
  func halfFloats() throws {
    // IEEE 754: 0x3c00 = 1, 0xc000 = -2, 0x7bff = 65504, 0x0001 = 2^-24.
    let bits: [UInt16] = [0x3c00, 0xc000, 0x7bff, 0x0001]
    let expected: [Float] = [1, -2, 65504, 0x1p-24]
    #expect(
      try decoder.tensor(Self.raw(.float16, [4], Self.littleEndian(bits))).values == .float32(expected))
    let typed = Self.typed(.float16, [4]) { $0.int32Data = bits.map(Int32.init) }
    #expect(try decoder.tensor(typed).values == .float32(expected))
    // The upper halves of the float32 patterns of 1, -2 and 0.15625.
    let brain: [UInt16] = [0x3f80, 0xc000, 0x3e20]
    #expect(
      try decoder.tensor(Self.raw(.bfloat16, [3], Self.littleEndian(brain))).values
        == .float32([1, -2, 0.15625]))
    let typedBrain = Self.typed(.bfloat16, [3]) { $0.int32Data = brain.map(Int32.init) }
    #expect(try decoder.tensor(typedBrain).values == .float32([1, -2, 0.15625]))
  }

  @Test("integers of every width and booleans, raw and typed")
  func integers() throws {
    func check(_ raw: Onnx_TensorProto, _ expected: [Int64]) throws {
      #expect(try decoder.tensor(raw).values == .integer(expected))
    }
    try check(Self.raw(.int8, [2], [0xff, 0x80]), [-1, -128])
    try check(Self.raw(.uint8, [2], [0xff, 0x80]), [255, 128])
    try check(Self.raw(.int16, [2], Self.littleEndian([Int16(-2), 300])), [-2, 300])
    try check(Self.raw(.uint16, [1], Self.littleEndian([UInt16.max])), [65535])
    try check(Self.raw(.int32, [1], Self.littleEndian([Int32.min])), [Int64(Int32.min)])
    try check(Self.raw(.uint32, [1], Self.littleEndian([UInt32.max])), [Int64(UInt32.max)])
    try check(Self.raw(.int64, [2], Self.littleEndian([Int64.min, 7])), [Int64.min, 7])
    try check(Self.raw(.bool, [3], [1, 0, 2]), [1, 0, 1])
    try check(Self.typed(.int8, [2]) { $0.int32Data = [-1, 127] }, [-1, 127])
    try check(Self.typed(.uint16, [1]) { $0.int32Data = [65535] }, [65535])
    try check(Self.typed(.bool, [2]) { $0.int32Data = [0, 1] }, [0, 1])
    try check(Self.typed(.int64, [1]) { $0.int64Data = [Int64.max] }, [Int64.max])
    try check(Self.typed(.uint32, [1]) { $0.uint64Data = [4_000_000_000] }, [4_000_000_000])
    let large = Self.typed(.uint64, [1]) { $0.uint64Data = [UInt64.max] }
    #expect(try decoder.tensor(large).values == .unsigned([UInt64.max]))
    let rawLarge = Self.raw(.uint64, [1], Self.littleEndian([UInt64.max]))
    #expect(try decoder.tensor(rawLarge).values == .unsigned([UInt64.max]))
    let text = Self.typed(.string, [2]) { $0.stringData = [Data("ab".utf8), Data("".utf8)] }
    #expect(try decoder.tensor(text).values == .text(["ab", ""]))
  }

  @Test("scalars and empty tensors")
  func edges() throws {
    #expect(try decoder.tensor(Self.raw(.float32, [], Self.littleEndian([Float(2).bitPattern]))).count == 1)
    let empty = try decoder.tensor(Self.raw(.float32, [0, 1 << 40], []))
    #expect(empty.values == .float32([]))
    #expect(try decoder.tensor(Self.typed(.int64, [0]) { _ in }).values == .integer([]))
  }

  /// Every bit pattern of the 8, 6, 4 and 2 bit types, against the values of the `onnx` Python package 1.23.2.
  @Test(
    "narrow types agree with the reference implementation",
    arguments: [
      OnnxElementType.float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0,
      .float4e2m1, .float6e2m3, .float6e3m2, .uint4, .int4, .uint2, .int2,
    ])
  func narrow(_ type: OnnxElementType) throws {
    let url = try #require(
      Bundle.module.url(forResource: "narrow-types", withExtension: "json", subdirectory: "Fixtures"))
    let json = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: [Any]]
    let expected = try #require(json?[type.description]).map { entry -> Float in
      switch entry as? String {
      case "nan": .nan
      case "inf": .infinity
      case "-inf": -.infinity
      default: (entry as? NSNumber)?.floatValue ?? .nan
      }
    }
    let bits = try #require(type.bits)
    var bytes = [UInt8](repeating: 0, count: (expected.count * bits + 7) / 8)
    for index in expected.indices {
      for bit in 0..<bits where index >> bit & 1 == 1 {
        bytes[(index * bits + bit) / 8] |= 1 << UInt8((index * bits + bit) % 8)
      }
    }
    let raw = Self.raw(type, [Int64(expected.count)], bytes)
    let typed = Self.typed(type, [Int64(expected.count)]) { proto in
      proto.int32Data = bits == 6 ? expected.indices.map { Int32($0) } : bytes.map { Int32($0) }
    }
    for tensor in [try decoder.tensor(raw), try decoder.tensor(typed)] {
      let found: [Float]
      switch tensor.values {
      case .float32(let values): found = values
      case .integer(let values): found = values.map { Float($0) }
      default: found = []
      }
      try #require(found.count == expected.count)
      for (value, reference) in zip(found, expected) {
        #expect(value == reference || (value.isNaN && reference.isNaN))
      }
    }
  }
}
