import Tensors

/// Lower and upper bounds of every element; both tensors have the shape `[B] + node shape`.
///
/// Bounds may be infinite but never NaN.
public struct Interval: Sendable {
  public var lower: Tensor<Double>
  public var upper: Tensor<Double>

  /// NaN becomes an infinite bound.
  public init(lower: Tensor<Double>, upper: Tensor<Double>) {
    self.lower = lower.elements.contains(where: \.isNaN) ? lower.map { $0.isNaN ? -.infinity : $0 } : lower
    self.upper = upper.elements.contains(where: \.isNaN) ? upper.map { $0.isNaN ? .infinity : $0 } : upper
  }

  public init(point: Tensor<Double>) {
    lower = point
    upper = point
  }

  public var shape: Shape { lower.shape }
  public var batch: Int { lower.batch }

  /// Whether every element is known exactly.
  public var isPoint: Bool { lower == upper }

  /// max(|lower|, |upper|).
  public var magnitude: Tensor<Double> {
    Tensor(writing: shape) { y in
      lower.withPointer { l in
        upper.withPointer { u in for i in 0..<lower.count { y[i] = max(abs(l[i]), abs(u[i])) } }
      }
    }
  }

  /// A midpoint and a radius whose ball contains the interval; an unbounded element has midpoint 0 and an infinite
  /// radius.
  public var midpointRadius: (mid: Tensor<Double>, rad: Tensor<Double>) {
    let count = lower.count
    var mid = Tensor<Double>.zeros(shape)
    var rad = Tensor<Double>.zeros(shape)
    lower.withPointer { l in
      upper.withPointer { u in
        mid.withMutablePointer { m in
          rad.withMutablePointer { r in
            for i in 0..<count {
              if l[i] == u[i] {
                m[i] = l[i]
                continue
              }
              let center = 0.5 * l[i] + 0.5 * u[i]
              if center.isFinite {
                // Each difference rounds once; the next Double up is at least the true distance.
                m[i] = center
                r[i] = max(u[i] - center, center - l[i]).nextUp
              } else {
                r[i] = .infinity
              }
            }
          }
        }
      }
    }
    return (mid, rad)
  }

  /// The intersection. Where the two do not meet, which sound bounds of one value cannot do unless no value exists,
  /// the first is kept.
  public func intersection(_ other: Interval) -> Interval {
    let count = lower.count
    var result = self
    result.lower.withMutablePointer { l in
      result.upper.withMutablePointer { u in
        for i in 0..<count {
          let low = max(l[i], other.lower[flat: i])
          let high = min(u[i], other.upper[flat: i])
          if low <= high {
            l[i] = low
            u[i] = high
          }
        }
      }
    }
    return result
  }

  public func reshaped(_ shape: Shape) -> Interval {
    Interval(lower: lower.reshaped(shape), upper: upper.reshaped(shape))
  }

  public func repeatedBatch(_ batch: Int) -> Interval {
    Interval(lower: lower.repeatedBatch(batch), upper: upper.repeatedBatch(batch))
  }

  public func examples(_ range: Range<Int>) -> Interval {
    Interval(lower: lower.examples(range), upper: upper.examples(range))
  }
}
