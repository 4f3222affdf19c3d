import Explanations
import FileFormats
import Importers
import Testing

@Suite("Graph networks against stored logits", .enabled(if: Shared.isPresent, Shared.skip))
struct LogitsTests {
  @Test("Graph models", arguments: ["gcn_ba2motif", "gin_ba2motif", "gcn_mutag", "gin_mutag"])
  func graphModels(_ name: String) throws {
    let model = try Shared.network(name)
    let data = try Shared.graphs(name.hasSuffix("mutag") ? "mutag" : "ba2motif")
    let reference = try Shared.json("reference/\(name).json").member("logits").elements()
    #expect(reference.count == data.graphs.count)
    var worst = 0.0
    for (graph, item) in zip(data.graphs, reference) {
      let network = try MaskedNetwork(
        model, graph: graph, semantics: .edgeWeight, classCount: data.classCount)
      let expected = try item.member("logits").elements().map { try $0.double() }
      worst = max(worst, deviation(try network.fullLogits(), expected))
    }
    #expect(worst < 1e-9, "\(name): \(worst)")
  }

  @Test("Node models, sliced and whole", arguments: ["gcn_tree_cycles", "gin_tree_cycles", "gcn_ba_shapes"])
  func nodeModels(_ name: String) throws {
    let model = try Shared.network(name)
    let data = try Shared.graphs(name.hasSuffix("cycles") ? "tree_cycles" : "ba_shapes")
    let graph = float32Features(data.graphs[0])
    let reference = try Shared.json("reference/\(name).json").member("logits").elements().map {
      try $0.elements().map { try $0.double() }
    }
    let whole = try model.bind(
      graph.structure, features: .constant(graph.features), masking: .none
    ).run([])[0].float64
    #expect(deviation(whole.elements, reference.flatMap { $0 }) < 1e-9)
    // The (L+1)-hop slice gives the same answer.
    for node in stride(from: 3, to: graph.nodeCount, by: 89) {
      let network = try MaskedNetwork(
        model, graph: graph, node: node, semantics: .edgeWeight, classCount: data.classCount)
      #expect(deviation(try network.fullLogits(), reference[node]) < 1e-9, "node \(node)")
    }
  }

  @Test("Karate networks without layer lists", arguments: ["gcn", "gat", "sage_mean", "sage_max", "gin"])
  func karate(_ name: String) throws {
    let model = try Shared.network("karate_\(name)")
    let graph = try Shared.graphs("karate").graphs[0]
    let reference = try Shared.json("reference/karate_logits.json").member("models").member(name)
      .member("logits").elements().flatMap { try $0.elements().map { try $0.double() } }
    for masking in [ArcMasking.none, .weight, .message, .removal] {
      let bound = try model.bind(graph.structure, features: .constant(graph.features), masking: masking)
      let ones = masking == .none ? [] : [onesMask(graph)]
      let logits = try bound.run(ones)[0].float64
      #expect(deviation(logits.elements, reference) < 1e-9, "\(masking)")
    }
  }
}
