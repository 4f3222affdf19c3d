import Circuits
import FileFormats
import Foundation
import Importers
import Language
import TestSupport
import Testing

/// The stored arrays that ``CircuitReferenceTests`` leaves out: baselines, metrics, pruned circuits, random orders, truth.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct RemainingReferenceTests {
  typealias Reference = CircuitReferenceTests

  @Test(arguments: Reference.groups) func baselineAndMetrics(_ group: Reference.Group) throws {
    let reference = try group.reference
    let task = try group.task()
    let all = task.baseline.layers.flatMap(\.elements)
    let stored = try #require(reference["mean_z_checksum"])
    Reference.expectClose(
      [all.reduce(0, +), all.reduce(0) { $0 + $1.magnitude }, all.reduce(0) { $0 + $1 * $1 }],
      [stored["sum"], stored["abs_sum"], stored["square_sum"]].flatMap { Reference.flat($0) }, 1e-9, "sums")
    let width = task.transformer.width
    let last = (task.transformer.positions - 1) * width
    Reference.expectClose(
      Array(task.baseline.layers[0].elements[last..<last + task.transformer.headWidth]),
      Reference.flat(stored["layer0_pos_last_head0"]), 1e-9, "mean z")
    let corrupted = try CircuitTask.corrupted(task.model, task.group, task.transformer)
    let values = task.metric.values(corrupted.value(task.metric.node(task.transformer)))
    Reference.expectClose(values, Reference.flat(reference["metric_corrupted_per_prompt"]), 1e-9, "corrupted")
    // Greater-than is measured by probabilities, the others by how often the answer comes first.
    let quality = try #require(reference["accuracy_or_prob_diff"]?.doubleValue)
    if group.model == "gt-2l" {
      let other = try CircuitTask(model: task.model, group: task.group, metric: .probabilityDifference)
      #expect(abs(other.ablator().full - quality) < 1e-9)
    } else {
      let logits = task.clean.value(task.transformer.output)
      let right = task.group.prompts.enumerated().count { index, prompt in
        let own = logits.example(index).elements
        return own.indices.max { own[$0] < own[$1] } == prompt.right.first
      }
      #expect(Double(right) / Double(task.group.prompts.count) == quality)
    }
  }

  @Test(arguments: Reference.groups) func prunedCircuits(_ group: Reference.Group) throws {
    let stored = try #require(try group.reference["cdt_discovery"]?["raw_l1"])
    let task = try group.task()
    let circuit = try #require(stored["circuit"]?.arrayValue).compactMap(\.ints).map {
      CircuitUnit(layer: $0[0], position: $0[1], head: $0[2])
    }
    let faithfulness = try Faithfulness(task.ablator())
    let pruned = try faithfulness.pruneGreedily(circuit).circuit
    let reference = try #require(stored["greedy_pruned"])
    #expect(
      pruned.map { [$0.layer, $0.position ?? -1, $0.head] }
        == reference["circuit"]?.arrayValue?.compactMap(\.ints))
    let value = try #require(try faithfulness.value(of: pruned))
    #expect(abs(value - (reference["faithfulness"]?.doubleValue ?? .nan)) < 1e-9)
  }

  /// The stored orders are not known, so the mean of ten is compared with the mean over all sets of heads of a size (for
  /// many heads over sampled ones), within its standard error.
  @Test(arguments: Reference.groups) func randomOrders(_ group: Reference.Group) throws {
    let curves = try #require(try group.reference["faithfulness"]?["curves_by_head"])
    let stored = Reference.flat(curves["random_mean_of_10"]?["faithfulness"])
    let task = try group.task()
    let faithfulness = try Faithfulness(task.ablator())
    let heads = task.units(byHead: true)
    #expect(stored.count == heads.count)
    var samples = [[Double]](repeating: [], count: heads.count)
    if heads.count <= 8 {
      for set in 1..<1 << heads.count {
        let circuit = heads.indices.filter { set >> $0 & 1 == 1 }.map { heads[$0] }
        samples[circuit.count - 1].append(try #require(try faithfulness.value(of: circuit)))
      }
    } else {
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<60 {
        let curve = try faithfulness.curve(heads.shuffled(using: &generator))
        for (place, point) in curve.enumerated() { samples[place].append(point.faithfulness) }
      }
    }
    for (place, reference) in stored.enumerated() {
      let own = samples[place]
      let mean = own.reduce(0, +) / Double(own.count)
      let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(own.count)
      let error = (variance / 10 + variance / Double(own.count)).squareRoot()
      #expect(abs(mean - reference) <= 5 * error + 1e-9, "size \(place + 1)")
    }
    let ours = try faithfulness.randomCurve(heads, sizes: [1, heads.count], runs: 3, seed: 1)
    #expect(ours.last?.mean == 1 && ours.first?.mean != 1)
  }

  @Test func truth() throws {
    let group = Reference.groups[0]
    let stored = try #require(try group.reference["truth"])
    let task = try group.task()
    let truth = try TruthScore.read(
      SharedData.path("circuits/models/truth-induction/truth.json"), positions: task.group.commonPositions,
      count: task.transformer.positions, byHead: false)
    let nodes = try #require(stored["nodes"]?.arrayValue).compactMap(\.ints).map {
      CircuitUnit(layer: $0[0], position: $0[1], head: $0[2])
    }
    #expect(truth == Set(nodes))
    let faithfulness = try Faithfulness(task.ablator())
    let value = try #require(try faithfulness.value(of: truth))
    #expect(abs(value - (stored["faithfulness_of_truth"]?.doubleValue ?? .nan)) < 1e-9)
    let units = task.units(byHead: false)
    let frozen = try group.task(DecompositionSettings(biasRule: .reference, attention: .frozen))
    let rankings: [(String, [Double])] = [
      ("cdt_output_abs", try task.search().outputScores(units)),
      ("cdt_frozen_abs", try frozen.search().outputScores(units)),
      ("mean_ablation_abs", try task.ablator().importance(units)),
      ("attribution_patching_abs", try task.attribution().nodeScores()),
      ("path_patching_to_logits_abs", try task.ablator().pathImportance(units)),
    ]
    for (name, scores) in rankings {
      // Scores of 1e-15 and less are rounding noise, which no two programs share.
      let cleaned = scores.map { $0.magnitude < 1e-13 ? 0 : $0 }
      let auc = TruthScore(
        circuit: [], ranking: zip(units, cleaned).map { (unit: $0, score: $1) }, truth: truth
      ).auc
      let reference = try #require(stored["auc_node"]?[name]?.doubleValue)
      #expect(abs((auc ?? .nan) - reference) < 0.02, "\(name): \(String(describing: auc)) and \(reference)")
    }
    for (key, normalisation) in [
      ("raw_l1", CircuitSearch.Normalisation.none), ("per_layer_normalised_l1", .layer),
    ] {
      let circuit = try task.search().search(units, normalisation: normalisation).circuit
      let score = TruthScore(circuit: circuit, ranking: [], truth: truth)
      #expect(score.recall == stored["discovery"]?[key]?["recall"]?.doubleValue)
      #expect(score.precision == stored["discovery"]?[key]?["precision"]?.doubleValue)
    }
  }

  /// Logits and labels of every prompt of the sentiment group, eight decimals.
  @Test func classifierPrompts() throws {
    let model = try TransformerModel(path: SharedData.path("circuits/models/bert-sent-3l"))
    let path = SharedData.path("circuits/prompts/bert-sent-3l/sentiment-a.jsonl")
    for (line, value) in try JSONValue.parseLines(contentsOf: path) {
      let ids = try #require(value["ids"]?.ints)
      let transformer = try model.lower(positions: ids.count)
      let run = try PlainRun(transformer, embeddings: try model.embed([ids]))
      let logits = run.value(transformer.output).elements
      let stored = Reference.flat(value["logits"])
      #expect(zip(logits, stored).allSatisfy { abs($0 - $1) <= 1e-8 }, "line \(line)")
      #expect(logits.indices.max { logits[$0] < logits[$1] } == value["predicted"]?.intValue)
    }
  }

  @Test func normWithoutVariance() throws {
    let folder = SharedData.path("circuits/models/sst2-transformer-1l")
    let model = try TransformerModel(path: folder)
    let stored = try SharedData.json("circuits/models/sst2-transformer-1l/model.json")
    for entry in try #require(stored["reference_logits_float64"]?.arrayValue) {
      let ids = try #require(entry["ids"]?.ints)
      let transformer = try model.lower(positions: ids.count)
      let run = try PlainRun(transformer, embeddings: try model.embed([ids]))
      Reference.expectClose(
        run.value(transformer.output).elements, Reference.flat(entry["logits"]), 1e-9, "\(ids)")
      #expect(try model.conservationError(ids) < 1e-12)
    }
    // The command for bounds reads the same folder.
    let network = try Importer.load(folder)
    #expect(network.graph.inputNodes[0].shape == [8, 16])
  }
}
