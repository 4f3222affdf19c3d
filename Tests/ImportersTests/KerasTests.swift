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

  /// The graph that ends in the argument of its last softmax.
  private static func withoutSoftmax(_ graph: Graph) throws -> Graph {
    let output = graph[try #require(graph.outputs.first).node]
    guard case .composite = output.operation else { return graph }
    return Graph(
      nodes: graph.nodes, inputs: graph.inputs,
      outputs: [Graph.Output(name: "logits", node: output.inputs[0])])
  }

  /// The outputs for inputs laid out one after the other, in float32.
  private func run(_ graph: Graph, _ x: [Float], count: Int) throws -> [Float] {
    var domain = ConcreteDomain(.deployed)
    let input = Tensor<Float>([count] + graph.inputNodes[0].shape, x)
    return try graph.interpret([.float(input)], in: &domain).outputs[0].float32.elements
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
      let logits = try run(Self.withoutSoftmax(graph), x, count: 50)
      for k in 0..<50 {
        let row = Array(logits[(k * 10)..<(k * 10 + 10)])
        let best = row.indices.max { row[$0] < row[$1] }
        if best == Int(labels.item(start + k)[0]) { right += 1 }
        if start + k < 10, let reference = record["logits_first10"]?[start + k]?.doubles {
          for (a, b) in zip(row, reference) { #expect(abs(Double(a) - b) < 1e-4) }
        }
      }
      if start == 0 {
        let probabilities = try run(graph, x, count: 50)
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

  static let field: String? = {
    let path = SharedData.path("field")
    return FileManager.default.fileExists(atPath: path + "/b25-keras/expected.json") ? path : nil
  }()

  /// Layers, activations, shared layers and models in models, against what Keras 3 predicts.
  @Test(.enabled(if: field != nil, absent)) func layersGiveWhatKerasPredicts() throws {
    let folder = try #require(Self.field) + "/b25-keras"
    let expected = try JSONField(
      root: JSONValue.parse(contentsOf: folder + "/expected.json"), file: "expected.json")
    var compared = 0
    for (name, field) in try expected.members() {
      let file = folder + "/\(name).h5"
      guard FileManager.default.fileExists(atPath: file) else { continue }
      let graph = try Importer.load(file).graph
      // The model's outputs and no other.
      #expect(graph.outputs.count == 1, "\(name)")
      let input = try JSONValue.parse(contentsOf: folder + "/\(name).in.json")
      let x = try #require(input["values"]?.doubles).map { Float($0) }
      let y = try run(graph, x, count: 1)
      let reference = try #require(field.value.doubles)
      #expect(y.count == reference.count, "\(name)")
      for (a, b) in zip(y, reference) {
        #expect(abs(Double(a) - b) < 1e-4 * max(1, abs(b)), "\(name)")
      }
      compared += 1
    }
    #expect(compared >= 46)
  }

  /// A softmax layer at the end is the output, as it is in Keras.
  @Test(.enabled(if: field != nil, absent)) func noOutputIsInvented() throws {
    let folder = try #require(Self.field) + "/b25-keras"
    for name in ["nb_softmax", "sm_layer"] {
      let graph = try Importer.load(folder + "/\(name).h5").graph
      #expect(graph.outputs.count == 1)
      let y = try run(graph, [0.3, -1, 0.5, 2], count: 1)
      #expect(abs(y.reduce(0, +) - 1) < 1e-6, "\(name)")
    }
  }

  /// Sizes that no network has, outputs that are none, windows beyond the image.
  @Test(
    .enabled(if: field != nil, absent),
    arguments: [
      "d09-keras-input-dim/t_act-1", "d09-keras-input-dim/t_act1000000000",
      "d09-keras-input-dim/t_act4611686018427387904", "d10-keras-empty-outputs/k", "d11-keras-pool/t_max",
    ])
  func hostileSizesEndInAnError(name: String) throws {
    let file = try #require(Self.field) + "/\(name).h5"
    let start = Date()
    #expect(throws: (any Error).self) { try Importer.load(file) }
    #expect(Date().timeIntervalSince(start) < 1)
  }

  /// Members of a configuration that change the function are honoured or named.
  @Test(.enabled(if: folder != nil, absent)) func unknownMembersAreNamed() throws {
    let folder = try #require(Self.folder) + "/dlv"
    let temporary = try TemporaryFolder()
    let text = try String(contentsOfFile: folder + "/twodcurve_mlp.json", encoding: .utf8)
    let net = temporary.path("net.h5")
    try FileManager.default.copyItem(atPath: folder + "/twodcurve_mlp.h5", toPath: net)
    for (member, value) in [
      ("lora_rank", "4"), ("quantization_mode", "\"int8\""), ("unheard_of", "false"),
      ("dtype", "\"float64\""),
    ] {
      _ = try temporary.write(
        "net.json",
        text.replacingOccurrences(
          of: "\"output_dim\": 20", with: "\"\(member)\": \(value), \"output_dim\": 20"))
      let error = #expect(throws: UnsupportedOperator.self) { try Importer.load(net) }
      #expect(error?.attribute == member)
    }
    // Weights that contradict the configuration.
    _ = try temporary.write(
      "net.json", text.replacingOccurrences(of: "\"output_dim\": 20", with: "\"output_dim\": 21"))
    #expect(throws: FileError.self) { try Importer.load(net) }
  }

  @Test(.enabled(if: field != nil, absent)) func archivesAndOpenExtentsSayTheWayOut() throws {
    let folder = try #require(Self.field) + "/r15-keras-layers"
    let archive = #expect(throws: FileError.self) { try Importer.load(folder + "/zip.keras") }
    #expect(archive?.reason.contains(".h5") == true)
    let open = #expect(throws: UnsupportedOperator.self) { try Importer.load(folder + "/dynamic-extent.h5") }
    #expect(open?.attribute == "batch_shape")
    var options = ImportOptions()
    options.shapes["input"] = [1, 5, 3]
    let graph = try Importer.load(folder + "/dynamic-extent.h5", options).graph
    #expect(graph[graph.outputs[0].node].shape == [1, 5, 2])
    for name in [
      "batchnormalization", "conv1d", "embedding", "globalaveragepooling2d", "separableconv2d",
    ] {
      #expect(throws: Never.self, "\(name)") { try Importer.load(folder + "/\(name).h5") }
    }
  }
}
