import IR
import Tensors

/// Attention weights: the softmax of arc scores over the arcs into each node, per head.
///
/// Input: scores `[arcs, heads]`; with `isMasked` a second input, presence factors `[arcs]`, removes arcs (factor 0)
/// from the sum. Output `[arcs, heads]`. Every node must keep an arc (its self-loop).
///
/// The expansion is alpha_e = m_e / sum over e' of m_e' exp(s_e' - s_e), whose exponents are differences: it neither
/// overflows nor loses the correlation between numerator and denominator.
public struct EdgeSoftmax: Composite {
  public let arcs: ArcList
  public let heads: Int
  public let isMasked: Bool
  public let expansion: Graph

  public init(_ arcs: ArcList, heads: Int, isMasked: Bool) throws {
    self.arcs = arcs
    self.heads = heads
    self.isMasked = isMasked
    expansion = try Self.expand(arcs, heads, isMasked)
  }

  public var name: String { "EdgeSoftmax" }
  public var inputShapes: [Shape] {
    isMasked ? [[arcs.count, heads], [arcs.count]] : [[arcs.count, heads]]
  }
  public var outputShape: Shape { [arcs.count, heads] }

  private static func expand(_ arcs: ArcList, _ heads: Int, _ masked: Bool) throws -> Graph {
    let scores: Shape = [arcs.count, heads]
    var b = GraphBuilder(origin: "EdgeSoftmax", scope: "edge_softmax/")
    let s = b.input("scores", scores)
    let mask = masked ? b.input("present", [arcs.count]) : nil
    // All pairs of arcs into one node.
    var own: [Int32] = []
    var other: [Int32] = []
    for node in 0..<arcs.nodeCount {
      let group = arcs.incoming.arcs(of: node)
      for e in group {
        for f in group {
          own.append(e)
          other.append(f)
        }
      }
    }
    let pairs: Shape = [own.count, heads]
    func spread(_ arcs: [Int32]) -> [Int32] {
      arcs.flatMap { arc in (0..<heads).map { arc * Int32(heads) + Int32($0) } }
    }
    let difference = SparseMap(
      scores, to: pairs,
      rows: zip(spread(own), spread(other)).map { mine, theirs in
        mine == theirs ? [] : [SparseEntry(Int(theirs), 1), SparseEntry(Int(mine), -1)]
      })
    var terms = b.elementwise(Exp(), try b.linear(difference, s, name: "differences"), name: "ratios")
    if let mask {
      let factors = try b.linear(
        IndexMap([arcs.count], to: pairs, index: other.flatMap { [Int32](repeating: $0, count: heads) }), mask
      )
      guard let form = Multiply(pairs, pairs) else {
        throw GraphError(node: "edge_softmax", reason: "shapes")
      }
      terms = try b.product(form, terms, factors)
    }
    let sum = try b.linear(SumMap(pairs, to: scores, target: spread(own)), terms, name: "sums")
    var alpha = b.elementwise(NegativePower(.one), sum, name: "attention")
    if let mask {
      let factors = try b.linear(
        IndexMap(
          [arcs.count], to: scores,
          index: (0..<arcs.count).flatMap { [Int32](repeating: Int32($0), count: heads) }), mask)
      guard let form = Multiply(scores, scores) else {
        throw GraphError(node: "edge_softmax", reason: "shapes")
      }
      alpha = try b.product(form, alpha, factors)
    }
    b.output(alpha)
    return b.build()
  }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    let batch = x.map(\.batch).max() ?? 1
    let size = arcs.count * heads
    var result = Tensor<T>.zeros([batch] + outputShape)
    for r in 0..<batch {
      let scores = x[0].batch == 1 ? 0 : r * size
      let factors = isMasked && x[1].batch > 1 ? r * arcs.count : 0
      for node in 0..<arcs.nodeCount {
        let group = arcs.incoming.arcs(of: node)
        for h in 0..<heads {
          var top = -T.infinity
          for e in group where !isMasked || x[1][flat: factors + Int(e)] != 0 {
            top = max(top, x[0][flat: scores + Int(e) * heads + h])
          }
          var sum = T(0)
          for e in group {
            let m = isMasked ? x[1][flat: factors + Int(e)] : 1
            if m == 0 { continue }
            let value = m * T(exponentialOf(Double(x[0][flat: scores + Int(e) * heads + h] - top)))
            result[flat: r * size + Int(e) * heads + h] = value
            sum += value
          }
          for e in group { result[flat: r * size + Int(e) * heads + h] /= sum }
        }
      }
    }
    return result
  }
}
