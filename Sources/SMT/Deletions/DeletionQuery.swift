import Foundation
import IR
import Limits
import Rigor

/// Whether deleting at most `budget` edges can change a prediction, decided by Z3 in exact arithmetic on the stored
/// weights.
///
/// The graph has one input, a factor per arc (1 kept, 0 deleted), and one output, the logits.
package struct DeletionQuery: Sendable {
  package enum Answer: Sendable, Equatable {
    /// No deletion within the budget lets another class draw level.
    case robust
    /// Deleting these edges does, as far as rational enclosures of irrational degrees tell: check it.
    case changed([Int])
    case unknown(String)
  }

  private let graph: Graph
  private let arcsPerEdge: Int
  private let candidates: [Int]
  private let budget: Int
  private let target: Int

  /// - Parameters:
  ///   - arcsPerEdge: edge e is the arcs `e * arcsPerEdge` and following.
  ///   - candidates: the edges that may be deleted.
  ///   - target: the class that is to stay.
  package init(_ graph: Graph, arcsPerEdge: Int, candidates: [Int], budget: Int, target: Int) {
    self.graph = graph
    self.arcsPerEdge = arcsPerEdge
    self.candidates = candidates
    self.budget = min(budget, candidates.count)
    self.target = target
  }

  /// - Parameters:
  ///   - deadline: when to give up.
  ///   - isolated: a process that Z3 runs in, so that the deadline holds.
  /// - Throws: `UnsupportedOperator` for networks that are not piecewise linear in the deletions.
  package func decide(deadline: ContinuousClock.Instant? = nil, isolated: Z3Process? = nil) throws -> Answer {
    let terms = DeletionTerms(budget: budget)
    let arcs = graph[graph.inputs[0]].shape.count
    var mask = [DeletionTerms.Element](repeating: .constant(1), count: arcs)
    var edges: [(edge: Int, name: String, variable: Int)] = []
    for edge in candidates {
      let variable = terms.edge("e\(edge)")
      edges.append((edge, "e\(edge)", variable))
      for k in 0..<arcsPerEdge {
        mask[edge * arcsPerEdge + k] = .form(.init(constant: 0, parts: [variable: 1]))
      }
    }
    let z3 = terms.z3
    terms.assertBudget(on: edges.map(\.variable))
    var domain = DeletionDomain(terms: terms)
    let logits = try graph.interpret([mask], in: &domain).outputs[0].map { terms.form($0) }
    let own = terms.term(logits[target])
    let rivals = logits.indices.filter { $0 != target }
    z3.assert(z3.or(rivals.map { z3.lessOrEqual(own, terms.term(logits[$0])) }))

    let result: Satisfiability
    let values: [Rational]?
    if let isolated {
      let answer = isolated.check(z3.smtlib(), variables: edges.map(\.name), deadline: deadline)
      (result, values) = (answer.result, answer.values)
    } else {
      z3.limit(resources: 0, milliseconds: deadline.map { Int(min($0.secondsLeft, 1e6) * 1000) })
      result = z3.check(deadline: deadline)
      if case .satisfiable = result {
        values = z3.values(of: edges.map { terms.term($0.variable) })
      } else {
        values = nil
      }
    }
    switch result {
    case .unsatisfiable: return .robust
    case .unknown(let reason): return .unknown(reason)
    case .satisfiable:
      guard let values else { return .unknown("Z3 gave no model") }
      return .changed(zip(edges, values).filter { $0.1.isZero }.map(\.0.edge))
    }
  }
}
