import FileFormats
import Foundation
import TestSupport
import Testing

/// Malformed input ends in one clear error.
@Suite struct ErrorTests {
  static let model = "networks/indirect-object"

  /// A copy of the shipped model.
  private func copy(_ folder: TemporaryFolder, leavingOut: String...) throws -> String {
    let target = folder.path("model")
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    let source = SharedData.project.appendingPathComponent(Self.model)
    for file in ["config.json", "model.safetensors", "tokenizer.json", "vocab.json"]
    where !leavingOut.contains(file) {
      try FileManager.default.copyItem(
        at: source.appendingPathComponent(file), to: URL(fileURLWithPath: target).appendingPathComponent(file)
      )
    }
    return target
  }

  private func expectError(
    _ arguments: [String], _ parts: String..., status: Int32 = 2,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try cdt.run(arguments)
    #expect(result.status == status && !result.crashed, "\(result.errors)", sourceLocation: sourceLocation)
    #expect(result.output.isEmpty, sourceLocation: sourceLocation)
    #expect(
      result.errors.split(separator: "\n").count == 1, "\(result.errors)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(result.errors.contains(part), "\(result.errors)", sourceLocation: sourceLocation)
    }
  }

  /// Replaces the header of a safetensors file by an edited one.
  private func rewrite(_ path: String, _ edit: (inout String, inout [UInt8]) -> Void) throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let length = Int(
      bytes[0..<8].enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) })
    var header = String(decoding: bytes[8..<(8 + length)], as: UTF8.self)
    var data = Array(bytes[(8 + length)...])
    edit(&header, &data)
    var size = UInt64(header.utf8.count)
    var result: [UInt8] = []
    for _ in 0..<8 {
      result.append(UInt8(size & 255))
      size >>= 8
    }
    try Data(result + Array(header.utf8) + data).write(to: URL(fileURLWithPath: path))
  }

  @Test func weights() throws {
    let folder = try TemporaryFolder()
    let model = try copy(folder)
    let file = model + "/model.safetensors"
    let whole = try Data(contentsOf: URL(fileURLWithPath: file))
    for size in [whole.count / 2, 100, 5, 0] {
      try whole.prefix(size).write(to: URL(fileURLWithPath: file))
      try expectError(["inspect", model], "model.safetensors")
    }
    try whole.write(to: URL(fileURLWithPath: file))
    try rewrite(file) { header, _ in
      header = header.replacingOccurrences(
        of: "transformer.h.2.mlp.c_fc.weight", with: "transformer.h.2.mlp.c_xx.weight")
    }
    try expectError(["inspect", model], "transformer.h.2.mlp.c_fc.weight", "missing")
    try whole.write(to: URL(fileURLWithPath: file))
    try rewrite(file) { _, data in
      for (i, byte) in [UInt8(0), 0, 0xC0, 0x7F].enumerated() { data[400 + i] = byte }
    }
    try expectError(["run", model, "--ids", "1,2"], "NaN", "tensor ")
  }

  @Test func prompts() throws {
    let folder = try TemporaryFolder()
    func command(_ lines: String...) throws -> [String] {
      ["circuits", Self.model, "--prompts", try folder.write("p.jsonl", lines.joined(separator: "\n"))]
    }
    let good = #"{"clean_ids":[0,5,6],"corrupted_ids":[0,6,6],"answer":"Mary","wrong_answer":"John"}"#
    try expectError(command(good, #"{"clean_ids":[0,5],"corrupted_ids":[0,6]}"#), "line 2", "equal lengths")
    try expectError(
      command(good, #"{"clean_ids":[0,5,86],"corrupted_ids":[0,6,6]}"#), "line 2", "vocabulary of 86")
    try expectError(command(good, #"{"clean_ids":[0,5,"#), "line 2")
    try expectError(command(#"{"clean_ids":[0,5,6]}"#), "line 1")
    try expectError(command(), "no prompt")
    try expectError(["circuits", Self.model, "--prompts", folder.path("none.jsonl")], "none.jsonl")
  }

  @Test func baselineOfAnotherLength() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("b.json")
    #expect(
      try cdt.run(["baseline", Self.model, "--prompts", Self.model + "/prompts.jsonl", "-o", path]).status
        == 0)
    let other = try folder.write(
      "p.jsonl", #"{"clean_ids":[0,5,6],"corrupted_ids":[0,6,6],"answer":"Mary","wrong_answer":"John"}"#)
    try expectError(
      ["circuits", Self.model, "--prompts", other, "--baseline", path], "15 positions", "have 3")
  }

  @Test func results() throws {
    let prompts = ["--prompts", Self.model + "/prompts.jsonl"]
    try expectError(
      ["circuits", Self.model, "-o", "/nowhere/c.json"] + prompts, "/nowhere/c.json", "no folder")
    try expectError(["graph", Self.model + "/config.json"], "nodes")
    try expectError(["run", Self.model, "--ids", "1,2,99"], "token 99")
    try expectError(["run", "networks", "--ids", "1"], "config.json")
    let usage = try cdt.run(["run", Self.model])
    #expect(usage.status == 1)
  }
}
