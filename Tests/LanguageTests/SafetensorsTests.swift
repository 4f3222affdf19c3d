import FileFormats
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  private func write(_ header: String, data: [UInt8], length: UInt64? = nil, to path: String) throws {
    var bytes = Data()
    let text = Array(header.utf8)
    withUnsafeBytes(of: (length ?? UInt64(text.count)).littleEndian) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: text)
    bytes.append(contentsOf: data)
    try bytes.write(to: URL(fileURLWithPath: path))
  }

  @Test func readsEveryFloatingPointType() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    // 1.5 and -2 as F16, BF16, F32.
    let half: [UInt8] = [0x00, 0x3E, 0x00, 0xC0]
    let brain: [UInt8] = [0xC0, 0x3F, 0x00, 0xC0]
    let single: [UInt8] = [0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0]
    try write(
      #"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"#
        + #""c":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}"#, data: half + brain + single, to: path)
    let file = try SafetensorsFile(path: path)
    for name in ["a", "b", "c"] { #expect(try file.doubles(name) == [1.5, -2]) }
    #expect(try file.rows("c", [0]) == [1.5, -2])
  }

  @Test func writesWhatItReads() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write([("z", [2, 1], [0.1, -3])], metadata: ["kind": "mean"], to: OutputFile(path))
    #expect(try SafetensorsFile(path: path).doubles("z", shape: [2, 1]) == [0.1, -3])
  }

  @Test(arguments: [
    // Overlap, a hole, beyond the end, a size that does not fit, an unknown type, a negative extent, an overflow.
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      "overlap"
    ),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, "belong to no tensor"),
    (#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}"#, "truncated"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, "takes 4 bytes"),
    (#"{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,8]}}"#, "not supported"),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, "impossible"),
    (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, "impossible"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "start and an end"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#, "unexpected end"),
  ])
  func rejectsFalseHeaders(header: String, reason: String) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try write(header, data: [0, 0, 0, 0, 0, 0, 0, 0], to: path)
    let error = #expect(throws: FileError.self) { try SafetensorsFile(path: path) }
    #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    #expect(error?.file == path)
  }

  @Test func namesMissingAndNonFiniteTensors() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try write(
      #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: [0, 0, 0, 0, 0, 0, 0xC0, 0x7F],
      to: path)
    let file = try SafetensorsFile(path: path)
    let nan = #expect(throws: FileError.self) { try file.checkFinite() }
    #expect(nan?.place == "tensor w" && nan?.reason.contains("NaN") == true)
    let missing = #expect(throws: FileError.self) { try file.doubles("v") }
    #expect(missing?.place == "tensor v")
    try write("{}", data: [], length: 1 << 60, to: path)
    #expect(throws: FileError.self) { try SafetensorsFile(path: path) }
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
    #expect(throws: FileError.self) { try SafetensorsFile(path: path) }
  }
}
