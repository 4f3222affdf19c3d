import CBLAS
import CKernels

/// A floating-point type with the kernels that the engine runs on: `Float` and `Double`.
///
/// Pointers address dense row-major arrays; `rows` is the batch. See CKernels.h for each kernel's meaning.
public protocol Real: BinaryFloatingPoint, Sendable {
  /// C = alpha op(A) op(B) + beta C, with op(A) m x k, op(B) k x n and leading dimensions of the stored arrays.
  static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Self,
    _ a: UnsafePointer<Self>, lda: Int, _ b: UnsafePointer<Self>, ldb: Int, beta: Self,
    _ c: UnsafeMutablePointer<Self>, ldc: Int)
  static func add(_ n: Int, _ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>)
  static func axpy(_ n: Int, _ a: Self, _ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>)
  static func multiply(
    _ n: Int, _ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, into z: UnsafeMutablePointer<Self>)
  static func relu(_ n: Int, _ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>)
  static func gather(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ x: UnsafePointer<Self>,
    into y: UnsafeMutablePointer<Self>)
  static func scatterAdd(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ y: UnsafePointer<Self>,
    into x: UnsafeMutablePointer<Self>)
  static func copyRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ x: UnsafePointer<Self>,
    into y: UnsafeMutablePointer<Self>)
  static func addRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ y: UnsafePointer<Self>,
    into x: UnsafeMutablePointer<Self>)
  /// Fills memory with zeros; unlike the generic loop, one call whatever the caller knows of the type.
  static func clear(_ count: Int, _ x: UnsafeMutablePointer<Self>)
  /// Marks the columns that hold anything but 0 in some row; returns their number, which may stop short of all rows only
  /// when all columns are marked.
  static func usedColumns(
    rows: Int, _ n: Int, _ x: UnsafePointer<Self>, into used: UnsafeMutablePointer<UInt8>
  ) -> Int
  /// y[r, i] = x[r, columns[i]] for rows of n.
  static func gatherColumns(
    rows: Int, _ n: Int, _ columns: UnsafeBufferPointer<Int32>, _ x: UnsafePointer<Self>,
    into y: UnsafeMutablePointer<Self>)
  /// x[r, c, index[t, p]] += y[c, t, r, p] where the index is not negative.
  static func fold(
    rows: Int, channels: Int, taps: Int, positions: Int, nin: Int, index: UnsafePointer<Int32>,
    _ y: UnsafePointer<Self>, into x: UnsafeMutablePointer<Self>)
  static func sparse(
    rows: Int, nin: Int, nout: Int, start: UnsafePointer<Int32>, column: UnsafePointer<Int32>,
    value: UnsafePointer<Self>, _ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>)
}

/// One BLAS thread: the toolkit parallelises outside of BLAS, which keeps results independent of thread counts.
/// Called once by whoever starts computing; calling it again changes nothing.
public func useSingleThreadedBLAS() { openblas_set_num_threads(1) }

extension Float: Real {
  @inline(__always)
  public static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Float,
    _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int, beta: Float,
    _ c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    if m == 0 || n == 0 { return }
    cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      blasint(m), blasint(n), blasint(k), alpha, a, blasint(max(1, lda)), b, blasint(max(1, ldb)), beta, c,
      blasint(max(1, ldc)))
  }
  public static func add(_ n: Int, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
    ck_add_f(Int64(n), x, y)
  }
  public static func axpy(
    _ n: Int, _ a: Float, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) {
    ck_axpy_f(Int64(n), a, x, y)
  }
  public static func multiply(
    _ n: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, into z: UnsafeMutablePointer<Float>
  ) { ck_multiply_f(Int64(n), x, y, z) }
  public static func relu(_ n: Int, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
    ck_relu_f(Int64(n), x, y)
  }
  public static func gather(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>
  ) { ck_gather_f(Int64(rows), Int64(nin), Int64(nout), index, x, y) }
  public static func scatterAdd(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ y: UnsafePointer<Float>,
    into x: UnsafeMutablePointer<Float>
  ) { ck_scatter_add_f(Int64(rows), Int64(nin), Int64(nout), index, y, x) }
  public static func copyRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>
  ) { ck_copy_runs_f(Int64(rows), Int64(nin), Int64(nout), Int64(runs.count), runs.baseAddress, x, y) }
  public static func addRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ y: UnsafePointer<Float>,
    into x: UnsafeMutablePointer<Float>
  ) { ck_add_runs_f(Int64(rows), Int64(nin), Int64(nout), Int64(runs.count), runs.baseAddress, y, x) }
  public static func clear(_ count: Int, _ x: UnsafeMutablePointer<Float>) {
    x.initialize(repeating: 0, count: count)
  }
  public static func usedColumns(
    rows: Int, _ n: Int, _ x: UnsafePointer<Float>, into used: UnsafeMutablePointer<UInt8>
  ) -> Int { Int(ck_used_columns_f(Int64(rows), Int64(n), x, used)) }
  public static func gatherColumns(
    rows: Int, _ n: Int, _ columns: UnsafeBufferPointer<Int32>, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>
  ) { ck_gather_columns_f(Int64(rows), Int64(n), Int64(columns.count), columns.baseAddress, x, y) }
  public static func fold(
    rows: Int, channels: Int, taps: Int, positions: Int, nin: Int, index: UnsafePointer<Int32>,
    _ y: UnsafePointer<Float>, into x: UnsafeMutablePointer<Float>
  ) {
    ck_fold_f(Int64(rows), Int64(channels), Int64(taps), Int64(positions), Int64(nin), index, y, x)
  }
  public static func sparse(
    rows: Int, nin: Int, nout: Int, start: UnsafePointer<Int32>, column: UnsafePointer<Int32>,
    value: UnsafePointer<Float>, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
  ) { ck_csr_f(Int64(rows), Int64(nin), Int64(nout), start, column, value, x, y) }
}

extension Double: Real {
  @inline(__always)
  public static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Double,
    _ a: UnsafePointer<Double>, lda: Int, _ b: UnsafePointer<Double>, ldb: Int, beta: Double,
    _ c: UnsafeMutablePointer<Double>, ldc: Int
  ) {
    if m == 0 || n == 0 { return }
    cblas_dgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      blasint(m), blasint(n), blasint(k), alpha, a, blasint(max(1, lda)), b, blasint(max(1, ldb)), beta, c,
      blasint(max(1, ldc)))
  }
  public static func add(_ n: Int, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>) {
    ck_add_d(Int64(n), x, y)
  }
  public static func axpy(
    _ n: Int, _ a: Double, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>
  ) { ck_axpy_d(Int64(n), a, x, y) }
  public static func multiply(
    _ n: Int, _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, into z: UnsafeMutablePointer<Double>
  ) { ck_multiply_d(Int64(n), x, y, z) }
  public static func relu(_ n: Int, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>) {
    ck_relu_d(Int64(n), x, y)
  }
  public static func gather(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ x: UnsafePointer<Double>,
    into y: UnsafeMutablePointer<Double>
  ) { ck_gather_d(Int64(rows), Int64(nin), Int64(nout), index, x, y) }
  public static func scatterAdd(
    rows: Int, nin: Int, nout: Int, index: UnsafePointer<Int32>, _ y: UnsafePointer<Double>,
    into x: UnsafeMutablePointer<Double>
  ) { ck_scatter_add_d(Int64(rows), Int64(nin), Int64(nout), index, y, x) }
  public static func copyRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ x: UnsafePointer<Double>,
    into y: UnsafeMutablePointer<Double>
  ) { ck_copy_runs_d(Int64(rows), Int64(nin), Int64(nout), Int64(runs.count), runs.baseAddress, x, y) }
  public static func addRuns(
    rows: Int, nin: Int, nout: Int, _ runs: UnsafeBufferPointer<ck_run>, _ y: UnsafePointer<Double>,
    into x: UnsafeMutablePointer<Double>
  ) { ck_add_runs_d(Int64(rows), Int64(nin), Int64(nout), Int64(runs.count), runs.baseAddress, y, x) }
  public static func clear(_ count: Int, _ x: UnsafeMutablePointer<Double>) {
    x.initialize(repeating: 0, count: count)
  }
  public static func usedColumns(
    rows: Int, _ n: Int, _ x: UnsafePointer<Double>, into used: UnsafeMutablePointer<UInt8>
  ) -> Int { Int(ck_used_columns_d(Int64(rows), Int64(n), x, used)) }
  public static func gatherColumns(
    rows: Int, _ n: Int, _ columns: UnsafeBufferPointer<Int32>, _ x: UnsafePointer<Double>,
    into y: UnsafeMutablePointer<Double>
  ) { ck_gather_columns_d(Int64(rows), Int64(n), Int64(columns.count), columns.baseAddress, x, y) }
  public static func fold(
    rows: Int, channels: Int, taps: Int, positions: Int, nin: Int, index: UnsafePointer<Int32>,
    _ y: UnsafePointer<Double>, into x: UnsafeMutablePointer<Double>
  ) {
    ck_fold_d(Int64(rows), Int64(channels), Int64(taps), Int64(positions), Int64(nin), index, y, x)
  }
  public static func sparse(
    rows: Int, nin: Int, nout: Int, start: UnsafePointer<Int32>, column: UnsafePointer<Int32>,
    value: UnsafePointer<Double>, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>
  ) { ck_csr_d(Int64(rows), Int64(nin), Int64(nout), start, column, value, x, y) }
}
