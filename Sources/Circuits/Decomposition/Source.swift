import Importers
import IR
import Tensors

/// What a decomposition follows: the set of things that counts as relevant where it arises.
public enum Source: Sendable, Hashable {
  /// Deviations of heads from their baselines.
  case nodes([HeadNode])
  /// Everything at some positions of the residual stream that enters block `level` (0: the embeddings).
  case tokens([Int], level: Int)

  /// The first position at which anything is relevant.
  var firstPosition: Int {
    switch self {
    case .nodes(let nodes): nodes.map(\.position).min() ?? 0
    case .tokens(let positions, _): positions.min() ?? 0
    }
  }

  var isSingleNode: Bool {
    if case .nodes(let nodes) = self { return nodes.count == 1 }
    return false
  }

  /// The first layer whose values change.
  var firstLayer: Int {
    switch self {
    case .nodes(let nodes): nodes.map(\.layer).min() ?? 0
    case .tokens(_, let level): level
    }
  }
}

/// The sources of a batch, sorted by the node at which they act.
struct SourcePlan: Sendable {
  /// By z node: which source of the batch sets which head.
  var heads: [NodeID: [(source: Int, node: HeadNode)]] = [:]
  /// By residual node: which source of the batch claims which positions.
  var tokens: [NodeID: [(source: Int, positions: [Int])]] = [:]

  init(_ sources: [Source], _ transformer: Transformer) {
    for (index, source) in sources.enumerated() {
      switch source {
      case .nodes(let nodes):
        for node in nodes { heads[transformer.layers[node.layer].z, default: []].append((index, node)) }
      case .tokens(let positions, let level):
        tokens[transformer.layers[level].input, default: []].append((index, positions))
      }
    }
  }
}

/// Rows of a matrix product with a constant `[k, n]` on the right, added to `y`.
///
/// Tiny row counts are padded: BLAS may treat them by another kernel that sums in another order, and results must not
/// depend on the batch.
func addProduct(
  rows: Int, k: Int, n: Int, _ x: UnsafePointer<Double>, _ w: UnsafePointer<Double>, transposed: Bool,
  accumulate: Bool, _ y: UnsafeMutablePointer<Double>
) {
  let least = transposed ? 32 : 4
  func multiply(_ m: Int, _ a: UnsafePointer<Double>, _ c: UnsafeMutablePointer<Double>, _ beta: Double) {
    Double.gemm(
      transposeA: false, transposeB: transposed, m: m, n: n, k: k, alpha: 1, a, lda: k, w,
      ldb: transposed ? k : n, beta: beta, c, ldc: n)
  }
  if rows >= least {
    multiply(rows, x, y, accumulate ? 1 : 0)
    return
  }
  withUnsafeTemporaryAllocation(of: Double.self, capacity: least * (k + n)) { memory in
    // The capacity is positive, so there is an address.
    guard let a = memory.baseAddress else { return }
    let c = a + least * k
    a.update(from: x, count: rows * k)
    (a + rows * k).update(repeating: 0, count: (least - rows) * k)
    multiply(least, a, c, 0)
    if accumulate { Double.add(rows * n, c, into: y) } else { y.update(from: c, count: rows * n) }
  }
}

/// The same in single precision: both factors are rounded to Float, the result is widened.
func addProduct(
  rows: Int, _ x: UnsafePointer<Double>, _ weight: Weight, transposed: Bool, accumulate: Bool,
  precision: DecompositionSettings.Precision, _ y: UnsafeMutablePointer<Double>
) {
  let k = weight.shape[transposed ? 1 : 0]
  let n = weight.shape[transposed ? 0 : 1]
  if precision == .double {
    weight.values.withPointer {
      addProduct(rows: rows, k: k, n: n, x, $0, transposed: transposed, accumulate: accumulate, y)
    }
    return
  }
  let padded = max(rows, 32)
  withUnsafeTemporaryAllocation(of: Float.self, capacity: padded * (k + n)) { memory in
    // The capacity is positive, so there is an address.
    guard let a = memory.baseAddress else { return }
    let c = a + padded * k
    for i in 0..<rows * k { a[i] = Float(x[i]) }
    (a + rows * k).update(repeating: 0, count: (padded - rows) * k)
    weight.float32.withPointer { w in
      Float.gemm(
        transposeA: false, transposeB: transposed, m: padded, n: n, k: k, alpha: 1, a, lda: k, w,
        ldb: transposed ? k : n, beta: 0, c, ldc: n)
    }
    if accumulate {
      for i in 0..<rows * n { y[i] += Double(c[i]) }
    } else {
      for i in 0..<rows * n { y[i] = Double(c[i]) }
    }
  }
}
