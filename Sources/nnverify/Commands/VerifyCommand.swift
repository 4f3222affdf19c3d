import ArgumentParser
import CKernels
import CommandSupport
import FileFormats
import Foundation
import IR
import Importers
import Limits
import Reports
import Search
import Specifications

struct VerifyCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Decides a VNN-LIB query: does any input in the region violate the property?",
    discussion: """
      Prints sat, unsat, unknown or timed-out, after sat the violating assignment. sat is printed only after the \
      witness was checked in exact rational arithmetic and replayed in the model's own; unsat rests on bounds with all \
      rounding included. Reads VNN-LIB 1.0 and 2.0, plain or gzip-compressed. Queries over float32 are about the \
      network evaluated in float32 in any order of summation.
      """)

  @Argument(help: "The query: VNN-LIB 1.0 or 2.0, plain or gzip-compressed.")
  var query: String

  @Option(
    help: ArgumentHelp(
      "A network of the query: NAME=MODEL, or just MODEL where the query has one. May be repeated.",
      valueName: "[name=]model"))
  var network: [String]

  @Option(help: ArgumentHelp("Threads to use.", valueName: "n"))
  var threads = 1

  @OptionGroup var limits: LimitOptions

  @Option(help: ArgumentHelp("The seed of the attack's starting points.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Write the competition's result file.", valueName: "file"))
  var result: String?

  @Option(
    help: ArgumentHelp(
      "Write the assignment of a sat as ONNX tensors NAME.pb into a folder.", valueName: "folder"))
  var serialiseAssignments: String?

  @Flag(help: "JSON on standard output.")
  var json = false

  @Flag(name: [.short, .long], help: "Say on standard error how the verdict was reached.")
  var verbose = false

  func validate() throws {
    guard (1...1024).contains(threads) else { throw ValidationError("--threads must lie between 1 and 1024") }
    if network.isEmpty { throw ValidationError("at least one --network is needed") }
  }

  var printsJSON: Bool { json }

  func run(_ supervisor: Supervisor) throws {
    // The search allocates and frees blocks of some megabytes all the time: keep them instead of returning the pages
    // to the system, which costs a fifth of the time.
    ck_keep_freed_memory()
    let progress = ProgressLine()
    let control = SearchControl(
      seconds: limits.timeout, threads: threads, memoryLimit: limits.memoryBytes, seed: seed,
      cancellation: supervisor.cancellation
    ) { state in
      let rate = Double(state.visited) / max(state.seconds, 1e-3)
      progress.update(
        String(
          format: "%.1f s  %d open  %d bounded  %.0f/s  worst bound %.4g", state.seconds, state.open,
          state.visited,
          rate, state.worstBound))
    }
    let output = try VerdictOutput(command: self, supervisor: supervisor, progress: progress)
    supervisor.ifStopped { try output.deliver(Verification(stopped: .init($0)), of: nil) }
    let query: Query
    do {
      // A year stands for any longer time: the clock's own range is finite.
      query = try Query(
        contentsOf: self.query, deadline: limits.timeout.map { ContinuousClock.now + .seconds(min($0, 3e7)) })
    } catch is QueryTimeout {
      return try supervisor.finish { try output.deliver(Verification(stopped: .timeLimit), of: nil) }
    }
    supervisor.ifStopped {
      let semantics = (try? query.semantics()) ?? .real
      try output.deliver(Verification(stopped: .init($0), semantics: semantics), of: query)
    }
    let problem = try VerificationProblem(query, networks: models(of: query))
    try output.checkFiles(query)
    // The search looks at its control, which knows how far it may go on.
    let verification = try Cancellation.$current.withValue(nil) {
      try Verifier(problem, control: control).run()
    }
    try supervisor.finish { try output.deliver(verification, of: query) }
  }

  /// The models by the names of the query's networks.
  private func models(of query: Query) throws -> [String: Graph] {
    var models: [String: Graph] = [:]
    // Deployed networks are read as they are stored, operation by operation.
    let options = ImportOptions(arithmetic: try query.semantics() == .real ? .real : .float32)
    let own = query.networks.filter { if case .equalTo = $0.equivalence { false } else { true } }
    for argument in network {
      var name = ""
      var path = argument
      // No name holds a slash: what has one before the sign is a path.
      if let equals = argument.firstIndex(of: "="), !argument[..<equals].contains("/"),
        query.majorVersion > 1 || !FileManager.default.fileExists(atPath: argument)
      {
        name = String(argument[..<equals])
        path = String(argument[argument.index(after: equals)...])
      }
      if query.majorVersion == 1 { name = "" } else if name.isEmpty, own.count == 1 { name = own[0].name }
      guard models[name] == nil else {
        throw FileError(
          file: query.file, reason: "two models are given for \(name.isEmpty ? "the network" : name)")
      }
      models[name] = try Importer.load(path, options).graph
    }
    return models
  }
}
