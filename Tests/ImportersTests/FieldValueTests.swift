import Domains
import FileFormats
import Foundation
import Importers
import Tensors
import TestSupport
import Testing

/// Values of onnxruntime (make_field_values.py) for networks of `../shared/field`: batch normalisation, pooling with
/// ceil_mode, Resize, quantisation, old opsets.
@Suite(
  "Networks of the field give the values of onnxruntime",
  .enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct FieldValueTests {
  static let cases: [(name: String, value: JSONValue)] = {
    guard let path = Bundle.module.path(forResource: "field-values", ofType: "json", inDirectory: "Fixtures"),
      let document = try? JSONValue.parse(contentsOf: path)
    else { return [] }
    return (document.objectValue?.keys ?? []).compactMap { name in document[name].map { (name, $0) } }
  }()

  @Test func allAreHere() { #expect(Self.cases.count == 214) }

  @Test(arguments: ["b09-bn-dynamic", "b10-avgpool-ceil", "b11-resize", "b12-qdq", "b27-old-opsets"])
  func values(folder: String) throws {
    for (name, document) in Self.cases where name.hasPrefix(folder) {
      let shape = Shape(try #require(document["input"]?["shape"]?.ints))
      let input = try #require(document["input"]?["values"]?.doubles)
      let file = SharedData.path("field/" + name)
      let first = try Importer.load(file, ImportOptions(batch: shape.dims.first))
      let graphInput = try #require(first.graph.inputNodes.first)
      let network = try Importer.load(file, ImportOptions(shapes: [graphInput.name: shape]))
      let outputs = try network.run([input])
      let expected = try #require(document["outputs"]?.arrayValue).map { $0.doubles ?? [] }
      #expect(outputs.count == expected.count, "\(name)")
      for (own, right) in zip(outputs, expected) {
        let scale = right.map(\.magnitude).max() ?? 1
        let isClose =
          own.count == right.count
          && zip(own, right).allSatisfy { ($0 - $1).magnitude <= 2e-5 * max(1, scale) || $0 == $1 }
        #expect(isClose, "\(name): \(own) instead of \(right)")
      }
    }
  }
}
