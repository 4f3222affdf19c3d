import ArgumentParser
import CKernels
import CommandSupport
import FileFormats
import Foundation
import IR
import Importers
import OnnxFormat
import Reports
import Rigor
import Search
import Specifications
import Synchronization

struct VerifyCommand: ParsableCommand {
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

  @Option(help: ArgumentHelp("The time limit.", valueName: "seconds"))
  var timeout: Double?

  @Option(help: ArgumentHelp("Threads to use.", valueName: "n"))
  var threads = 1

  @Option(help: ArgumentHelp("The memory limit; 80 % of the machine's if not given.", valueName: "GB"))
  var memory: Double?

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
    if let timeout, !(timeout > 0 && timeout.isFinite) {
      throw ValidationError("--timeout must be a positive number")
    }
    if let memory, !(memory > 0 && memory.isFinite) {
      throw ValidationError("--memory must be a positive number")
    }
    guard (1...1024).contains(threads) else { throw ValidationError("--threads must lie between 1 and 1024") }
    if network.isEmpty { throw ValidationError("at least one --network is needed") }
  }

  func run() throws {
    // The search allocates and frees blocks of some megabytes all the time: keep them instead of returning the pages
    // to the system, which costs a fifth of the time.
    ck_keep_freed_memory()
    let progress = ProgressLine()
    let bytes = memory.map { Int($0 * 1e9) } ?? Int(Double(ProcessInfo.processInfo.physicalMemory) * 0.8)
    let control = SearchControl(seconds: timeout, threads: threads, memoryLimit: bytes, seed: seed) { state in
      let rate = Double(state.visited) / max(state.seconds, 1e-3)
      progress.update(
        String(
          format: "%.1f s  %d open  %d bounded  %.0f/s  worst bound %.4g", state.seconds, state.open,
          state.visited,
          rate, state.worstBound))
    }
    let query = try Query(contentsOf: self.query)
    let output = VerdictOutput(command: self, query: query, control: control, progress: progress)
    let guardian = VerdictGuardian(output: output, control: control, timeout: timeout)
    guardian.start()
    let problem = try VerificationProblem(query, networks: models(of: query))
    let verification = try Verifier(problem, control: control).run()
    try output.finish(verification)
  }

  /// The models by the names of the query's networks.
  private func models(of query: Query) throws -> [String: Graph] {
    var models: [String: Graph] = [:]
    let own = query.networks.filter { if case .equalTo = $0.equivalence { false } else { true } }
    for argument in network {
      var name = ""
      var path = argument
      if let equals = argument.firstIndex(of: "="),
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
      models[name] = try Importer.load(path).graph
    }
    return models
  }
}

/// Prints the verdict, once, whoever comes first: the search or the guardian.
final class VerdictOutput: Sendable {
  private let command: VerifyCommand
  private let query: Query
  private let control: SearchControl
  private let progress: ProgressLine
  private let isPrinted = Mutex(false)

  init(command: VerifyCommand, query: Query, control: SearchControl, progress: ProgressLine) {
    self.command = command
    self.query = query
    self.control = control
    self.progress = progress
  }

  /// Prints a verdict and writes the files that were asked for; does nothing the second time.
  func finish(_ verification: Verification) throws {
    // The lock is held until everything is written: whoever comes second may end the process right after.
    try isPrinted.withLock { printed in
      if printed { return }
      printed = true
      try deliver(verification)
    }
  }

  /// Prints the verdict of a search that did not end by itself.
  func stop(_ stop: SearchControl.Stop) throws {
    try finish(Verification(stopped: stop, semantics: (try? query.semantics()) ?? .real))
  }

  private func deliver(_ verification: Verification) throws {
    progress.clear()
    let report = VerificationReport(query: query, verification: verification, seconds: control.elapsed)
    if let path = command.result { try Self.write(Array(report.resultFile.utf8), to: path) }
    if let folder = command.serialiseAssignments, let witness = verification.witness {
      try serialise(witness, into: folder)
    }
    if command.json {
      try printJSON(report.json)
    } else {
      try StandardOutput.write(report.text)
    }
    if command.verbose || (!verification.reason.isEmpty && !command.json) {
      let statistics = verification.statistics
      var line = verification.reason.isEmpty ? "" : verification.reason + "\n"
      if command.verbose {
        line +=
          "\(verification.method): \(statistics.subproblems) subproblems, \(statistics.candidates) candidates, "
        line += String(format: "%.3f s", report.seconds) + "\n"
      }
      StandardError.write(line)
    }
  }

  private static func write(_ bytes: [UInt8], to path: String) throws {
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw FileError(file: path, reason: "cannot be written")
    }
  }

  /// One `TensorProto` file per tensor.
  private func serialise(_ witness: Witness, into folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw FileError(file: folder, reason: "cannot be created")
    }
    for tensor in query.tensors {
      var proto = Onnx_TensorProto()
      proto.name = tensor.name
      proto.dims = tensor.shape.map { Int64($0) }
      var data = Data()
      if tensor.type == .float32 {
        proto.dataType = 1
        for v in tensor.variables {
          withUnsafeBytes(of: witness.values[v].nearestFloat.bitPattern.littleEndian) {
            data.append(contentsOf: $0)
          }
        }
      } else {
        proto.dataType = 11
        for v in tensor.variables {
          withUnsafeBytes(of: witness.values[v].nearestDouble.bitPattern.littleEndian) {
            data.append(contentsOf: $0)
          }
        }
      }
      proto.rawData = data
      try Self.write(proto.serializedBytes() as [UInt8], to: folder + "/\(tensor.name).pb")
    }
  }
}

/// Keeps the limits when the search cannot: prints what is known and ends the process.
///
/// Looks every 20 ms at the time limit, the memory in use, interruption (Ctrl-C) and whether the batch that started
/// this process is still there.
struct VerdictGuardian: Sendable {
  let output: VerdictOutput
  let control: SearchControl
  let timeout: Double?

  /// Seconds that the search has, past a limit, to end by itself.
  private static let grace = 0.1

  func start() {
    for number in [SIGINT, SIGTERM] { signal(number, SIG_IGN) }
    let parent = ProcessInfo.processInfo.environment["NNVERIFY_BATCH"].flatMap { Int32($0) }
    let thread = Thread {
      let sources = [SIGINT, SIGTERM].map { number in
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler { [control] in control.interrupt() }
        source.resume()
        return source
      }
      var stopped: Double?
      while true {
        usleep(20_000)
        if let parent, getppid() != parent { _exit(1) }
        if SearchControl.residentMemory > control.memoryLimit { control.reportMemory() }
        guard let stop = control.stop else { continue }
        let since = stopped ?? control.elapsed
        stopped = since
        if control.elapsed > since + Self.grace {
          var status = ExitStatus.success
          do {
            try output.stop(stop)
          } catch {
            StandardError.write("Error: \(error)\n")
            status = ExitStatus.failedCheck
          }
          withExtendedLifetime(sources) { _exit(status) }
        }
      }
    }
    thread.stackSize = 1 << 20
    thread.start()
  }
}
