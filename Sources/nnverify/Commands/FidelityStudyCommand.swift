import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Importers
import Reports

struct FidelityStudyCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "fidelity-study",
    abstract: "Whether fidelity falls as the true explanation is damaged.",
    discussion: """
      True explanations lose edges and gain others at given ratios; every metric is correlated with the number of \
      differing edges. A useful Fid+ falls (negative), a useful Fid- rises (positive).
      """)

  @OptionGroup var inputs: GraphInputs

  @Option(help: ArgumentHelp("Ratios of removal and addition.", valueName: "r,r,..."))
  var ratios = "0,0.1,0.3,0.5,0.7,0.9"

  @Option(help: ArgumentHelp("Damaged explanations per instance and cell.", valueName: "n"))
  var draws = 10

  @Option(help: ArgumentHelp("Removal probability of explanation edges.", valueName: "p"))
  var alpha1 = 0.1

  @Option(help: ArgumentHelp("Keep probability of the other edges.", valueName: "p"))
  var alpha2 = 0.9

  @Option(help: ArgumentHelp("What a mask does.", valueName: "edge-weight|message|remove"))
  var semantics: MaskSemantics = .edgeWeight

  @Option(help: ArgumentHelp("The class that is looked at.", valueName: "label|predicted"))
  var target: TargetClass = .label

  @Option(help: ArgumentHelp("Evaluations of an expectation that is not enumerated.", valueName: "n"))
  var samples = 60

  @Option(help: ArgumentHelp("Use the first n instances.", valueName: "n"))
  var instances: Int?

  @Option(help: ArgumentHelp("Nodes to study: V, V,W,... or all.", valueName: "V|all"))
  var node: NodeArgument?

  @Option(help: ArgumentHelp("The seed.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    _ = try parsedRatios()
    try Check.positive(draws, "--draws", limit: 10_000)
    try Check.positive(instances, "--instances")
    guard samples >= 2 else { throw ValidationError("--samples must be at least 2") }
    for (name, value) in [("--alpha1", alpha1), ("--alpha2", alpha2)] where !(value >= 0 && value <= 1) {
      throw ValidationError("\(name) must lie in 0...1")
    }
  }

  private func parsedRatios() throws -> [Double] {
    let values = ratios.split(separator: ",").map { Double($0) }
    guard !values.isEmpty, values.count <= 20, values.allSatisfy({ $0.map { $0 >= 0 && $0 <= 1 } ?? false })
    else {
      throw ValidationError("--ratios is a list of numbers in 0...1")
    }
    return values.compactMap { $0 }
  }

  func run(_ supervisor: Supervisor) throws {
    let (model, data) = try inputs.load()
    var options = FidelityOptions()
    options.target = target
    options.semantics = semantics
    options.alpha1 = alpha1
    options.alpha2 = alpha2
    options.seed = seed
    options.plan = EstimationPlan(samples: samples, autoExactLimit: 6)
    var study = FidelityStudy(options: options)
    study.ratios = try parsedRatios()
    study.draws = draws
    var chosen = try data.instances(.truth, nodes: node?.choice ?? .explained)
    if let instances { chosen = Array(chosen.prefix(instances)) }
    let progress = ProgressLine()
    let result = try study.run(
      model: model, classCount: data.classCount(of: model), instances: chosen
    ) { done, total in progress.update("\(done) of \(total) instances") }
    progress.clear()
    try supervisor.finish { try show(result, model, instances: chosen.count) }
  }

  private func show(_ result: FidelityStudy.Result, _ model: any GraphModel, instances: Int) throws {
    if json {
      guard case .object(let object) = result.json else { return }
      let head: [JSONObject.Entry] = [
        .init(key: "semantics", value: .string(semantics.rawValue)),
        .init(key: "method", value: "exact+stratified"),
        .init(key: "target", value: .string(target.rawValue)),
        .init(key: "seed", value: .number("\(seed)")),
        .init(key: "instances", value: JSONValue(instances)),
        .init(key: "alpha1", value: JSONValue(alpha1)), .init(key: "alpha2", value: JSONValue(alpha2)),
      ]
      try printJSON(.object(JSONObject(head + object.entries)))
      return
    }
    print(
      "\(VisibleText.line(model.name)): \(instances) instances, \(result.samples) damaged explanations, "
        + "\(result.evaluations) evaluations")
    print(
      "semantics \(semantics.rawValue), alpha1 \(alpha1), alpha2 \(alpha2), target \(target.rawValue), seed \(seed)\n"
    )
    var table = TextTable([
      .init("metric"), .init("ideal", .right), .init("cell Spearman", .right), .init("cell Pearson", .right),
      .init("sample Spearman", .right), .init("95 % interval", .right),
    ])
    for row in result.rows {
      table.append([
        row.metric, row.ideal > 0 ? "+" : "-", decimal(row.cellSpearman, 3), decimal(row.cellPearson, 3),
        decimal(row.sampleSpearman, 3),
        row.interval.map { "[\(decimal($0.lowerBound, 2)), \(decimal($0.upperBound, 2))]" } ?? "-",
      ])
    }
    print(table.text)
  }
}
