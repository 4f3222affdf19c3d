import FileFormats
import Foundation

/// Decodes `TensorProto` messages of one file, with the size of every tensor checked before memory is taken.
package struct TensorDecoder: Sendable {
  /// The file the tensors come from, as the user named it.
  package var file: String
  /// The folder that external data is relative to; nil when the message did not come from a file.
  package var folder: URL?

  package init(file: String, folder: URL? = nil) {
    self.file = file
    self.folder = folder
  }

  /// The tensor that `proto` describes.
  ///
  /// - Throws: `FileError` naming the tensor: unknown type, negative or overflowing extents, a payload whose
  ///   length does not fit the shape, external data that is missing or lies outside the model's folder.
  package func tensor(_ proto: Onnx_TensorProto, name: String? = nil) throws(FileError) -> OnnxTensor {
    let name = name ?? proto.name
    guard let type = OnnxElementType(rawValue: Int(proto.dataType)) else {
      throw error(name, "has the unknown element type \(proto.dataType)")
    }
    if proto.hasSegment {
      throw error(name, "is stored in segments, which no ONNX version defines how to join")
    }
    let shape = try self.shape(proto.dims, of: name)
    guard let count = Self.count(shape) else {
      throw error(name, "claims more elements than any memory holds: \(shape)")
    }
    let values: OnnxTensor.Values
    if proto.dataLocation == .external {
      let data = try externalData(proto, name: name, byteCount: byteCount(type, count, name))
      values = try rawValues(data, type: type, count: count, name: name)
    } else if proto.hasRawData {
      values = try rawValues(proto.rawData, type: type, count: count, name: name)
    } else {
      values = try typedValues(proto, type: type, count: count, name: name)
    }
    return OnnxTensor(name: name, type: type, shape: shape, values: values)
  }

  /// The extents as `Int`.
  private func shape(_ dims: [Int64], of name: String) throws(FileError) -> [Int] {
    if let bad = dims.first(where: { $0 < 0 }) { throw error(name, "has the negative extent \(bad)") }
    if dims.count > 64 { throw error(name, "has \(dims.count) axes") }
    return dims.map { Int($0) }
  }

  /// The product of the extents; nil when it (or the byte count of 16-byte elements) does not fit.
  package static func count(_ shape: [Int]) -> Int? {
    // Extents of 0 do not excuse the others: strides are their products.
    var count = 1
    for extent in shape where extent != 0 {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      if overflow || product > Int.max / 256 { return nil }
      count = product
    }
    return shape.contains(0) ? 0 : count
  }

  /// Bytes of `count` elements in raw form.
  func byteCount(_ type: OnnxElementType, _ count: Int, _ name: String) throws(FileError) -> Int {
    guard let bits = type.bits else { throw error(name, "holds strings, which cannot be raw data") }
    return (count * bits + 7) / 8
  }

  func error(_ tensor: String, _ reason: String) -> FileError {
    FileError(file: file, place: tensor.isEmpty ? "unnamed tensor" : "tensor '\(tensor)'", reason: reason)
  }
}
