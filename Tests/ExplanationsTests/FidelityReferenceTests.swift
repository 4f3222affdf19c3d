import Explanations
import FileFormats
import Importers
import Testing

/// Differences between stored and computed values, split by how the stored value was made.
private struct Tally {
  var exactWorst = 0.0
  var sampled = 0
  var sampledOutside = 0

  mutating func compare(_ term: FidelityTerm, _ stored: JSONField) throws {
    let probability = try stored.member("prob").double()
    let accuracy = try stored.member("acc").double()
    if try stored.member("method").string() == "exact" {
      if term.method == .exact {
        exactWorst = max(exactWorst, abs(term.probability - probability), abs(term.accuracy - accuracy))
      } else {
        sampled += 1
        if abs(term.probability - probability) > 4 * term.standardError + 1e-9 { sampledOutside += 1 }
      }
      return
    }
    sampled += 1
    let error = try stored.member("prob_se").double()
    let combined = (error * error + term.standardError * term.standardError).squareRoot()
    if abs(term.probability - probability) > 4 * combined + 1e-9 { sampledOutside += 1 }
  }
}

@Suite("Fidelity against stored references", .enabled(if: Shared.isPresent, Shared.skip))
struct FidelityReferenceTests {
  @Test(
    "True explanations: original, robust, exact and sampled",
    arguments: [
      "gcn_ba2motif", "gin_ba2motif", "gcn_mutag", "gin_mutag", "gcn_tree_cycles", "gin_tree_cycles",
    ])
  func truth(_ name: String) throws {
    let model = try Shared.network(name)
    let isNode = model.task == .node
    let set = name.hasSuffix("mutag") ? "mutag" : isNode ? "tree_cycles" : "ba2motif"
    var data = try Shared.graphs(set)
    if isNode { data.graphs = data.graphs.map(float32Features) }
    let reference = try Shared.json("reference/\(name).json").member("fidelity").elements()
    var original = 0.0
    var tally = Tally()
    for (index, item) in reference.enumerated() {
      let instance: ExplanationInstance
      if isNode {
        let node = try item.member("node").int()
        instance = ExplanationInstance(
          id: .number(node), graph: data.graphs[0], node: node, label: data.graphs[0].nodeLabels?[node])
      } else {
        let id = try item.member("id").string()
        let graph = try #require(data.graphs.first { $0.id == .text(id) })
        instance = ExplanationInstance(id: graph.id, graph: graph, label: graph.label)
      }
      for semantics in [MaskSemantics.edgeWeight, .message] {
        var options = FidelityOptions()
        options.semantics = semantics
        options.curve = semantics == .edgeWeight ? [0.1, 0.3, 0.5] : [1]
        // Sets of 20 edges have exact references; enumerating a few of them is enough here.
        options.plan = EstimationPlan(samples: 400, autoExactLimit: 13)
        let evaluator = FidelityEvaluator(model: model, classCount: data.classCount, options: options)
        let result = try evaluator.evaluate(instance, random: CounterRandom(seed: UInt64(index)))
        let stored = try item.member("original").member(semantics == .edgeWeight ? "edge_weight" : "message")
        original = max(
          original, abs(result.original.plus.probability - (try stored.member("prob_plus").double())),
          abs(result.original.minus.probability - (try stored.member("prob_minus").double())),
          abs(result.original.plus.accuracy - (try stored.member("acc_plus").double())),
          abs(result.original.minus.accuracy - (try stored.member("acc_minus").double())))
        #expect(try result.selectedCount == item.member("n_expl").int())
        #expect(try result.otherCount == item.member("n_non").int())
        if semantics == .edgeWeight {
          for (pair, robust) in zip(result.robust, try item.member("robust").elements()) {
            #expect(try abs(pair.alpha1 - (robust.member("alpha1").double())) < 1e-12)
            #expect(try abs(pair.alpha2 - (robust.member("alpha2").double())) < 1e-12)
            try tally.compare(pair.plus, robust.member("plus"))
            try tally.compare(pair.minus, robust.member("minus"))
          }
        }
      }
      if isNode, let stored = try item.optional("three_hop_subgraph") {
        var options = FidelityOptions()
        options.hops = 3
        options.curve = [1]
        options.plan = EstimationPlan(samples: 10, autoExactLimit: 1)
        let evaluator = FidelityEvaluator(model: model, classCount: data.classCount, options: options)
        let result = try evaluator.evaluate(instance, random: CounterRandom(seed: 1))
        original = max(
          original, abs(result.original.plus.probability - (try stored.member("prob_plus").double())),
          abs(result.original.minus.probability - (try stored.member("prob_minus").double())))
      }
    }
    #expect(original < 1e-9, "\(name): original values are off by \(original)")
    #expect(tally.exactWorst < 1e-9, "\(name): exact values are off by \(tally.exactWorst)")
    #expect(Double(tally.sampledOutside) <= 0.01 * Double(tally.sampled) + 0.5, "\(name): \(tally)")
  }

  @Test("Complete enumeration of 20 edges")
  func enumeration() throws {
    let model = try Shared.network("gcn_ba2motif")
    let data = try Shared.graphs("ba2motif")
    let item = try Shared.json("reference/gcn_ba2motif.json").member("fidelity").elements()[0]
    let graph = data.graphs[0]
    var options = FidelityOptions()
    options.curve = [0.1, 0.3, 0.5]
    options.plan = EstimationPlan(method: .exact)
    let result = try FidelityEvaluator(model: model, classCount: 2, options: options).evaluate(
      ExplanationInstance(id: graph.id, graph: graph, label: graph.label), random: CounterRandom(seed: 0))
    for (pair, robust) in zip(result.robust, try item.member("robust").elements()) {
      let stored = try robust.member("minus")
      #expect(pair.minus.method == .exact)
      #expect(pair.minus.evaluations == 1 << 20)
      #expect(try abs(pair.minus.probability - (stored.member("prob").double())) < 1e-9)
      #expect(try abs(pair.minus.accuracy - (stored.member("acc").double())) < 1e-9)
    }
    // The stratified estimate at 50 evaluations against the truth just computed: root mean square error.
    let truth = result.robust[0].minus.probability
    var square = 0.0
    for run in 0..<40 {
      options.plan = EstimationPlan(method: .stratified, samples: 50)
      options.curve = [0.1]
      let estimate = try FidelityEvaluator(model: model, classCount: 2, options: options).evaluate(
        ExplanationInstance(id: graph.id, graph: graph, label: graph.label),
        random: CounterRandom(seed: UInt64(run)))
      let difference = estimate.robust[0].minus.probability - truth
      square += difference * difference / 40
    }
    #expect(square.squareRoot() < 0.012, "error at 50 evaluations: \(square.squareRoot())")
  }

  private func identifier(of item: JSONField) throws -> String {
    let id = try item.member("id").value
    return id.stringValue ?? id.numberText ?? ""
  }

  @Test(
    "Scores of published explainers",
    arguments: ["pgexplainer_gcn_ba2motif", "gnnexplainer_gcn_ba2motif", "gnnexplainer_gcn_tree_cycles"])
  func explainerScores(_ name: String) throws {
    let reference = try Shared.json("reference/explain_\(name).json")
    let modelName = try reference.member("model").string()
    let model = try Shared.network(modelName)
    let data = try Shared.graphs(model.task == .node ? "tree_cycles" : "ba2motif")
    let scores = try ScoreFile(reference, for: data)
    let instances = try data.instances(.scores(scores))
    let items = try reference.member("items").elements()
    var worst = 0.0
    var pooled: [(scores: [Double], truth: [Bool])] = []
    for semantics in [MaskSemantics.edgeWeight, .message] {
      var options = FidelityOptions()
      options.semantics = semantics
      options.plan = EstimationPlan(samples: 4, autoExactLimit: 1)
      let evaluator = FidelityEvaluator(model: model, classCount: data.classCount, options: options)
      let results = try evaluator.evaluate(instances)
      for result in results {
        let item = try #require(try items.first { try "\(result.id)" == identifier(of: $0) })
        let soft = try #require(result.soft)
        let key = semantics == .edgeWeight ? "edge_weight" : "message"
        let stored = try item.member("soft").member(key)
        worst = max(
          worst, abs(soft.plusProbability - (try stored.member("prob_plus").double())),
          abs(soft.minusProbability - (try stored.member("prob_minus").double())),
          abs(soft.plusAccuracy - (try stored.member("acc_plus").double())))
        if semantics == .message {
          let library = try item.member("soft").member("pyg")
          #expect(try soft.plusPrediction == library.member("fid_plus").double())
          #expect(try soft.minusPrediction == library.member("fid_minus").double())
          worst = max(
            worst, abs(soft.reverseUnfaithfulness - (try library.member("unfaithfulness").double())))
          worst = max(worst, abs((result.agreement?.auc ?? -1) - (try item.member("auc").double())))
          if let points = result.pooled { pooled.append(points) }
        }
      }
    }
    #expect(worst < 1e-8, "\(worst)")
    let all = GroundTruthAgreement.auc(
      scores: pooled.flatMap(\.scores), truth: pooled.flatMap(\.truth))
    #expect(try abs((all ?? -1) - (reference.member("pooled_auc").double())) < 1e-8)
  }
}
