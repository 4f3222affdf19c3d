import Bounds
import Domains
import FileFormats
import IR
import Rigor
import Specifications
import Tensors

/// Two networks on the same inputs: pruned, quantised, fine-tuned or exported twice against the original.
///
/// Everything is about real arithmetic on the stored weights. Where the networks run in parallel their difference is bounded as
/// such (see `Twin`), elsewhere each network by itself.
public struct NetworkComparison: Sendable {
  /// What is claimed of all inputs of the region.
  public enum Claim: Sendable, Hashable {
    /// No output of one network is further than this from the other's.
    case within(Rational)
    /// Wherever an element of the first network's output is the largest, it is the largest of the second's, too.
    case sameClass
  }

  /// What a difference lies in.
  public struct Range: Sendable, Hashable {
    public var lower: Double
    public var upper: Double

    public init(lower: Double, upper: Double) {
      self.lower = lower
      self.upper = upper
    }
  }

  /// The region, one list of bounds for each input, row-major.
  public let region: [[VariableBounds]]
  private let first: Graph
  private let second: Graph

  /// - Throws: `FileError` naming `files` if inputs or outputs differ in number, shape or type, or `region` does not fit.
  public init(
    _ first: Graph, _ second: Graph, region: [[VariableBounds]], files: (first: String, second: String)
  ) throws {
    func check(_ a: [Node], _ b: [Node], _ what: String) throws {
      guard a.count == b.count else {
        throw FileError(
          file: files.second, reason: "it has \(b.count) \(what)s, \(files.first) has \(a.count)")
      }
      for (p, q) in zip(a, b) where p.shape.count != q.shape.count {
        throw FileError(
          file: files.second,
          reason: "its \(what) '\(q.name)' has the shape \(q.shape), that of \(files.first) has \(p.shape)")
      }
    }
    try check(first.inputNodes, second.inputNodes, "input")
    try check(first.outputs.map { first[$0.node] }, second.outputs.map { second[$0.node] }, "output")
    for (graph, file) in [(first, files.first), (second, files.second)] {
      for node in graph.inputNodes + graph.outputs.map({ graph[$0.node] })
      where !node.elementType.isFloatingPoint {
        throw UnsupportedOperator(
          node, reason: "networks over \(node.elementType.rawValue) cannot be compared (\(file))")
      }
    }
    guard region.map(\.count) == first.inputNodes.map(\.shape.count) else {
      throw FileError(file: files.first, reason: "the region does not fit the network's inputs")
    }
    self.first = first
    self.second = second
    self.region = region
  }

  /// The names of the compared outputs: NAME[PLACE].
  public var outputs: [String] {
    first.outputs.flatMap { output in (0..<first[output.node].shape.count).map { "\(output.name)[\($0)]" } }
  }

  /// The size of the first output, which a class is an element of.
  public var classCount: Int { first.outputs.first.map { first[$0.node].shape.count } ?? 0 }

  // MARK: Questions

  /// The query that is satisfied where the claim is violated.
  public func query(_ claim: Claim) -> Query {
    var next = 0
    let a = declaration(first, "first", &next)
    let b = declaration(second, "second", &next)
    var parts: [Formula] = []
    for (own, other) in zip(a.inputs, b.inputs) {
      for (p, q) in zip(own.variables, other.variables) {
        parts.append(Self.compare(Polynomial(variable: p) - Polynomial(variable: q), .equal))
      }
    }
    for (tensor, bounds) in zip(a.inputs, region) {
      for (variable, bound) in zip(tensor.variables, bounds) {
        if let lower = bound.lower {
          parts.append(
            Self.compare(
              Polynomial(variable: variable) - Polynomial(constant: lower),
              bound.lowerIsStrict ? .greater : .greaterOrEqual))
        }
        if let upper = bound.upper {
          parts.append(
            Self.compare(
              Polynomial(variable: variable) - Polynomial(constant: upper),
              bound.upperIsStrict ? .less : .lessOrEqual))
        }
      }
    }
    parts.append(violation(claim, a, b))
    return Query(
      file: "comparison", majorVersion: 2, minorVersion: 0, networks: [a, b], formula: .all(parts))
  }

  private func violation(_ claim: Claim, _ a: NetworkDeclaration, _ b: NetworkDeclaration) -> Formula {
    switch claim {
    case .within(let distance):
      return .any(
        zip(a.outputs.flatMap(\.variables), b.outputs.flatMap(\.variables)).flatMap { p, q in
          let difference = Polynomial(variable: q) - Polynomial(variable: p)
          let limit = Polynomial(constant: distance)
          return [
            Self.compare(difference - limit, .greater), Self.compare(-difference - limit, .greater),
          ]
        })
    case .sameClass:
      guard let p = a.outputs.first?.variables, let q = b.outputs.first?.variables else { return .never }
      return .any(
        p.indices.map { i in
          let place = i - p.lowerBound
          let isClass = p.filter { $0 != i }.map {
            Self.compare(Polynomial(variable: i) - Polynomial(variable: $0), .greaterOrEqual)
          }
          let own = q.lowerBound + place
          let isNot = q.filter { $0 != own }.map {
            Self.compare(Polynomial(variable: $0) - Polynomial(variable: own), .greater)
          }
          return .all(isClass + [.any(isNot)])
        })
    }
  }

  private static func compare(_ expression: Polynomial, _ relation: Relation) -> Formula {
    .comparison(
      Comparison(
        expression: expression, relation: relation, position: SourcePosition(line: 1, column: 1)))
  }

  private func declaration(_ graph: Graph, _ name: String, _ next: inout Int) -> NetworkDeclaration {
    func tensors(_ nodes: [Node], _ stem: String, _ kind: TensorDeclaration.Kind) -> [TensorDeclaration] {
      nodes.enumerated().map { index, node in
        defer { next += node.shape.count }
        return TensorDeclaration(
          name: "\(name)_\(stem)\(nodes.count > 1 ? String(index) : "")", kind: kind, type: .real,
          shape: node.shape.dims, firstVariable: next)
      }
    }
    let inputs = tensors(graph.inputNodes, "X", .input)
    let outputs = tensors(graph.outputs.map { graph[$0.node] }, "Y", .output)
    return NetworkDeclaration(name: name, inputs: inputs, outputs: outputs)
  }

  private func problem(_ claim: Claim) throws -> VerificationProblem {
    try VerificationProblem(query(claim), networks: ["first": first, "second": second])
  }

  // MARK: Answers

  /// Decides the claim: `unsat` says that it holds, `sat` comes with an input that violates it.
  ///
  /// - Throws: `UnsupportedOperator`, `GraphError`.
  public func decide(_ claim: Claim, control: SearchControl) throws -> Verification {
    try Verifier(problem(claim), control: control).run()
  }

  /// Bounds of second minus first for every output over the region, the tighter of both ways, element by element.
  ///
  /// - Throws: `UnsupportedOperator`, `GraphError`.
  public func differenceBounds(method: BoundMethod = .best, threads: Int = 1) throws -> [Range] {
    let problem = try problem(.within(.zero))
    let count = outputs.count
    guard let part = problem.cases.first else {
      return Array(repeating: Range(lower: 0, upper: 0), count: count)
    }
    let n = problem.inputCount
    let region = Domains.Region([
      .box(lower: Tensor([1, n], part.lower), upper: Tensor([1, n], part.upper))
    ])
    var options = BoundOptions(method: method)
    options.threads = threads
    var below = [Double](repeating: -.infinity, count: problem.rows.count)
    for graph in [problem.rowGraph, problem.twin?.rowGraph].compactMap({ $0 }) {
      let bounds = try graph.bounds(over: region, options).outputs[0]
      for r in below.indices { below[r] = max(below[r], bounds.lower[flat: r]) }
    }
    // The problem holds a row first - second and a row second - first of every output.
    var result = Array(repeating: Range(lower: -.infinity, upper: .infinity), count: count)
    for (r, row) in problem.rows.enumerated() {
      guard let (output, sign) = place(of: row, in: problem) else { continue }
      if sign > 0 { result[output].lower = max(result[output].lower, below[r]) }
      if sign < 0 { result[output].upper = min(result[output].upper, -below[r]) }
    }
    return result
  }

  /// Which output a row of `within(0)` is about, and the sign of the second network's value in it; nil if it is not a difference
  /// of two values.
  private func place(of row: VerificationProblem.Row, in problem: VerificationProblem) -> (Int, Int)? {
    guard let b = problem.query.networks.last?.outputs.flatMap(\.variables) else { return nil }
    for (output, variable) in b.enumerated() {
      guard let term = row.terms.firstIndex(where: { $0.source == problem.sources[variable] }) else {
        continue
      }
      return (output, row.exactCoefficients[term].sign)
    }
    return nil
  }
}
