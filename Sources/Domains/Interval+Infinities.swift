import IR
import Tensors

// Infinite bounds. An element that is unbounded on both sides may be no number at all.
extension Interval {
  /// Whether some element may be no number.
  public var mayBeNaN: Bool {
    lower.withPointer { l in
      upper.withPointer { u in
        (0..<lower.count).contains { l[$0] == -.infinity && u[$0] == .infinity }
      }
    }
  }

  /// Whether all bounds are finite.
  public var isFinite: Bool {
    lower.withPointer { l in
      upper.withPointer { u in (0..<lower.count).allSatisfy { l[$0].isFinite && u[$0].isFinite } }
    }
  }

  /// Bounds in a deployed run: an element beyond the largest number may be infinite, one whose partial sums may overflow
  /// may be no number.
  ///
  /// - Parameters:
  ///   - isClamped: whether finite sums round to finite numbers.
  ///   - isSafe: whether no partial sum of an element overflows.
  func overflowed(_ rounding: DeployedRounding, isClamped: Bool = false, _ isSafe: (Int) -> Bool) -> Interval
  {
    var result = self
    result.lower.withMutablePointer { l in
      result.upper.withMutablePointer { u in
        for i in 0..<lower.count {
          if !isSafe(i) {
            (l[i], u[i]) = (-.infinity, .infinity)
          } else if isClamped {
            if l[i].isFinite { l[i] = min(max(l[i], -rounding.largest), rounding.largest) }
            if u[i].isFinite { u[i] = min(max(u[i], -rounding.largest), rounding.largest) }
          } else {
            (l[i], u[i]) = rounding.overflowed(l[i], u[i])
          }
        }
      }
    }
    return result
  }

  /// Gives way to infinite bounds of the same values that stand for what may be no number (or, for a deployed run,
  /// infinite): linear bounds of real numbers are no proof to the contrary.
  public func sealed(by known: Interval, _ arithmetic: Arithmetic) -> Interval {
    var result = self
    result.lower.withMutablePointer { l in
      result.upper.withMutablePointer { u in
        for i in 0..<lower.count {
          let place = known.lower.count == lower.count ? i : i % max(known.lower.count, 1)
          let isLow = known.lower[flat: place] == -.infinity
          let isHigh = known.upper[flat: place] == .infinity
          if isLow && (isHigh || arithmetic != .real) { l[i] = -.infinity }
          if isHigh && (isLow || arithmetic != .real) { u[i] = .infinity }
        }
      }
    }
    return result
  }
}

extension Tensor where Scalar == Double {
  /// Whether no element is below 0.
  var isNonnegative: Bool { withPointer { x in (0..<count).allSatisfy { x[$0] >= 0 } } }

  /// The function of both tensors' elements. Precondition: equal counts.
  func zipped(_ other: Tensor, _ f: (Double, Double) -> Double) -> Tensor {
    Tensor(writing: shape) { z in
      withPointer { x in other.withPointer { y in for i in 0..<count { z[i] = f(x[i], y[i]) } } }
    }
  }
}
