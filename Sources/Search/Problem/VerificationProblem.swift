import Domains
import IR
import Rigor
import Specifications
import Tensors

/// A query over networks as one graph with one flat input and linear rows over its values.
///
/// All networks of the query are joined into one graph. Inputs that the query equates are one input. What the
/// search has to decide is whether any case has a point in its box that satisfies its formula over the rows.
public struct VerificationProblem: Sendable {
  /// Where the value of a query variable is found.
  enum Source: Sendable, Hashable {
    case input(Int)
    case value(NodeID, Int)
  }

  /// A linear form over inputs and values of nodes.
  struct Row: Sendable {
    var terms: [(source: Source, coefficient: Double)]
    /// What the stored coefficients differ from the true ones, by term.
    var coefficientErrors: [Double]
    /// A number that is not above the constant, in any reading of the query's decimals.
    var constant: Double
    /// The nearest number to the constant, for searching.
    var nearestConstant: Double
    /// The coefficients, by term, and the constant as the query states them.
    var exactCoefficients: [Rational]
    var exactConstant: Rational
  }

  /// A box of the flat input with a condition.
  struct Case: Sendable {
    /// Bounds that contain the box; the search runs on them.
    var lower: [Double]
    var upper: [Double]
    /// The exact bounds, for witnesses.
    var exact: [VariableBounds]
    var condition: RowFormula

    /// The exact bounds inside a box of doubles.
    func exactBox(_ lower: [Double], _ upper: [Double]) -> [VariableBounds] {
      exact.indices.map { j in
        exact[j].intersection(VariableBounds(lower: Rational(lower[j]), upper: Rational(upper[j])))
      }
    }
  }

  public let query: Query
  public let semantics: Semantics
  /// One input node `[n]`; outputs are all nodes that rows refer to.
  let graph: Graph
  /// The networks with all rows as their one output, composites whole; nil without rows.
  let rowGraph: Graph?
  /// The same question in the coordinates (value, difference), where networks of the query run in parallel.
  let twin: TwinForm?
  let inputNode: NodeID
  var inputCount: Int { graph[inputNode].shape.count }
  let rows: [Row]
  var cases: [Case]
  /// By query variable.
  let sources: [Source]
  /// The graph on which witnesses are evaluated.
  let evaluated: EvaluatedGraph

  /// The networks with every tensor of the query as an output, whether rows speak of it or not: what an assignment has to
  /// tell.
  struct EvaluatedGraph: Sendable {
    var graph: Graph
    var inputNode: NodeID
    /// By query variable.
    var sources: [Source]
  }
}

/// A query that cannot be posed for these networks. Commands exit with status 2.
extension VerificationProblem {
  /// Joins a query with the networks it is about.
  ///
  /// - Parameters:
  ///   - query: The query.
  ///   - networks: The graphs by the names the query gives; version 1.0 has the single name "".
  /// - Throws: `FileError` if networks are missing or surplus, shapes or element types differ from the models', an
  ///   input is unbounded, or a comparison is not linear.
  public init(_ query: Query, networks: [String: Graph]) throws {
    var builder = try ProblemBuilder(query, networks: networks)
    self = try builder.problem()
  }
}
