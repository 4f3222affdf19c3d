import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Importers
import Reports

struct ExplainCommand: ParsableCommand {
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

  func validate() throws {
    try Check.positive(samples, "--samples")
    try Check.positive(epochs, "--epochs", limit: 1_000_000)
    if semantics == .featureZero {
      throw ValidationError("edges are scored: --semantics is edge-weight, message or remove")
    }
  }

  func run() throws {
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
    let progress = ProgressLine()
    let results = try Explainer(model: model, classCount: data.classCount(of: model), options: options)
      .explain(
        instances
      ) { done, total in progress.update("\(done) of \(total) training steps") }
    progress.clear()
    let file = ScoreFile(items: results.map { .init(id: $0.id, edges: $0.scores) })
    if let output { try writeFile(file.value.text() + "\n", output) }
    if let picture { try draw(picture, results, instances, model) }
    let quality = agreement(results, instances, depth: model.depth)
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
      try printJSON(.object(JSONObject(entries + object.entries)))
      return
    }
    print("network     \(model.name)")
    print(
      "explainer   \(method.rawValue), semantics \(options.semantics.rawValue), target \(target.rawValue), seed \(seed)"
    )
    print(
      "instances   \(results.count), \(results.reduce(0) { $0 + $1.evaluations }) evaluations (\(results[0].method))"
    )
    if let quality {
      print(
        "truth       AUC pooled \(decimal(quality.pooled)), mean \(decimal(quality.mean)); with as many edges as the "
          + "truth: F1 \(decimal(quality.f1)), Jaccard \(decimal(quality.jaccard))")
    }
    if let output { print("scores      \(output)") }
    if let picture { print("picture     \(picture)") }
    if output == nil && picture == nil { top(results, instances) }
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
    _ path: String, _ results: [ExplainedInstance], _ instances: [ExplanationInstance],
    _ model: any GraphModel
  ) throws {
    let index = pictureOf.flatMap { name in results.firstIndex { "\($0.id)" == name } }
    if let pictureOf, index == nil { throw ValidationError("no instance has the id \(pictureOf)") }
    let position = index ?? 0
    let view = instances[position].neighbourhood(depth: model.depth)
    let picture = GraphPicture(
      title: "\(model.name): \(results[position].id)",
      subtitle: "\(method.rawValue), class \(results[position].target), seed \(seed)",
      scores: view.edges.map { results[position].scores[$0] }, center: view.center)
    try writeFile(picture.svg(view.graph, names: view.nodes), path)
  }
}
