import Explanations
import FileFormats
import Importers
import Testing

@Suite("Explainers", .enabled(if: Shared.isPresent, Shared.skip))
struct ExplainerTests {
  private func pooledAUC(_ results: [ExplainedInstance], _ instances: [ExplanationInstance]) -> Double? {
    let scores = results.flatMap(\.scores)
    let truth = instances.flatMap { $0.graph.explanation ?? [] }
    return GroundTruthAgreement.auc(scores: scores, truth: truth)
  }

  @Test(
    "Gradients in edge factors agree with finite differences",
    arguments: ["gcn_ba2motif", "gin_mutag", "gcn_tree_cycles", "gcnbn_tree_cycles"])
  func gradients(_ name: String) throws {
    let model = try Shared.network(name)
    let data = try Shared.graphs(
      name.hasSuffix("mutag") ? "mutag" : model.task == .node ? "tree_cycles" : "ba2motif")
    for semantics in [MaskSemantics.edgeWeight, .message] {
      let network = try MaskedNetwork(
        model, graph: data.graphs[0], node: model.task == .node ? 511 : nil, semantics: semantics,
        classCount: 2)
      var factors = [Double](repeating: 1, count: network.arcCount)
      var generator = CounterRandom(seed: 1).generator()
      for i in factors.indices { factors[i] = 0.6 + 0.4 * generator.uniform() }
      let (_, gradient) = try network.gradients(arcFactors: factors, rows: 1) { _ in [1, -0.5] }
      for arc in stride(from: 0, to: min(network.arcCount, 40), by: 7) {
        func value(_ x: Double) throws -> Double {
          var shifted = factors
          shifted[arc] += x
          let z = try network.logits(arcFactors: shifted, rows: 1)
          return z[0] - 0.5 * z[1]
        }
        let h = 1e-5
        let numeric = (try value(h) - value(-h)) / (2 * h)
        #expect(abs(numeric - gradient[arc]) < 2e-5 * max(1, abs(numeric)), "\(name) \(semantics) arc \(arc)")
      }
    }
  }

  @Test("Shapley values are efficient, exact and sampled")
  func shapley() throws {
    let model = try Shared.network("gcn_ba2motif")
    let graph = try Shared.graphs("ba2motif").graphs[0]
    let network = try MaskedNetwork(model, graph: graph, semantics: .edgeWeight, classCount: 2)
    let ends = try network.logits(
      edgeFactors: [Double](repeating: 1, count: 26) + [Double](repeating: 0, count: 26), rows: 2)
    let full = Probability.softmax(ends[0..<2])[1]
    let empty = Probability.softmax(ends[2..<4])[1]
    var options = ExplainerOptions(.shapley)
    options.target = .label
    options.samples = 400
    let result = try Explainer(model: model, classCount: 2, options: options).explain([
      ExplanationInstance(id: graph.id, graph: graph, label: graph.label)
    ])
    #expect(abs(result[0].scores.reduce(0, +) - (full - empty)) < 1e-9)
  }

  @Test("Exact Shapley and Banzhaf values of a small game")
  func smallGame() throws {
    // v(kept) = [0 kept] + 2 [1 and 2 kept].
    let game = SubsetGame(elementCount: 3, valueCount: 1) { flags, rows in
      (0..<rows).map { r in
        (flags[3 * r] == 0 ? 1 : 0) + (flags[3 * r + 1] == 0 && flags[3 * r + 2] == 0 ? 2 : 0)
      }
    }
    let random = CounterRandom(seed: 1)
    let shapley = try CoalitionValue.shapley.values(game, samples: 0, exactLimit: 5, random: random).values
    #expect(zip(shapley, [1.0, 1, 1]).allSatisfy { abs($0 - $1) < 1e-12 })
    let banzhaf = try CoalitionValue.banzhaf.values(game, samples: 0, exactLimit: 5, random: random).values
    #expect(zip(banzhaf, [1.0, 1, 1]).allSatisfy { abs($0 - $1) < 1e-12 })
    let sampled = try CoalitionValue.shapley.values(game, samples: 3000, exactLimit: 1, random: random).values
    #expect(zip(sampled, [1.0, 1, 1]).allSatisfy { abs($0 - $1) < 0.1 })
    let reused = try CoalitionValue.banzhaf.values(game, samples: 20_000, exactLimit: 1, random: random)
      .values
    #expect(zip(reused, [1.0, 1, 1]).allSatisfy { abs($0 - $1) < 0.1 })
  }

  @Test("PGExplainer finds the motifs of the shared BA-2motif graphs")
  func pgExplainer() throws {
    let model = try Shared.network("gcn_ba2motif")
    let data = try Shared.graphs("ba2motif")
    let instances = try data.instances(nil)
    var found: [Double] = []
    for seed in 0..<3 {
      var options = ExplainerOptions(.pgExplainer)
      options.seed = UInt64(seed)
      let results = try Explainer(model: model, classCount: 2, options: options).explain(instances)
      found.append(pooledAUC(results, instances) ?? 0)
    }
    #expect(found.allSatisfy { $0 >= 0.93 }, "AUC by seed: \(found)")
  }

  @Test("GNNExplainer, occlusion and gradients are reproducible and in range")
  func others() throws {
    let model = try Shared.network("gcn_ba2motif")
    let data = try Shared.graphs("ba2motif")
    let instances = Array(try data.instances(nil).prefix(6))
    for method in ExplainerMethod.allCases where method != .pgExplainer {
      var options = ExplainerOptions(method)
      options.samples = 200
      let explainer = Explainer(model: model, classCount: 2, options: options)
      let first = try explainer.explain(instances)
      let second = try explainer.explain(instances)
      #expect(first.map(\.scores) == second.map(\.scores), "\(method)")
      #expect(first.allSatisfy { $0.scores.count == 25 || $0.scores.count == 26 })
      #expect(first.flatMap(\.scores).allSatisfy { $0.isFinite })
    }
  }
}
