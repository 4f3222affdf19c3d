import IR
import Tensors

/// x W for a constant matrix W on the right: Gemm, MatMul by a constant.
///
/// Input `leading + [k]`, output `leading + [n]`; the rows of all leading axes share one matrix product.
public struct Dense: WeightedMap {
  public let inputShape: Shape
  public let outputShape: Shape
  public let weight: Weight
  /// Whether the weight is stored `[n, k]` (Gemm with transB) rather than `[k, n]`.
  public let isTransposed: Bool
  private let k: Int
  private let n: Int

  /// Precondition: the weight is a matrix whose k equals the last extent of `inputShape`.
  public init(_ weight: Weight, inputShape: Shape, transposed: Bool = false) {
    self.weight = weight
    self.inputShape = inputShape
    isTransposed = transposed
    k = weight.shape[transposed ? 1 : 0]
    n = weight.shape[transposed ? 0 : 1]
    precondition(inputShape.dims.last == k, "a matrix of shape \(weight.shape) does not fit \(inputShape)")
    outputShape = Shape(inputShape.dims.dropLast() + [n])
  }

  public var fanIn: Int { k }
  public var fanOut: Int { n }
  public var weights: [Weight] { [weight] }

  private func product<T: Real>(_ x: Tensor<T>, _ w: Tensor<T>) -> Tensor<T> {
    let rows = x.batch * (inputShape.count / max(k, 1))
    return Tensor(writing: [x.batch] + outputShape) { y in
      x.withPointer { x0 in
        w.withPointer { w0 in
          T.gemm(
            transposeA: false, transposeB: isTransposed, m: rows, n: n, k: k, alpha: 1, x0, lda: k, w0,
            ldb: isTransposed ? k : n, beta: 0, y, ldc: n)
        }
      }
    }
  }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { product(x, weight.tensor(as: T.self)) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { product(x, weight.magnitude) }

  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    let rows = y.batch * (outputShape.count / max(n, 1))
    let w = weight.tensor(as: T.self)
    return Tensor(writing: [y.batch] + inputShape) { x in
      y.withPointer { y0 in
        w.withPointer { w0 in
          if rows >= Self.sparseRows && adjointOfUsedColumns(rows, y0, w0, into: x) { return }
          T.gemm(
            transposeA: false, transposeB: !isTransposed, m: rows, n: k, k: n, alpha: 1, y0, lda: n, w0,
            ldb: isTransposed ? k : n, beta: 0, x, ldc: k)
        }
      }
    }
  }

  /// From this number of rows on it pays to look for columns of zeros.
  private static var sparseRows: Int { 16 }

  /// The adjoint over those outputs only that some row has a coefficient on: linear bounds have none on neurons that are
  /// known to be inactive. Returns false, with nothing done, where nearly all are used.
  private func adjointOfUsedColumns<T: Real>(
    _ rows: Int, _ y: UnsafePointer<T>, _ w: UnsafePointer<T>, into x: UnsafeMutablePointer<T>
  ) -> Bool {
    var mask = [UInt8](repeating: 0, count: n)
    let used = mask.withUnsafeMutableBufferPointer { mask in
      mask.baseAddress.map { T.usedColumns(rows: rows, n, y, into: $0) } ?? 0
    }
    guard 4 * used < 3 * n else { return false }
    guard used > 0 else {
      T.clear(rows * k, x)
      return true
    }
    let columns = mask.indices.filter { mask[$0] != 0 }.map { Int32($0) }
    withMemory(rows * used, of: T.self) { a in
      withMemory(used * k, of: T.self) { b in
        columns.withUnsafeBufferPointer { columns in
          T.gatherColumns(rows: rows, n, columns, y, into: a)
          if isTransposed {
            for (i, column) in columns.enumerated() {
              (b + i * k).update(from: w + Int(column) * k, count: k)
            }
          } else {
            T.gatherColumns(rows: k, n, columns, w, into: b)
          }
        }
        T.gemm(
          transposeA: false, transposeB: !isTransposed, m: rows, n: k, k: used, alpha: 1, UnsafePointer(a),
          lda: used, UnsafePointer(b), ldb: isTransposed ? k : used, beta: 0, x, ldc: k)
      }
    }
    return true
  }

  public func row(_ output: Int) -> [SparseEntry] {
    let (lead, column) = output.quotientAndRemainder(dividingBy: n)
    return (0..<k).map {
      SparseEntry(lead * k + $0, weight.values[flat: isTransposed ? column * k + $0 : $0 * n + column])
    }
  }

  public func rows(_ outputs: [Int]) -> Tensor<Double> {
    let size = inputShape.count
    var result = Tensor<Double>.zeros([outputs.count] + inputShape)
    result.withMutablePointer { y in
      weight.values.withPointer { w in
        for (r, output) in outputs.enumerated() {
          let (lead, column) = output.quotientAndRemainder(dividingBy: n)
          let row = y + r * size + lead * k
          if isTransposed {
            row.update(from: w + column * k, count: k)
          } else {
            for i in 0..<k { row[i] = w[i * n + column] }
          }
        }
      }
    }
    return result
  }

  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    let rows = x.count / max(k, 1)
    let gradient = Tensor<Double>(writing: weight.shape) { g in
      x.withPointer { x0 in
        y.withPointer { y0 in
          if isTransposed {
            Double.gemm(
              transposeA: true, transposeB: false, m: n, n: k, k: rows, alpha: 1, y0, lda: n, x0, ldb: k,
              beta: 0, g, ldc: k)
          } else {
            Double.gemm(
              transposeA: true, transposeB: false, m: k, n: n, k: rows, alpha: 1, x0, lda: k, y0, ldb: n,
              beta: 0, g, ldc: n)
          }
        }
      }
    }
    return [WeightGradient(weight, gradient)]
  }
}
