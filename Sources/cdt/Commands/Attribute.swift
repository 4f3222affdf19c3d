import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Foundation
import Importers
import Reports

/// `cdt attribute`: which words it rests on.
struct Attribute: SupervisedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show which words an answer rests on.",
    discussion: """
      Every piece of the text is followed through the network as a source of its own. The score is the piece's part of \
      the logit of the class (minus the mean of the others), of the next token, or of the direction of the text's own \
      embedding.
      """)

  @Argument(help: "The model's folder.") var model: String
  @OptionGroup var input: TextOptions
  @Option(help: "token, word, phrase:N or hierarchical.") var unit: TextAttribution.Grouping = .word
  @Option(
    help: ArgumentHelp("Follow words from the output of n blocks on; 0: the embeddings.", valueName: "n"))
  var level = 0
  @Option(help: ArgumentHelp("A class (number or name), a token, or direction.", valueName: "target"))
  var target: String?
  @Option(help: ArgumentHelp("text, json, html or svg.", valueName: "format")) var format: Format = .text
  @Option(help: ArgumentHelp("Save a page.", valueName: "file")) var html: String?
  @Option(help: ArgumentHelp("Save a drawing.", valueName: "file")) var svg: String?
  @OptionGroup var rules: RuleOptions
  @OptionGroup var common: CommonOptions

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, html, svg }

  var limits: LimitOptions { common.limits }
  var printsJSON: Bool { common.json || format == .json }

  mutating func run(_ supervisor: Supervisor) throws {
    let page = try OutputFile(html)
    let drawing = try OutputFile(svg)
    let model = try TransformerModel(path: model)
    for file in [page, drawing] { try file?.checkIsNoInput() }
    guard level >= 0, level < model.configuration.layers else {
      throw ValidationError("--level takes 0 to \(model.configuration.layers - 1)")
    }
    let encoding = try input.encoding(model.folder, quiet: common.quiet)
    let settings = rules.settings(cleaning: .all, common)
    let chosen: TextAttribution.Target =
      target.map { $0 == "direction" && model.outputKind == .hidden ? .direction : .named($0) } ?? .predicted
    let attribution = try TextAttribution(
      model, encoding, target: chosen, level: level, settings: settings, threads: common.workers)
    let pieces = try attribution.pieces(unit)
    let error = try attribution.conservationError()
    var overlapping = false
    if case .phrase(let n) = unit { overlapping = n > 1 }
    let picture = AttributionPicture(
      title: "\(model.folder.name): \(attribution.targetName)",
      subtitle: "contextual decomposition, attention \(settings.attention.rawValue), level \(level)",
      pieces: pieces.map {
        .init(text: $0.text, score: $0.score, start: $0.start, end: $0.end, level: $0.level)
      },
      full: attribution.full, overlapping: overlapping)
    try supervisor.finish {
      show(picture, pieces, attribution, error)
      if let page { try Output.write(picture.html(), to: page, quiet: common.quiet) }
      if let drawing { try Output.write(picture.svg(), to: drawing, quiet: common.quiet) }
      try Output.conclude(error, settings, json: printsJSON || format != .text)
    }
  }

  private func show(
    _ picture: AttributionPicture, _ pieces: [TextAttribution.Piece], _ attribution: TextAttribution,
    _ error: Double
  ) {
    if printsJSON {
      Output.print(json: json(pieces, attribution, error))
    } else if format == .html {
      Swift.print(picture.html(), terminator: "")
    } else if format == .svg {
      Swift.print(picture.svg(), terminator: "")
    } else {
      print("\(VisibleText.line(attribution.targetName)), whole text \(Output.score(attribution.full))")
      print("")
      // Colours are what a terminal may act on.
      Swift.print(picture.terminal(colours: isatty(1) == 1), terminator: "")
    }
  }

  private func json(_ pieces: [TextAttribution.Piece], _ attribution: TextAttribution, _ error: Double)
    -> JSONValue
  {
    let units = pieces.map { piece -> JSONValue in
      var object = JSONObject()
      object["text"] = .string(piece.text)
      object["start"] = JSONValue(piece.start)
      object["end"] = JSONValue(piece.end)
      object["score"] = JSONValue(piece.score)
      if case .hierarchical = unit { object["level"] = .init(piece.level) }
      return .object(object)
    }
    var object = JSONObject()
    object["units"] = .array(units)
    object["score_full"] = JSONValue(attribution.full)
    object["target"] = .string(attribution.targetName)
    object["tokens"] = JSONValue(attribution.encoding.tokens)
    object["ids"] = JSONValue(attribution.encoding.ids)
    object["conservation_error"] = JSONValue(error)
    return .object(object)
  }
}
