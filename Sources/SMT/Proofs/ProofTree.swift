/// The certificate of a `holds`: a tree of splits whose leaves refute what is left of the violation.
///
/// Nodes are listed in preorder. A node first refutes some of the clauses that are still open there; if any remain it
/// splits, and the children (lower or inactive first) must refute those.
public struct ProofTree: Sendable, Equatable {
  public var nodes: [ProofNode]

  public init(nodes: [ProofNode] = []) { self.nodes = nodes }
}

/// One node of a proof.
public struct ProofNode: Sendable, Equatable {
  public var refutations: [ProofRefutation] = []
  public var split: ProofSplit?
  /// The decisions contradict the bounds, so that no point is left.
  public var isEmpty = false
}

/// How a node divides its part of the region.
public enum ProofSplit: Sendable, Equatable {
  /// An input at a double between its bounds.
  case input(Int, at: Double)
  /// The phase of a ReLU: its argument is at most 0, or at least 0.
  case phase(Int)
}

/// Why a clause cannot hold in a node.
public enum ProofRefutation: Sendable, Equatable {
  /// The linear bound of one row with the default slopes exceeds its right side.
  case row(clause: Int, row: Int)
  /// A combination of the rows with explicit slopes and phase multipliers is positive.
  case duals(clause: Int, rows: [Double], slopes: [Int: Double], multipliers: [Int: Double])

  /// The clause that is refuted.
  public var clause: Int {
    switch self {
    case .row(let clause, _): return clause
    case .duals(let clause, _, _, _): return clause
    }
  }
}
