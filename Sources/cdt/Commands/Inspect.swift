import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Importers

/// `cdt inspect`: what the folder holds.
struct Inspect: SupervisedCommand {
  static let configuration = CommandConfiguration(abstract: "Sizes, tokenizer and a check of a model.")

  @Argument(help: "The model's folder.") var model: String
  @Option(help: ArgumentHelp("A text to tokenize.", valueName: "text")) var text: String?
  @OptionGroup var common: CommonOptions

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json }

  mutating func run(_ supervisor: Supervisor) throws {
    let model = try TransformerModel(path: model)
    let c = model.configuration
    let encoding = try text.map { try model.folder.encode($0) }
    Support.warn(encoding?.remarks ?? [], quiet: common.quiet)
    let shortest = model.fixedLength ?? min(4, c.longestSequence)
    let probe = encoding?.ids ?? [Int](repeating: 0, count: shortest)
    let zeros = model.folder.inputShape.map { [Double](repeating: 0, count: $0.reduce(1, *)) }
    let error = try model.conservationError(probe, values: zeros)
    let output: String
    switch model.outputKind {
    case .tokens: output = "next token of \(model.outputCount)"
    case .classes: output = "\(model.outputCount) classes"
    case .hidden: output = "hidden states of width \(model.outputCount)"
    }
    try supervisor.finish {
      if common.json {
        var object = JSONObject()
        object["model"] = .string(model.folder.name)
        object["family"] = .string(c.family.rawValue)
        object["model_type"] = .string(c.modelType)
        object["layers"] = .init(c.layers)
        object["heads"] = .init(c.heads)
        object["width"] = .init(c.width)
        object["inner_width"] = .init(c.innerWidth)
        object["activation"] = .string(c.activation)
        object["epsilon"] = .init(c.epsilon)
        object["vocabulary"] = .init(c.vocabularySize)
        object["positions"] = .init(c.longestSequence)
        object["parameters"] = .init(model.parameterCount)
        object["output"] = .string(output)
        object["tokenizer"] = model.folder.tokenizer.map { .string($0.kind) } ?? .null
        if let encoding {
          object["tokens"] = .init(encoding.tokens)
          object["ids"] = .init(encoding.ids)
        }
        object["conservation_error"] = .init(error)
        Output.print(json: .object(object))
      } else {
        let rows = [
          ["family", "\(c.family.rawValue) (\(c.modelType))"], ["layers", "\(c.layers)"],
          ["heads", "\(c.heads) of width \(c.headWidth)"],
          ["width", "\(c.width), MLP \(c.innerWidth) (\(c.activation))"],
          ["epsilon", "\(c.epsilon)"], ["vocabulary", "\(c.vocabularySize)"],
          ["positions", "\(c.longestSequence)"],
          ["parameters", "\(model.parameterCount), all finite"], ["output", output],
          ["tokenizer", model.folder.tokenizer?.kind ?? "none"],
        ]
        print(Output.table([model.folder.name, ""], rows))
        if let encoding {
          print("")
          print(zip(encoding.tokens, encoding.ids).map { "\($0) (\($1))" }.joined(separator: "  "))
        }
        print("")
      }
      try Output.conclude(error, DecompositionSettings(), json: common.json)
    }
  }
}
