import FileFormats
import Foundation

// Values stored in the field of their type: `float_data`, `int32_data`, ...
extension TensorDecoder {
  func typedValues(
    _ proto: Onnx_TensorProto, type: OnnxElementType, count: Int, name: String
  ) throws(FileError) -> OnnxTensor.Values {
    switch type {
    case .float32:
      try check(proto.floatData.count, count, "float_data", name)
      return .float32(proto.floatData)
    case .float64:
      try check(proto.doubleData.count, count, "double_data", name)
      return .float64(proto.doubleData)
    case .int64:
      try check(proto.int64Data.count, count, "int64_data", name)
      return .integer(proto.int64Data)
    case .uint64:
      try check(proto.uint64Data.count, count, "uint64_data", name)
      return .unsigned(proto.uint64Data)
    case .uint32:
      try check(proto.uint64Data.count, count, "uint64_data", name)
      return .integer(try ranged(proto.uint64Data.map { Int64(clamping: $0) }, type, name))
    case .string:
      try check(proto.stringData.count, count, "string_data", name)
      return .text(proto.stringData.map { String(decoding: $0, as: UTF8.self) })
    case .complex64:
      try check(proto.floatData.count, 2 * count, "float_data", name)
      return .undecoded
    case .complex128:
      try check(proto.doubleData.count, 2 * count, "double_data", name)
      return .undecoded
    default:
      return try int32Values(proto.int32Data, type: type, count: count, name: name)
    }
  }

  /// The types that share `int32_data`: small integers by value, floating point by bit pattern, types below a
  /// byte packed into bytes (6-bit types excepted: one element each).
  private func int32Values(
    _ data: [Int32], type: OnnxElementType, count: Int, name: String
  ) throws(FileError) -> OnnxTensor.Values {
    let bits = type.bits ?? 32
    let perEntry = bits < 8 && bits != 6 ? 8 / bits : 1
    try check(data.count, (count + perEntry - 1) / perEntry, "int32_data", name)
    switch type {
    case .int32, .int16, .int8, .uint16, .uint8:
      return .integer(try ranged(data.map(Int64.init), type, name))
    case .bool: return .integer(data.map { $0 == 0 ? 0 : 1 })
    case .float16: return .float32(data.map { Float(Float16(bitPattern: UInt16(truncatingIfNeeded: $0))) })
    case .bfloat16: return .float32(data.map { NarrowFloat.bfloat16(UInt16(truncatingIfNeeded: $0)) })
    default:
      let bytes = Data(data.map { UInt8(truncatingIfNeeded: $0) })
      return narrowValues(unpack(bytes, bits: bits == 6 ? 8 : bits, count: count), type: type)
    }
  }

  private func check(_ found: Int, _ expected: Int, _ field: String, _ name: String) throws(FileError) {
    if found != expected {
      throw error(name, "has \(found) entries in \(field) where its shape needs \(expected)")
    }
  }

  private func ranged(
    _ values: [Int64], _ type: OnnxElementType, _ name: String
  ) throws(FileError) -> [Int64] {
    if let range = type.integerRange, let bad = values.first(where: { !range.contains($0) }) {
      throw error(name, "holds \(bad), which is no value of its type \(type)")
    }
    return values
  }
}
