import ArgumentParser
import Circuits
import CommandSupport
import FileFormats
import Reports

/// `cdt graph`: pictures of a saved circuit.
struct GraphCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "graph", abstract: "Draw a saved circuit.",
    discussion: "Positions go along, layers upwards; width is the score, blue supports and red opposes.")

  @Argument(help: "The circuit.") var circuit: String
  @Option(help: "svg, dot, json or html.") var format: Format = .svg
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Where to write; else it is printed.", valueName: "file"))
  var output: String?
  @Flag(help: "The same as --format json.") var json = false

  enum Format: String, ExpressibleByArgument, CaseIterable { case svg, dot, json, html }

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  mutating func run(_ supervisor: Supervisor) throws {
    let file = try OutputFile(output)
    let document = try CircuitDocument(path: circuit)
    let text: String
    switch json ? .json : format {
    case .svg: text = document.picture.svg()
    case .dot: text = document.picture.dot()
    case .html: text = document.picture.html()
    case .json: text = document.json.text(indented: true) + "\n"
    }
    try supervisor.finish {
      if let file {
        try Output.write(text, to: file, quiet: false)
      } else {
        // A document in a language of its own, where nothing acts any more.
        Swift.print(text, terminator: "")
      }
    }
  }
}
