import ArgumentParser
import CommandSupport

/// The root command.
struct NNVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nnverify",
    abstract: "Guaranteed answers about neural networks.",
    discussion: """
      Exit status: 0 an answer was printed, 1 usage, 2 bad input file, 3 unsupported operator, \
      4 internal check failed.
      """,
    version: "0.1.0",
    subcommands: [
      BoundsCommand.self, RunCommand.self, InspectCommand.self, VerifyCommand.self, CompareCommand.self,
      SupportsCommand.self,
      BatchCommand.self, ResultsCommand.self, ConformanceCommand.self, SMTCommand.self, CheckCommand.self,
      SMTChildCommand.self, FidelityCommand.self, FidelityStudyCommand.self, ExplainCommand.self,
      GraphCertifyCommand.self, GraphsCommand.self,
    ])

  @Flag(name: .customLong("name"), help: "Print the solver's name, as the VNN-LIB standard asks.")
  var printsName = false

  func run() throws {
    guard printsName else { throw CleanExit.helpRequest(self) }
    print("nnverify")
  }
}
