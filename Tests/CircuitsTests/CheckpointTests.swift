import Domains
import FileFormats
import Foundation
import IR
import Importers
import Tensors
import TestSupport
import Testing

/// Checkpoints run as what they say they are, or are refused.
@Suite struct CheckpointTests {
  static let isPresent = FileManager.default.fileExists(
    atPath: SharedData.path("field/b21-hf-models/expected.json"))
  static let comment = Comment(rawValue: SharedData.comment)

  private func output(_ path: String, _ ids: [Int]) throws -> [Double] {
    let model = try TransformerModel(path: path)
    var domain = ConcreteDomain(.float64)
    let graph = try model.lower(positions: ids.count).graph
    return try graph.interpret([.double(model.embed([ids]))], in: &domain).outputs[0].float64.elements
  }

  private func compare(_ path: String, _ record: JSONValue, _ name: String) throws {
    let ids = try #require(record["ids"]?.doubles).map { Int($0) }
    let y = try output(path, ids)
    let reference = try #require(record["y"]?.doubles)
    let scale = max(1, reference.map(\.magnitude).max() ?? 0)
    #expect(y.count == reference.count, "\(name)")
    let worst = zip(y, reference).map { ($0 - $1).magnitude }.max() ?? 0
    #expect(worst < 2e-4 * scale, "\(name): \(worst)")
  }

  /// Heads, activations, padded positions, names of tensors, against transformers.
  @Test(.enabled(if: isPresent, comment)) func foldersGiveWhatTransformersGives() throws {
    let folder = SharedData.path("field/b21-hf-models")
    let expected = try JSONField(
      root: JSONValue.parse(contentsOf: folder + "/expected.json"), file: "expected.json")
    // Kinds that are not read, heads that are not built, activations that are no one function.
    let refused: Set<String> = [
      "albert", "bert_bin", "bert_mlm", "bert_mlm_gammabeta", "bert_mlm_untied", "bert_pre", "bert_qa",
      "bert_tok",
      "camembert", "distil_mlm", "distil_qa", "distil_tok", "gpt2_act_gelu_10", "gpt2_act_laplace",
      "gpt2_act_relu2", "gpt2_lmhead_only", "gpt2_tok", "gptneo", "llama", "mpnet", "neox", "opt",
      "roberta_mlm",
      "roberta_tok",
    ]
    for (name, field) in try expected.members() {
      let path = folder + "/" + name
      guard FileManager.default.fileExists(atPath: path) else { continue }
      if refused.contains(name) {
        let ids = try #require(field.value["ids"]?.doubles).map { Int($0) }
        #expect(throws: (any Error).self, "\(name)") { try output(path, ids) }
      } else {
        try compare(path, field.value, name)
      }
    }
    let torch = #expect(throws: FileError.self) { try TransformerModel(path: folder + "/bert_bin") }
    #expect(torch?.file.hasSuffix("pytorch_model.bin") == true)
    #expect(torch?.reason.contains("save_pretrained") == true)
  }

  /// What exporters write: eager and scaled dot-product attention with its guard against NaN, open lengths.
  @Test(.enabled(if: isPresent, comment)) func exportsGiveWhatTorchGives() throws {
    let folder = SharedData.path("field/b28-onnx-transformers")
    for file in ["expected", "expected_static"] {
      let expected = try JSONField(
        root: JSONValue.parse(contentsOf: folder + "/\(file).json"), file: file)
      for (name, field) in try expected.members() {
        let path = folder + "/\(name).onnx"
        // These hold a Dropout in training mode with a positive ratio.
        let isRandom = ["distil_cls_eager_dyn", "st_distil_cls_eager_dyn", "st_distil_cls_sdpa_dyn"]
        guard FileManager.default.fileExists(atPath: path), !isRandom.contains(name) else { continue }
        try compare(path, field.value, name)
      }
    }
    let guarded = SharedData.path("field/r13-safe-softmax-isnan/net.onnx")
    #expect(try TransformerModel(path: guarded).lower(positions: 3).layers.count == 1)
  }

  /// A copy of a fixture with its configuration changed.
  private func changed(_ fixture: String, _ members: String, in folder: TemporaryFolder) throws -> String {
    let source = try #require(Bundle.module.resourcePath) + "/Fixtures/" + fixture
    let target = folder.path(UUID().uuidString)
    try FileManager.default.copyItem(atPath: source, toPath: target)
    let text = try String(contentsOfFile: target + "/config.json", encoding: .utf8)
    try text.replacingOccurrences(of: "{\"model_type\"", with: "{\(members), \"model_type\"")
      .write(toFile: target + "/config.json", atomically: true, encoding: .utf8)
    return target
  }

  @Test(arguments: [
    "BertForMaskedLM", "BertForQuestionAnswering", "BertForTokenClassification", "BertForPreTraining",
    "BertForMultipleChoice", "BertLMHeadModel", "RobertaModel", "MyBert",
  ])
  func unknownHeadsAreRefused(architecture: String) throws {
    let folder = try TemporaryFolder()
    let path = try changed("tiny-bert", "\"architectures\": [\"\(architecture)\"]", in: folder)
    let error = #expect(throws: UnsupportedOperator.self) { try TransformerModel(path: path) }
    #expect(error?.operatorName == architecture)
  }

  @Test func tensorsThatAreNotReadAreNamed() throws {
    let folder = try TemporaryFolder()
    let path = try changed("tiny-bert", "\"vocab\": 0", in: folder)
    let file = try SafetensorsFile(path: path + "/model.safetensors")
    let stored: [(name: String, shape: [Int], values: [Double])] = try file.entries.map {
      (name: $0.name, shape: $0.shape, values: try file.doubles($0.name))
    }
    func write(_ extra: String) throws {
      try SafetensorsFile.write(
        stored + [(name: extra, shape: [1, 2], values: [0, 1])], to: OutputFile(path + "/model.safetensors"))
    }
    try write("embeddings.position_ids")
    #expect(throws: Never.self) { try TransformerModel(path: path) }
    try write("qa_outputs.weight")
    let error = #expect(throws: FileError.self) { try TransformerModel(path: path) }
    #expect(error?.place == "tensor qa_outputs.weight")
  }
}
