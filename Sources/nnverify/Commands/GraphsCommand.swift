import ArgumentParser
import CommandSupport
import Explanations
import FileFormats
import Reports

struct GraphsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graphs", abstract: "Synthetic graphs with true explanations.", subcommands: [Generate.self])

  struct Generate: SupervisedCommand {
    static let configuration = CommandConfiguration(
      commandName: "generate",
      abstract: "Generates \(GraphGenerator.allCases.map(\.rawValue).joined(separator: ", ")) from a seed.")

    @Argument(help: "The data set.")
    var name: String

    @Option(help: ArgumentHelp("The seed; the same seed gives the same graphs.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(help: ArgumentHelp("Graphs of ba-2motifs (default 1000).", valueName: "n"))
    var count: Int?

    @Option(
      name: [.short, .long],
      help: ArgumentHelp("Write the document here instead of standard output.", valueName: "file"))
    var output: String?

    @OptionGroup var limits: LimitOptions

    var printsJSON: Bool { true }

    func validate() throws {
      guard GraphGenerator(rawValue: name) != nil else {
        throw ValidationError(
          "the data sets are \(GraphGenerator.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      try Check.positive(count, "--count", limit: 1_000_000)
    }

    func run(_ supervisor: Supervisor) throws {
      guard let generator = GraphGenerator(rawValue: name) else { return }
      let output = try OutputFile(output)
      let document = GraphDocument.value(of: generator.dataset(seed: seed, count: count))
      guard let output else {
        try supervisor.finish { try printJSON(document) }
        return
      }
      try supervisor.finish {
        try output.write(document.text() + "\n")
        print(VisibleText.line(output.path))
      }
    }
  }
}
