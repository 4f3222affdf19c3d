import FileFormats

/// What an adversary may do to a graph.
public enum GraphPerturbation: Sendable, Equatable {
  /// Every feature entry moves by at most eps (of all nodes, or of the certified node only).
  case features(eps: Double, ownRow: Bool)
  /// Up to this many undirected edges are deleted.
  case edges(budget: Int)

  /// Parses `features:EPS` or `edges:BUDGET`.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return nil }
    switch parts[0] {
    case "features":
      guard let eps = Double(parts[1]), eps >= 0, eps.isFinite else { return nil }
      self = .features(eps: eps, ownRow: false)
    case "edges":
      guard let budget = Int(parts[1]), budget >= 0 else { return nil }
      self = .edges(budget: budget)
    default: return nil
    }
  }

  public var description: String {
    switch self {
    case .features(let eps, let ownRow): return "features:\(eps)" + (ownRow ? " (own row)" : "")
    case .edges(let budget): return "edges:\(budget)"
    }
  }
}

/// How a certificate is sought.
public enum CertificationMethod: String, Sendable, CaseIterable {
  case ibp
  case crown
  case alpha
  /// Branch and bound: over edges, or over regions and neurons.
  case bab
  /// All deletions within the budget.
  case enumerate
  /// Exact, through Z3, for piecewise-linear networks.
  case smt
}

/// The answer for one node (or graph).
public enum RobustnessVerdict: String, Sendable {
  /// No allowed perturbation changes the prediction.
  case robust
  /// The witness changes it.
  case vulnerable
  /// Neither was shown.
  case unknown
}

/// A perturbation that changes the prediction.
public enum GraphWitness: Sendable {
  /// Deleted edges, as indices in the graph of the file.
  case deletedEdges([Int])
  /// Perturbed features, row-major, of the nodes listed.
  case features(nodes: [Int], values: [Double], width: Int)
}

/// What is known about one node.
public struct NodeCertificate: Sendable {
  public var id: InstanceID
  /// The predicted class, which is to stay.
  public var target: Int
  /// A lower bound of the predicted logit minus the best other one, over all allowed perturbations. All rounding is
  /// counted in bounds; enumerations evaluate in Float64 and enclose their minimum by rigorous intervals.
  public var marginLower: Double
  /// The smallest margin that was reached by an evaluated perturbation.
  public var marginReached: Double
  public var verdict: RobustnessVerdict
  public var witness: GraphWitness?
  /// Networks evaluated or subproblems bounded.
  public var evaluations: Int
}

/// Certificates of all nodes that were asked for.
public struct GraphCertificate: Sendable {
  public var perturbation: GraphPerturbation
  public var method: CertificationMethod
  public var nodes: [NodeCertificate]
  /// Nodes that were asked for and of which nothing is known.
  public var unfinished: [InstanceID]

  public init(
    perturbation: GraphPerturbation, method: CertificationMethod, nodes: [NodeCertificate],
    unfinished: [InstanceID] = []
  ) {
    self.perturbation = perturbation
    self.method = method
    self.nodes = nodes
    self.unfinished = unfinished
  }

  public var robustCount: Int { nodes.filter { $0.verdict == .robust }.count }

  /// The JSON document of `nnverify graph-certify --json`.
  public func json(_ graph: AttributedGraph) -> JSONValue {
    let list = nodes.map { node -> JSONValue in
      var entries = [JSONObject.Entry(key: "id", value: Self.value(node.id))]
      entries += [
        .init(key: "class", value: JSONValue(node.target)),
        .init(key: "margin_lower", value: JSONValue(node.marginLower)),
        .init(key: "margin_reached", value: JSONValue(node.marginReached)),
        .init(key: "verdict", value: .string(node.verdict.rawValue)),
        .init(key: "witness", value: Self.value(node.witness, graph)),
        .init(key: "evaluations", value: JSONValue(node.evaluations)),
      ]
      return .object(JSONObject(entries))
    }
    let unknown = unfinished.map { id -> JSONValue in
      [
        "id": Self.value(id), "class": .null, "margin_lower": .null, "margin_reached": .null,
        "verdict": .string(RobustnessVerdict.unknown.rawValue), "witness": .null, "evaluations": 0,
      ]
    }
    return .object(
      JSONObject([
        .init(key: "perturbation", value: .string(perturbation.description)),
        .init(key: "method", value: .string(method.rawValue)),
        .init(key: "nodes", value: .array(list + unknown)),
        .init(key: "robust", value: JSONValue(robustCount)),
      ]))
  }

  private static func value(_ id: InstanceID) -> JSONValue {
    switch id {
    case .text(let text): .string(text)
    case .number(let number): JSONValue(number)
    }
  }

  private static func value(_ witness: GraphWitness?, _ graph: AttributedGraph) -> JSONValue {
    switch witness {
    case nil: return .null
    case .deletedEdges(let edges):
      return [
        "deleted_edges": .array(edges.map { JSONValue([graph.edges[$0].source, graph.edges[$0].target]) })
      ]
    case .features(let nodes, let values, let width):
      let rows = nodes.indices.map { JSONValue(Array(values[($0 * width)..<(($0 + 1) * width)])) }
      return ["nodes": JSONValue(nodes), "features": .array(rows)]
    }
  }
}
