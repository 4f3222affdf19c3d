import FileFormats
import Language
import Tensors

/// Reads the tensors of a checkpoint into the layout of the graphs: every matrix `[in, out]`.
struct WeightReader {
  let folder: ModelFolder
  let names: WeightNames
  private let used = UsedTensors()

  /// The names of the tensors that were read.
  private final class UsedTensors {
    var names: Set<String> = []
  }

  init(folder: ModelFolder, names: WeightNames) {
    self.folder = folder
    self.names = names
    used.names.formUnion([names.tokenTable, names.positionTable, names.typeTable].compactMap { $0 })
    for name in [names.embeddingMap, names.embeddingNorm].compactMap({ $0 }) {
      used.names.formUnion([".weight", ".bias", ".gamma", ".beta"].map { name + $0 })
    }
    // The format stores tables that its networks do not add.
    if folder.configuration.projectsEmbeddings {
      used.names.formUnion(["position", "token_type"].map { "embeddings.\($0)_embeddings.weight" })
    }
  }

  private var width: Int { folder.configuration.width }

  /// Refuses tensors that were not read: what the graphs compute would not be what the checkpoint holds.
  func refuseUnused() throws {
    for file in folder.weights.files {
      for entry in file.entries where !used.names.contains(entry.name) && !Self.isBuffer(entry.name) {
        let kind = folder.configuration.architecture ?? "\(folder.configuration.modelType) model"
        throw FileError(
          file: file.file, place: "tensor \(entry.name)",
          reason: "is no part of a \(kind) as it is read here, and would be left out")
      }
    }
  }

  /// Numbers that follow from the configuration: positions, and the causal mask of old GPT-2 files.
  private static func isBuffer(_ name: String) -> Bool {
    ["position_ids", "token_type_ids"].contains { name == $0 || name.hasSuffix("." + $0) }
      || name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias")
  }

  private func doubles(_ name: String, _ shape: [Int]) throws -> [Double] {
    used.names.insert(name)
    return try folder.weights.file(of: name).doubles(name, shape: shape)
  }

  func norm(_ name: String) throws -> TransformerModel.Norm {
    // Checkpoints converted from TensorFlow call the gain gamma and the shift beta.
    let old = !folder.weights.contains(name + ".weight") && folder.weights.contains(name + ".gamma")
    let gain = try doubles(name + (old ? ".gamma" : ".weight"), [width])
    let shift = try doubles(name + (old ? ".beta" : ".bias"), [width])
    return TransformerModel.Norm(gain: Weight(Tensor([width], gain)), shift: Weight(Tensor([width], shift)))
  }

  private func bias(_ name: String, _ count: Int) throws -> Tensor<Double>? {
    guard folder.weights.contains(name) else { return nil }
    return Tensor([count], try doubles(name, [count]))
  }

  /// A PyTorch Linear, stored `[out, in]`.
  func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws -> TransformerModel.Linear {
    let stored = try doubles(name + ".weight", [outputs, inputs])
    return TransformerModel.Linear(
      weight: Weight(Tensor([inputs, outputs], Self.transposed(stored, outputs, inputs))),
      bias: try bias(name + ".bias", outputs))
  }

  static func transposed(_ x: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    [Double](unsafeUninitializedCapacity: x.count) { out, count in
      x.withUnsafeBufferPointer { x in
        // Blocks of 16 keep both sides in the cache.
        for r0 in stride(from: 0, to: rows, by: 16) {
          for c0 in stride(from: 0, to: columns, by: 16) {
            for r in r0..<min(r0 + 16, rows) {
              for c in c0..<min(c0 + 16, columns) { out[c * rows + r] = x[r * columns + c] }
            }
          }
        }
      }
      count = x.count
    }
  }

  /// A GPT-2 Conv1D, stored `[in, out]`.
  private func convolution(_ name: String, _ inputs: Int, _ outputs: Int) throws -> TransformerModel.Linear {
    TransformerModel.Linear(
      weight: Weight(Tensor([inputs, outputs], try doubles(name + ".weight", [inputs, outputs]))),
      bias: try bias(name + ".bias", outputs))
  }

  func gpt2() throws -> ([TransformerModel.Block], TransformerModel.Norm, TransformerModel.Head) {
    let configuration = folder.configuration
    let blocks = try (0..<configuration.layers).map { layer -> TransformerModel.Block in
      let base = "\(names.prefix)h.\(layer)."
      let joint = try convolution(base + "attn.c_attn", width, 3 * width)
      let parts = (0..<3).map { part in
        TransformerModel.Linear(
          weight: Weight(Tensor([width, width], columns(joint.weight.values.elements, part))),
          bias: joint.bias.map { Tensor([width], Array($0.elements[part * width..<(part + 1) * width])) })
      }
      return TransformerModel.Block(
        query: parts[0], key: parts[1], value: parts[2],
        projection: try convolution(base + "attn.c_proj", width, width), norm1: try norm(base + "ln_1"),
        inner: try convolution(base + "mlp.c_fc", width, configuration.innerWidth),
        outer: try convolution(base + "mlp.c_proj", configuration.innerWidth, width),
        norm2: try norm(base + "ln_2"))
    }
    return (blocks, try norm(names.prefix + "ln_f"), try gpt2Head())
  }

  private func gpt2Head() throws -> TransformerModel.Head {
    let configuration = folder.configuration
    let count = configuration.vocabularySize
    switch try CheckpointHead(configuration) {
    case .none: return .hidden
    case .classes:
      return .classes(.init(output: try linear("score", width, try classes("score.weight"))))
    case .nextToken, .nextSentence, .unsaid: break
    }
    let isTied = configuration.tiedEmbeddings
    if folder.weights.contains("lm_head.weight") {
      if isTied {
        let own = try doubles("lm_head.weight", [count, width])
        guard try own == doubles(names.tokenTable, [count, width]) else {
          throw FileError(
            file: folder.weights.file(of: "lm_head.weight").file, place: "tensor lm_head.weight",
            reason: "differs from \(names.tokenTable), which it is tied to in config.json")
        }
      }
      return .tokens(try linear("lm_head", width, count))
    }
    if isTied {
      let table = try doubles(names.tokenTable, [count, width])
      return .tokens(
        TransformerModel.Linear(
          weight: Weight(Tensor([width, count], Self.transposed(table, count, width))), bias: nil))
    }
    // Untied and absent: reading it names what is missing.
    return .tokens(try linear("lm_head", width, count))
  }

  private func columns(_ joint: [Double], _ part: Int) -> [Double] {
    var result: [Double] = []
    result.reserveCapacity(width * width)
    for row in 0..<width {
      let start = row * 3 * width + part * width
      result.append(contentsOf: joint[start..<(start + width)])
    }
    return result
  }

  func bert() throws -> ([TransformerModel.Block], TransformerModel.Head) {
    let configuration = folder.configuration
    let inner = configuration.innerWidth
    let blocks = try (0..<configuration.layers).map { layer -> TransformerModel.Block in
      if names.isDistilled {
        let base = "\(names.prefix)transformer.layer.\(layer)."
        return TransformerModel.Block(
          query: try linear(base + "attention.q_lin", width, width),
          key: try linear(base + "attention.k_lin", width, width),
          value: try linear(base + "attention.v_lin", width, width),
          projection: try linear(base + "attention.out_lin", width, width),
          norm1: try norm(base + "sa_layer_norm"), inner: try linear(base + "ffn.lin1", width, inner),
          outer: try linear(base + "ffn.lin2", inner, width), norm2: try norm(base + "output_layer_norm"))
      }
      let base = "\(names.prefix)encoder.layer.\(layer)."
      return TransformerModel.Block(
        query: try linear(base + "attention.self.query", width, width),
        key: try linear(base + "attention.self.key", width, width),
        value: try linear(base + "attention.self.value", width, width),
        projection: try linear(base + "attention.output.dense", width, width),
        norm1: try norm(base + "attention.output.LayerNorm"),
        inner: try linear(base + "intermediate.dense", width, inner),
        outer: try linear(base + "output.dense", inner, width), norm2: try norm(base + "output.LayerNorm"))
    }
    return (blocks, try classifier())
  }

  /// The first extent of a matrix, 0 for what is no matrix.
  private func classes(_ name: String) throws -> Int {
    let entry = try folder.weights.file(of: name).entry(name)
    return entry.shape.count == 2 ? entry.shape[0] : 0
  }

  /// The classification head: BERT's pooler, DistilBERT's `pre_classifier`, RoBERTa's and ELECTRA's `classifier.dense`.
  private func classifier() throws -> TransformerModel.Head {
    let type = folder.configuration.modelType
    let separate = (
      dense: "classifier.dense", activation: type == "electra" ? "gelu" : "tanh",
      output: "classifier.out_proj"
    )
    let distilled = (dense: "pre_classifier", activation: "relu", output: "classifier")
    let pooled = (dense: names.prefix + "pooler.dense", activation: "tanh", output: "classifier")
    func head(_ variant: (dense: String, activation: String, output: String)) throws -> TransformerModel.Head
    {
      .classes(
        .init(
          dense: try linear(variant.dense, width, width), activation: variant.activation,
          output: try linear(variant.output, width, try classes(variant.output + ".weight"))))
    }
    switch try CheckpointHead(folder.configuration) {
    case .none, .nextToken: return .hidden
    case .nextSentence:
      return try head((dense: pooled.dense, activation: "tanh", output: "cls.seq_relationship"))
    case .classes:
      switch type {
      case "bert": return try head(pooled)
      case "distilbert": return try head(distilled)
      default: return try head(separate)
      }
    case .unsaid:
      for variant in [separate, distilled, pooled]
      where folder.weights.contains(variant.output + ".weight")
        && folder.weights.contains(variant.dense + ".weight")
      { return try head(variant) }
      return .hidden
    }
  }

  /// The dense layer that encoders without classes put on the first position.
  func pooler() throws -> TransformerModel.Linear? {
    let name = names.prefix + "pooler.dense"
    guard folder.configuration.family == .bert, folder.weights.contains(name + ".weight") else { return nil }
    return try linear(name, width, width)
  }
}
