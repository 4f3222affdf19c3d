import IR
import Tensors

/// Maxima over the neighbours of every node.
public enum SegmentMaximum {
  /// The maximum over the sources of every node's incoming arcs of node values `[nodes, width]`; a second input
  /// `[1]`, a zero, stands in where a node has no neighbours.
  public static func ofNeighbours(_ arcs: ArcList, width: Int) -> Selection {
    let nodes = arcs.nodeCount
    return selection(arcs, width: width, first: [nodes, width]) { place in Int(arcs.incoming.other[place]) }
  }

  /// The same over messages `[arcs, width]`.
  public static func ofMessages(_ arcs: ArcList, width: Int) -> Selection {
    selection(arcs, width: width, first: [arcs.count, width]) { place in Int(arcs.incoming.arc[place]) }
  }

  private static func selection(
    _ arcs: ArcList, width: Int, first: Shape, row: (Int) -> Int
  ) -> Selection {
    let nodes = arcs.nodeCount
    let most = max(1, arcs.incoming.width)
    var candidates = [Int32](repeating: -1, count: nodes * width * most)
    for i in 0..<nodes {
      let places = Int(arcs.incoming.start[i])..<Int(arcs.incoming.start[i + 1])
      for j in 0..<width {
        let base = (i * width + j) * most
        if places.isEmpty { candidates[base] = Int32(first.count) }
        for (k, place) in places.enumerated() { candidates[base + k] = Int32(row(place) * width + j) }
      }
    }
    return Selection(
      .maximum, inputShapes: [first, [1]], outputShape: [nodes, width], width: most, candidates: candidates)
  }
}

/// The maximum over those neighbours whose arc is present: arcs are removed, not weighed. A node without neighbours
/// gets 0.
///
/// Inputs: presence `[arcs]` (nonzero = present) and node values `[nodes, width]`, or with `isOfMessages` messages
/// `[arcs, width]`.
public struct MaskedMaximum: DiscreteFunction {
  public let arcs: ArcList
  public let width: Int
  public let isOfMessages: Bool

  public init(_ arcs: ArcList, width: Int, ofMessages: Bool = false) {
    self.arcs = arcs
    self.width = width
    isOfMessages = ofMessages
  }

  /// The first of the values that come along the arc at a place of the incoming list.
  public func value(_ place: Int) -> Int {
    Int(isOfMessages ? arcs.incoming.arc[place] : arcs.incoming.other[place]) * width
  }

  public var name: String { "MaskedMaximum" }
  public var inputShapes: [Shape] { [[arcs.count], [isOfMessages ? arcs.count : arcs.nodeCount, width]] }
  public var outputShape: Shape { [arcs.nodeCount, width] }

  public func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double> {
    var result = Tensor<Double>.zeros(outputShape)
    visit { node, places in
      let present = places.filter { x[0][flat: Int(arcs.incoming.arc[$0])] != 0 }
      for j in 0..<width {
        var best = -Double.infinity
        for place in present { best = max(best, x[1][flat: value(place) + j]) }
        if !present.isEmpty { result[flat: node * width + j] = best }
      }
    }
    return result
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = Tensor<Double>.zeros(outputShape)
    var high = Tensor<Double>.zeros(outputShape)
    visit { node, places in
      for j in 0..<width {
        // Certain arcs push the lower end up; possible ones the upper end. Without a certain arc the least of the
        // possible values, or 0, may be the maximum.
        var certain = -Double.infinity
        var least = 0.0
        var most = -Double.infinity
        for place in places {
          let arc = Int(arcs.incoming.arc[place])
          let value = self.value(place) + j
          if lower[0][flat: arc] == 0 && upper[0][flat: arc] == 0 { continue }
          most = max(most, upper[1][flat: value])
          least = min(least, lower[1][flat: value])
          if lower[0][flat: arc] > 0 || upper[0][flat: arc] < 0 {
            certain = max(certain, lower[1][flat: value])
          }
        }
        low[flat: node * width + j] = certain > -Double.infinity ? certain : least
        high[flat: node * width + j] = certain > -Double.infinity ? most : max(0, most)
      }
    }
    return (low, high)
  }

  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    var table = [Int32](repeating: -1, count: outputShape.count)
    visit { node, places in
      for j in 0..<width {
        var winner: Int?
        var decided = true
        for place in places {
          let arc = Int(arcs.incoming.arc[place])
          let value = self.value(place) + j
          if lower[0][flat: arc] == 0 && upper[0][flat: arc] == 0 { continue }
          if lower[0][flat: arc] <= 0 && upper[0][flat: arc] >= 0 { decided = false }
          if let known = winner {
            if upper[1][flat: value] <= lower[1][flat: known] { continue }
            if lower[1][flat: value] >= upper[1][flat: known] { winner = value } else { decided = false }
          } else {
            winner = value
          }
        }
        if decided, let winner { table[node * width + j] = Int32(winner) }
      }
    }
    return [nil, table]
  }

  private func visit(_ body: (Int, Range<Int>) -> Void) {
    for node in 0..<arcs.nodeCount {
      body(node, Int(arcs.incoming.start[node])..<Int(arcs.incoming.start[node + 1]))
    }
  }
}
