import CKernels
import Circuits
import FileFormats
import Foundation
import Importers
import Language
import TestSupport
import Testing

/// Invariants on models and kernels of their own.
@Suite struct AdditivityTests {
  /// A model without variance, biases and MLP: with frozen attention every token's part is linear in it.
  private func linearModel(_ folder: TemporaryFolder) throws -> TransformerModel {
    let (width, layers, vocabulary) = (8, 2, 12)
    let config = """
      {"format":"sst2-transformer","layers":\(layers),"hidden":\(width),"heads":2,"intermediate":4,"embedding":\(width),
      "vocabulary_size":\(vocabulary),"activation":"relu","pooler_activation":"tanh"}
      """
    _ = try folder.write("model.json", config)
    var generator = SystemRandomNumberGenerator()
    func random(_ count: Int) -> [Double] {
      (0..<count).map { _ in Double.random(in: -1...1, using: &generator) }
    }
    func zeros(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }
    var tensors: [(String, [Int], [Double])] = [
      ("embeddings.word_embeddings.weight", [vocabulary, width], random(vocabulary * width)),
      ("linear_in.weight", [width, width], random(width * width)), ("linear_in.bias", [width], zeros(width)),
    ]
    func norm(_ name: String) {
      tensors.append((name + ".weight", [width], random(width)))
      tensors.append((name + ".bias", [width], zeros(width)))
    }
    norm("LayerNorm")
    for layer in 0..<layers {
      let base = "bert.encoder.layer.\(layer)."
      for name in [
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
      ] {
        tensors.append((base + name + ".weight", [width, width], random(width * width)))
        tensors.append((base + name + ".bias", [width], zeros(width)))
      }
      norm(base + "attention.output.LayerNorm")
      tensors.append((base + "intermediate.dense.weight", [4, width], zeros(4 * width)))
      tensors.append((base + "intermediate.dense.bias", [4], zeros(4)))
      tensors.append((base + "output.dense.weight", [width, 4], zeros(4 * width)))
      tensors.append((base + "output.dense.bias", [width], zeros(width)))
      norm(base + "output.LayerNorm")
    }
    try SafetensorsFile.write(
      tensors.map { ($0.0, $0.1, $0.2) }, to: OutputFile(folder.path("model.safetensors")))
    return try TransformerModel(path: folder.url.path)
  }

  @Test func linearModelsAreAdditive() throws {
    let folder = try TemporaryFolder()
    let model = try linearModel(folder)
    #expect(model.outputKind == .hidden)
    let encoding = try model.folder.describe([3, 1, 4, 1, 5])
    func attribution(_ mode: DecompositionSettings.AttentionMode) throws -> TextAttribution {
      try TextAttribution(
        model, encoding, settings: DecompositionSettings(attention: mode, signCleaning: .none))
    }
    let frozen = try attribution(.frozen)
    let scores = try frozen.scores([[0], [1], [2], [3], [4], [0, 2], [1, 3, 4]])
    let full = frozen.full
    #expect(abs(scores[0...4].reduce(0, +) - full) < 1e-12 * max(1, abs(full)))
    #expect(abs(scores[5] + scores[6] - full) < 1e-12 * max(1, abs(full)))
    #expect(abs(scores[0] + scores[2] - scores[5]) < 1e-12 * max(1, abs(full)))
    // Split attention is not linear; the test must be able to fail.
    let split = try attribution(.split).scores([[0], [2], [0, 2]])
    #expect(abs(split[0] + split[1] - split[2]) > 1e-9)
  }

  @Test func cleaningKeepsSumsAndLeavesNoOppositePair() {
    var generator = SystemRandomNumberGenerator()
    var beta = (0..<1000).map { _ in Double.random(in: -1...1, using: &generator) }
    var gamma = (0..<1000).map { _ in Double.random(in: -1...1, using: &generator) }
    // A tie: beta keeps the total. Zeros stay.
    (beta[0], gamma[0]) = (0.5, -0.5)
    (beta[1], gamma[1]) = (0, -0.5)
    let (b, g) = (beta, gamma)
    ck_cd_clean_pair(1000, &beta, &gamma)
    for i in 0..<1000 {
      #expect(beta[i] * gamma[i] >= 0 && beta[i] + gamma[i] == b[i] + g[i])
      if b[i] * g[i] >= 0 { #expect(beta[i] == b[i] && gamma[i] == g[i]) }
    }
    #expect(beta[0] == 0 && gamma[0] == 0 && beta[1] == 0)
    // One stream: the same beta.
    var single = b
    let total = zip(b, g).map { $0 + $1 }
    ck_cd_clean(1000, total, &single)
    #expect(zip(single, beta).allSatisfy { abs($0 - $1) < 1e-15 })
  }

  @Test func floatProductsAreCloseAndLooserChecked() throws {
    let model = try TransformerModel(
      path: SharedData.project.appendingPathComponent("networks/indirect-object").path)
    let encoding = try model.folder.encode("Then Mary and John went to the store . John gave a drink to")
    func scores(_ precision: DecompositionSettings.Precision) throws -> [Double] {
      let settings = DecompositionSettings(precision: precision)
      let attribution = try TextAttribution(model, encoding, settings: settings)
      #expect(try attribution.conservationError() <= settings.conservationLimit)
      return try attribution.scores(encoding.ids.indices.map { [$0] })
    }
    let (double, float) = (try scores(.double), try scores(.float))
    let worst = zip(double, float).map { ($0 - $1).magnitude }.max() ?? 0
    #expect(worst > 0 && worst < 1e-5 * (double.map(\.magnitude).max() ?? 0))
    let logits = try model.deployed(encoding.ids).elements
    let transformer = try model.lower(positions: encoding.ids.count)
    let run = try PlainRun(transformer, embeddings: try model.embed([encoding.ids]))
    let exact = run.value(transformer.output).elements
    #expect(logits != exact && zip(logits, exact).allSatisfy { abs($0 - $1) < 1e-3 })
  }
}
