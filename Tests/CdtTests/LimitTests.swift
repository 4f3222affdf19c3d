import FileFormats
import Foundation
import TestSupport
import Testing

/// Limits of `cdt` hold, and its outputs do not destroy.
@Suite(.serialized) struct LimitTests {
  /// A search that takes minutes.
  private static let long = [
    "circuits", "networks/indirect-object", "--prompts", "networks/indirect-object/prompts.jsonl", "--random",
    "100000",
  ]

  @Test func timeLimit() throws {
    let result = try cdt.run(Self.long + ["--timeout", "0.5", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.seconds < 5)
    #expect(try JSONValue.parse(result.output)["partial"] == .bool(true))
  }

  @Test func memoryLimit() throws {
    let result = try cdt.run(Self.long + ["--memory", "0.02"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.hasPrefix("partial: the memory limit was reached"))
  }

  /// A file of the model's folder is an input, whatever it is called.
  @Test func outputsThatAreInputs() throws {
    let folder = try TemporaryFolder()
    let model = folder.path("model")
    try FileManager.default.copyItem(
      at: SharedData.project.appendingPathComponent("networks/indirect-object"),
      to: URL(fileURLWithPath: model))
    let config = model + "/config.json"
    let before = try Data(contentsOf: URL(fileURLWithPath: config))
    let result = try cdt("run", model, "--ids", "1,2", "--dump", config)
    #expect(result.status == 2 && result.errors.contains("input"), "\(result.errors)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: config)) == before)
  }
}
