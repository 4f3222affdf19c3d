import IR
import Tensors

/// Bounds where the indices themselves vary (top-k routing, token selection): the union over the places that remain
/// possible.
extension RuntimeScatter {
  /// More possible places than this in all are refused rather than enumerated.
  static let placeLimit = 1 << 22

  /// The places update u may go to; one place says that it goes there for sure.
  private func places(_ u: Int, _ lower: Tensor<Double>, _ upper: Tensor<Double>) -> [Int] {
    var places = [Int(base[u])]
    for c in axes.indices {
      let at = Int(positions[u * axes.count + c])
      let extent = axes[c].extent
      var first = lower[flat: at].rounded(.up)
      var last = upper[flat: at].rounded(.down)
      if last < 0 {
        first += Double(extent)
        last += Double(extent)
      } else if first < 0 {
        // Counted from the end or from the start: anywhere.
        first = 0
        last = Double(extent - 1)
      }
      let low = Int(max(0, first))
      let high = Int(min(Double(extent - 1), last))
      if low > high { return [] }
      places = places.flatMap { place in (low...high).map { place + $0 * axes[c].stride } }
    }
    return places
  }

  private func allPlaces(_ lower: Tensor<Double>, _ upper: Tensor<Double>) throws -> [[Int]] {
    var total = 0
    return try base.indices.map { u in
      let possible = places(u, lower, upper)
      total += possible.count
      guard total <= Self.placeLimit else {
        throw UnsupportedOperator(
          node: "", operatorName: name,
          reason: "its indices may take too many values (more than \(Self.placeLimit) places in all)")
      }
      return possible
    }
  }

  func encloseVarying(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = lower[0]
    var high = upper[0]
    for (u, possible) in try allPlaces(lower[1], upper[1]).enumerated() {
      let update = (lower[2][flat: u], upper[2][flat: u])
      let isSure = possible.count == 1
      for place in possible {
        let present = (low[flat: place], high[flat: place])
        let changed = meet(present, update)
        if isSure {
          (low[flat: place], high[flat: place]) = changed
        } else {
          low[flat: place] = min(present.0, changed.0)
          high[flat: place] = max(present.1, changed.1)
        }
      }
    }
    return (low, high)
  }

  /// The present value after an update, one rounding each way.
  private func meet(_ present: (Double, Double), _ update: (Double, Double)) -> (Double, Double) {
    switch reduction {
    case .none: return update
    case .add: return ((present.0 + update.0).nextDown, (present.1 + update.1).nextUp)
    case .mul:
      let corners = [
        present.0 * update.0, present.0 * update.1, present.1 * update.0, present.1 * update.1,
      ]
      return ((corners.min() ?? 0).nextDown, (corners.max() ?? 0).nextUp)
    case .max: return (max(present.0, update.0), max(present.1, update.1))
    case .min: return (min(present.0, update.0), min(present.1, update.1))
    }
  }

  func copiesVarying(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    guard let possible = try? allPlaces(lower[1], upper[1]) else { return [nil, nil, nil] }
    var data = (0..<outputShape.count).map { Int32($0) }
    var updates = [Int32](repeating: -1, count: outputShape.count)
    for (u, places) in possible.enumerated() {
      for place in places {
        data[place] = -1
        updates[place] = places.count == 1 && reduction == .none ? Int32(u) : -1
      }
    }
    return [data, nil, updates]
  }
}
