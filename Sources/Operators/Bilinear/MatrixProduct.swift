import IR
import Tensors

/// The batched matrix product of two variable tensors with broadcast leading axes (ONNX MatMul, numpy semantics;
/// vectors are reshaped by the importer).
public struct MatrixProduct: BilinearForm {
  public let leftShape: Shape
  public let rightShape: Shape
  public let outputShape: Shape
  private let m: Int
  private let k: Int
  private let n: Int
  /// For every matrix of the output the matrices of the operands.
  private let leftMatrix: [Int32]
  private let rightMatrix: [Int32]
  private let broadcastFactor: Int

  /// Fails if the shapes do not fit; both have rank 2 or more.
  public init?(_ a: Shape, _ b: Shape) {
    guard a.rank >= 2, b.rank >= 2, a[a.rank - 1] == b[b.rank - 2] else { return nil }
    let leadingA = Shape(Array(a.dims.dropLast(2)))
    let leadingB = Shape(Array(b.dims.dropLast(2)))
    guard let leading = Shape.broadcast(leadingA, leadingB) else { return nil }
    leftShape = a
    rightShape = b
    m = a[a.rank - 2]
    k = a[a.rank - 1]
    n = b[b.rank - 1]
    outputShape = leading + [m, n]
    leftMatrix = leadingA.broadcastIndices(to: leading)
    rightMatrix = leadingB.broadcastIndices(to: leading)
    broadcastFactor = max(leading.count / max(1, leadingA.count), leading.count / max(1, leadingB.count), 1)
  }

  public var fanIn: Int { k }
  public var fanOut: Int { max(m, n) * broadcastFactor }

  public func apply<T: Real>(_ a: Tensor<T>, _ b: Tensor<T>) -> Tensor<T> {
    let (batch, da, db) = batchRatio(a.batch, b.batch)
    let sizeA = leftShape.count
    let sizeB = rightShape.count
    let sizeC = outputShape.count
    return Tensor(writing: [batch] + outputShape) { c in
      a.withPointer { a0 in
        b.withPointer { b0 in
          for r in 0..<batch {
            for i in leftMatrix.indices {
              T.gemm(
                transposeA: false, transposeB: false, m: m, n: n, k: k, alpha: 1,
                a0 + (r / da) * sizeA + Int(leftMatrix[i]) * m * k, lda: k,
                b0 + (r / db) * sizeB + Int(rightMatrix[i]) * k * n, ldb: n, beta: 0,
                c + r * sizeC + i * m * n, ldc: n)
            }
          }
        }
      }
    }
  }

  public func adjointLeft<T: Real>(_ y: Tensor<T>, right b: Tensor<T>) -> Tensor<T> {
    let (batch, dy, db) = batchRatio(y.batch, b.batch)
    let sizeA = leftShape.count
    let sizeB = rightShape.count
    let sizeC = outputShape.count
    var result = Tensor<T>.zeros([batch] + leftShape)
    result.withMutablePointer { a in
      y.withPointer { y0 in
        b.withPointer { b0 in
          for r in 0..<batch {
            for i in leftMatrix.indices {
              T.gemm(
                transposeA: false, transposeB: true, m: m, n: k, k: n, alpha: 1,
                y0 + (r / dy) * sizeC + i * m * n, lda: n,
                b0 + (r / db) * sizeB + Int(rightMatrix[i]) * k * n, ldb: n, beta: 1,
                a + r * sizeA + Int(leftMatrix[i]) * m * k, ldc: k)
            }
          }
        }
      }
    }
    return result
  }

  public func adjointRight<T: Real>(_ y: Tensor<T>, left a: Tensor<T>) -> Tensor<T> {
    let (batch, dy, da) = batchRatio(y.batch, a.batch)
    let sizeA = leftShape.count
    let sizeB = rightShape.count
    let sizeC = outputShape.count
    var result = Tensor<T>.zeros([batch] + rightShape)
    result.withMutablePointer { b in
      y.withPointer { y0 in
        a.withPointer { a0 in
          for r in 0..<batch {
            for i in leftMatrix.indices {
              T.gemm(
                transposeA: true, transposeB: false, m: k, n: n, k: m, alpha: 1,
                a0 + (r / da) * sizeA + Int(leftMatrix[i]) * m * k, lda: k,
                y0 + (r / dy) * sizeC + i * m * n, ldb: n, beta: 1,
                b + r * sizeB + Int(rightMatrix[i]) * k * n, ldc: n)
            }
          }
        }
      }
    }
    return result
  }

  public func fixing(left weight: Weight) -> any LinearMap { FixedFactor(self, .left, weight) }

  public func fixing(right weight: Weight) -> any LinearMap {
    // A plain matrix on the right is one matrix product for all rows.
    if weight.shape.rank == 2 { return Dense(weight, inputShape: leftShape) }
    return FixedFactor(self, .right, weight)
  }

  public func terms(_ output: Int) -> [(left: Int, right: Int)] {
    let (matrix, place) = output.quotientAndRemainder(dividingBy: m * n)
    let (row, column) = place.quotientAndRemainder(dividingBy: n)
    let left = Int(leftMatrix[matrix]) * m * k + row * k
    let right = Int(rightMatrix[matrix]) * k * n + column
    return (0..<k).map { (left + $0, right + $0 * n) }
  }
}
