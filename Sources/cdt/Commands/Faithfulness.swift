import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Importers
import Reports

/// `cdt faithfulness`: how much of the model a saved circuit is.
struct FaithfulnessCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "faithfulness", abstract: "Measure a saved circuit and its curve.")

  @Argument(help: "The model's folder.") var model: String
  @Option(help: ArgumentHelp("The circuit.", valueName: "file")) var circuit: String
  @OptionGroup var prompts: PromptOptions
  @Option(help: "Curve over node or head (default: as the circuit).") var curve: Circuits.UnitKind?
  @Option(help: ArgumentHelp("Random orders to compare with; 0 for none.", valueName: "n")) var random = 10
  @Option(help: ArgumentHelp("Seed of the random orders.", valueName: "n")) var seed: UInt64 = 0
  @Option(help: "text, json, svg or csv.") var format: Format = .text
  @OptionGroup var rules: RuleOptions
  @OptionGroup var common: CommonOptions

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, svg, csv }

  func validate() throws {
    if random < 0 { throw ValidationError("--random takes 0 or more") }
  }

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json || format == .json }

  mutating func run(_ supervisor: Supervisor) throws {
    let document = try CircuitDocument(path: circuit)
    let model = try TransformerModel(path: model)
    let task = try prompts.task(model, rules, common)
    let progress = StageProgress(quiet: common.quiet)
    for node in document.nodes {
      let unit = node.unit
      guard unit.layer < task.transformer.layers.count, unit.head < task.transformer.heads,
        unit.position ?? 0 < task.transformer.positions
      else {
        throw FileError(
          file: circuit, place: "node \(unit)", reason: "does not exist in this model on these prompts")
      }
    }
    let byHead = curve.map { $0 == .head } ?? document.nodes.contains { $0.unit.position == nil }
    let ablator = task.ablator(progress: { progress.advance($0) })
    let faithfulness = try Faithfulness(ablator)
    let value = try faithfulness.value(of: document.nodes.map(\.unit))
    // The order of the curve: the saved scores of all units, else of the circuit's.
    let ranked = (document.scores.isEmpty ? document.nodes : document.scores)
      .sorted {
        $0.score.magnitude > $1.score.magnitude
          || $0.score.magnitude == $1.score.magnitude && $0.unit < $1.unit
      }
    var seen = Set<CircuitUnit>()
    let all = task.units(byHead: byHead)
    let existing = Set(all)
    let order = ranked.map { node in
      byHead ? CircuitUnit(layer: node.unit.layer, position: nil, head: node.unit.head) : node.unit
    }.filter { existing.contains($0) && seen.insert($0).inserted }
    let sizes = Faithfulness.sizes(upTo: order.count)
    progress.stage("curves", sizes.count * (1 + random))
    let curve = try faithfulness.curve(order, sizes: sizes)
    let allSizes = Faithfulness.sizes(upTo: all.count)
    let randomCurve =
      random > 1 ? try faithfulness.randomCurve(all, sizes: allSizes, runs: random, seed: seed) : []
    progress.end()
    let error = try task.conservationError(of: Array(document.nodes.prefix(2).map(\.unit)))
    let asJSON = printsJSON
    try supervisor.finish {
      if asJSON {
        let kept = Set(document.nodes.flatMap { $0.unit.nodes(positions: task.transformer.positions) })
        var object = JSONObject()
        object["faithfulness"] = value.map { JSONValue($0) } ?? .null
        object["size"] = JSONValue(document.nodes.count)
        object["metric_full"] = JSONValue(faithfulness.full)
        object["metric_empty"] = JSONValue(faithfulness.empty)
        object["metric_circuit"] = JSONValue(try ablator.metric(circuit: kept))
        object["curve"] = .array(
          curve.map { JSONValue.array([JSONValue($0.size), JSONValue($0.faithfulness)]) })
        object["random"] = .array(
          randomCurve.map { point -> JSONValue in
            .array([
              JSONValue(point.size), JSONValue(point.mean), JSONValue(point.low), JSONValue(point.high),
            ])
          })
        object["conservation_error"] = JSONValue(error)
        Output.print(json: .object(object))
      } else if format == .csv {
        print("order,size,faithfulness,low,high")
        for point in curve { print("circuit,\(point.size),\(point.faithfulness),,") }
        for point in randomCurve { print("random,\(point.size),\(point.mean),\(point.low),\(point.high)") }
      } else if format == .svg {
        var picture = document.picture
        picture.curve = curve
        picture.randomCurve = randomCurve
        picture.faithfulness = value
        Swift.print(picture.curveSVG(width: 640, height: 400), terminator: "")
      } else {
        print(
          "F = \(Output.score(value)) with \(document.nodes.count) nodes; metric: model "
            + "\(Output.score(faithfulness.full)), all heads replaced \(Output.score(faithfulness.empty))")
        print("")
        let means = Dictionary(uniqueKeysWithValues: randomCurve.map { ($0.size, $0) })
        let rows = curve.map { point -> [String] in
          let other = means[point.size].map {
            "\(Output.score($0.mean)) (\(Output.score($0.low)) to \(Output.score($0.high)))"
          }
          return ["\(point.size)", Output.score(point.faithfulness), other ?? ""]
        }
        print(Output.table(["size", "F", "random order, mean and 95 % interval"], rows, numeric: [0, 1]))
      }
      try Output.conclude(error, task.settings, json: asJSON || format != .text)
    }
  }
}
