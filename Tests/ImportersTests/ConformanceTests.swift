import Foundation
import Importers
import Testing

/// The official ONNX backend node tests. `Tests/Conformance/write_node_cases.py FOLDER` writes them from the PyPI
/// package `onnx`; the environment variable NNVERIFY_ONNX_CASES names the folder.
@Suite(
  "ONNX backend node tests",
  .enabled(
    if: ProcessInfo.processInfo.environment["NNVERIFY_ONNX_CASES"] != nil,
    "needs NNVERIFY_ONNX_CASES, a folder written by Tests/Conformance/write_node_cases.py; skipped without"))
struct ConformanceTests {
  @Test("most cases pass, the others are refused, none is answered wrongly")
  func all() throws {
    let folder = try #require(ProcessInfo.processInfo.environment["NNVERIFY_ONNX_CASES"])
    let report = try NodeConformance.run(folder: folder)
    for item in report.cases {
      switch item.outcome {
      case .passed, .refused: break
      case .wrong(let why), .failed(let why): Issue.record("\(item.name): \(why)")
      }
    }
    #expect(report.passed >= 1450)
  }
}
