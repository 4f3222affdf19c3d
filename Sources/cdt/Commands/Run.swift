import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import IR
import Importers

/// `cdt run`: the plain forward pass.
struct Run: SupervisedCommand {
  static let configuration = CommandConfiguration(abstract: "Run the model on a text.")

  @Argument(help: "The model's folder.") var model: String
  @OptionGroup var input: TextOptions
  @Option(help: ArgumentHelp("How many of the best outputs to name.", valueName: "n")) var top = 5
  @Flag(name: .long, help: "Logits of every position (language models).") var allPositions = false
  @Option(help: ArgumentHelp("Save every activation as safetensors.", valueName: "file")) var dump: String?
  @OptionGroup var common: CommonOptions

  /// The mean of hidden states.
  private func meanState(_ states: [Double], width: Int) -> [Double] {
    var mean = [Double](repeating: 0, count: width)
    for (i, value) in states.enumerated() { mean[i % width] += value }
    let count = Double(states.count / width)
    return mean.map { $0 / count }
  }

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json }

  mutating func run(_ supervisor: Supervisor) throws {
    let file = try OutputFile(dump)
    let model = try TransformerModel(path: model)
    try file?.checkIsNoInput()
    let encoding = try input.encoding(model.folder, quiet: common.quiet)
    let transformer = try model.lower(positions: encoding.ids.count)
    let run = try PlainRun(
      transformer, embeddings: try model.embed([encoding.ids], values: [encoding.values]), patterns: false)
    var output = run.value(transformer.output)
    if common.precision == .float { output = try model.deployed(encoding.ids, values: encoding.values) }
    let count = model.outputCount
    let last = Array(output.elements.suffix(count))
    let error = try model.conservationError(encoding.ids, values: encoding.values)
    var best: [Int] = []
    if model.outputKind != .hidden {
      best = Array(
        last.indices.sorted { last[$0] > last[$1] || last[$0] == last[$1] && $0 < $1 }.prefix(max(0, top)))
    }
    let probabilities = Probabilities(last)
    func name(_ id: Int) -> String {
      if model.outputKind == .classes { return model.configuration.labels[id] ?? "class \(id)" }
      guard let tokenizer = model.folder.tokenizer, let token = tokenizer.vocabulary.token(of: id) else {
        return String(id)
      }
      return tokenizer.display(token)
    }
    try supervisor.finish {
      if common.json {
        var logits: JSONValue = .init(last)
        if allPositions || model.outputKind == .hidden {
          logits = .array(
            (0..<output.count / count).map { .init(Array(output.elements[$0 * count..<($0 + 1) * count])) })
        }
        var object = JSONObject()
        object["tokens"] = JSONValue(encoding.tokens)
        object["ids"] = JSONValue(encoding.ids)
        object["logits"] = logits
        object["top"] = .array(
          best.map { id in
            var entry = JSONObject()
            entry["token"] = .string(name(id))
            entry["id"] = JSONValue(id)
            entry["logit"] = JSONValue(last[id])
            entry["probability"] = JSONValue(probabilities.values[id])
            return .object(entry)
          })
        if model.outputKind == .hidden {
          let mean = meanState(output.elements, width: count)
          let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
          object["embedding"] = JSONValue(mean.map { $0 / norm })
          object["embedding_norm"] = JSONValue(norm)
          if let pooled = try model.pooled(output) { object["pooled"] = JSONValue(pooled) }
        }
        object["conservation_error"] = JSONValue(error)
        Output.print(json: .object(object))
      } else {
        print(encoding.tokens.joined(separator: " "))
        print("")
        if model.outputKind == .hidden {
          print("\(output.count / count) hidden states of width \(count); first values of the first:")
          print(last.isEmpty ? "" : output.elements.prefix(8).map(Output.score).joined(separator: "  "))
        } else {
          let rows = best.map {
            [name($0), "\($0)", Output.score(last[$0]), Output.score(probabilities.values[$0])]
          }
          print(Output.table(["output", "id", "logit", "probability"], rows, numeric: [1, 2, 3]))
        }
      }
      if let file {
        let nodes = transformer.graph.nodes.filter { run.has($0.id) }
        try SafetensorsFile.write(
          nodes.map { ($0.name, $0.shape.dims, run.value($0.id).elements) }, to: file)
      }
      try Output.conclude(error, DecompositionSettings(), json: common.json)
    }
  }
}
