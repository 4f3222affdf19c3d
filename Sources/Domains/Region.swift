import IR
import Rigor
import Tensors

/// The set of values an input may take.
public enum InputSet: Sendable {
  /// One value, `[B] + shape`.
  case fixed(Tensor<Double>)
  /// All x with lower <= x <= upper elementwise; each `[B] + shape`.
  case box(lower: Tensor<Double>, upper: Tensor<Double>)
  /// All x with ||x - center||_p <= radius, the norm over all elements of one example.
  case ball(center: Tensor<Double>, radius: Double, norm: BallNorm)

  public var batch: Int { center.batch }

  /// The centre of a ball, the midpoint of a box.
  public var center: Tensor<Double> {
    switch self {
    case .fixed(let value): value
    case .box(let lower, let upper): Interval(lower: lower, upper: upper).midpointRadius.mid
    case .ball(let center, _, _): center
    }
  }

  /// A box that contains the set.
  public var hull: Interval {
    switch self {
    case .fixed(let value): Interval(point: value)
    case .box(let lower, let upper): Interval(lower: lower, upper: upper)
    case .ball(let center, let radius, _):
      // One rounding each; the neighbours are on the safe side.
      Interval(
        lower: center.map { radius == 0 ? $0 : ($0 - radius).nextDown },
        upper: center.map { radius == 0 ? $0 : ($0 + radius).nextUp })
    }
  }

  /// Whether more than one value is possible.
  public var isPerturbed: Bool {
    switch self {
    case .fixed: false
    case .box(let lower, let upper): lower != upper
    case .ball(_, let radius, _): radius > 0
    }
  }
}

/// The norms of balls other than L-infinity, which is a box.
public enum BallNorm: Sendable, Hashable { case l1, l2 }

/// One input set per graph input, in the graph's order.
public struct Region: Sendable {
  public var inputs: [InputSet]

  public init(_ inputs: [InputSet]) { self.inputs = inputs }

  public var batch: Int { inputs.map(\.batch).max() ?? 1 }

  /// The centre of every input.
  public var center: [Tensor<Double>] { inputs.map(\.center) }

  /// The L-infinity ball as a box that contains it.
  public static func infinityBall(_ center: Tensor<Double>, radius: Double) -> InputSet {
    if radius == 0 { return .fixed(center) }
    return .box(lower: center.map { ($0 - radius).nextDown }, upper: center.map { ($0 + radius).nextUp })
  }

  /// - Throws: `GraphError` if a set does not fit its input, is empty or is not a number.
  public func validate(for graph: Graph) throws {
    guard inputs.count == graph.inputs.count else {
      throw GraphError(
        node: "inputs",
        reason: "the network has \(graph.inputs.count) inputs, the region names \(inputs.count)")
    }
    for (set, node) in zip(inputs, graph.inputNodes) {
      let hull = set.hull
      guard hull.lower.exampleShape == node.shape, hull.upper.shape == hull.lower.shape else {
        throw GraphError(
          node: node.name, reason: "the region has shape \(hull.lower.exampleShape), the input \(node.shape)")
      }
      for (l, u) in zip(hull.lower.elements, hull.upper.elements) {
        guard l.isFinite && u.isFinite else {
          throw GraphError(node: node.name, reason: "the region has a bound that is not finite")
        }
        guard l <= u else {
          throw GraphError(
            node: node.name, reason: "the region is empty: lower bound \(l) above upper bound \(u)")
        }
      }
    }
  }
}
