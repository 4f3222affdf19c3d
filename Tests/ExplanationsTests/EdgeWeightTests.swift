import Domains
import Explanations
import FileFormats
import Foundation
import IR
import Importers
import TestSupport
import Testing

/// Networks of one layer, a sum over nodes and nothing else, on random graphs with edge weights. The right values are
/// computed here from the formulas of the layers, node by node.
@Suite struct EdgeWeightTests {
  private struct Case: Sendable {
    var name: String
    var layer: String
    /// A row of two features per node to the layer's row.
    var formula: @Sendable (AttributedGraph, (Int) -> [Double]) -> [[Double]]
  }

  private static let w = [[0.5, -1.0], [2.0, 0.25]]
  private static let source = [1.0, -0.5]
  private static let target = [0.75, 0.5]

  private static func transformed(_ x: [Double]) -> [Double] {
    w.map { $0[0] * x[0] + $0[1] * x[1] }
  }

  /// Arcs into a node with their weights.
  private static func incoming(_ graph: AttributedGraph, _ node: Int) -> [(from: Int, weight: Double)] {
    graph.edges.enumerated().flatMap { i, edge -> [(Int, Double)] in
      let weight = graph.edgeWeights?[i] ?? 1
      return (edge.target == node ? [(edge.source, weight)] : [])
        + (edge.source == node && !graph.isDirected ? [(edge.target, weight)] : [])
    }
  }

  private static let cases: [Case] = [
    Case(name: "gcn", layer: #"{"op":"gcn_conv","weight":"w","weight_layout":"out_in"}"#) { graph, x in
      let degree = (0..<graph.nodeCount).map { 1 + incoming(graph, $0).reduce(0) { $0 + $1.weight } }
      return (0..<graph.nodeCount).map { i in
        var sum = transformed(x(i)).map { $0 / degree[i] }
        for arc in incoming(graph, i) {
          for (c, value) in transformed(x(arc.from)).enumerated() {
            sum[c] += arc.weight / (degree[i] * degree[arc.from]).squareRoot() * value
          }
        }
        return sum
      }
    },
    Case(name: "gin", layer: #"{"op":"gin_conv","mlp":[{"op":"linear","weight":"w"}]}"#) { graph, x in
      (0..<graph.nodeCount).map { i in
        var sum = x(i)
        for arc in incoming(graph, i) { for c in 0..<2 { sum[c] += arc.weight * x(arc.from)[c] } }
        return transformed(sum)
      }
    },
    Case(name: "mean", layer: #"{"op":"sage_conv","aggregate":"mean","weight":"w"}"#) { graph, x in
      (0..<graph.nodeCount).map { i in
        let arcs = incoming(graph, i)
        var sum = [0.0, 0.0]
        for arc in arcs { for c in 0..<2 { sum[c] += arc.weight * x(arc.from)[c] / Double(arcs.count) } }
        return transformed(sum)
      }
    },
    Case(name: "max", layer: #"{"op":"sage_conv","aggregate":"max","weight":"w"}"#) { graph, x in
      (0..<graph.nodeCount).map { i in
        let arcs = incoming(graph, i)
        return transformed((0..<2).map { c in arcs.map { $0.weight * x($0.from)[c] }.max() ?? 0 })
      }
    },
    Case(name: "gat", layer: #"{"op":"gat_conv","weight":"w","att_src":"s","att_dst":"t"}"#) { graph, x in
      (0..<graph.nodeCount).map { i in
        func z(_ node: Int) -> [Double] { transformed(x(node)) }
        func score(_ from: Int) -> Double {
          let raw =
            zip(source, z(from)).reduce(0) { $0 + $1.0 * $1.1 }
            + zip(target, z(i)).reduce(0) { $0 + $1.0 * $1.1 }
          return exp(raw > 0 ? raw : 0.2 * raw)
        }
        // Weights scale what is said, not the attention that is paid to it.
        let arcs = incoming(graph, i) + [(i, 1.0)]
        let total = arcs.reduce(0) { $0 + score($1.from) }
        return (0..<2).map { c in arcs.reduce(0) { $0 + $1.weight * score($1.from) / total * z($1.from)[c] } }
      }
    },
  ]

  private func model(_ layer: String, task: String, in folder: TemporaryFolder) throws -> any GraphModel {
    let tensors: [(String, [Int], [Double])] = [
      ("w", [2, 2], Self.w.flatMap { $0 }), ("s", [1, 1, 2], Self.source), ("t", [1, 1, 2], Self.target),
    ]
    var entries: [String] = []
    var data: [UInt8] = []
    for (name, shape, values) in tensors {
      let start = data.count
      for value in values { withUnsafeBytes(of: Float(value).bitPattern.littleEndian) { data += $0 } }
      entries.append(
        #""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(start),\#(data.count)]}"#)
    }
    let header = Array(("{" + entries.joined(separator: ",") + "}").utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    let path = try folder.write("m.safetensors", length + header + data)
    let pool = task == "graph" ? #",{"op":"pool","pools":["sum"]}"# : ""
    _ = try folder.write(
      "m.json", #"{"task":"\#(task)","num_features":2,"num_classes":2,"layers":[\#(layer)\#(pool)]}"#)
    return try GraphModelFile.load(path, task: task == "graph" ? .graph : .node)
  }

  private func graph(_ seed: UInt64, directed: Bool, weighted: Bool) -> AttributedGraph {
    var random = UnitGenerator(state: seed)
    let count = 3 + Int(random.unit() * 5)
    var edges: [GraphEdge] = []
    for u in 0..<count {
      for v in 0..<count where directed ? u != v : u < v {
        if random.unit() < 0.45 { edges.append(GraphEdge(u, v)) }
      }
    }
    // Quarters: exact in every precision. Zero is a weight, too.
    let weights = edges.map { _ in (random.unit() * 9).rounded() / 4 }
    let features = (0..<(2 * count)).map { _ in (random.unit() * 16).rounded() / 4 - 2 }
    return AttributedGraph(
      id: .number(0), nodeCount: count, edges: edges, isDirected: directed,
      edgeWeights: weighted ? weights : nil, features: features, featureCount: 2)
  }

  @Test("Fidelity's forward value and the certified margin are the formula's, under every meaning of masks")
  func formulas() throws {
    let folder = try TemporaryFolder()
    for item in Self.cases {
      let model = try model(item.layer, task: "graph", in: folder)
      for seed in 0..<24 {
        let graph = graph(UInt64(seed), directed: seed % 3 == 0, weighted: seed % 4 != 0)
        let rows = item.formula(graph) { Array(graph.features[(2 * $0)..<(2 * $0 + 2)]) }
        let expected = (0..<2).map { c in rows.reduce(0) { $0 + $1[c] } }
        for semantics in [MaskSemantics.edgeWeight, .message, .remove] {
          let network = try MaskedNetwork(model, graph: graph, semantics: semantics, classCount: 2)
          let logits = try network.fullLogits()
          for c in 0..<2 {
            #expect(abs(logits[c] - expected[c]) < 1e-9, "\(item.name), graph \(seed), \(semantics)")
          }
        }
        let certificate = try GraphCertifier(model: model, classCount: 2, method: .crown).certify(
          graph, nodes: nil, perturbation: .features(eps: 0, ownRow: false))
        let margin = abs(expected[0] - expected[1])
        #expect(abs(certificate.nodes[0].marginReached - margin) < 1e-9, "\(item.name), graph \(seed)")
        #expect(abs(certificate.nodes[0].marginLower - margin) < 1e-6, "\(item.name), graph \(seed)")
      }
    }
  }

  @Test("A removed edge is one that was never there")
  func removal() throws {
    let folder = try TemporaryFolder()
    for item in Self.cases {
      let model = try model(item.layer, task: "node", in: folder)
      for seed in 0..<12 {
        let graph = graph(UInt64(100 + seed), directed: false, weighted: true)
        guard !graph.edges.isEmpty else { continue }
        var smaller = graph
        smaller.edges.removeFirst()
        smaller.edgeWeights?.removeFirst()
        let rows = item.formula(smaller) { Array(graph.features[(2 * $0)..<(2 * $0 + 2)]) }
        var factors = [Double](repeating: 1, count: graph.edges.count)
        factors[0] = 0
        for node in 0..<graph.nodeCount {
          let network = try MaskedNetwork(model, graph: graph, node: node, semantics: .remove, classCount: 2)
          let logits = try network.logits(edgeFactors: network.edgeIndex.map { factors[$0] }, rows: 1)
          for c in 0..<2 {
            #expect(abs(logits[c] - rows[node][c]) < 1e-9, "\(item.name), graph \(seed), node \(node)")
          }
        }
      }
    }
  }
}

/// Multi-layer ONNX networks whose degrees are computed once per layer, and documents that do not fit a network.
@Suite(.enabled(if: Shared.isPresent, Shared.skip))
struct OnnxDegreeTests {
  private func occlusion(_ network: String, _ graphs: String, _ semantics: MaskSemantics) throws -> (
    predicted: Double, drops: [Double]
  ) {
    let graph = try GraphDocument.read(SharedData.path("field/\(graphs).graphs.json")).graphs[0]
    let model = try GraphModelFile.load(SharedData.path("field/\(network).onnx"), task: .graph)
    let masked = try MaskedNetwork(model, graph: graph, semantics: semantics, classCount: model.classCount)
    func probabilities(_ factors: [Double]) throws -> [Double] {
      let logits = try masked.logits(edgeFactors: factors, rows: 1)
      let sum = logits.reduce(0) { $0 + exp($1) }
      return logits.map { exp($0) / sum }
    }
    let ones = [Double](repeating: 1, count: graph.edges.count)
    let all = try probabilities(ones)
    let target = try #require(all.indices.max { all[$0] < all[$1] })
    let drops = try ones.indices.map { edge -> Double in
      var factors = ones
      factors[edge] = 0
      return all[target] - (try probabilities(factors)[target])
    }
    return (all[target], drops)
  }

  @Test("A masked edge is a deleted one for graph convolutions of any depth")
  func graphConvolutions() throws {
    let expected = try SharedData.json("field/b24b-gcn-onnx-mask/expected.json")
    for (key, value) in try #require(expected.objectValue).entries.map({ ($0.key, $0.value) }) {
      let parts = key.split(separator: "/").map(String.init)
      for export in ["leg", "dyn"] {
        for semantics in [MaskSemantics.edgeWeight, .remove] {
          let found: (predicted: Double, drops: [Double])
          do {
            found = try occlusion(
              "b24b-gcn-onnx-mask/\(parts[0])_\(export)", "b24b-gcn-onnx-mask/\(parts[1])", semantics)
          } catch is UnsupportedOperator { continue }
          #expect(abs(found.predicted - (try #require(value[0]?.doubleValue))) < 1e-6, "\(key) \(export)")
          for (drop, right) in zip(found.drops, try #require(value[1]?.doubles)) {
            #expect(abs(drop - right) < 1e-6, "\(key), \(export), \(semantics)")
          }
        }
      }
    }
  }

  @Test("Two layers with and without edge weights, and a mean")
  func exports() throws {
    let expected = try SharedData.json("field/b24-gnn/oexpected.json")
    for (key, value) in try #require(expected.objectValue).entries.map({ ($0.key, $0.value) }) {
      let parts = key.split(separator: "/").map(String.init)
      // A mean divides by the number of neighbours, which only removal changes.
      let isMean = parts[0] == "s_leg"
      for semantics in isMean ? [MaskSemantics.remove] : [.edgeWeight, .remove] {
        let found = try occlusion("b24-gnn/\(parts[0])", "b24-gnn/o_\(parts[1])", semantics)
        #expect(abs(found.predicted - (try #require(value["p"]?.doubleValue))) < 1e-6, "\(key)")
        for (drop, right) in zip(found.drops, try #require(value["drop"]?.doubles)) {
          #expect(abs(drop - right) < 1e-6, "\(key), \(semantics)")
        }
      }
    }
  }

  @Test("A document of the other task is refused")
  func otherTask() throws {
    let data = try GraphDocument.read(SharedData.path("field/d06-graph-task-mismatch/ba.json"))
    for name in ["gcn_ba_shapes_sparse", "gcn_tree_cycles_sparse", "gcn_tree_cycles_dense"] {
      let path = SharedData.path("fidelity/onnx/\(name).onnx")
      guard FileManager.default.fileExists(atPath: path) else { continue }
      #expect(throws: FileError.self) { try GraphModelFile.load(path, task: .graph) }
    }
    #expect(data.task == .graph)
  }

  @Test("Edge weights that a network has no input for are refused")
  func weightsWithoutInput() throws {
    var graph = try GraphDocument.read(SharedData.path("field/b24-gnn/o_path.graphs.json")).graphs[0]
    graph.edgeWeights = graph.edges.map { _ in 0.5 }
    let model = try GraphModelFile.load(SharedData.path("field/b24-gnn/g_leg.onnx"), task: .graph)
    #expect(throws: UnsupportedOperator.self) {
      try MaskedNetwork(model, graph: graph, semantics: .edgeWeight, classCount: 2)
    }
  }
}
