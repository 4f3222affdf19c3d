import FileFormats
import Foundation
import OnnxFormat
import Testing

@Suite("Malformed ONNX tensors and files")
struct MalformedTensorTests {
  let decoder = TensorDecoder(file: "model.onnx")

  /// The error of decoding `proto`; records an issue when there is none.
  func failure(_ proto: Onnx_TensorProto, _ decoder: TensorDecoder? = nil) -> FileError? {
    do throws(FileError) {
      _ = try (decoder ?? self.decoder).tensor(proto)
      Issue.record("decoded without an error")
      return nil
    } catch {
      return error
    }
  }

  @Test("sizes that the data does not bear out are refused before memory is taken")
  func absurdSizes() {
    let huge = failure(TensorDecoderTests.raw(.float32, [1 << 20, 1 << 20], [0, 0, 0, 0]))
    #expect(huge?.place == "tensor 'w'")
    #expect(huge?.file == "model.onnx")
    #expect(huge?.reason.contains("4398046511104") == true)
    #expect(failure(TensorDecoderTests.typed(.float32, [1 << 40]) { _ in }) != nil)
    #expect(failure(TensorDecoderTests.raw(.float32, [1 << 40, 1 << 40], [])) != nil)
    #expect(failure(TensorDecoderTests.raw(.float32, [-1], []))?.reason.contains("negative") == true)
    let axes = [Int64](repeating: 1, count: 1000)
    #expect(failure(TensorDecoderTests.raw(.float32, axes, [0, 0, 0, 0])) != nil)
  }

  @Test("wrong lengths, types and values")
  func wrongPayloads() {
    #expect(failure(TensorDecoderTests.raw(.float32, [2], [0, 0, 0, 0, 0, 0, 0])) != nil)
    #expect(failure(TensorDecoderTests.raw(.string, [1], [65])) != nil)
    #expect(failure(TensorDecoderTests.typed(.int8, [1]) { $0.int32Data = [128] }) != nil)
    #expect(failure(TensorDecoderTests.typed(.uint32, [1]) { $0.uint64Data = [1 << 32] }) != nil)
    #expect(failure(TensorDecoderTests.typed(.float32, [2]) { $0.int32Data = [1, 2] }) != nil)
    var unknown = TensorDecoderTests.raw(.float32, [], [0, 0, 0, 0])
    unknown.dataType = 99
    #expect(failure(unknown)?.reason.contains("99") == true)
    unknown.dataType = 0
    #expect(failure(unknown) != nil)
  }

  /// A tensor of four float32 in an external file.
  func external(_ location: String, offset: String? = nil, length: String? = nil) -> Onnx_TensorProto {
    var proto = Onnx_TensorProto()
    proto.name = "w"
    proto.dataType = Int32(OnnxElementType.float32.rawValue)
    proto.dims = [4]
    proto.dataLocation = .external
    for (key, value) in [("location", location), ("offset", offset), ("length", length)] {
      guard let value else { continue }
      var entry = Onnx_StringStringEntryProto()
      entry.key = key
      entry.value = value
      proto.externalData.append(entry)
    }
    return proto
  }

  @Test("external data stays inside the model's folder")
  func externalData() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("onnx-\(UUID().uuidString)")
    let folder = root.appendingPathComponent("model")
    try FileManager.default.createDirectory(
      at: folder.appendingPathComponent("sub"), withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: root) }
    let values: [Float] = [1, 2, 3, 4]
    let bytes = Data(TensorDecoderTests.littleEndian(values.map(\.bitPattern)))
    try (Data([9, 9]) + bytes).write(to: folder.appendingPathComponent("sub/weights.bin"))
    try bytes.write(to: root.appendingPathComponent("secret.bin"))
    try FileManager.default.createSymbolicLink(
      at: folder.appendingPathComponent("link.bin"),
      withDestinationURL: root.appendingPathComponent("secret.bin"))
    let decoder = TensorDecoder(file: "model.onnx", folder: folder)

    let read = try decoder.tensor(external("sub/weights.bin", offset: "2", length: "16"))
    #expect(read.values == .float32(values))
    #expect(try decoder.tensor(external("./sub/weights.bin", offset: "2")).values == .float32(values))
    for bad in [
      external("missing.bin"), external("../secret.bin"), external("link.bin"), external("sub"),
      external(root.appendingPathComponent("secret.bin").path), external(""),
      external("sub/weights.bin", offset: "4"), external("sub/weights.bin", offset: "-1"),
      external("sub/weights.bin", offset: "9223372036854775807"),
      external("sub/weights.bin", offset: "2", length: "8"), external("sub/../../secret.bin"),
    ] {
      let error = failure(bad, decoder)
      #expect(error?.place == "tensor 'w'")
    }
    // Without a folder nothing is read.
    #expect(failure(external("sub/weights.bin"))?.reason.contains("externally") == true)
    var huge = external("sub/weights.bin")
    huge.dims = [1 << 40]
    #expect(failure(huge, decoder)?.reason.contains("only 18 bytes") == true)
  }

  @Test("files that are no protobuf, and truncated models")
  func malformedFiles() throws {
    func parse(_ bytes: [UInt8]) throws -> OnnxModelFile {
      try OnnxModelFile(bytes: bytes, tensors: decoder)
    }
    #expect(throws: FileError.self) { try parse(Array("this is no protobuf".utf8)) }
    #expect(throws: FileError.self) { try OnnxModelFile(path: "/nowhere/model.onnx") }
    #expect(throws: FileError.self) { try OnnxModelFile(path: "/tmp") }
    // Messages nested beyond the parser's limit must not exhaust the stack.
    var nested = Onnx_GraphProto()
    for _ in 0..<200 {
      var attribute = Onnx_AttributeProto()
      attribute.g = nested
      var node = Onnx_NodeProto()
      node.attribute = [attribute]
      nested = Onnx_GraphProto()
      nested.node = [node]
    }
    var model = Onnx_ModelProto()
    model.graph = nested
    // Writing has no depth limit, so the bytes exist.
    let bytes: [UInt8] = try model.serializedBytes()
    #expect(throws: FileError.self) { try parse(bytes) }
    // A model cut anywhere is an error or a shorter message, never a trap.
    var whole = Onnx_ModelProto()
    whole.graph.initializer = [TensorDecoderTests.raw(.float32, [2], [0, 0, 0, 0, 0, 0, 0, 0])]
    let complete: [UInt8] = try whole.serializedBytes()
    #expect(try parse(complete).model.graph.initializer.count == 1)
    var refused = 0
    for length in 1..<complete.count where (try? parse(Array(complete[0..<length]))) == nil { refused += 1 }
    #expect(refused == complete.count - 1)
  }
}
