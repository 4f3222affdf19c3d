import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Foundation
import Importers
import Language
import Reports

/// What all commands that run a model take.
struct CommonOptions: ParsableArguments {
  @Flag(help: "Print one JSON object instead of text.")
  var json = false

  @Flag(help: "No progress, no remarks.")
  var quiet = false

  @Option(help: ArgumentHelp("Threads; results do not depend on it (default: all cores).", valueName: "n"))
  var threads: Int?

  @Option(
    help: "Matrix products in double or float; models amplify the rounding of float.")
  var precision: DecompositionSettings.Precision = .double

  @OptionGroup var limits: LimitOptions

  func validate() throws {
    if let threads, threads < 1 || threads > 1024 { throw ValidationError("--threads takes 1 to 1024") }
  }

  var workers: Int { threads ?? ProcessInfo.processInfo.activeProcessorCount }
}

/// The rules of the decomposition.
struct RuleOptions: ParsableArguments {
  @Option(name: .long, help: "Division of biases: exact or reference.")
  var biasRule: DecompositionSettings.BiasRule = .exact

  @Option(help: "Attention patterns: split or frozen.")
  var attention: DecompositionSettings.AttentionMode = .split

  @Option(name: .long, help: "Where cancelling pairs are removed: all, mlp or none.")
  var signCleaning: DecompositionSettings.SignCleaning?

  @Option(help: ArgumentHelp("The small number in the bias rule's denominator.", valueName: "tol"))
  var tolerance = 1e-8

  func validate() throws {
    if !DecompositionSettings.toleranceRange.contains(tolerance) {
      throw ValidationError("--tolerance takes 0 to \(DecompositionSettings.toleranceRange.upperBound)")
    }
  }

  func settings(cleaning fallback: DecompositionSettings.SignCleaning, _ common: CommonOptions)
    -> DecompositionSettings
  {
    if common.precision == .float, !common.quiet {
      StandardError.write(
        "warning: matrix products in single precision; at most six digits of a score are true\n")
    }
    return DecompositionSettings(
      biasRule: biasRule, attention: attention, signCleaning: signCleaning ?? fallback, tolerance: tolerance,
      precision: common.precision)
  }
}

/// The prompts and what replaces heads.
struct PromptOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Prompts, one JSON object a line.", valueName: "file"))
  var prompts: String?

  @Option(
    help: ArgumentHelp("One text instead of prompts; measured by what the model predicts.", valueName: "text")
  )
  var text: String?

  @Option(help: ArgumentHelp("The same by token numbers, with commas between.", valueName: "ids"))
  var ids: String?

  @Option(
    help: ArgumentHelp("The same as a tensor in JSON, for ONNX networks that read one.", valueName: "file"))
  var input: String?

  @Option(
    help: ArgumentHelp(
      "The metric: logit-diff, prob-diff, kl, class or direction (default: logit-diff, class for classifiers, "
        + "direction for models without an output map)."))
  var metric: Metric.Kind?

  @Option(help: "What replaces a head: mean (over corrupted prompts), zero or resample.")
  var ablation: Baseline.Kind?

  @Option(
    help: ArgumentHelp("mean, zero, resample, or a file that cdt baseline wrote.", valueName: "baseline"))
  var baseline: String?

  @Option(help: ArgumentHelp("Member of a prompt that holds its corrupted text.", valueName: "field"))
  var field: String?

  @Option(help: ArgumentHelp("Use only prompts of this many tokens.", valueName: "n"))
  var length: Int?

  @Option(help: ArgumentHelp("Use only the first n prompts.", valueName: "n"))
  var limit: Int?

  @Option(
    name: .long, help: ArgumentHelp("Decompose the first n prompts; ablations use all.", valueName: "n"))
  var scorePrompts = 4

  func validate() throws {
    if [prompts, text, ids, input].count(where: { $0 != nil }) != 1 {
      throw ValidationError("give one of --prompts, --text, --ids and --input")
    }
    if let limit, limit < 1 { throw ValidationError("--limit takes a number above 0") }
    if let length, length < 1 { throw ValidationError("--length takes a number above 0") }
    if scorePrompts < 1 { throw ValidationError("--score-prompts takes a number above 0") }
  }

  func group(_ model: TransformerModel, quiet: Bool) throws -> PromptGroup {
    if let prompts {
      let group = try PromptGroup(
        path: prompts, model: model.folder, corruptedField: field, length: length, limit: limit)
      Support.warn(group.remarks, quiet: quiet)
      return group
    }
    let encoding = try Support.encoding(text, ids, input, model.folder, quiet: quiet)
    return PromptGroup(encoding, name: input ?? (text == nil ? "--ids" : "--text"), model: model.folder)
  }

  func choice(_ model: TransformerModel, _ group: PromptGroup) throws -> CircuitTask.BaselineChoice {
    if let ablation { return .computed(ablation) }
    if let baseline {
      if let kind = Baseline.Kind(rawValue: baseline) { return .computed(kind) }
      return .given(try Baseline(path: baseline, heads: model.configuration.heads), file: baseline)
    }
    // Texts and classifiers' prompts have no counterpart as a rule; what is meant then is zero.
    let alone = prompts == nil || model.outputKind != .tokens
    return .computed(alone && group.prompts[0].corrupted == nil ? .zero : .mean)
  }

  func task(_ model: TransformerModel, _ rules: RuleOptions, _ common: CommonOptions) throws -> CircuitTask {
    let group = try group(model, quiet: common.quiet)
    return try CircuitTask(
      model: model, group: group, metric: metric, baseline: choice(model, group),
      settings: rules.settings(cleaning: .mlp, common),
      scored: scorePrompts, threads: common.workers)
  }
}

/// A text, or its token numbers.
struct TextOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The text.", valueName: "text"))
  var text: String?

  @Option(help: ArgumentHelp("Token numbers instead of a text, with commas between.", valueName: "ids"))
  var ids: String?

  @Option(help: ArgumentHelp("A tensor in JSON, for ONNX networks that read one.", valueName: "file"))
  var input: String?

  func validate() throws {
    if [text, ids, input].count(where: { $0 != nil }) != 1 {
      throw ValidationError("give one of --text, --ids and --input")
    }
  }

  func encoding(_ folder: ModelFolder, quiet: Bool) throws -> Encoding {
    try Support.encoding(text, ids, input, folder, quiet: quiet)
  }
}

enum Support {
  /// What a model reads: a text, token numbers, or a file with a tensor.
  /// Remarks about a text go to the standard error.
  static func encoding(
    _ text: String?, _ ids: String?, _ input: String?, _ folder: ModelFolder, quiet: Bool
  ) throws -> Encoding {
    if let input {
      return try folder.encode(
        values: PromptGroup.tensor(contentsOf: input), FileError(file: input, reason: ""))
    }
    if let text {
      let encoding = try folder.encode(text)
      warn(encoding.remarks, quiet: quiet)
      return encoding
    }
    return try parseIds(ids ?? "", folder)
  }

  /// What a person should know about a text, on the standard error.
  static func warn(_ remarks: [String], quiet: Bool) {
    if quiet { return }
    for remark in remarks { StandardError.write("warning: \(remark)\n") }
  }
}

/// Reads token numbers.
func parseIds(_ text: String, _ folder: ModelFolder) throws -> Encoding {
  let numbers = try text.split(whereSeparator: { ",; ".contains($0) }).map { part -> Int in
    guard let number = Int(part) else { throw ValidationError("--ids: \(part) is no number") }
    return number
  }
  return try folder.describe(numbers)
}

extension DecompositionSettings.Precision: ExpressibleByArgument {}
extension DecompositionSettings.BiasRule: ExpressibleByArgument {}
extension DecompositionSettings.AttentionMode: ExpressibleByArgument {}
extension DecompositionSettings.SignCleaning: ExpressibleByArgument {}
extension Metric.Kind: ExpressibleByArgument {}
extension Baseline.Kind: ExpressibleByArgument {}
extension CircuitDiscovery.Method: ExpressibleByArgument {}
extension CircuitDiscovery.Pruning: ExpressibleByArgument {}
extension CircuitSearch.TargetScore: ExpressibleByArgument {}
extension CircuitSearch.Normalisation: ExpressibleByArgument {}
extension UnitSelection: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
extension TextAttribution.Grouping: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// Reads `1.14.2` (layer.position.head) or `1.2` (layer.head).
func parseUnit(_ text: String, _ flag: String) throws -> CircuitUnit {
  let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
  guard parts.count == 2 || parts.count == 3, parts.allSatisfy({ ($0 ?? -1) >= 0 }) else {
    throw ValidationError("\(flag): \(text) is not layer.position.head or layer.head")
  }
  let numbers = parts.compactMap { $0 }
  return numbers.count == 3
    ? CircuitUnit(layer: numbers[0], position: numbers[1], head: numbers[2])
    : CircuitUnit(layer: numbers[0], position: nil, head: numbers[1])
}

/// Checks that a unit exists.
func check(_ unit: CircuitUnit, _ transformer: Transformer, _ flag: String) throws {
  guard unit.layer < transformer.layers.count, unit.head < transformer.heads,
    unit.position ?? 0 < transformer.positions
  else {
    throw ValidationError(
      "\(flag): \(unit) does not exist; the model has \(transformer.layers.count) layers of \(transformer.heads) heads, "
        + "the prompts \(transformer.positions) positions")
  }
}
