import IR
import Operators

/// How good an interval is as a set of one node's values over the region.
enum Attainment: Sendable {
  /// It may contain numbers that are no values.
  case unknown
  /// Every element takes every number between its bounds, if not at the same time as the others.
  case separately
  /// The elements take all combinations of them.
  case independently
}

extension BoundEngine {
  /// The attainment of a node's interval, from those of its inputs.
  ///
  /// Distinct elements of a box are independent; a continuous function of one element takes all values between its
  /// extremes, and so does a sum or a maximum of independent ones. Up to rounding and to what a function's own `range`
  /// loses, no method then gives less.
  func attainment(of node: Node, _ known: [Attainment]) -> Attainment {
    let sources = node.inputs.filter { varies[$0] }
    guard sources.count == 1 else { return .unknown }
    let source = known[sources[0]]
    switch node.operation {
    case .affine(let map):
      let takesOne = map.maps.allSatisfy { $0.fanIn <= 1 }
      if takesOne, map.maps.allSatisfy({ $0.fanOut <= 1 }) { return source }
      if takesOne { return source == .unknown ? .unknown : .separately }
      return source == .independently ? .separately : .unknown
    case .elementwise(let f): return f.pieces != nil || f is any SmoothFunction ? source : .unknown
    case .selection: return source == .independently ? .separately : .unknown
    default: return .unknown
    }
  }
}
