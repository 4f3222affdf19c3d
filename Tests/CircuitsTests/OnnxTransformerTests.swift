import Circuits
import FileFormats
import Foundation
import IR
import Importers
import Language
import Tensors
import TestSupport
import Testing

/// Transformers recognised in ONNX graphs.
@Suite struct OnnxTransformerTests {
  /// The same weights as a folder and as the graph that exporters make of them (`make_tiny_transformers.py`).
  private func fixture(_ name: String) throws -> (folder: TransformerModel, graph: TransformerModel) {
    let path = try #require(Bundle.module.resourcePath) + "/Fixtures/" + name
    return (try TransformerModel(path: path), try TransformerModel(path: path + ".onnx"))
  }

  /// Constants such as sqrt(2 / pi) are float32 in the graph, so that a little more than rounding differs.
  private func expectClose(
    _ x: [Double], _ y: [Double], _ name: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let largest = max(1, y.map(\.magnitude).max() ?? 0)
    #expect(x.count == y.count, "\(name)", sourceLocation: sourceLocation)
    let worst = zip(x, y).map { ($0 - $1).magnitude }.max() ?? .infinity
    #expect(worst < 1e-9 * largest, "\(name): \(worst)", sourceLocation: sourceLocation)
  }

  @Test(arguments: ["tiny-gpt2", "tiny-bert"]) func agreesWithTheFolder(name: String) throws {
    let models = try fixture(name)
    let ids = [3, 1, 4, 15, 9, 2]
    func group(_ model: TransformerModel) throws -> PromptGroup {
      PromptGroup(try model.folder.describe(ids), name: "test", model: model.folder)
    }
    #expect(models.graph.outputKind == models.folder.outputKind)
    #expect(models.graph.configuration.layers == 2 && models.graph.configuration.heads == 4)
    for attention in DecompositionSettings.AttentionMode.allCases {
      for cleaning in DecompositionSettings.SignCleaning.allCases {
        let settings = DecompositionSettings(attention: attention, signCleaning: cleaning)
        let tasks = try [models.graph, models.folder].map {
          try CircuitTask(model: $0, group: group($0), baseline: .computed(.zero), settings: settings)
        }
        let name = "\(name), \(attention), \(cleaning)"
        let units = tasks[0].units(byHead: false)
        expectClose(tasks[0].ablator().clean, tasks[1].ablator().clean, name)
        let scores = try tasks.map { try $0.search().outputScores(units) }
        expectClose(scores[0], scores[1], name)
        #expect(scores[1].contains { abs($0) > 0.1 })
        #expect(try tasks[0].conservationError(of: units) < 1e-12)
        let words = try [models.graph, models.folder].map {
          try TextAttribution($0, $0.folder.describe(ids), level: 1, settings: settings).pieces(.token).map(
            \.score)
        }
        expectClose(words[0], words[1], name + ", words")
        guard cleaning == .none, attention == .split else { continue }
        expectClose(try tasks[0].ablator().importance(units), try tasks[1].ablator().importance(units), name)
        expectClose(
          try tasks[0].ablator().pathImportance(units), try tasks[1].ablator().pathImportance(units), name)
        expectClose(try tasks[0].attribution().nodeScores(), try tasks[1].attribution().nodeScores(), name)
      }
    }
    #expect(throws: FileError.self) { try models.graph.embed([[1, 2, 3]]) }
    #expect(throws: FileError.self) { try models.graph.embed([[1, 2, 3, 4, 5, 20]]) }
  }

  /// Networks of many exporters' shapes: what is rewritten computes what the file does.
  @Test(
    .enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)),
    arguments: [
      "gpt_char", "enc_text_ids", "enc_text_novarln", "enc_text_postln", "enc_text_preln_gelu",
      "evit_digits_keep8",
      "itransformer_macro4", "vit_digits_ewa", "vit_digits_relu_nocls", "vitpose_digits",
    ])
  func zoo(name: String) throws {
    let model = try TransformerModel(path: SharedData.path("zoo/\(name)/model.onnx"))
    let cases = try #require(try SharedData.json("zoo/\(name)/cases.json")["cases"]?.arrayValue)
    for entry in cases.prefix(3) {
      let input = try #require(entry["inputs"]?.objectValue?.entries.first?.value)
      let output = try #require(entry["torch_float64"]?.objectValue?.entries.first?.value["data"]?.doubles)
      let encoding: Encoding
      if let numbers = input["data"]?.ints, model.folder.inputShape == nil {
        encoding = try model.folder.describe(numbers)
      } else {
        let numbers = try #require(input["data"]?.doubles)
        encoding = try model.folder.encode(values: numbers, FileError(file: name, reason: ""))
      }
      let transformer = try model.lower(positions: encoding.ids.count)
      let run = try PlainRun(
        transformer, embeddings: try model.embed([encoding.ids], values: [encoding.values]))
      expectClose(run.value(transformer.output).elements, output, name)
      #expect(try model.conservationError(encoding.ids, values: encoding.values) < 1e-11)
      let group = PromptGroup(encoding, name: name, model: model.folder)
      let task = try CircuitTask(model: model, group: group, baseline: .computed(.zero))
      // A deletion of everything is the same for the patched pass and the decomposition's baseline.
      let units = task.units(byHead: false)
      #expect(try Faithfulness(task.ablator()).value(of: units) == 1)
      #expect(try task.search().outputScores(units).allSatisfy(\.isFinite))
    }
  }

  @Test func otherNetworksAreRefused() throws {
    let networks = SharedData.project.appendingPathComponent("networks").path
    let error = #expect(throws: FileError.self) { try TransformerModel(path: networks + "/digits-mlp.onnx") }
    #expect(error?.reason.contains("no attention") == true)
    #expect(throws: FileError.self) { try TransformerModel(path: networks + "/README.md") }
    let model = try TransformerModel(path: networks + "/digits-transformer.onnx")
    #expect(throws: FileError.self) { try model.folder.encode("seven") }
    #expect(throws: FileError.self) {
      try model.folder.encode(values: [1, 2], FileError(file: "x", reason: ""))
    }
    // Edges need the stream to be a sum of what heads write.
    let encoding = try model.folder.encode(
      values: [Double](repeating: 0.5, count: 64), FileError(file: "", reason: ""))
    let group = PromptGroup(encoding, name: "x", model: model.folder)
    let task = try CircuitTask(model: model, group: group, baseline: .computed(.zero))
    #expect(throws: UnsupportedOperator.self) { try task.attribution().edgeScores() }
  }
}
