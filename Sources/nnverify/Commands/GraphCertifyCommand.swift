import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Foundation
import Importers
import Limits
import Reports
import SMT

struct GraphCertifyCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "graph-certify",
    abstract: "Whether perturbed features or deleted edges can change a graph network's prediction.",
    discussion: """
      features:EPS lets every feature entry move by EPS; edges:BUDGET deletes up to BUDGET undirected edges. A node is \
      robust if no perturbation changes its predicted class, vulnerable if the witness does.
      """)

  @OptionGroup var inputs: GraphInputs

  @Option(help: ArgumentHelp("What may change.", valueName: "features:EPS|edges:BUDGET"))
  var perturb: String

  @Option(help: ArgumentHelp("Nodes to certify: V, V,W,... or all.", valueName: "V|all"))
  var node: NodeArgument?

  @Option(help: ArgumentHelp("Which graph of a set (its id; the first if left out).", valueName: "id"))
  var graph: String?

  @Option(
    help: ArgumentHelp(
      "How; by default crown for features, enumerate for small edge budgets and bab beyond.",
      valueName: "ibp|crown|alpha|bab|enumerate|smt"))
  var method: CertificationMethod?

  @Option(
    help: ArgumentHelp(
      "What bab and smt may take to decide a node exactly (60 for smt if left out).", valueName: "seconds"))
  var nodeTimeout: Double?

  @Flag(help: "Only the certified node's own features move.")
  var ownRow = false

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    guard GraphPerturbation(perturb) != nil else {
      throw ValidationError("--perturb is features:EPS or edges:BUDGET")
    }
    if let nodeTimeout, !(nodeTimeout > 0 && nodeTimeout <= 1e9) {
      throw ValidationError("--node-timeout must be a positive number of seconds")
    }
  }

  func run(_ supervisor: Supervisor) throws {
    // A tenth before the limit: what branch and bound has by then is an answer too.
    let deadline = limits.timeout.map { ContinuousClock.now + .seconds($0 - min(0.1 * $0, 0.1)) }
    let (model, data) = try inputs.load()
    var chosen = data.graphs[0]
    if let graph {
      guard let found = data.graphs.first(where: { "\($0.id)" == graph }) else {
        throw FileError(file: inputs.graphs, reason: "no graph has the id \(graph)")
      }
      chosen = found
    }
    // Checked by `validate`.
    var perturbation = GraphPerturbation(perturb) ?? .edges(budget: 0)
    if case .features(let eps, _) = perturbation { perturbation = .features(eps: eps, ownRow: ownRow) }
    var nodes: [Int]?
    if data.task == .node {
      switch node?.choice ?? .all {
      case .nodes(let list):
        if let bad = list.first(where: { $0 < 0 || $0 >= chosen.nodeCount }) {
          throw FileError(
            file: inputs.graphs,
            reason: "the graph has no node \(bad): its nodes are 0 to \(chosen.nodeCount - 1)")
        }
        nodes = list
      case .all, .explained: nodes = Array(0..<chosen.nodeCount)
      }
    }
    var certifier = GraphCertifier(
      model: model, classCount: data.classCount(of: model), method: method ?? standard(perturbation, chosen))
    certifier.seconds = nodeTimeout ?? (method == .smt ? 60 : nil)
    certifier.deadline = deadline
    if certifier.seconds != nil || deadline != nil, let program = Bundle.main.executablePath {
      certifier.isolated = Z3Process(program: program, arguments: ["smt-child"])
    }
    let ids = nodes.map { $0.map { InstanceID.number($0) } } ?? [chosen.id]
    let places = Dictionary(ids.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { a, _ in a })
    let finished = FinishedItems<NodeCertificate>()
    supervisor.ifStopped { [self, chosen, certifier, perturbation] reason in
      let known = finished.all
      let done = Set(known.map(\.id))
      let result = GraphCertificate(
        perturbation: perturbation, method: certifier.method, nodes: known,
        unfinished: ids.filter { !done.contains($0) })
      try show(result, chosen, model, isNodeTask: data.task == .node, stopped: reason)
    }
    let result = try certifier.certify(
      chosen, nodes: nodes, perturbation: perturbation,
      finished: { if let place = places[$0.id] { finished.add(place, $0) } })
    try supervisor.finish { try show(result, chosen, model, isNodeTask: data.task == .node, stopped: nil) }
  }

  private func show(
    _ result: GraphCertificate, _ chosen: AttributedGraph, _ model: any GraphModel, isNodeTask: Bool,
    stopped: StopReason?
  ) throws {
    if json {
      let document = result.json(chosen)
      if let stopped, case .object(let object) = document {
        try printJSON(.partial(stopped, object.entries))
      } else {
        try printJSON(document)
      }
      return
    }
    print("network       \(VisibleText.line(model.name))")
    print("perturbation  \(result.perturbation.description), method \(result.method.rawValue)")
    if let stopped { print("partial       \(stopped.text)") }
    print("")
    var table = TextTable([
      .init(isNodeTask ? "node" : "graph"), .init("class", .right), .init("margin >=", .right),
      .init("reached", .right), .init("verdict"), .init("witness"),
    ])
    for item in result.nodes.prefix(200) {
      table.append([
        "\(item.id)", "\(item.target)", DirectedDecimal(places: 6).text(item.marginLower, .down),
        decimal(item.marginReached, 6),
        item.verdict.rawValue, text(item.witness, chosen),
      ])
    }
    for id in result.unfinished.prefix(200 - min(200, result.nodes.count)) {
      table.append(["\(id)", "-", "-", "-", RobustnessVerdict.unknown.rawValue])
    }
    print(table.text)
    print("\n\(result.robustCount) of \(result.nodes.count + result.unfinished.count) robust")
  }

  private func standard(_ perturbation: GraphPerturbation, _ graph: AttributedGraph) -> CertificationMethod {
    switch perturbation {
    case .features: return .crown
    case .edges(let budget):
      let count = (0...min(budget, graph.edges.count)).reduce(0.0) {
        $0 + Binomial.coefficient(graph.edges.count, $1)
      }
      return count <= 200_000 ? .enumerate : .bab
    }
  }

  private func text(_ witness: GraphWitness?, _ graph: AttributedGraph) -> String {
    switch witness {
    case nil: return ""
    case .deletedEdges(let edges):
      return "delete "
        + edges.map { "\(graph.edges[$0].source)-\(graph.edges[$0].target)" }.joined(separator: " ")
    case .features(let nodes, _, _): return "features of \(nodes.count) nodes"
    }
  }
}
