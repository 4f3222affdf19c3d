import IR
import Tensors

/// A tensor in the precision of a concrete run. The leading axis is the batch.
///
/// A deployed run computes float32 (and narrower) values in Float; float64, integers and booleans are carried in
/// Double.
public enum AnyTensor: Sendable {
  case float(Tensor<Float>)
  case double(Tensor<Double>)

  public var shape: Shape {
    switch self {
    case .float(let tensor): tensor.shape
    case .double(let tensor): tensor.shape
    }
  }

  public var batch: Int { shape.dims.first ?? 1 }

  /// The values widened to Float64, which is exact.
  public var float64: Tensor<Double> {
    switch self {
    case .float(let tensor): tensor.float64
    case .double(let tensor): tensor
    }
  }

  public var float32: Tensor<Float> {
    switch self {
    case .float(let tensor): tensor
    case .double(let tensor): tensor.float32
    }
  }

  /// The values as `T`, rounded if need be.
  public func tensor<T: Real>(as type: T.Type) -> Tensor<T> {
    // The casts cannot fail: T is the type compared with. Real has exactly these two conformances.
    if T.self == Double.self { return float64 as! Tensor<T> }
    return float32 as! Tensor<T>
  }

  init<T: Real>(_ tensor: Tensor<T>) {
    if let tensor = tensor as? Tensor<Double> {
      self = .double(tensor)
    } else {
      // The other conformance of Real.
      self = .float(tensor as! Tensor<Float>)
    }
  }
}

extension Tensor {
  /// a + b where either batch may be 1 (or a divisor of the other).
  static func addingBatches(_ a: Tensor, _ b: Tensor) -> Tensor {
    if a.batch == b.batch { return a + b }
    let (batch, da, db) = batchRatio(a.batch, b.batch)
    let n = batch == 0 ? 0 : max(a.count, b.count) / batch
    return Tensor(writing: [batch] + a.exampleShape) { z in
      a.withPointer { x in
        b.withPointer { y in
          for r in 0..<batch {
            (z + r * n).update(from: x + (r / da) * n, count: n)
            Scalar.add(n, y + (r / db) * n, into: z + r * n)
          }
        }
      }
    }
  }
}
