/// The disjunctive normal form of a formula, built one clause at a time.
///
/// Clauses are numbered; clause `i` is computed from its number alone, so a form with billions of clauses costs
/// nothing until it is walked. `!=` counts as two alternatives, `<` and `>`.
public struct DisjunctiveForm: Sendable, Sequence {
  private let root: Node

  /// Counts the clauses of a formula and its parts.
  public init(_ formula: Formula) { root = Node(formula) }

  /// How many clauses there are; nil when more than an `Int` holds.
  public var count: Int? { root.count }

  /// The comparisons of clause `index`, all of which must hold; none is a `!=`.
  ///
  /// - Precondition: `index` is non-negative and below ``count``, where that is known.
  public func clause(_ index: Int) -> [Comparison] {
    var clause: [Comparison] = []
    root.appendClause(index, to: &clause)
    return clause
  }

  public func makeIterator() -> AnyIterator<[Comparison]> {
    var next = 0
    return AnyIterator {
      guard next < root.count ?? Int.max else { return nil }
      defer { next += 1 }
      return clause(next)
    }
  }

  /// A part of the formula with the number of its clauses.
  private indirect enum Node: Sendable {
    case all([Node], Int?)
    case any([Node], Int?)
    case comparison(Comparison)

    init(_ formula: Formula) {
      switch formula {
      case .comparison(let comparison): self = .comparison(comparison)
      case .all(let parts):
        let nodes = parts.map(Node.init)
        var product: Int? = 1
        for node in nodes {
          if node.count == 0 {
            product = 0
            break
          }
          guard let p = product, let n = node.count else {
            product = nil
            continue
          }
          let (value, overflow) = p.multipliedReportingOverflow(by: n)
          product = overflow ? nil : value
        }
        self = .all(nodes, product)
      case .any(let parts):
        let nodes = parts.map(Node.init)
        var sum: Int? = 0
        for node in nodes {
          guard let s = sum, let n = node.count else {
            sum = nil
            break
          }
          let (value, overflow) = s.addingReportingOverflow(n)
          sum = overflow ? nil : value
        }
        self = .any(nodes, sum)
      }
    }

    var count: Int? {
      switch self {
      case .all(_, let count), .any(_, let count): return count
      case .comparison(let comparison): return comparison.relation == .notEqual ? 2 : 1
      }
    }

    func appendClause(_ index: Int, to clause: inout [Comparison]) {
      switch self {
      case .comparison(var comparison):
        if comparison.relation == .notEqual { comparison.relation = index == 0 ? .less : .greater }
        clause.append(comparison)
      case .all(let nodes, _):
        // Mixed radix, the last part varies fastest. A part without a known count takes all that is left.
        var rest = index
        var digits: [Int] = []
        for node in nodes.reversed() {
          guard let n = node.count else {
            digits.append(rest)
            rest = 0
            continue
          }
          digits.append(rest % n)
          rest /= n
        }
        for (node, digit) in zip(nodes, digits.reversed()) { node.appendClause(digit, to: &clause) }
      case .any(let nodes, _):
        var rest = index
        for node in nodes {
          guard let n = node.count, rest >= n else { return node.appendClause(rest, to: &clause) }
          rest -= n
        }
      }
    }
  }
}
