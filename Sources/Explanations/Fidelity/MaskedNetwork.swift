import Domains
import FileFormats
import Foundation
import IR
import Importers
import Operators
import Tensors

/// A network bound to one graph (or to the neighbourhood of one node) whose edges can be masked.
///
/// Masks are the batch axis of the shared interpreter: one pass answers for many masked graphs.
public struct MaskedNetwork: Sendable {
  /// The graph that runs: the whole one, or the slice a node's output depends on.
  public let graph: AttributedGraph
  /// For every edge of `graph` its index in the graph of the file.
  public let edgeIndex: [Int]
  /// For every node of `graph` its number in the graph of the file.
  public let nodeIndex: [Int]
  public let semantics: MaskSemantics
  public let classCount: Int
  /// The node that is read out, as numbered in `graph`; nil for graph tasks.
  public let node: Int?
  /// The bound graph: one input, the factors on arcs.
  public let bound: Graph
  /// The bound graph with features as a further, first input; bound when a node or feature mask first needs it.
  private let withFeatures: Deferred<Graph>
  private let block: Int

  /// Arcs per edge: both directions of an undirected edge.
  public var arcsPerEdge: Int { graph.isDirected ? 1 : 2 }
  public var edgeCount: Int { graph.edges.count }
  public var arcCount: Int { graph.edges.count * arcsPerEdge }

  /// - Parameters:
  ///   - node: the node to read out, for node models.
  ///   - hops: run on the induced subgraph of that many hops; nil takes what the node's output depends on, which
  ///     changes nothing (one hop more than the network has layers, so that degrees at the boundary are those of
  ///     the full graph).
  public init(
    _ model: any GraphModel, graph full: AttributedGraph, node: Int? = nil, semantics: MaskSemantics,
    hops: Int? = nil, classCount: Int
  ) throws {
    self.semantics = semantics
    self.classCount = classCount
    if full.featureCount != model.featureCount {
      throw ExplanationError.notApplicable(
        "the network takes \(model.featureCount) features a node, the graph has \(full.featureCount)")
    }
    var used = full
    var kept = Array(full.edges.indices)
    var center = node
    var keptNodes = Array(0..<full.nodeCount)
    if let node {
      guard node >= 0, node < full.nodeCount else {
        throw ExplanationError.notApplicable("the graph has no node \(node)")
      }
      if !model.isGlobal || hops != nil {
        let reach = hops ?? model.depth + 1
        let distance = full.distances(from: node)
        let near =
          full.edges.isEmpty
          ? [node] : (0..<full.nodeCount).filter { distance[$0].map { $0 <= reach } ?? false }
        (used, kept) = full.induced(on: near)
        center = near.firstIndex(of: node)
        keptNodes = near
      }
    }
    graph = used
    edgeIndex = kept
    nodeIndex = keptNodes
    self.node = center
    let masking: ArcMasking
    switch semantics {
    case .edgeWeight, .featureZero: masking = .weight
    case .message: masking = .message
    case .remove: masking = .removal
    }
    let structure = used.structure
    let readout: GraphNetwork.Readout = center.map { .node($0) } ?? .all
    bound = try model.bind(
      structure, features: .constant(used.paddedFeatures), masking: masking, readout: readout)
    withFeatures = Deferred {
      try model.bind(structure, features: .input, masking: masking, readout: readout)
    }
    // Blocks of about 256 kB per value stay in the second-level cache.
    let widest = bound.nodes.map(\.shape.count).max() ?? 1
    block = max(1, min(256, 32_768 / max(1, widest)))
  }

  /// Logits of `rows` masked graphs; factors are row-major [rows, arcCount], the result [rows, classCount].
  public func logits(arcFactors: [Double], rows: Int) throws -> [Double] {
    precondition(arcFactors.count == rows * arcCount, "one factor per row and arc")
    if rows == 0 { return [] }
    var domain = ConcreteDomain(.float64)
    var result: [Double] = []
    result.reserveCapacity(rows * classCount)
    var first = 0
    while first < rows {
      let count = min(block, rows - first)
      let slice =
        count == rows ? arcFactors : Array(arcFactors[(first * arcCount)..<((first + count) * arcCount)])
      let input = Tensor<Double>([count, arcCount], slice)
      let output = try bound.interpret([.double(input)], in: &domain).outputs[0].float64
      // A network without arcs or masks answers once for all rows.
      if output.batch == count {
        result += output.elements
      } else {
        for _ in 0..<count { result += output.elements }
      }
      first += count
    }
    return result
  }

  /// Logits for factors on undirected edges: both directions get the same factor.
  public func logits(edgeFactors: [Double], rows: Int) throws -> [Double] {
    if arcsPerEdge == 1 { return try logits(arcFactors: edgeFactors, rows: rows) }
    var arcs = [Double](repeating: 1, count: edgeFactors.count * 2)
    for (i, factor) in edgeFactors.enumerated() {
      arcs[2 * i] = factor
      arcs[2 * i + 1] = factor
    }
    return try logits(arcFactors: arcs, rows: rows)
  }

  /// Logits of the unmasked graph.
  public func fullLogits() throws -> [Double] {
    try logits(arcFactors: [Double](repeating: 1, count: arcCount), rows: 1)
  }

  /// Logits for replaced features, row-major [rows, nodes, features], on the unmasked edges.
  public func logits(features: [Double], rows: Int) throws -> [Double] {
    let withFeatures = try withFeatures.value()
    let size = graph.nodeCount * graph.featureCount
    precondition(features.count == rows * size)
    var domain = ConcreteDomain(.float64)
    let ones = Tensor<Double>(repeating: 1, [1, arcCount])
    var result: [Double] = []
    var first = 0
    let tail = Array(graph.paddedFeatures[size...])
    while first < rows {
      let count = min(block, rows - first)
      var values: [Double] = []
      values.reserveCapacity(count * (size + tail.count))
      for r in first..<(first + count) { values += features[(r * size)..<((r + 1) * size)] + tail }
      let padded = graph.paddedNodeCount
      let x = Tensor<Double>([count, padded, graph.featureCount], values)
      result += try withFeatures.interpret([.double(x), .double(ones)], in: &domain).outputs[0].float64
        .elements
      first += count
    }
    return result
  }

  /// Gradients of one scalar per row, sum over classes of seed times logit, in the arc factors.
  public func gradients(
    arcFactors: [Double], rows: Int, seed: ([Double]) -> [Double]
  ) throws -> (logits: [Double], gradients: [Double]) {
    var domain = ConcreteDomain(.float64)
    let input = Tensor<Double>([rows, arcCount], arcFactors)
    let trace = try bound.interpret([.double(input)], in: &domain, keepingAll: true)
    let logits = trace.outputs[0].float64.elements
    let covector = Tensor<Double>([rows, classCount], seed(logits))
    var rule = GradientRule<Double>(trace)
    try bound.pullBack([(bound.outputs[0].node, covector)], rule: &rule)
    let zero = [Double](repeating: 0, count: rows * arcCount)
    return (logits, rule.inputGradients[bound.inputs[0]]?.elements ?? zero)
  }
}

/// A value that is made when it is first asked for, once.
private final class Deferred<Value: Sendable>: @unchecked Sendable {
  // `made` is only touched under the lock.
  private let lock = NSLock()
  private let make: @Sendable () throws -> Value
  private var made: Value?

  init(_ make: @escaping @Sendable () throws -> Value) { self.make = make }

  func value() throws -> Value {
    try lock.withLock {
      if let made { return made }
      let value = try make()
      made = value
      return value
    }
  }
}

extension AttributedGraph {
  /// Nodes including the one that stands for padding.
  public var paddedNodeCount: Int { nodeCount + (paddingCount > 0 ? 1 : 0) }

  private var paddingCount: Int { padding.map { $0.nodes - nodeCount } ?? 0 }

  /// Features including those of the padding representative.
  public var paddedFeatures: [Double] {
    guard paddingCount > 0, let padding else { return features }
    return features + [Double](repeating: padding.feature, count: featureCount)
  }

  /// Arcs, weights, self-loops and multiplicities as a network is bound to them. Edge i of an undirected graph is the
  /// arcs 2i (u->v) and 2i+1 (v->u).
  public var structure: GraphStructure {
    let nodes = paddedNodeCount
    var source: [Int32] = []
    var target: [Int32] = []
    var weights: [Double] = []
    for (index, edge) in edges.enumerated() {
      let weight = edgeWeights?[index] ?? 1
      source.append(Int32(edge.source))
      target.append(Int32(edge.target))
      weights.append(weight)
      if !isDirected {
        source.append(Int32(edge.target))
        target.append(Int32(edge.source))
        weights.append(weight)
      }
    }
    var loops = [Double?](repeating: nil, count: nodes)
    for loop in selfLoops { loops[loop.node] = loop.weight }
    var multiplicity = [Int](repeating: 1, count: nodes)
    if paddingCount > 0 {
      multiplicity[nodes - 1] = paddingCount
      if padding?.selfLoops == true { loops[nodes - 1] = 1 }
    }
    return GraphStructure(
      arcs: ArcList(nodeCount: nodes, source: source, target: target), weights: weights, selfLoops: loops,
      multiplicity: multiplicity)
  }
}
