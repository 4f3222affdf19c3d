import Rigor

/// The certificate of a `holds`: a tree of splits whose leaves refute what is left of the violation.
///
/// Nodes are listed in preorder. A node first refutes some of the clauses that are still open there; if any remain it
/// splits, and the children (lower or inactive first) must refute those.
public struct ProofTree: Sendable, Equatable {
  public var nodes: [ProofNode]
  /// Statements that nodes refer to by their position here; every one comes before some node.
  public var lemmas: [ProofLemma]

  public init(nodes: [ProofNode] = [], lemmas: [ProofLemma] = []) {
    self.nodes = nodes
    self.lemmas = lemmas
  }
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
  case duals(clause: Int, rows: [Rational], slopes: [Int: Double], multipliers: [Int: Rational])
  /// An earlier lemma says so about a larger part.
  case lemma(clause: Int, number: Int)

  /// The clause that is refuted.
  public var clause: Int {
    switch self {
    case .row(let clause, _): return clause
    case .duals(let clause, _, _, _): return clause
    case .lemma(let clause, _): return clause
    }
  }
}

/// A learned clause in a certificate: wherever all its phases are decided (or implied by bounds) in its box, a clause of
/// the violation cannot hold.
public struct ProofLemma: Sendable, Equatable {
  /// Why it is true.
  public enum Reason: Sendable, Equatable {
    /// As in a node, but evaluated in the lemma's own box under its own phases.
    case refutation(ProofRefutation)
    /// The phases contradict the bounds.
    case empty
    /// Two earlier lemmas cover both sides of a division.
    case split(ProofSplit, first: Int, second: Int)
  }

  /// The number of the node that it comes before.
  public var place: Int
  public var clause: Int
  /// By neuron: whether it is active.
  public var phases: [Int: Bool]
  /// Bounds of inputs where they are narrower than the region's.
  public var lower: [Int: Double]
  public var upper: [Int: Double]
  public var reason: Reason
}
