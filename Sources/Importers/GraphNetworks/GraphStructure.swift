import Operators

/// The graph that a graph network is bound to: arcs with weights, self-loops, multiplicities.
public struct GraphStructure: Sendable {
  public let arcs: ArcList
  /// One weight per arc.
  public let weights: [Double]
  /// The weight of a node's explicit self-loop, nil where it has none.
  public let selfLoops: [Double?]
  /// How many equal nodes each node stands for in pools and batch statistics, at least 1.
  public let multiplicity: [Int]

  public init(
    arcs: ArcList, weights: [Double]? = nil, selfLoops: [Double?]? = nil, multiplicity: [Int]? = nil
  ) {
    self.arcs = arcs
    self.weights = weights ?? [Double](repeating: 1, count: arcs.count)
    self.selfLoops = selfLoops ?? [Double?](repeating: nil, count: arcs.nodeCount)
    self.multiplicity = multiplicity ?? [Int](repeating: 1, count: arcs.nodeCount)
    precondition(self.weights.count == arcs.count && self.selfLoops.count == arcs.nodeCount)
    precondition(self.multiplicity.count == arcs.nodeCount)
  }

  public var nodeCount: Int { arcs.nodeCount }
}

/// What the factors on arcs, the network's mask input, do.
public enum ArcMasking: Sendable, Hashable {
  /// Arcs are fixed; the network has no mask input.
  case none
  /// Factors multiply arc weights before any normalisation by degree; for means, maxima and attention they
  /// multiply messages.
  case weight
  /// The normalisation of the whole graph is kept; factors multiply messages.
  case message
  /// A zero removes the arc for every aggregator; other factors count as present.
  case removal
}
