import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Importers
import Limits
import Reports

struct ExplainCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Scores the edges of graphs by what a graph network makes of them.")

  @OptionGroup var inputs: GraphInputs

  @Option(
    help: ArgumentHelp(
      "The explainer.", valueName: "occlusion|shapley|banzhaf|gradient|gnnexplainer|pgexplainer|random"))
  var method: ExplainerMethod

  @Option(name: [.short, .long], help: ArgumentHelp("Write the scores.", valueName: "scores.json"))
  var output: String?

  @Option(help: ArgumentHelp("Draw one instance.", valueName: "file.svg"))
  var picture: String?

  @Option(help: ArgumentHelp("Which instance to draw (its id; the first if left out).", valueName: "id"))
  var pictureOf: String?

  @Option(help: ArgumentHelp("Nodes to explain: V, V,W,... or all.", valueName: "V|all"))
  var node: NodeArgument?

  @Option(help: ArgumentHelp("The class that is explained.", valueName: "label|predicted"))
  var target: TargetClass = .predicted

  @Option(
    help: ArgumentHelp(
      "What a mask does; trained explainers default to message.", valueName: "edge-weight|message|remove"))
  var semantics: MaskSemantics?

  @Option(help: ArgumentHelp("Evaluations of sampled Shapley and Banzhaf values.", valueName: "n"))
  var samples = 2000

  @Option(help: ArgumentHelp("Training epochs of gnnexplainer and pgexplainer.", valueName: "n"))
  var epochs: Int?

  @Option(help: ArgumentHelp("The seed.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    try Check.positive(samples, "--samples")
    try Check.positive(epochs, "--epochs", limit: 1_000_000)
    if semantics == .featureZero {
      throw ValidationError("edges are scored: --semantics is edge-weight, message or remove")
    }
  }

  func run(_ supervisor: Supervisor) throws {
    let scores = try OutputFile(output)
    let drawing = try OutputFile(picture)
    let (model, data) = try inputs.load()
    var options = ExplainerOptions(method)
    options.target = target
    if let semantics { options.semantics = semantics }
    options.samples = samples
    options.seed = seed
    if let epochs {
      options.gnn.epochs = epochs
      options.pg.epochs = epochs
    }
    let choice = node?.choice ?? (data.graphs[0].explanation == nil ? .all : .explained)
    let source: ExplanationInput? = data.graphs[0].explanation == nil ? nil : .truth
    let instances = try data.instances(source, nodes: choice)
    if let pictureOf, !instances.contains(where: { "\($0.id)" == pictureOf }) {
      throw ValidationError("no instance has the id \(VisibleText.line(pictureOf))")
    }
    try drawing?.checkIsNoInput()
    try scores?.checkIsNoInput()
    let progress = ProgressLine()
    let finished = FinishedItems<(ExplainedInstance, ExplanationInstance)>()
    supervisor.ifStopped { [self, options] reason in
      progress.clear()
      let known = finished.all
      try show(known.map(\.0), known.map(\.1), model, options, of: instances.count, stopped: reason)
    }
    let results = try Explainer(model: model, classCount: data.classCount(of: model), options: options)
      .explain(
        instances, finished: { finished.add($0, ($1, instances[$0])) },
        progress: { done, total in progress.update("\(done) of \(total) training steps") })
    progress.clear()
    try supervisor.finish {
      try show(results, instances, model, options, of: instances.count, stopped: nil)
      let file = ScoreFile(items: results.map { .init(id: $0.id, edges: $0.scores) })
      try scores?.write(file.value.text() + "\n")
      if let drawing { try draw(drawing, results, instances, model) }
    }
  }

  private func show(
    _ results: [ExplainedInstance], _ instances: [ExplanationInstance], _ model: any GraphModel,
    _ options: ExplainerOptions, of total: Int, stopped: StopReason?
  ) throws {
    let file = ScoreFile(items: results.map { .init(id: $0.id, edges: $0.scores) })
    let quality = results.isEmpty ? nil : agreement(results, instances, depth: model.depth)
    if json {
      guard case .object(let object) = file.value else { return }
      var entries: [JSONObject.Entry] = [
        .init(key: "explainer", value: .string(method.rawValue)),
        .init(key: "semantics", value: .string(options.semantics.rawValue)),
        .init(key: "target", value: .string(target.rawValue)), .init(key: "seed", value: .number("\(seed)")),
        .init(key: "evaluations", value: JSONValue(results.reduce(0) { $0 + $1.evaluations })),
      ]
      if let quality {
        entries.append(
          .init(
            key: "ground_truth",
            value: [
              "pooled_auc": quality.pooled.map { JSONValue($0) } ?? .null,
              "mean_auc": quality.mean.map { JSONValue($0) } ?? .null,
              "mean_f1": quality.f1.map { JSONValue($0) } ?? .null,
              "mean_jaccard": quality.jaccard.map { JSONValue($0) } ?? .null,
            ]))
      }
      if let stopped {
        try printJSON(.partial(stopped, entries + object.entries))
      } else {
        try printJSON(.object(JSONObject(entries + object.entries)))
      }
      return
    }
    print("network     \(VisibleText.line(model.name))")
    print(
      "explainer   \(method.rawValue), semantics \(options.semantics.rawValue), target \(target.rawValue), seed \(seed)"
    )
    print(
      "instances   \(results.count), \(results.reduce(0) { $0 + $1.evaluations }) evaluations "
        + "(\(results.first?.method ?? "none"))")
    if let stopped { print("partial     \(stopped.text): \(results.count) of \(total) instances") }
    if let quality {
      print(
        "truth       AUC pooled \(decimal(quality.pooled)), mean \(decimal(quality.mean)); with as many edges as the "
          + "truth: F1 \(decimal(quality.f1)), Jaccard \(decimal(quality.jaccard))")
    }
    if stopped == nil {
      if let output { print("scores      \(VisibleText.line(output))") }
      if let picture { print("picture     \(VisibleText.line(picture))") }
    }
    if stopped != nil || output == nil && picture == nil { top(results, instances) }
  }

  private func top(_ results: [ExplainedInstance], _ instances: [ExplanationInstance]) {
    print("")
    var table = TextTable([.init("id"), .init("class", .right), .init("strongest edges")])
    for (result, instance) in zip(results, instances).prefix(20) {
      let order = result.scores.indices.sorted { result.scores[$0] > result.scores[$1] }
      let names = order.prefix(6).map { index -> String in
        let edge = instance.graph.edges[index]
        return "\(edge.source)-\(edge.target) \(decimal(result.scores[index], 3))"
      }
      table.append(["\(result.id)", "\(result.target)", names.joined(separator: "  ")])
    }
    print(table.text)
  }

  private func agreement(
    _ results: [ExplainedInstance], _ instances: [ExplanationInstance], depth: Int
  ) -> (pooled: Double?, mean: Double?, f1: Double?, jaccard: Double?)? {
    var scores: [Double] = []
    var truth: [Bool] = []
    var items: [GroundTruthAgreement] = []
    for (result, instance) in zip(results, instances) {
      guard let scope = instance.groundTruthScope(depth: depth) else { return nil }
      let local = scope.edges.map { result.scores[$0] }
      let count = scope.truth.filter { $0 }.count
      let chosen = Set(HardSelection.top(count).selected(local, among: Array(local.indices)))
      items.append(
        GroundTruthAgreement(
          scores: local, selected: local.indices.map { chosen.contains($0) }, truth: scope.truth))
      scores += local
      truth += scope.truth
    }
    func mean(_ values: [Double]) -> Double? {
      values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
    return (
      GroundTruthAgreement.auc(scores: scores, truth: truth), mean(items.compactMap(\.auc)),
      mean(items.compactMap(\.f1)), mean(items.compactMap(\.jaccard))
    )
  }

  private func draw(
    _ file: OutputFile, _ results: [ExplainedInstance], _ instances: [ExplanationInstance],
    _ model: any GraphModel
  ) throws {
    let index = pictureOf.flatMap { name in results.firstIndex { "\($0.id)" == name } }
    let position = index ?? 0
    let view = instances[position].neighbourhood(depth: model.depth)
    let picture = GraphPicture(
      title: "\(model.name): \(results[position].id)",
      subtitle: "\(method.rawValue), class \(results[position].target), seed \(seed)",
      scores: view.edges.map { results[position].scores[$0] }, center: view.center)
    try file.write(picture.svg(view.graph, names: view.nodes))
  }
}
