import FileFormats
import Foundation

// Values stored as bytes: little-endian, packed from the low bits up for types narrower than a byte.
extension TensorDecoder {
  /// The elements in `data`, whose length must be exactly that of `count` elements.
  func rawValues(
    _ data: Data, type: OnnxElementType, count: Int, name: String
  ) throws(FileError) -> OnnxTensor.Values {
    let expected = try byteCount(type, count, name)
    if data.count != expected {
      throw error(
        name, "has \(data.count) bytes of data where \(count) elements of type \(type) need \(expected)")
    }
    switch type {
    case .float32: return .float32(copy(data, count: count, as: Float.self))
    case .float64: return .float64(copy(data, count: count, as: Double.self))
    case .float16:
      return .float32(copy(data, count: count, as: UInt16.self).map { Float(Float16(bitPattern: $0)) })
    case .bfloat16: return .float32(copy(data, count: count, as: UInt16.self).map(NarrowFloat.bfloat16))
    case .int64: return .integer(copy(data, count: count, as: Int64.self))
    case .int32: return .integer(copy(data, count: count, as: Int32.self).map(Int64.init))
    case .int16: return .integer(copy(data, count: count, as: Int16.self).map(Int64.init))
    case .int8: return .integer(copy(data, count: count, as: Int8.self).map(Int64.init))
    case .uint64: return .unsigned(copy(data, count: count, as: UInt64.self))
    case .uint32: return .integer(copy(data, count: count, as: UInt32.self).map(Int64.init))
    case .uint16: return .integer(copy(data, count: count, as: UInt16.self).map(Int64.init))
    case .uint8: return .integer(data.map(Int64.init))
    case .bool: return .integer(data.map { $0 == 0 ? 0 : 1 })
    case .string: throw error(name, "holds strings, which cannot be raw data")
    case .complex64, .complex128: return .undecoded
    case .uint4, .int4, .uint2, .int2, .float4e2m1, .float6e2m3, .float6e3m2, .float8e4m3fn,
      .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0:
      return narrowValues(unpack(data, bits: type.bits ?? 8, count: count), type: type)
    }
  }

  /// Elements of at most 8 bits from their bit patterns.
  func narrowValues(_ patterns: [UInt8], type: OnnxElementType) -> OnnxTensor.Values {
    switch type {
    case .uint2, .uint4: .integer(patterns.map(Int64.init))
    case .int2: .integer(patterns.map { Int64($0) - ($0 >= 2 ? 4 : 0) })
    case .int4: .integer(patterns.map { Int64($0) - ($0 >= 8 ? 16 : 0) })
    default: .float32(patterns.map { NarrowFloat.value($0, of: type) ?? .nan })
    }
  }

  /// Splits a little-endian bit stream into elements of `bits` bits.
  func unpack(_ data: Data, bits: Int, count: Int) -> [UInt8] {
    if bits == 8 { return [UInt8](data) }
    let bytes = [UInt8](data)
    let mask = UInt16(1 << bits) - 1
    return (0..<count).map { index in
      let position = index * bits
      let low = UInt16(bytes[position / 8])
      let high = position / 8 + 1 < bytes.count ? UInt16(bytes[position / 8 + 1]) : 0
      return UInt8(truncatingIfNeeded: ((high << 8 | low) >> UInt16(position % 8)) & mask)
    }
  }

  /// Copies bytes into an array of a trivial type. Linux on x86-64 and arm64 is little-endian, as ONNX data is.
  private func copy<T: BitwiseCopyable>(_ data: Data, count: Int, as type: T.Type) -> [T] {
    [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      data.copyBytes(to: UnsafeMutableRawBufferPointer(buffer))
      initialized = count
    }
  }
}
