import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Reports
import Results
import Synchronization

extension Shard: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

struct BatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batch",
    abstract: "Runs a list of queries and keeps the results in a store.",
    discussion: """
      The list has rows of network, query and time limit in seconds; paths are relative to its folder, whose name is \
      the family. Each query runs in a process of its own. Every result is committed to the store (SQLite) when it is \
      there: started again after a kill, the batch goes on where it was.
      """)

  @Argument(help: "The instance lists: CSV with rows of network, query, time limit.")
  var instances: [String]

  @Option(help: ArgumentHelp("The store of results.", valueName: "file"))
  var store = "results.sqlite"

  @Option(help: ArgumentHelp("Run only every N-th row from row I on; I counts from 1.", valueName: "i/n"))
  var shard: Shard = .all

  @Option(help: ArgumentHelp("The most time for each query; its row may give less.", valueName: "seconds"))
  var timeout: Double?

  @Option(help: ArgumentHelp("Threads for each query.", valueName: "n"))
  var threads = 1

  func validate() throws {
    if let timeout, !(timeout > 0 && timeout.isFinite) {
      throw ValidationError("--timeout must be a positive number")
    }
    guard (1...1024).contains(threads) else { throw ValidationError("--threads must lie between 1 and 1024") }
    if instances.isEmpty { throw ValidationError("at least one instance list is needed") }
  }

  func run() throws {
    let all = try instances.flatMap { try Instance.list(contentsOf: $0) }
    let own = shard.select(all)
    let store = try ResultStore(path: self.store, create: true)
    let pending = try store.pending(own)
    let progress = ProgressLine()
    var counts: [String: Int] = [:]
    if pending.count < own.count {
      progress.clear()
      note("\(own.count - pending.count) of \(own.count) instances are done already")
    }
    let child = ChildSolver()
    child.forwardSignals()
    for (i, instance) in pending.enumerated() {
      progress.update("\(i + 1)/\(pending.count)  \(instance.family)  \(instance.query)", isUrgent: true)
      let limit = min(instance.limit, timeout ?? .infinity)
      let result = try child.solve(instance, limit: limit, threads: threads)
      if child.isInterrupted {
        progress.clear()
        note("interrupted; \(i) finished results are stored")
        throw ExitCode(130)
      }
      try store.record(result)
      counts[result.verdict, default: 0] += 1
    }
    progress.clear()
    let summary = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    print("\(pending.count) instances run: \(summary.isEmpty ? "nothing to do" : summary)")
  }

  private func note(_ text: String) { StandardError.write(text + "\n") }
}

/// Runs `nnverify verify` on one instance in a process of its own.
final class ChildSolver: @unchecked Sendable {
  private let state = Mutex<(child: Int32?, interrupted: Bool)>((nil, false))
  /// Kept alive here; written only by `forwardSignals`, before another thread knows of this object.
  private nonisolated(unsafe) var sources: [any DispatchSourceSignal] = []

  var isInterrupted: Bool { state.withLock { $0.interrupted } }

  /// Passes Ctrl-C and SIGTERM on to the running solver and remembers them.
  func forwardSignals() {
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [self] in
        state.withLock { state in
          state.interrupted = true
          if let child = state.child { kill(child, SIGKILL) }
        }
      }
      source.resume()
      sources.append(source)
    }
  }

  /// The result of one instance; whatever goes wrong in the solver becomes a result of its own.
  func solve(_ instance: Instance, limit: Double, threads: Int) throws -> InstanceResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    var arguments = [
      "verify", instance.queryPath, "--timeout", "\(limit)", "--threads", "\(threads)", "--json",
    ]
    for network in instance.networkArguments { arguments += ["--network", network] }
    process.arguments = arguments
    var environment = ProcessInfo.processInfo.environment
    environment["NNVERIFY_BATCH"] = "\(getpid())"
    process.environment = environment
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    let start = ContinuousClock.now
    try process.run()
    state.withLock { state in
      state.child = process.processIdentifier
      if state.interrupted { kill(process.processIdentifier, SIGKILL) }
    }
    let watchdog = DispatchWorkItem { kill(process.processIdentifier, SIGKILL) }
    DispatchQueue.global().asyncAfter(deadline: .now() + limit + 5, execute: watchdog)
    // Messages are short: reading one stream after the other cannot block the solver.
    let answer = output.fileHandleForReading.readDataToEndOfFile()
    let message = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    watchdog.cancel()
    state.withLock { $0.child = nil }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    var result = InstanceResult(key: instance.key, verdict: "error", seconds: seconds, limit: limit)
    if process.terminationReason == .exit, process.terminationStatus == 0,
      let json = try? JSONValue.parse([UInt8](answer), file: "answer"),
      let verdict = json["verdict"]?.stringValue
    {
      result.verdict = verdict
      result.reason = json["reason"]?.stringValue ?? ""
      result.answer = String(decoding: answer, as: UTF8.self)
    } else {
      result.reason = String(decoding: message.prefix(2000), as: UTF8.self)
      if process.terminationReason == .uncaughtSignal {
        result.reason += "ended by signal \(process.terminationStatus)"
      }
    }
    return result
  }
}
