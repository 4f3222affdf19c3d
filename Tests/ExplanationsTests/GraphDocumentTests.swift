import Explanations
import FileFormats
import Importers
import TestSupport
import Testing

private func read(_ text: String) throws -> GraphDataset {
  try GraphDocument.read(JSONField(root: try JSONValue.parse(text), file: "test.json"))
}

private func document(edges: String, nodes: Int = 3, rest: String = "") -> String {
  """
  {"task": "graph", "num_classes": 2, "features": {"kind": "constant", "value": 1, "dim": 2},
   "graphs": [{"id": "a", "num_nodes": \(nodes), "label": 1, "edges": \(edges)\(rest)}]}
  """
}

@Suite("Graph documents")
struct GraphDocumentTests {
  @Test("A sound document")
  func sound() throws {
    let data = try read(document(edges: "[[0,1],[1,2]]", rest: ", \"explanation\": \"01\""))
    #expect(data.graphs[0].edges == [GraphEdge(0, 1), GraphEdge(1, 2)])
    #expect(data.graphs[0].explanation == [false, true])
    #expect(data.graphs[0].features == [1, 1, 1, 1, 1, 1])
  }

  @Test(
    "Bad documents end in one error that names the place",
    arguments: [
      (document(edges: "[[0,3]]"), "node 3 does not exist"),
      (document(edges: "[[0,-1]]"), "does not exist"),
      (document(edges: "[[0,1],[0,1]]"), "listed twice"),
      (document(edges: "[[0,1],[1,0],[1,2]]"), "reverse"),
      (document(edges: "[[0,1],[1,2],[2,1]]"), "reverse"),
      (document(edges: "[[0,1],[1,0]]", rest: ", \"edge_weights\": [0.5, 0.25]"), "both directions"),
      (document(edges: "[[0,1],[1,0]]", rest: ", \"explanation\": \"01\""), "both directions"),
      (document(edges: "[[1,0]]"), "directed"),
      (document(edges: "[[1,1]]"), "self-loop"),
      (document(edges: "[[0,1,2]]"), "pair"),
      (document(edges: "[[0,1]]", rest: ", \"explanation\": \"011\""), "another graph"),
      (document(edges: "[[0,1]]", rest: ", \"explanation\": \"2\""), "0 and 1"),
      (document(edges: "[[0,1]]", nodes: 99_999_999_999), "sensible"),
      (document(edges: "[[0,1]]", nodes: 5_000_000), "no edge"),
      (document(edges: "[[0,1]]", nodes: 2, rest: ", \"features\": [[1], [null]]"), "number"),
      (document(edges: "[[0,1]]", nodes: 2, rest: ", \"features\": [[1], [1, 2]]"), "features"),
      ("{\"task\": \"graph\", \"graphs\": []}", "no graph"),
      ("{\"task\": \"tree\", \"graphs\": []}", "task"),
      ("{}", "num_nodes"),
    ])
  func bad(_ text: String, _ part: String) throws {
    let error = #expect(throws: FileError.self) { _ = try read(text) }
    #expect(error.map { "\($0)".contains(part) } ?? false, "\(error.map { "\($0)" } ?? "")")
  }

  @Test("Many graphs, each within the limits, are not together")
  func manyGraphs() throws {
    for (nodes, width) in [(90_000, 1), (2, 4_000_000)] {
      let graphs = (0..<8).map {
        "{\"id\": \($0), \"num_nodes\": \(nodes), \"label\": 0, \"edges\": [[0,1]]}"
      }
      let text = """
        {"task": "graph", "num_classes": 2, "features": {"kind": "constant", "value": 1, "dim": \(width)},
         "graphs": [\(graphs.joined(separator: ","))]}
        """
      #expect(throws: FileError.self) { try read(text) }
    }
  }

  @Test("Undirected edges in both directions, as graph libraries keep them")
  func bothDirections() throws {
    let rest = ", \"explanation\": \"0110\", \"edge_weights\": [0.5, 2, 2, 0.5]"
    let data = try read(document(edges: "[[0,1],[2,1],[1,2],[1,0]]", rest: rest))
    let graph = data.graphs[0]
    #expect(graph.edges == [GraphEdge(0, 1), GraphEdge(1, 2)])
    #expect(graph.edgeWeights == [0.5, 2] && graph.explanation == [false, true])
    // Scores per direction come in the order of the list: 0->1, 2->1, 1->2, 1->0.
    let root = JSONField(
      root: try JSONValue.parse("{\"items\":[{\"id\":\"a\",\"scores\":[1,2,3,4]}]}"), file: "s.json")
    #expect(try ScoreFile(root, for: data).items[0].edges == [1, 4, 3, 2])
    let directed = try read(
      document(edges: "[[0,1],[1,0]]").replacing("\"task\"", with: "\"directed\": true, \"task\""))
    #expect(directed.graphs[0].edges.count == 2)
  }

  @Test("Edge lists with any line ends", arguments: ["\n", "\r\n", "\r"])
  func lineEnds(_ end: String) throws {
    let folder = try TemporaryFolder()
    let nodes = try folder.write("f.csv", ["f1,f2,label", "1,2,0", "3,4,1", "5,6,0"].joined(separator: end))
    for list in [
      ["source,target,weight", "0,1,0.5", "1,2,2"], ["\u{FEFF}0,1,0.5", "1,2,2", ""],
      ["# c", " 0 , 1 , 0.5 ", "1,2,2"],
    ] {
      let data = try GraphTables.read(
        edges: folder.write("e.csv", list.joined(separator: end)), features: nodes)
      #expect(data.graphs[0].edges == [GraphEdge(0, 1), GraphEdge(1, 2)], "\(list)")
      #expect(data.graphs[0].edgeWeights == [0.5, 2])
      #expect(data.graphs[0].features == [1, 2, 3, 4, 5, 6])
    }
  }

  @Test("Damaged documents end in one error, or are read")
  func damaged() throws {
    let text = document(
      edges: "[[0,1],[1,2]]",
      rest: ", \"explanation\": \"01\", \"edge_weights\": [1, 0.5], \"self_loops\": [[0, 1]]")
    for mutation in Mutations(of: Array(text.utf8), count: 2000, seed: 5) {
      do {
        _ = try GraphDocument.read(JSONField(root: try JSONValue.parse(mutation, file: "m"), file: "m"))
      } catch is FileError {}
    }
  }

  @Test("Scores for another graph, NaN and unknown ids are refused")
  func scores() throws {
    let data = try read(document(edges: "[[0,1],[1,2]]"))
    func scores(_ text: String) throws -> ScoreFile {
      try ScoreFile(JSONField(root: try JSONValue.parse(text), file: "s.json"), for: data)
    }
    #expect(try scores("{\"items\":[{\"id\":\"a\",\"scores\":[0.5,1]}]}").items.count == 1)
    for text in [
      "{\"items\":[{\"id\":\"b\",\"scores\":[0.5,1]}]}", "{\"items\":[{\"id\":\"a\",\"scores\":[0.5]}]}",
      "{\"items\":[]}", "{\"items\":[{\"id\":\"a\"}]}", "{\"items\":[{\"id\":\"a\",\"scores\":[0.5,null]}]}",
    ] {
      #expect(throws: FileError.self) { _ = try scores(text) }
    }
  }

  @Test("Generated data sets have the published sizes, are reproducible and survive writing")
  func generators() throws {
    let sizes: [(GraphGenerator, Int, Int)] = [
      (.baShapes, 700, 2055), (.baCommunity, 1400, 4460), (.treeCycles, 871, 971), (.treeGrid, 1231, 1565),
    ]
    for (generator, nodes, edges) in sizes {
      let data = generator.dataset(seed: 3)
      #expect(data.graphs[0].nodeCount == nodes && data.graphs[0].edges.count == edges, "\(generator)")
      let again = try GraphDocument.read(JSONField(root: GraphDocument.value(of: data), file: "g.json"))
      #expect(again.graphs[0].edges == data.graphs[0].edges)
      #expect(again.graphs[0].explanation == data.graphs[0].explanation)
      #expect(again.graphs[0].nodeLabels == data.graphs[0].nodeLabels)
    }
    let motifs = GraphGenerator.ba2motifs.dataset(seed: 3, count: 10)
    #expect(motifs.graphs.allSatisfy { $0.nodeCount == 25 && $0.edges.count == ($0.label == 1 ? 26 : 25) })
    #expect(GraphGenerator.ba2motifs.dataset(seed: 4, count: 10).graphs[0].edges != motifs.graphs[0].edges)
  }

  @Test("Undefined values are nil with a reason")
  func undefined() {
    #expect(CombinedFidelity.characterization(plus: 0, minus: 0.2).value == nil)
    #expect(CombinedFidelity.characterization(plus: 0.5, minus: 1).reason != nil)
    #expect(CombinedFidelity.characterization(plus: 0.5, minus: 0.5).value == 0.5)
    #expect(GroundTruthAgreement.auc(scores: [1, 2], truth: [true, true]) == nil)
    #expect(GroundTruthAgreement.auc(scores: [1, 1, 0], truth: [true, false, false]) == 0.75)
    #expect(Correlation.spearman([1, 1], [1, 2]) == nil)
  }
}

@Suite("Certification", .enabled(if: Shared.isPresent, Shared.skip))
struct CertificationTests {
  @Test("Edge budgets of the karate network: margins, minimisers and counts", arguments: [0, 1, 2])
  func budgets(_ budget: Int) throws {
    let model = try Shared.network("karate_gcn")
    let graph = try Shared.graphs("karate").graphs[0]
    let stored = try Shared.json("reference/karate_gcn_verification.json").member("edge_deletion")
      .member("budgets").member("\(budget)").elements().map { try $0.double() }
    let certifier = GraphCertifier(model: model, classCount: 2, method: .enumerate)
    let result = try certifier.certify(graph, nodes: Array(0..<34), perturbation: .edges(budget: budget))
    for (node, margin) in zip(result.nodes, stored) {
      #expect(abs(node.marginReached - margin) < 1e-8)
      #expect(node.marginLower <= margin + 1e-9 && node.marginLower > margin - 1e-6)
    }
    #expect(result.robustCount == [34, 33, 31, 29][budget])
  }

  @Test("Branch and bound agrees with enumeration")
  func search() throws {
    let model = try Shared.network("karate_gcn")
    let graph = try Shared.graphs("karate").graphs[0]
    let nodes = [9, 12, 16, 20]
    let exact = try GraphCertifier(model: model, classCount: 2, method: .enumerate).certify(
      graph, nodes: nodes, perturbation: .edges(budget: 2))
    let found = try GraphCertifier(model: model, classCount: 2, method: .bab).certify(
      graph, nodes: nodes, perturbation: .edges(budget: 2))
    for (a, b) in zip(exact.nodes, found.nodes) {
      #expect(b.verdict == .unknown || a.verdict == b.verdict)
      #expect(b.marginLower <= a.marginReached + 1e-9)
    }
  }

  @Test(
    "Feature boxes: at least as tight as the better reference, never beyond an attack",
    arguments: ["0.01", "0.02", "0.03"])
  func features(_ eps: String) throws {
    let model = try Shared.network("karate_gcn")
    let graph = try Shared.graphs("karate").graphs[0]
    let stored = try Shared.json("reference/karate_gcn_verification.json").member("feature_box").member("eps")
      .member(eps)
    func row(_ name: String) throws -> [Double] { try stored.member(name).elements().map { try $0.double() } }
    let (ibp, crown, attack) = (try row("IBP"), try row("CROWN"), try row("attack_upper_bound"))
    let certifier = GraphCertifier(model: model, classCount: 2, method: .crown)
    let radius = try #require(Double(eps))
    let result = try certifier.certify(
      graph, nodes: Array(0..<34), perturbation: .features(eps: radius, ownRow: false))
    for (index, node) in result.nodes.enumerated() {
      #expect(node.marginLower >= max(ibp[index], crown[index]) - 1e-6)
      #expect(node.marginLower <= attack[index] + 1e-7)
    }
  }
}
