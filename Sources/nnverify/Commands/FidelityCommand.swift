import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Importers
import Limits
import Reports

struct FidelityCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "fidelity",
    abstract: "How faithful explanations of a graph network are.",
    discussion: """
      Fid+ is what the target class loses when explanation edges are removed, Fid- what it loses when the other edges \
      are. Robust values remove only a fraction: explanation edges with probability alpha1, other edges with \
      probability 1 - alpha2. Expectations are exact where enumeration is affordable and stratified samples beyond; \
      every value names its method, evaluations and standard error.
      """)

  @OptionGroup var inputs: GraphInputs

  @Argument(help: "A score file; the true explanation of the graphs if left out.")
  var scores: String?

  @Option(help: ArgumentHelp("`truth`, or a score file.", valueName: "truth|file"))
  var explanation: String?

  @Option(help: ArgumentHelp("The class that is looked at.", valueName: "label|predicted"))
  var target: TargetClass = .label

  @Option(help: ArgumentHelp("Removal probability of explanation edges.", valueName: "p"))
  var alpha1 = 0.1

  @Option(help: ArgumentHelp("Keep probability of the other edges.", valueName: "p"))
  var alpha2 = 0.9

  @Option(
    help: ArgumentHelp(
      "Strengths a from A to B: robust values at alpha1 = a, alpha2 = 1 - a.", valueName: "A:B:STEP"))
  var alphaCurve: String?

  @Option(
    help: ArgumentHelp("What a mask does.", valueName: "edge-weight|message|remove|feature-zero"))
  var semantics: MaskSemantics = .edgeWeight

  @Option(
    help: ArgumentHelp(
      "How a hard explanation is read off scores.", valueName: "threshold:T|top:K|sparsity:S"))
  var select = "threshold:0.5"

  @Option(help: ArgumentHelp("How the two directions of an edge are joined.", valueName: "max|mean|min"))
  var pair: DirectionPairing = .max

  @Flag(help: "Keep only selected edges that are connected to the node.")
  var connected = false

  @Option(help: ArgumentHelp("What masked features become.", valueName: "zero|mean"))
  var baseline: FeatureBaseline = .zero

  @Option(help: ArgumentHelp("How expectations are computed.", valueName: "auto|exact|stratified|naive"))
  var method = "auto"

  @Option(help: ArgumentHelp("Evaluations of a sampled expectation.", valueName: "n"))
  var samples: Int?

  @Option(
    help: ArgumentHelp("Sample until the standard error is this small (default 0.002).", valueName: "e"))
  var targetError: Double?

  @Option(help: ArgumentHelp("Evaluate on the K-hop subgraph; auto is exact.", valueName: "auto|K"))
  var hops = "auto"

  @Option(help: ArgumentHelp("Nodes to evaluate: V, V,W,... or all.", valueName: "V|all"))
  var node: NodeArgument?

  @Option(
    help: ArgumentHelp(
      "A second explanation: `truth` or a score file; differences are paired.", valueName: "other"))
  var compare: String?

  @Flag(help: "Means by class as well.")
  var perClass = false

  @Option(help: ArgumentHelp("The seed of all sampling.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  @Option(help: ArgumentHelp("Write a page with tables and pictures.", valueName: "file"))
  var html: String?

  @Option(help: ArgumentHelp("Write one line per instance and strength.", valueName: "file"))
  var csv: String?

  func validate() throws {
    for (name, value) in [("--alpha1", alpha1), ("--alpha2", alpha2)] where !(value >= 0 && value <= 1) {
      throw ValidationError("\(name) must lie in 0...1")
    }
    guard HardSelection(select) != nil else {
      throw ValidationError("--select is threshold:T, top:K or sparsity:S")
    }
    guard method == "auto" || EstimationMethod(rawValue: method) != nil else {
      throw ValidationError("--method is auto, exact, stratified or naive")
    }
    if let samples, samples < 2 || samples > 100_000_000 {
      throw ValidationError("--samples must lie between 2 and 100000000")
    }
    if let targetError, !(targetError > 0 && targetError < 1) {
      throw ValidationError("--target-error must lie between 0 and 1")
    }
    if samples != nil && targetError != nil {
      throw ValidationError("--samples and --target-error exclude each other")
    }
    guard hops == "auto" || (Int(hops).map { $0 >= 0 } ?? false) else {
      throw ValidationError("--hops is auto or a number")
    }
    if scores != nil && explanation != nil {
      throw ValidationError("an explanation is given twice")
    }
    _ = try curve()
  }

  private func curve() throws -> [Double]? {
    guard let alphaCurve else { return nil }
    let parts = alphaCurve.split(separator: ":").map { Double($0) }
    guard parts.count == 3, let a = parts[0], let b = parts[1], let step = parts[2], a >= 0, b <= 1, a <= b,
      step > 0, (b - a) / step <= 1000
    else { throw ValidationError("--alpha-curve is A:B:STEP with 0 <= A <= B <= 1") }
    let count = Int(((b - a) / step + 1e-9).rounded(.down))
    return (0...count).map { min(b, a + Double($0) * step) }
  }

  private func options() throws -> FidelityOptions {
    var options = FidelityOptions()
    options.target = target
    options.semantics = semantics
    options.alpha1 = alpha1
    options.alpha2 = alpha2
    options.curve = try curve()
    // Checked by `validate`.
    options.selection = HardSelection(select) ?? .threshold(0.5)
    options.pairing = pair
    options.connectedToNode = connected
    options.baseline = baseline
    options.hops = Int(hops)
    options.seed = seed
    options.plan = EstimationPlan(
      method: EstimationMethod(rawValue: method), samples: samples, targetError: targetError ?? 0.002)
    return options
  }

  private func input(_ name: String?, _ data: GraphDataset) throws -> ExplanationInput {
    guard let name, name != "truth" else { return .truth }
    return .scores(try ScoreFile(name, for: data))
  }

  func run(_ supervisor: Supervisor) throws {
    let table = try OutputFile(csv)
    let page = try OutputFile(html)
    let (model, data) = try inputs.load()
    let options = try options()
    let evaluator = FidelityEvaluator(model: model, classCount: data.classCount(of: model), options: options)
    let input = try input(explanation ?? scores, data)
    let instances = try data.instances(input, nodes: node?.choice ?? .explained)
    let second = try compare.map { try self.input($0, data) }
    try table?.checkIsNoInput()
    try page?.checkIsNoInput()
    let finished = FinishedItems<InstanceFidelity>()
    supervisor.ifStopped { [self] reason in
      let report = FidelityReport(options: options, explanation: input.name, instances: finished.all)
      try show(report, nil, model: model, of: instances.count, stopped: reason)
    }
    let report = FidelityReport(
      options: options, explanation: input.name,
      instances: try evaluator.evaluate(instances, finished: { finished.add($0, $1) }))
    var comparison: FidelityComparison?
    if let second {
      let others = try evaluator.evaluate(try data.instances(second, nodes: node?.choice ?? .explained))
      comparison = FidelityComparison(
        report, FidelityReport(options: options, explanation: second.name, instances: others))
    }
    try supervisor.finish {
      try show(report, comparison, model: model, of: instances.count, stopped: nil)
      try table?.write(report.csv)
      try page?.write(FidelityPage(report: report, model: model.name, data: data, instances: instances).html)
    }
  }

  private func show(
    _ report: FidelityReport, _ comparison: FidelityComparison?, model: any GraphModel, of total: Int,
    stopped: StopReason?
  ) throws {
    if json {
      if report.instances.isEmpty, let stopped { return try printJSON(.partial(stopped)) }
      var document = report.json(perClass: perClass)
      if let comparison, case .object(let object) = document {
        document = .object(JSONObject(object.entries + [.init(key: "comparison", value: comparison.json)]))
      }
      if let stopped, case .object(let object) = document {
        document = .partial(stopped, object.entries)
      }
      try printJSON(document)
      return
    }
    if let stopped { print("partial     \(stopped.text): \(report.instances.count) of \(total) instances") }
    if report.instances.isEmpty { return }
    show(report, comparison, model: model)
  }

  private func show(_ report: FidelityReport, _ comparison: FidelityComparison?, model: any GraphModel) {
    print("network     \(VisibleText.line(model.name))")
    print(
      "explanation \(VisibleText.line(report.explanation)), \(report.instances.count) instances, target \(target.rawValue)"
    )
    print(
      "semantics   \(semantics.rawValue), method \(report.methodName), \(report.evaluations) evaluations, seed \(seed)"
    )
    if semantics == .edgeWeight && !model.weightZeroIsDeletion {
      print(
        "note        this network aggregates by mean, maximum or attention: --semantics remove deletes edges")
    }
    print("")
    var table = TextTable([
      .init("id"), .init("class", .right), .init("|S|", .right), .init("|N|", .right), .init("Fid+", .right),
      .init("Fid-", .right), .init("delta", .right), .init("rFid+", .right), .init("rFid-", .right),
      .init("rdelta", .right), .init("s.e.", .right), .init("method"), .init("evals", .right),
    ])
    for item in report.instances.prefix(40) {
      let robust = item.robust[0]
      let error = robust.delta.standardError
      let kinds = Set([robust.plus.method, robust.minus.method]).map(\.rawValue).sorted()
      table.append([
        "\(item.id)", "\(item.target)", "\(item.selectedCount)", "\(item.otherCount)",
        decimal(item.original.plus.probability), decimal(item.original.minus.probability),
        decimal(item.original.delta.probability), decimal(robust.plus.probability),
        decimal(robust.minus.probability), decimal(robust.delta.probability),
        error == 0 ? "exact" : decimal(error),
        kinds.joined(separator: "+"), "\(robust.plus.evaluations + robust.minus.evaluations)",
      ])
    }
    print(table.text)
    if report.instances.count > 40 {
      print("... and \(report.instances.count - 40) more (--json or --csv for all)")
    }
    print("")
    summary(report, report.instances, "mean")
    if perClass { for (target, items) in report.byClass { summary(report, items, "class \(target)") } }
    if let auc = report.pooledAUC {
      print(
        "truth       AUC pooled \(decimal(auc)), mean \(decimal(report.meanAgreement(\.auc)))  "
          + "F1 \(decimal(report.meanAgreement(\.f1)))  Jaccard \(decimal(report.meanAgreement(\.jaccard)))")
    }
    if let comparison {
      print("\ndifference from \(compare ?? "") over \(comparison.count) paired instances (95 % interval)")
      for item in comparison.differences {
        print(
          "  \(item.name): \(decimal(item.mean))  [\(decimal(item.interval.lowerBound)), \(decimal(item.interval.upperBound))]"
        )
      }
    }
  }

  private func summary(_ report: FidelityReport, _ items: [InstanceFidelity], _ name: String) {
    var table = TextTable([
      .init(name), .init("alpha1", .right), .init("alpha2", .right), .init("Fid+", .right),
      .init("s.e.", .right),
      .init("Fid-", .right), .init("s.e.", .right), .init("delta", .right), .init("s.e.", .right),
      .init("sampling s.e.", .right), .init("acc+", .right), .init("acc-", .right),
    ])
    let points = items.first?.robust.indices ?? 0..<0
    for index in [nil] + points.map({ Optional($0) }) {
      let plus = report.mean(.plus, robust: index, of: items)
      let minus = report.mean(.minus, robust: index, of: items)
      let delta = report.mean(.delta, robust: index, of: items)
      let point = index.map { items[0].robust[$0] } ?? items[0].original
      table.append([
        index == nil ? "original" : "robust", decimal(point.alpha1, 2), decimal(point.alpha2, 2),
        decimal(plus.probability), decimal(plus.instanceError), decimal(minus.probability),
        decimal(minus.instanceError), decimal(delta.probability), decimal(delta.instanceError),
        decimal(delta.samplingError), decimal(plus.accuracy, 3), decimal(minus.accuracy, 3),
      ])
    }
    print(table.text)
    print("")
  }
}
