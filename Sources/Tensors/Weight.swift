import Synchronization

/// An immutable constant of the network (a weight, a bias, a table), held in Float64.
///
/// Weights stored as float32 widen without error. What analyses derive from a weight (its float32 form, its magnitude,
/// its positive and negative parts) is computed at first use and kept, so that repeated passes cost nothing.
public final class Weight: Sendable {
  public let values: Tensor<Double>

  private struct Derived {
    var float32: Tensor<Float>?
    var magnitude: Tensor<Double>?
  }
  private let derived = Mutex(Derived())

  public init(_ values: Tensor<Double>) { self.values = values }

  public var shape: Shape { values.shape }

  public var float32: Tensor<Float> {
    derived.withLock { cache in
      if let known = cache.float32 { return known }
      let computed = values.float32
      cache.float32 = computed
      return computed
    }
  }

  /// The absolute values.
  public var magnitude: Tensor<Double> {
    derived.withLock { cache in
      if let known = cache.magnitude { return known }
      let computed = values.magnitude
      cache.magnitude = computed
      return computed
    }
  }

  /// The values in the precision of the computation.
  @inline(__always)
  public func tensor<T: Real>(as type: T.Type) -> Tensor<T> {
    // The casts cannot fail: T is the type compared with. Real has exactly these two conformances.
    if T.self == Double.self { return values as! Tensor<T> }
    return float32 as! Tensor<T>
  }
}
