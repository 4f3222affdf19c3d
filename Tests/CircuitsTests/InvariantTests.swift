import Circuits
import FileFormats
import Foundation
import Importers
import Language
import Tensors
import TestSupport
import Testing

/// The invariants that every decomposition obeys.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct DecompositionInvariantTests {
  private func ioi(_ settings: DecompositionSettings = DecompositionSettings(), threads: Int = 1) throws
    -> CircuitTask
  {
    try CircuitReferenceTests.groups[4].task(settings, threads: threads)
  }

  private func bert(_ text: String, _ settings: DecompositionSettings) throws -> TextAttribution {
    let model = try TransformerModel(path: SharedData.path("circuits/models/bert-sent-3l"))
    return try TextAttribution(model, try model.folder.encode(text), settings: settings)
  }

  @Test func exactRuleConservesAndReferenceRuleNearlySo() throws {
    for mode in DecompositionSettings.AttentionMode.allCases {
      let exact = try ioi(DecompositionSettings(attention: mode))
      let units = exact.units(byHead: false)
      #expect(try exact.conservationError(of: Array(units.prefix(40))) <= 1e-10)
      let reference = try ioi(DecompositionSettings(biasRule: .reference, attention: mode))
      let error = try reference.conservationError(of: [units[5]])
      #expect(error > 1e-9 && error <= 1e-3)
    }
  }

  @Test func cheapFormAgreesWithExplicitForm() throws {
    let task = try ioi()
    let sources = task.units(byHead: false).map { Source.nodes($0.nodes(positions: 15)) }
    let readout = task.metric.readout
    let cheap = try task.decomposer().forEach(sources, reading: [readout]) { _, pairs in
      pairs[0].beta.elements
    }
    let explicit = try task.decomposer().forEachExplicit(sources, reading: [readout]) { _, pairs in
      pairs[0].beta.elements
    }.results
    let worst = zip(cheap.joined(), explicit.joined()).map { ($0 - $1).magnitude }.max() ?? .infinity
    // The cached prefix and the single stream against both streams from the start; scores are up to 5.
    #expect(worst < 1e-11)
  }

  @Test func nothingRelevantStaysExactlyNothing() throws {
    let task = try ioi()
    let run = task.clean.prompts(0..<4)
    // Every node's baseline is its own value.
    let decomposer = Decomposer(run, settings: task.settings, baseline: .resample(of: run))
    let same = try decomposer.forEach(
      [.nodes([HeadNode(0, 3, 1)]), .nodes([])], reading: [task.transformer.output, task.metric.readout]
    ) { _, pairs in pairs.allSatisfy { $0.beta.elements.allSatisfy { $0 == 0 } } }
    #expect(same == [true, true])
    let explicit = try task.decomposer().forEachExplicit([.nodes([])], reading: [task.transformer.output]) {
      _, pairs in
      pairs[0].beta.elements.allSatisfy { $0 == 0 }
    }
    #expect(explicit.results == [true])
    // A classifier too, through its pooler: a head whose baseline is its own value, and no source at all.
    let classifier = try bert("the film is bad .", DecompositionSettings())
    let plain = classifier.decomposer.plain
    let own = Decomposer(plain, settings: classifier.decomposer.settings, baseline: .resample(of: plain))
    for explicit in [false, true] {
      let sources: [Source] = [.nodes([HeadNode(0, 1, 1), HeadNode(2, 0, 3)]), .nodes([])]
      let output = plain.transformer.output
      let body = { @Sendable (_: Int, pairs: [Decomposer.Pair]) in
        pairs[0].beta.elements.allSatisfy { $0 == 0 }
      }
      let found =
        explicit
        ? try own.forEachExplicit(sources, reading: [output], body).results
        : try own.forEach(sources, reading: [output], body)
      #expect(found == [true, true])
    }
  }

  @Test func everythingRelevantLeavesExactlyNothing() throws {
    for mode in DecompositionSettings.AttentionMode.allCases {
      let attribution = try bert(
        "the film is not bad .", DecompositionSettings(attention: mode, signCleaning: .all))
      let all = Array(attribution.encoding.ids.indices)
      let pair = try attribution.pairs([all])[0]
      #expect(pair.gamma == 0)
      #expect(abs(pair.beta - attribution.full) < 1e-12)
      let output = attribution.decomposer.plain.transformer.output
      let explicit = try attribution.decomposer.forEachExplicit([.tokens(all, level: 0)], reading: [output]) {
        _, pairs in pairs[0].gamma.elements.allSatisfy { $0 == 0 }
      }
      #expect(explicit.results == [true])
    }
  }

  @Test func causalityAndLayersBeforeTheSource() throws {
    let task = try ioi()
    let layers = task.transformer.layers
    let reached = try task.decomposer().forEachExplicit(
      [.nodes([HeadNode(1, 7, 2)])], reading: [layers[0].z, layers[2].z]
    ) { _, pairs -> [Bool] in
      let width = task.transformer.width
      let early = (0..<4).allSatisfy { prompt in
        pairs[1].beta.elements[prompt * 15 * width..<(prompt * 15 + 7) * width].allSatisfy { $0 == 0 }
      }
      return [
        pairs[0].beta.elements.allSatisfy { $0 == 0 }, early, pairs[1].beta.elements.contains { $0 != 0 },
      ]
    }
    #expect(reached.results[0] == [true, true, true])
  }

  @Test func toleranceHardlyMatters() throws {
    let units = try ioi().units(byHead: false)
    let wide = try ioi(DecompositionSettings(tolerance: 1e-8)).search().outputScores(units)
    let narrow = try ioi(DecompositionSettings(tolerance: 1e-12)).search().outputScores(units)
    let worst = zip(wide, narrow).map { ($0 - $1).magnitude }.max() ?? .infinity
    #expect(worst < 1e-5 * 12)
  }

  @Test func batchesAndThreadsDoNotChangeABit() throws {
    let units = try ioi().units(byHead: false)
    let whole = try ioi(threads: 1).search().outputScores(units)
    #expect(try ioi(threads: 2).search().outputScores(units) == whole)
    let search = try ioi().search()
    for index in [0, 17, 61, 130, 239] { #expect(try search.outputScores([units[index]]) == [whole[index]]) }
    let ablator = try ioi().ablator()
    let importance = try ablator.importance(units)
    #expect(try ioi(threads: 2).ablator().importance(units) == importance)
    for index in [3, 100, 239] { #expect(try ablator.importance([units[index]]) == [importance[index]]) }
  }

  @Test func faithfulnessOfAllAndNothing() throws {
    let task = try ioi()
    let faithfulness = try Faithfulness(task.ablator())
    let all = task.units(byHead: false)
    #expect(try faithfulness.value(of: all) == 1)
    #expect(try faithfulness.value(of: [CircuitUnit]()) == 0)
    #expect(try faithfulness.value(of: all.reversed().prefix(20)) == faithfulness.value(of: all.suffix(20)))
    let search = task.search()
    let nodes = [HeadNode(2, 14, 2), HeadNode(0, 2, 1), HeadNode(1, 9, 0)]
    let orders = try search.decomposer.forEach(
      [.nodes(nodes), .nodes(nodes.reversed())], reading: [task.metric.readout]
    ) {
      _, pairs in pairs[0].beta.elements
    }
    #expect(orders[0] == orders[1])
  }

  @Test func paddingLeavesRealTokensAlone() throws {
    let model = try TransformerModel(path: SharedData.path("circuits/models/bert-sent-3l"))
    let encoding = try model.folder.encode("the film is hardly bad .")
    let settings = DecompositionSettings(signCleaning: .all)
    let plain = try TextAttribution(model, encoding, settings: settings)
    let padded = try model.folder.describe(encoding.ids + [0, 0, 0])
    let hidden = encoding.ids.map { _ in false } + [true, true, true]
    let masked = try TextAttribution(model, padded, settings: settings, hidden: hidden)
    let sets = encoding.ids.indices.map { [$0] }
    for (a, b) in zip(try plain.scores(sets), try masked.scores(sets)) { #expect(abs(a - b) < 1e-10) }
  }

  @Test func gradientsAgreeWithDifferences() throws {
    let task = try ioi()
    let scores = try task.attribution().nodeScores()
    // Replacing a node by a mix of its own z and the baseline: the slope at no replacement is the score.
    let units = task.units(byHead: false)
    let index = 2 * 60 + 14 * 4 + 2
    var part = task.baseline
    let step = 1e-5
    part.layers = zip(task.transformer.layers, task.baseline.layers).map { layer, mean in
      let z = task.clean.value(layer.z)
      return Tensor(
        z.shape,
        z.elements.enumerated().map {
          $0.element + step * (mean.elements[$0.offset % mean.count] - $0.element)
        })
    }
    part.kind = .resample
    let ablator = Ablator(task.clean, metric: task.metric, baseline: part)
    let difference = try ablator.importance([units[index]])[0] / step
    #expect(abs(difference - scores[index]) < 1e-3 * abs(scores[index]))
  }

  @Test func defaultMethodMeetsItsMarks() throws {
    for group in CircuitReferenceTests.groups {
      let task = try group.task(DecompositionSettings())
      var discovery = CircuitDiscovery()
      discovery.randomRuns = 0
      if group.model == "truth-induction" {
        discovery.truth = try TruthScore.read(
          SharedData.path("circuits/models/truth-induction/truth.json"),
          positions: task.group.commonPositions,
          count: task.transformer.positions, byHead: false)
      }
      let document = try discovery.run(task)
      let value = try #require(document.faithfulness)
      switch group.model {
      case "truth-induction":
        #expect(document.truth?.recall == 1 && (document.truth?.precision ?? 0) >= 0.75)
        #expect((0.9...1.25).contains(value))
      case "ioi-4l": #expect(document.nodes.count <= 20 && (0.9...1.1).contains(value))
      case "induction-2l": #expect(document.nodes.count <= 10 && value >= 0.9)
      default: #expect(value >= 0.9)
      }
      #expect(document.conservationError <= 1e-10)
      // What is saved reads back.
      let folder = try TemporaryFolder()
      try OutputFile(folder.path("c.json")).write(document.json.text())
      #expect(try CircuitDocument(path: folder.path("c.json")).json == document.json)
    }
  }
}
