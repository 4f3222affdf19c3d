import FileFormats
import Foundation
import SwiftProtobuf

/// An ONNX model as read from a file: the parsed message and what is needed to decode its tensors.
package struct OnnxModelFile: Sendable {
  /// The parsed message.
  package var model: Onnx_ModelProto
  /// Decodes the tensors of `model`.
  package var tensors: TensorDecoder

  /// Reads a `.onnx` file, or a `.onnx.gz` one (recognised by its first bytes).
  ///
  /// - Throws: `FileError` when the file cannot be read or is no ONNX protobuf.
  package init(path: String) throws {
    let bytes = try Gzip.contents(ofFile: path)
    let folder = URL(fileURLWithPath: PathName.folder(path), isDirectory: true)
    try self.init(bytes: bytes, tensors: TensorDecoder(file: path, folder: folder))
  }

  /// Parses a model that is already in memory. Tensors with external data need `tensors.folder`.
  ///
  /// - Throws: `FileError` when the bytes are no ONNX protobuf.
  package init(bytes: [UInt8], tensors: TensorDecoder) throws(FileError) {
    model = try Self.parse(bytes, as: Onnx_ModelProto.self, file: tensors.file, kind: "ONNX model")
    self.tensors = tensors
  }

  /// Decodes one protobuf message.
  static func parse<M: Message>(
    _ bytes: [UInt8], as type: M.Type, file: String, kind: String
  ) throws(FileError) -> M {
    do {
      return try M(serializedBytes: bytes)
    } catch BinaryDecodingError.truncated {
      throw FileError(file: file, reason: "is no valid \(kind): the data ends early or is not protobuf")
    } catch {
      throw FileError(file: file, reason: "is no valid \(kind): malformed protobuf")
    }
  }
}

extension OnnxTensor {
  /// Reads a file that holds a single `TensorProto`, as the ONNX conformance data does.
  ///
  /// - Throws: `FileError` when the file cannot be read, is no protobuf, or its tensor is malformed.
  public init(path: String) throws {
    let bytes = try Gzip.contents(ofFile: path)
    let proto = try OnnxModelFile.parse(bytes, as: Onnx_TensorProto.self, file: path, kind: "ONNX tensor")
    let folder = URL(fileURLWithPath: PathName.folder(path), isDirectory: true)
    self = try TensorDecoder(file: path, folder: folder).tensor(proto)
  }
}
