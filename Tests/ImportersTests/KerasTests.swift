import Domains
import FileFormats
import Foundation
import IR
import Importers
import Tensors
import TestSupport
import Testing

@Suite struct KerasTests {
  static let folder: String? = {
    let path = SharedData.path("smt")
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }()
  static let absent = Comment(rawValue: SharedData.comment)

  /// The outputs for inputs laid out one after the other, in float32.
  private func run(_ graph: Graph, _ x: [Float], count: Int, output: Int = 0) throws -> [Float] {
    var domain = ConcreteDomain(.deployed)
    let input = Tensor<Float>([count] + graph.inputNodes[0].shape, x)
    return try graph.interpret([.float(input)], in: &domain).outputs[output].float32.elements
  }

  @Test(.enabled(if: folder != nil, absent), arguments: ["mnist", "mnist2"])
  func theanoWeightsReproduceOutputsAndAccuracy(name: String) throws {
    let folder = try #require(Self.folder) + "/dlv"
    let graph = try Importer.load(folder + "/\(name).h5").graph
    let expected = try JSONValue.parse(contentsOf: folder + "/expected_outputs.json")
    let record = try #require(expected[name])
    let images = try IdxFile(contentsOf: folder + "/t10k-images-first500-idx3-ubyte.gz")
    let labels = try IdxFile(contentsOf: folder + "/t10k-labels-first500-idx1-ubyte.gz")
    var right = 0
    for start in stride(from: 0, to: 500, by: 50) {
      let x = (start..<(start + 50)).flatMap { images.item($0).map { Float($0 / 255) } }
      let logits = try run(graph, x, count: 50)
      for k in 0..<50 {
        let row = Array(logits[(k * 10)..<(k * 10 + 10)])
        let best = row.indices.max { row[$0] < row[$1] }
        if best == Int(labels.item(start + k)[0]) { right += 1 }
        if start + k < 10, let reference = record["logits_first10"]?[start + k]?.doubles {
          for (a, b) in zip(row, reference) { #expect(abs(Double(a) - b) < 1e-4) }
        }
      }
      if start == 0 {
        let probabilities = try run(graph, x, count: 50, output: 1)
        let reference = try #require(record["probs_first10"]?[3]?.doubles)
        for i in 0..<10 { #expect(abs(Double(probabilities[30 + i]) - reference[i]) < 1e-4) }
      }
    }
    // With kernels that are not turned, some 20 points are lost.
    #expect(Double(right) / 500 == record["accuracy_first500"]?.doubleValue)
  }

  @Test(.enabled(if: folder != nil, absent)) func keras2ModelsReproduceOutputs() throws {
    let folder = try #require(Self.folder)
    let lines = try JSONValue.parseLines(contentsOf: folder + "/import/keras_expected.jsonl")
    #expect(lines.count == 2)
    for (_, record) in lines {
      let graph = try Importer.load(folder + "/" + #require(record["network"]?.stringValue)).graph
      let x = try #require(record["input"]?["data"]?.doubles).map { Float($0) }
      let y = try run(graph, x, count: 1)
      let expected = try #require(record["output"]?.doubles)
      let tolerance = try #require(record["tolerance"]?.doubleValue)
      #expect(y.count == expected.count)
      for (a, b) in zip(y, expected) { #expect(abs(Double(a) - b) < tolerance) }
    }
  }

  @Test(.enabled(if: folder != nil, absent)) func theCurveEqualsItsOnnxConversion() throws {
    let folder = try #require(Self.folder) + "/dlv"
    let keras = try Importer.load(folder + "/twodcurve_mlp.h5").graph
    let onnx = try Importer.load(folder + "/twodcurve_mlp.onnx").graph
    let x = (0..<200).map { Float($0 % 17) * 0.3 }
    let a = try run(keras, x, count: 100)
    let b = try run(onnx, x, count: 100)
    for (p, q) in zip(a, b) { #expect(abs(p - q) < 1e-5) }
  }

  @Test(.enabled(if: folder != nil, absent)) func damagedFilesAreRefused() throws {
    let folder = try #require(Self.folder)
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    let weights = try Data(contentsOf: URL(fileURLWithPath: folder + "/dlv/twodcurve_mlp.h5"))
    let alone = url.appendingPathComponent("alone.h5")
    try weights.write(to: alone)
    #expect(throws: FileError.self) { try Importer.load(alone.path) }
    let text = try String(contentsOfFile: folder + "/dlv/twodcurve_mlp.json", encoding: .utf8)
    for (old, new) in [
      ("\"fc_2\"", "\"fc_9\""), ("[null, 2]", "[null, 3]"), ("\"Dense\"", "\"Danse\""),
      ("[null, 2]", "[null, null]"),
      ("\"Model\"", "\"Mobel\""), ("\"relu\"", "\"rely\""),
    ] {
      try weights.write(to: url.appendingPathComponent("net.h5"))
      try text.replacingOccurrences(of: old, with: new).write(
        to: url.appendingPathComponent("net.json"), atomically: true, encoding: .utf8)
      #expect(throws: (any Error).self, "\(old)") {
        try Importer.load(url.appendingPathComponent("net.h5").path)
      }
    }
  }
}
