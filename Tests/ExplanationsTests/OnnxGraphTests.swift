import Explanations
import FileFormats
import IR
import Importers
import Testing

@Suite("Masks of ONNX graph networks", .enabled(if: Shared.isPresent, Shared.skip))
struct OnnxGraphTests {
  /// Factors on undirected edges from a counter.
  private func factors(_ edges: Int, isHard: Bool, seed: UInt64) -> [Double] {
    let random = CounterRandom(seed: seed)
    return (0..<edges).map { edge in
      let u = random.uniform(at: UInt64(edge))
      return isHard ? (u < 0.3 ? 0 : 1) : u
    }
  }

  private func agree(
    _ onnx: String, _ native: String, _ graph: AttributedGraph, task: GraphNetwork.Task, node: Int?,
    _ semantics: MaskSemantics, isHard: Bool
  ) throws -> Double {
    let reference = try Shared.network(native)
    let model = try GraphModelFile.load("\(Shared.root)/onnx/\(onnx).onnx", task: task)
    let classes = model.classCount
    let mask = factors(graph.edges.count, isHard: isHard, seed: 7)
    func logits(_ model: any GraphModel) throws -> [Double] {
      let network = try MaskedNetwork(
        model, graph: graph, node: node, semantics: semantics, classCount: classes)
      return try network.logits(edgeFactors: network.edgeIndex.map { mask[$0] }, rows: 1)
    }
    return deviation(try logits(model), try logits(reference))
  }

  @Test(
    "Messages and weights of sparse and dense files, as with known layers",
    arguments: ["gcn_ba2motif", "gin_ba2motif", "gcn_mutag", "gin_mutag"])
  func graphs(_ name: String) throws {
    let graph = try Shared.graphs(name.hasSuffix("mutag") ? "mutag" : "ba2motif").graphs[1]
    for form in ["sparse", "dense"] {
      for semantics in [MaskSemantics.edgeWeight, .message] {
        let error = try agree(
          "\(name)_\(form)", name, graph, task: .graph, node: nil, semantics, isHard: false)
        #expect(error < 1e-9, "\(form), \(semantics): \(error)")
      }
    }
  }

  @Test("A node network", arguments: ["gcn_tree_cycles_sparse", "gcn_tree_cycles_dense"])
  func nodes(_ file: String) throws {
    let graph = float32Features(try Shared.graphs("tree_cycles").graphs[0])
    let error = try agree(
      file, "gcn_tree_cycles", graph, task: .node, node: 517, .message, isHard: false)
    #expect(error < 1e-9)
  }

  @Test(
    "Networks as an exporter writes them, without edge weights",
    arguments: ["gcn", "gin", "sage_mean", "sage_max"])
  func exported(_ name: String) throws {
    let graph = try Shared.graphs("karate").graphs[0]
    for node in [0, 9, 33] {
      for (semantics, isHard) in [
        (MaskSemantics.remove, true), (.edgeWeight, false), (.edgeWeight, true), (.message, false),
      ] {
        let error = try agree(
          "karate_\(name)_exported", "karate_\(name)", graph, task: .node, node: node, semantics,
          isHard: isHard)
        #expect(error < 1e-9, "node \(node), \(semantics): \(error)")
      }
    }
  }

  @Test("What an exported file says of itself")
  func exportedProperties() throws {
    func load(_ name: String) throws -> any GraphModel {
      try GraphModelFile.load("\(Shared.root)/onnx/karate_\(name)_exported.onnx", task: .node)
    }
    #expect(try load("gcn").depth == 2)
    #expect(try load("gin").depth == 2)
    #expect(try load("gcn").weightZeroIsDeletion)
    #expect(try !load("sage_mean").weightZeroIsDeletion)
    #expect(try !load("sage_max").weightZeroIsDeletion)
  }

  @Test("Embeddings are what is pooled")
  func embeddings() throws {
    let graph = try Shared.graphs("ba2motif").graphs[0]
    for form in ["sparse", "dense"] {
      let model = try GraphModelFile.load("\(Shared.root)/onnx/gcn_ba2motif_\(form).onnx", task: .graph)
      let embedding = try #require(try model.bindEmbeddings(graph.structure, features: graph.paddedFeatures))
      let z = try embedding.run([])[0].float64
      #expect(z.shape.dims == [1, 25, 20])
      // Rows are normalised and rectified.
      for node in 0..<25 {
        let row = z.elements[(node * 20)..<((node + 1) * 20)]
        #expect(row.allSatisfy { $0 >= 0 })
        #expect(row.reduce(0) { $0 + $1 * $1 } <= 1 + 1e-9)
      }
    }
  }
}
