import CKernels
import Tensors

/// The graph kernels in both precisions.
protocol GraphReal: Real {
  static func aggregate(
    rows: Int, nodes: Int, heads: Int, width: Int, _ group: ArcList.Grouping, _ c: UnsafePointer<Self>,
    cStride: Int, cDivisor: Int, _ x: UnsafePointer<Self>, xStride: Int, xDivisor: Int,
    into y: UnsafeMutablePointer<Self>)
  static func aggregateEdges(
    rows: Int, nodes: Int, arcs: Int, heads: Int, width: Int, _ group: ArcList.Grouping,
    _ y: UnsafePointer<Self>, yDivisor: Int, _ x: UnsafePointer<Self>, xDivisor: Int,
    into g: UnsafeMutablePointer<Self>)
  static func normaliseGCN(
    rows: Int, _ arcs: ArcList, self loops: UnsafePointer<Self>, _ w: UnsafePointer<Self>,
    into out: UnsafeMutablePointer<Self>)
  static func normaliseRows(
    rows: Int, width: Int, eps: Self, _ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>)
}

extension Double: GraphReal {
  static func aggregate(
    rows: Int, nodes: Int, heads: Int, width: Int, _ group: ArcList.Grouping, _ c: UnsafePointer<Double>,
    cStride: Int, cDivisor: Int, _ x: UnsafePointer<Double>, xStride: Int, xDivisor: Int,
    into y: UnsafeMutablePointer<Double>
  ) {
    ck_aggregate_d(
      Int64(rows), Int64(nodes), Int64(heads), Int64(width), group.start, group.arc, group.other, c,
      Int64(cStride), Int64(cDivisor), x, Int64(xStride), Int64(xDivisor), y)
  }
  static func aggregateEdges(
    rows: Int, nodes: Int, arcs: Int, heads: Int, width: Int, _ group: ArcList.Grouping,
    _ y: UnsafePointer<Double>, yDivisor: Int, _ x: UnsafePointer<Double>, xDivisor: Int,
    into g: UnsafeMutablePointer<Double>
  ) {
    ck_aggregate_edges_d(
      Int64(rows), Int64(nodes), Int64(arcs), Int64(nodes), Int64(heads), Int64(width), group.start,
      group.arc,
      group.other, y, Int64(yDivisor), x, Int64(xDivisor), g)
  }
  static func normaliseGCN(
    rows: Int, _ arcs: ArcList, self loops: UnsafePointer<Double>, _ w: UnsafePointer<Double>,
    into out: UnsafeMutablePointer<Double>
  ) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: max(arcs.nodeCount, 1)) { scratch in
      // A capacity of at least 1 has an address.
      ck_gcn_normalise_d(
        Int64(rows), Int64(arcs.count), Int64(arcs.nodeCount), arcs.source, arcs.target, loops, w,
        scratch.baseAddress!, out)
    }
  }
  static func normaliseRows(
    rows: Int, width: Int, eps: Double, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>
  ) { ck_normalise_rows_d(Int64(rows), Int64(width), eps, x, y) }
}

extension Float: GraphReal {
  static func aggregate(
    rows: Int, nodes: Int, heads: Int, width: Int, _ group: ArcList.Grouping, _ c: UnsafePointer<Float>,
    cStride: Int, cDivisor: Int, _ x: UnsafePointer<Float>, xStride: Int, xDivisor: Int,
    into y: UnsafeMutablePointer<Float>
  ) {
    ck_aggregate_f(
      Int64(rows), Int64(nodes), Int64(heads), Int64(width), group.start, group.arc, group.other, c,
      Int64(cStride), Int64(cDivisor), x, Int64(xStride), Int64(xDivisor), y)
  }
  static func aggregateEdges(
    rows: Int, nodes: Int, arcs: Int, heads: Int, width: Int, _ group: ArcList.Grouping,
    _ y: UnsafePointer<Float>, yDivisor: Int, _ x: UnsafePointer<Float>, xDivisor: Int,
    into g: UnsafeMutablePointer<Float>
  ) {
    ck_aggregate_edges_f(
      Int64(rows), Int64(nodes), Int64(arcs), Int64(nodes), Int64(heads), Int64(width), group.start,
      group.arc,
      group.other, y, Int64(yDivisor), x, Int64(xDivisor), g)
  }
  static func normaliseGCN(
    rows: Int, _ arcs: ArcList, self loops: UnsafePointer<Float>, _ w: UnsafePointer<Float>,
    into out: UnsafeMutablePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(arcs.nodeCount, 1)) { scratch in
      // A capacity of at least 1 has an address.
      ck_gcn_normalise_f(
        Int64(rows), Int64(arcs.count), Int64(arcs.nodeCount), arcs.source, arcs.target, loops, w,
        scratch.baseAddress!, out)
    }
  }
  static func normaliseRows(
    rows: Int, width: Int, eps: Float, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) { ck_normalise_rows_f(Int64(rows), Int64(width), eps, x, y) }
}
