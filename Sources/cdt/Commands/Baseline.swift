import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Importers
import Language
import Tensors

/// `cdt baseline`: mean results of heads.
struct BaselineCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "baseline", abstract: "Save the mean z of every head over corrupted prompts.")

  @Argument(help: "The model's folder.") var model: String
  @Option(help: ArgumentHelp("Prompts, one JSON object a line.", valueName: "file")) var prompts: String
  @Option(help: ArgumentHelp("Use only prompts of this many tokens.", valueName: "n")) var length: Int?
  @Option(
    help: ArgumentHelp("Which text of a prompt: corrupted, clean, or a member's name.", valueName: "field"))
  var field = "corrupted"
  @Option(
    name: [.customShort("o"), .long], help: ArgumentHelp("A .json or .safetensors file.", valueName: "file"))
  var output: String
  @OptionGroup var common: CommonOptions

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json }

  mutating func run(_ supervisor: Supervisor) throws {
    let file = try OutputFile(output)
    let model = try TransformerModel(path: model)
    let group = try PromptGroup(
      path: prompts, model: model.folder,
      corruptedField: field == "corrupted" || field == "clean" ? nil : field, length: length)
    try file.checkIsNoInput()
    let transformer = try model.lower(positions: group.length)
    let sequences = try group.prompts.map { prompt -> [Int] in
      if field == "clean" { return prompt.ids }
      guard let ids = prompt.corrupted else {
        throw FileError(
          file: prompts, place: "line \(prompt.line)",
          reason: "there is no corrupted counterpart; --field clean?")
      }
      return ids
    }
    let run = try PlainRun(
      transformer,
      embeddings: try model.embed(
        sequences, values: group.prompts.map { field == "clean" ? $0.values : $0.corruptedValues }),
      patterns: false)
    let baseline = Baseline.mean(of: run)
    var sum = 0.0
    var magnitude = 0.0
    var square = 0.0
    for layer in baseline.layers {
      for value in layer.elements {
        sum += value
        magnitude += value.magnitude
        square += value * value
      }
    }
    let first = group.prompts[0]
    let error = try model.conservationError(
      sequences[0], values: field == "clean" ? first.values : first.corruptedValues)
    try supervisor.finish {
      if common.json {
        var object = JSONObject()
        object["output"] = .string(output)
        object["prompts"] = JSONValue(group.prompts.count)
        object["layers"] = JSONValue(baseline.layers.count)
        object["positions"] = JSONValue(baseline.positions)
        object["heads"] = JSONValue(baseline.heads)
        object["sum"] = JSONValue(sum)
        object["abs_sum"] = JSONValue(magnitude)
        object["square_sum"] = JSONValue(square)
        object["conservation_error"] = JSONValue(error)
        Output.print(json: .object(object))
      } else {
        print(
          "mean z over \(group.prompts.count) prompts, \(baseline.layers.count) layers, \(baseline.positions) "
            + "positions, \(baseline.heads) heads of width \(baseline.headWidth): \(output)")
      }
      try baseline.write(to: file)
      try Output.conclude(error, DecompositionSettings(), json: common.json)
    }
  }
}
