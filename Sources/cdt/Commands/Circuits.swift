import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Importers
import Reports

/// `cdt circuits`: which heads do it.
struct Circuits: SupervisedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find the heads that do a task.",
    discussion: """
      Without --select the default method is used: nodes are ranked by CD-T, added until F >= 0.9, and those the circuit \
      can do without are removed. With --select the published search runs, round by round from the output backwards.
      """)

  @Argument(help: "The model's folder.") var model: String
  @OptionGroup var prompts: PromptOptions
  @Option(help: "What is scored as one: node (layer, position, head) or head.") var unit: UnitKind = .node
  @Option(help: "Where the ranking comes from: cdt, ablation, attribution, path or random.")
  var method: CircuitDiscovery.Method = .cdt
  @Option(help: "top:K, percent:P, sd:C or threshold:X; runs the published search.") var select:
    UnitSelection?
  @Option(help: "Target score of the search: l1 or dot.") var score: CircuitSearch.TargetScore?
  @Option(help: "Normalisation of target scores: none or layer.") var normalise: CircuitSearch.Normalisation?
  @Option(name: .long, help: ArgumentHelp("Rounds of the search at most.", valueName: "n")) var maxRounds =
    100
  @Option(help: "Pruning: none, greedy (as published) or minimal.") var prune: CircuitDiscovery.Pruning?
  @Option(name: .long, help: ArgumentHelp("Add nodes in ranking order until this F.", valueName: "F"))
  var growTo: Double?
  @Option(help: ArgumentHelp("Units never pruned, L.P.H with commas between.", valueName: "units"))
  var protect: String?
  @Option(help: ArgumentHelp("A file with the true nodes.", valueName: "file")) var truth: String?
  @Option(help: ArgumentHelp("Random orders beside the curve; 0 for none.", valueName: "n")) var random = 10
  @Option(help: ArgumentHelp("Seed of everything random.", valueName: "n")) var seed: UInt64 = 0
  @Option(
    name: .long, help: ArgumentHelp("Integrated gradients: steps (method attribution).", valueName: "n"))
  var gradientSteps = 0
  @Option(
    help: ArgumentHelp(
      "Method path: patch paths into this head, L.P.H or L.H, instead of into the output.", valueName: "head")
  )
  var to: String?
  @Option(help: ArgumentHelp("With --to: its inputs that paths may enter, of q,k,v.", valueName: "inputs"))
  var into: String?
  @Option(
    name: [.customShort("o"), .long], help: ArgumentHelp("Save the circuit as JSON.", valueName: "file"))
  var output: String?
  @Option(help: ArgumentHelp("Save an interactive page.", valueName: "file")) var html: String?
  @Option(help: ArgumentHelp("Save a drawing.", valueName: "file")) var svg: String?
  @Option(help: ArgumentHelp("Save for Graphviz.", valueName: "file")) var dot: String?
  @Flag(name: .long, help: "Also print the edge attribution of head pairs (JSON, method attribution).")
  var edges = false
  @OptionGroup var rules: RuleOptions
  @OptionGroup var common: CommonOptions

  enum UnitKind: String, ExpressibleByArgument, CaseIterable { case node, head }

  func validate() throws {
    if let growTo, !(growTo > 0 && growTo.isFinite) {
      throw ValidationError("--grow-to takes a number above 0")
    }
    if to != nil, method != .path { throw ValidationError("--to is for --method path") }
    if into != nil, to == nil { throw ValidationError("--into needs --to") }
    if maxRounds < 1 { throw ValidationError("--max-rounds takes a number above 0") }
    if random < 0 || gradientSteps < 0 {
      throw ValidationError("--random and --gradient-steps take 0 or more")
    }
  }

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json }

  mutating func run(_ supervisor: Supervisor) throws {
    let files = try [output, html, svg, dot].map { try OutputFile($0) }
    let progress = StageProgress(quiet: common.quiet)
    let model = try TransformerModel(path: model)
    let task = try prompts.task(model, rules, common)
    var discovery = CircuitDiscovery()
    discovery.method = method
    discovery.byHead = unit == .head
    // A choice of how the search scores or normalises is a choice of the search.
    // Paths into one head rank its senders; that ranking is no circuit of the whole task.
    if to != nil, select == nil, growTo == nil { discovery.selection = .top(10) }
    discovery.selection = select ?? discovery.selection ?? (score != nil || normalise != nil ? .top(2) : nil)
    discovery.score = score ?? .l1
    discovery.normalisation = normalise ?? .none
    discovery.maxRounds = maxRounds
    discovery.pruning = prune
    discovery.goal = growTo
    discovery.randomRuns = random
    discovery.seed = seed
    discovery.gradientSteps = gradientSteps
    for part in protect?.split(separator: ",") ?? [] {
      let unit = try parseUnit(String(part), "--protect")
      try check(unit, task.transformer, "--protect")
      guard (unit.position == nil) == discovery.byHead else {
        throw ValidationError("--protect: \(unit) is not a \(self.unit.rawValue)")
      }
      discovery.protected.append(unit)
    }
    if let to {
      let unit = try parseUnit(to, "--to")
      try check(unit, task.transformer, "--to")
      let inputs = try (into ?? "q,k,v").split(separator: ",").map { part -> Ablator.HeadInput in
        guard let input = Ablator.HeadInput(rawValue: String(part)) else {
          throw ValidationError("--into: \(part) is not q, k or v")
        }
        return input
      }
      discovery.receiver = CircuitDiscovery.Receiver(unit: unit, inputs: Set(inputs))
    }
    if let truth {
      discovery.truth = try TruthScore.read(
        truth, positions: task.group.commonPositions, count: task.transformer.positions,
        byHead: discovery.byHead)
    }
    for file in files { try file?.checkIsNoInput() }
    let document = try discovery.run(
      task, stage: { progress.stage($0.name, $0.total) }, advance: { progress.advance($0) })
    progress.end()
    try supervisor.finish {
      if common.json {
        var json = document.json
        if edges, case .object(var object) = json {
          object["edge_attribution"] = .array(
            try task.attribution().edgeScores().map { edge in
              let receiver = edge.receiver.map { "\($0.layer).\($0.head):\($0.input.rawValue)" } ?? "logits"
              return [.string("\(edge.layer).\(edge.head)"), .string(receiver), .init(edge.score)]
            })
          json = .object(object)
        }
        Output.print(json: json)
      } else {
        show(document, task)
      }
      if let file = files[0] {
        try Output.write(document.json.text(indented: true) + "\n", to: file, quiet: common.quiet)
      }
      if let file = files[1] { try Output.write(document.picture.html(), to: file, quiet: common.quiet) }
      if let file = files[2] { try Output.write(document.picture.svg(), to: file, quiet: common.quiet) }
      if let file = files[3] { try Output.write(document.picture.dot(), to: file, quiet: common.quiet) }
      try Output.conclude(document.conservationError, task.settings, json: common.json)
    }
  }

  private func show(_ document: CircuitDocument, _ task: CircuitTask) {
    print(
      "\(VisibleText.line(document.model)): \(document.layers) layers of \(document.heads) heads, "
        + "\(task.group.prompts.count) prompts of \(document.positions) tokens")
    print(
      "metric \(document.metric): model \(Output.score(document.metricFull)), "
        + "all heads replaced \(Output.score(document.metricEmpty))")
    print("")
    let names = document.picture.positionNames
    let rows = document.nodes.map { node -> [String] in
      let word = node.unit.position.map { $0 < document.tokens.count ? document.tokens[$0] : "" } ?? "all"
      return [
        "\(node.unit.layer)", node.unit.position.map(String.init) ?? "all", "\(node.unit.head)", word,
        node.unit.position.flatMap { names[$0] } ?? "", Output.score(node.score),
      ]
    }
    print(
      Output.table(["layer", "position", "head", "word", "place", "score"], rows, numeric: [0, 1, 2, 5]))
    print("")
    print(
      "faithfulness F = \(Output.score(document.faithfulness)) with \(document.nodes.count) \(document.unit)s"
        + (document.pruned.isEmpty ? "" : ", \(document.pruned.count) pruned"))
    if let truth = document.truth {
      print(
        "truth: recall \(Output.score(truth.recall)), precision \(Output.score(truth.precision)), "
          + "AUC \(Output.score(truth.auc))")
    }
  }
}
