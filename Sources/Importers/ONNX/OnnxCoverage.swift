import IR

/// How an operator is represented, and with it which analyses cover it.
public struct OperatorCoverage: Sendable, Equatable {
  public var name: String
  /// The kinds of operation its uses become, in alphabetical order; none for operators that are folded at import.
  public var kinds: [String]

  /// What linear and interval bounds do with the operator: the weakest of its kinds decides.
  public enum Treatment: String, Sendable {
    /// The operator is gone after import.
    case folded
    /// Linear: no relaxation, only rounding.
    case exact
    /// Lines or planes above and below.
    case relaxed
    /// Jumps: the union of what remains possible, exact once the choice is decided.
    case union
  }

  public var treatment: Treatment {
    if kinds.isEmpty { return .folded }
    if kinds == ["affine"] { return .exact }
    return kinds == ["discrete"] || kinds == ["affine", "discrete"] ? .union : .relaxed
  }
}

extension OnnxImporter {
  /// Every operator that can be imported, by name.
  public static var coverage: [OperatorCoverage] {
    supportedOperators.map { OperatorCoverage(name: $0, kinds: kindsByOperator[$0] ?? []) }
  }
}

extension ImportedNetwork {
  /// The kinds of operation that each operator of the file became; empty for one that was folded away.
  public var kindsByOperator: [String: Set<String>] {
    var kinds: [String: Set<String>] = [:]
    for name in operatorCounts.keys { kinds[name] = [] }
    for node in graph.nodes {
      switch node.operation {
      case .input, .constant: continue
      default: kinds[node.origin, default: []].insert(node.operation.kind)
      }
    }
    return kinds
  }
}
