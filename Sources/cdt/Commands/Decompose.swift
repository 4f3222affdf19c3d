import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import IR
import Importers
import Language
import Tensors

/// `cdt decompose`: raw β and γ.
struct Decompose: SupervisedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Relevant and irrelevant parts for chosen sources.",
    discussion: """
      Commas separate sources; nodes joined by + are one source: --source 0.4.1+0.5.1,1.14.2. Without a source every \
      node is one, and arrays are [layer][position][head] ([layer][head] with --source-heads all).
      """)

  @Argument(help: "The model's folder.") var model: String
  @OptionGroup var prompts: PromptOptions
  @Option(help: ArgumentHelp("Sources, L.P.H.", valueName: "nodes")) var source: String?
  @Option(name: .long, help: ArgumentHelp("Sources, L.H at all positions, or all.", valueName: "heads"))
  var sourceHeads: String?
  @Option(help: ArgumentHelp("Read these nodes instead of the output, L.P.H.", valueName: "nodes"))
  var targets: String?
  @Option(help: "What is read of a target: z, q, k or v.") var read: ReadPoint = .z
  @Option(help: "Target score: l1 or dot.") var score: CircuitSearch.TargetScore = .l1
  @Flag(help: "Also print β and γ themselves: logits, or vectors of targets.") var raw = false
  @OptionGroup var rules: RuleOptions
  @OptionGroup var common: CommonOptions

  enum ReadPoint: String, ExpressibleByArgument, CaseIterable { case z, q, k, v }

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json }

  mutating func run(_ supervisor: Supervisor) throws {
    let model = try TransformerModel(path: model)
    let task = try prompts.task(model, rules, common)
    let progress = StageProgress(quiet: common.quiet)
    let positions = task.transformer.positions
    var shape: [Int]?
    var sets: [[CircuitUnit]]
    if let source {
      sets = try parseSets(source, "--source", task)
    } else if let sourceHeads, sourceHeads != "all" {
      sets = try parseSets(sourceHeads, "--source-heads", task)
    } else {
      let byHead = sourceHeads == "all"
      sets = task.units(byHead: byHead).map { [$0] }
      shape = [task.transformer.layers.count] + (byHead ? [] : [positions]) + [task.transformer.heads]
    }
    let sources = sets.map { Source.nodes($0.flatMap { $0.nodes(positions: positions) }) }
    progress.stage("sources", sources.count)
    let decomposer = task.decomposer(progress: { progress.advance($0) })
    var object = JSONObject()
    object["sources"] = .array(
      sets.map { .string($0.map(\.description).joined(separator: "+")) })
    let metric = task.metric.scoredPrompts(task.scored)
    if let targets {
      let units = try parseSets(targets, "--targets", task).flatMap { $0 }
      try readTargets(units, sources, decomposer, task, &object)
    } else {
      let node = raw ? task.transformer.output : metric.readout
      let readout = metric.readout
      let results = try decomposer.forEach(sources, reading: node == readout ? [readout] : [readout, node]) {
        _, pairs in
        Parts(
          beta: metric.value(of: pairs[0].beta), gamma: metric.value(of: pairs[0].gamma),
          logits: pairs.count > 1 || node == readout ? pairs[pairs.count - 1] : nil)
      }
      func mean(_ x: [Double]) -> Double { x.reduce(0, +) / Double(max(1, x.count)) }
      object["beta_metric"] = nested(results.map { mean($0.beta) }, shape)
      object["gamma_metric"] = nested(results.map { mean($0.gamma) }, shape)
      object["metric_full"] = .init(mean(metric.value(of: decomposer.plain.value(readout))))
      if raw {
        object["beta_logits"] = .array(results.map { rows($0.logits?.beta) })
        object["gamma_logits"] = .array(results.map { rows($0.logits?.gamma) })
      }
    }
    progress.end()
    let error = try task.conservationError(of: Array(sets.flatMap { $0 }.prefix(4)))
    object["conservation_error"] = .init(error)
    try supervisor.finish {
      if common.json {
        Output.print(json: .object(object))
      } else {
        show(object, sets)
      }
      try Output.conclude(error, task.settings, json: common.json)
    }
  }

  private struct Parts: Sendable {
    var beta: [Double]
    var gamma: [Double]
    var logits: Decomposer.Pair?
  }

  private func parseSets(_ text: String, _ flag: String, _ task: CircuitTask) throws -> [[CircuitUnit]] {
    try text.split(separator: ",").map { set in
      try set.split(separator: "+").map { part in
        let unit = try parseUnit(String(part), flag)
        try check(unit, task.transformer, flag)
        return unit
      }
    }
  }

  /// One row of numbers per prompt.
  private func rows(_ x: Tensor<Double>?) -> JSONValue {
    guard let x else { return .null }
    return .array((0..<x.batch).map { .init(x.example($0).elements) })
  }

  private func nested(_ values: [Double], _ shape: [Int]?) -> JSONValue {
    guard let shape, shape.count > 1 else { return .init(values) }
    let size = shape.dropFirst().reduce(1, *)
    return .array(
      (0..<shape[0]).map { nested(Array(values[$0 * size..<($0 + 1) * size]), Array(shape.dropFirst())) })
  }

  private func readTargets(
    _ units: [CircuitUnit], _ sources: [Source], _ decomposer: Decomposer, _ task: CircuitTask,
    _ object: inout JSONObject
  ) throws {
    let layers = task.transformer.layers
    let nodes = units.map { unit -> NodeID in
      switch read {
      case .z: layers[unit.layer].z
      case .q: layers[unit.layer].query
      case .k: layers[unit.layer].key
      case .v: layers[unit.layer].value
      }
    }
    let distinct = Array(Set(nodes)).sorted()
    let place = nodes.map { distinct.firstIndex(of: $0) ?? 0 }
    let positions = task.transformer.positions
    let width = task.transformer.width
    let d = task.transformer.headWidth
    let wantsVectors = raw
    let baseline = decomposer.baseline
    if score == .dot, read != .z {
      throw ValidationError("--score dot compares with the baseline of z; read z")
    }
    let vectors = try decomposer.forEach(sources, reading: distinct) { _, pairs -> [TargetParts] in
      units.enumerated().map { index, unit in
        var parts = TargetParts()
        let pair = pairs[place[index]]
        for node in unit.nodes(positions: positions) {
          for prompt in 0..<pair.beta.batch {
            let at = (prompt * positions + node.position) * width + node.head * d
            let b = Array(pair.beta.elements[at..<at + d])
            let g = Array(pair.gamma.elements[at..<at + d])
            parts.relevant += b.reduce(0) { $0 + $1.magnitude }
            parts.irrelevant += g.reduce(0) { $0 + $1.magnitude }
            let from = baseline.offset(node, prompt: prompt)
            for i in 0..<d {
              let deviation = b[i] + g[i] - baseline.layers[node.layer].elements[from + i]
              parts.projection += b[i] * deviation / Double(pair.beta.batch)
            }
            if wantsVectors {
              parts.beta.append(b)
              parts.gamma.append(g)
            }
          }
        }
        return parts
      }
    }
    object["targets"] = .array(units.map { .string($0.description) })
    object["read"] = .string(read.rawValue)
    let isDot = score == .dot
    object["target_scores"] = .array(
      vectors.map { row in
        .init(
          row.map { parts in
            if isDot { return parts.projection }
            let whole = parts.relevant + parts.irrelevant
            return whole == 0 ? 0 : parts.relevant / whole
          })
      })
    if raw {
      object["beta"] = .array(vectors.map { .array($0.map { .array($0.beta.map { .init($0) }) }) })
      object["gamma"] = .array(vectors.map { .array($0.map { .array($0.gamma.map { .init($0) }) }) })
    }
  }

  private struct TargetParts: Sendable {
    var relevant = 0.0
    var irrelevant = 0.0
    /// β · (z - m), mean over prompts.
    var projection = 0.0
    var beta: [[Double]] = []
    var gamma: [[Double]] = []
  }

  private func show(_ object: JSONObject, _ sets: [[CircuitUnit]]) {
    func flat(_ value: JSONValue?) -> [Double] {
      guard case .array(let elements)? = value else { return value?.doubleValue.map { [$0] } ?? [] }
      return elements.flatMap { flat($0) }
    }
    let names = sets.map { $0.map(\.description).joined(separator: "+") }
    if let scores = object["target_scores"]?.arrayValue, let targets = object["targets"]?.arrayValue {
      let rows = zip(names, scores).map { name, row in [name] + flat(row).map { Output.score($0) } }
      print(
        Output.table(
          ["source"] + targets.map { "\(read.rawValue) of " + ($0.stringValue ?? "") }, rows,
          numeric: Set(1...max(1, targets.count))))
      return
    }
    let beta = flat(object["beta_metric"])
    let gamma = flat(object["gamma_metric"])
    var order = Array(names.indices)
    if names.count > 40 {
      order = order.sorted { beta[$0].magnitude > beta[$1].magnitude }.prefix(20).map { $0 }
      print("the 20 largest of \(names.count) sources (--json for all)")
    }
    let rows = order.map { [names[$0], Output.score(beta[$0]), Output.score(gamma[$0])] }
    print(Output.table(["source", "β metric", "γ metric"], rows, numeric: [1, 2]))
  }
}
