import Foundation
import Importers
import TestSupport
import Testing

/// The coverage table says what the importer does.
@Suite struct CoverageTests {
  private func check(_ observed: [String: Set<String>], _ source: String) {
    let table = Dictionary(uniqueKeysWithValues: OnnxImporter.coverage.map { ($0.name, Set($0.kinds)) })
    for (name, kinds) in observed {
      guard let declared = table[name] else { continue }
      #expect(kinds.isSubset(of: declared), "\(source): \(name) became \(kinds.sorted())")
    }
  }

  @Test func everyOperatorHasARow() {
    let names = OnnxImporter.coverage.map(\.name)
    #expect(names == OnnxImporter.supportedOperators)
    #expect(Set(["Conv", "Relu", "Softmax", "TopK", "LSTM"]).isSubset(of: names))
    let treatments = Dictionary(uniqueKeysWithValues: OnnxImporter.coverage.map { ($0.name, $0.treatment) })
    #expect(treatments["Conv"] == .relaxed)  // variable weights make it a product
    #expect(treatments["Reshape"] == .exact)
    #expect(treatments["Shape"] == .folded)
    #expect(treatments["Greater"] == .union)
  }

  @Test(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
  func referenceNetworksAgreeWithTheTable() throws {
    for folder in ["zoo", "verification/opzoo", "fidelity/onnx", "smt/import/onnx"] {
      let root = SharedData.path(folder)
      guard let files = FileManager.default.enumerator(atPath: root) else { continue }
      for case let file as String in files where file.hasSuffix(".onnx") {
        guard let network = try? OnnxImporter.load(path: root + "/" + file) else { continue }
        check(network.kindsByOperator, file)
      }
    }
  }

  /// Both directions: every kind in the table was seen somewhere.
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.environment["NNVERIFY_ONNX_CASES"] != nil && SharedData.isPresent,
      "needs NNVERIFY_ONNX_CASES and the shared reference data"))
  func theOfficialNodeTestsAgreeWithTheTable() throws {
    let folder = ProcessInfo.processInfo.environment["NNVERIFY_ONNX_CASES"] ?? ""
    var seen: [String: Set<String>] = [:]
    for item in try NodeConformance.run(folder: folder).cases {
      for (name, kinds) in item.kinds { seen[name, default: []].formUnion(kinds) }
    }
    check(seen, "node tests")
    #expect(seen.count > 150)
  }

  @Test func theDocumentCarriesTheTable() throws {
    let path = SharedData.project.appendingPathComponent("docs/operators.md").path
    let text = try String(contentsOfFile: path, encoding: .utf8)
    for operation in OnnxImporter.coverage {
      let kinds = operation.kinds.isEmpty ? "-" : operation.kinds.joined(separator: ", ")
      #expect(
        text.contains("| \(operation.name) | \(kinds) | \(operation.treatment.rawValue) |"),
        "docs/operators.md lacks the row of \(operation.name)")
    }
  }
}
