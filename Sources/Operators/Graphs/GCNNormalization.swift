import IR
import Tensors

/// Symmetric degree normalisation: from arc weights w to the coefficients of a graph convolution.
///
/// With d_i = s_i + sum of the weights of arcs into i, the output holds w_ij / sqrt(d_i d_j) for every arc and then
/// s_i / d_i for every node: the coefficients of `arcs.withSelfLoops()`. Kipf and Welling (ICLR 2017).
public struct GCNNormalization: Composite {
  public let arcs: ArcList
  /// The weight s_i of every node's self-loop, positive.
  public let selfWeights: Weight
  public let expansion: Graph

  /// - Throws: never for positive self weights, one per node.
  public init(_ arcs: ArcList, selfWeights: [Double]) throws {
    precondition(selfWeights.count == arcs.nodeCount)
    self.arcs = arcs
    let loops = Weight(Tensor([arcs.nodeCount], selfWeights))
    self.selfWeights = loops
    expansion = try Self.expand(arcs, loops)
  }

  public var name: String { "GCNNormalization" }
  public var inputShapes: [Shape] { [[arcs.count]] }
  public var outputShape: Shape { [arcs.count + arcs.nodeCount] }

  private static func expand(_ arcs: ArcList, _ loops: Weight) throws -> Graph {
    let nodes: Shape = [arcs.nodeCount]
    let edges: Shape = [arcs.count]
    let all: Shape = [arcs.count + arcs.nodeCount]
    var b = GraphBuilder(origin: "GCNNormalization", scope: "gcn_norm/")
    let w = b.input("weights", edges)
    let degree = try b.linear(SumMap(edges, to: nodes, target: arcs.target), w, bias: loops, name: "degree")
    let root = b.elementwise(NegativePower(.half), degree, name: "inverse_sqrt_degree")
    let source = try b.linear(IndexMap(nodes, to: edges, index: arcs.source), root)
    let target = try b.linear(IndexMap(nodes, to: edges, index: arcs.target), root)
    // Shapes of one arc list always broadcast.
    guard let form = Multiply(edges, edges) else {
      throw GraphError(node: "gcn_norm", reason: "shapes differ")
    }
    let half = try b.product(form, w, source)
    let full = try b.product(form, half, target, name: "arc_coefficients")
    let inverse = b.elementwise(NegativePower(.one), degree, name: "inverse_degree")
    let own = try b.linear(Diagonal(loops, shape: nodes), inverse, name: "self_coefficients")
    let out = try b.affine(
      [
        (full, IndexMap.embed(edges, into: all, axis: 0, offset: 0)),
        (own, IndexMap.embed(nodes, into: all, axis: 0, offset: arcs.count)),
      ], disjoint: true, name: "coefficients")
    b.output(out)
    return b.build()
  }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    if let w = x[0] as? Tensor<Double> { return normalise(w, selfWeights.values) as? Tensor<T> }
    if let w = x[0] as? Tensor<Float> { return normalise(w, selfWeights.float32) as? Tensor<T> }
    return nil
  }

  private func normalise<T: GraphReal>(_ w: Tensor<T>, _ loops: Tensor<T>) -> Tensor<T> {
    Tensor(writing: [w.batch] + outputShape) { out in
      w.withPointer { w0 in
        loops.withPointer { T.normaliseGCN(rows: w.batch, arcs, self: $0, w0, into: out) }
      }
    }
  }
}
