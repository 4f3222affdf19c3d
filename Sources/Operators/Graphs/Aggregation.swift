import IR
import Tensors

/// Weighted sums along the arcs of a graph: y_i = sum over arcs j -> i of c_ij x_j.
///
/// The left input are the coefficients `[arcs]` (or `[arcs, heads]` for multi-head attention), the right one node
/// values `[nodes, width]`; each head weighs its own width / heads channels. With fixed coefficients the form is the
/// sparse matrix of the graph (`fixing(left:)`), and its adjoint aggregates along the transposed arcs.
public struct Aggregation: BilinearForm {
  public let arcs: ArcList
  public let heads: Int
  public let width: Int
  public let leftShape: Shape
  public let rightShape: Shape
  public let outputShape: Shape

  /// Precondition: `width` is a multiple of `heads`.
  public init(_ arcs: ArcList, width: Int, heads: Int = 1) {
    precondition(heads > 0 && width % heads == 0)
    self.arcs = arcs
    self.heads = heads
    self.width = width
    leftShape = heads == 1 ? [arcs.count] : [arcs.count, heads]
    rightShape = [arcs.nodeCount, width]
    outputShape = [arcs.nodeCount, width]
  }

  public var fanIn: Int { max(1, arcs.incoming.width) }
  public var fanOut: Int { max(1, arcs.outgoing.width, width / heads) }

  public func apply<T: Real>(_ a: Tensor<T>, _ b: Tensor<T>) -> Tensor<T> {
    aggregate(a, b, along: arcs.incoming)
  }

  public func adjointRight<T: Real>(_ y: Tensor<T>, left a: Tensor<T>) -> Tensor<T> {
    aggregate(a, y, along: arcs.outgoing)
  }

  public func adjointLeft<T: Real>(_ y: Tensor<T>, right b: Tensor<T>) -> Tensor<T> {
    // Real has exactly two conformances and both arguments are of the same one, so T is the type that matched.
    if let y = y as? Tensor<Double>, let b = b as? Tensor<Double> { return edges(y, b) as! Tensor<T> }
    return edges(y as! Tensor<Float>, b as! Tensor<Float>) as! Tensor<T>
  }

  private func aggregate<T: Real>(_ c: Tensor<T>, _ x: Tensor<T>, along group: ArcList.Grouping) -> Tensor<T>
  {
    // As above.
    if let c = c as? Tensor<Double>, let x = x as? Tensor<Double> { return sum(c, x, group) as! Tensor<T> }
    return sum(c as! Tensor<Float>, x as! Tensor<Float>, group) as! Tensor<T>
  }

  private func sum<T: GraphReal>(_ c: Tensor<T>, _ x: Tensor<T>, _ group: ArcList.Grouping) -> Tensor<T> {
    let (batch, dc, dx) = batchRatio(c.batch, x.batch)
    return Tensor(writing: [batch] + outputShape) { y in
      c.withPointer { c0 in
        x.withPointer { x0 in
          T.aggregate(
            rows: batch, nodes: arcs.nodeCount, heads: heads, width: width, group, c0,
            cStride: arcs.count * heads, cDivisor: dc, x0, xStride: arcs.nodeCount * width, xDivisor: dx,
            into: y)
        }
      }
    }
  }

  private func edges<T: GraphReal>(_ y: Tensor<T>, _ b: Tensor<T>) -> Tensor<T> {
    let (batch, dy, db) = batchRatio(y.batch, b.batch)
    return Tensor(writing: [batch] + leftShape) { g in
      y.withPointer { y0 in
        b.withPointer { b0 in
          T.aggregateEdges(
            rows: batch, nodes: arcs.nodeCount, arcs: arcs.count, heads: heads, width: width, arcs.incoming,
            y0,
            yDivisor: dy, b0, xDivisor: db, into: g)
        }
      }
    }
  }

  public func fixing(left weight: Weight) -> any LinearMap { FixedFactor(self, .left, weight) }
  public func fixing(right weight: Weight) -> any LinearMap { FixedFactor(self, .right, weight) }

  public func terms(_ output: Int) -> [(left: Int, right: Int)] {
    let (node, channel) = output.quotientAndRemainder(dividingBy: width)
    let head = channel / (width / heads)
    let group = arcs.incoming
    return (Int(group.start[node])..<Int(group.start[node + 1])).map { place in
      (Int(group.arc[place]) * heads + head, Int(group.other[place]) * width + channel)
    }
  }
}
