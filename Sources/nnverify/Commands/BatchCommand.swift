import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Limits
import Reports
import Results
import Synchronization

extension Shard: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

struct BatchCommand: SupervisedCommand {
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

  @Option(help: ArgumentHelp("Threads for each query.", valueName: "n"))
  var threads = 1

  /// Both hold for each query; its row may give less time.
  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { false }
  /// The batch as a whole takes what its queries take.
  var timeLimit: Double? { nil }

  func validate() throws {
    guard (1...1024).contains(threads) else { throw ValidationError("--threads must lie between 1 and 1024") }
    if instances.isEmpty { throw ValidationError("at least one instance list is needed") }
  }

  func run(_ supervisor: Supervisor) throws {
    let all = try instances.flatMap { try Instance.list(contentsOf: $0) }
    var contents = InstanceContents()
    let own = shard.select(all).map { instance in
      var instance = instance
      instance.limit = min(instance.limit, limits.timeout ?? .infinity)
      instance.content = contents.digest(of: instance)
      return instance
    }
    let store = try ResultStore(path: self.store, create: true)
    let pending = try store.pending(own)
    let progress = ProgressLine()
    var counts: [String: Int] = [:]
    if pending.count < own.count {
      progress.clear()
      note("\(own.count - pending.count) of \(own.count) instances are done already")
    }
    let child = ChildSolver()
    let stored = Atomic(0)
    supervisor.ifStopped { reason in
      child.stop()
      progress.clear()
      StandardError.write("\(reason.text); \(stored.load(ordering: .relaxed)) finished results are stored\n")
    }
    var finished = 0
    var open = pending
    while !open.isEmpty {
      // What another batch on the same store is running; looked at again when the rest is done.
      var taken: [Instance] = []
      for instance in open {
        switch try store.claim(instance) {
        case .done: continue
        case .taken: taken.append(instance)
        case .granted:
          progress.update(
            "\(finished + 1)/\(pending.count)  \(instance.family)  \(instance.query)", isUrgent: true)
          let result = try child.solve(instance, memory: limits.memory, threads: threads)
          // What a killed child says is no result; the other thread ends the process, and with it the claim.
          try supervisor.cancellation.check()
          try store.record(result)
          finished += 1
          stored.store(finished, ordering: .relaxed)
          counts[result.verdict, default: 0] += 1
        }
      }
      open = taken
      if !open.isEmpty {
        progress.update("waiting for another batch: \(open.count) instances", isUrgent: true)
        usleep(200_000)
        try supervisor.cancellation.check()
      }
    }
    progress.clear()
    let summary = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    try supervisor.finish {
      print("\(finished) instances run: \(summary.isEmpty ? "nothing to do" : summary)")
    }
  }

  private func note(_ text: String) { StandardError.write(text + "\n") }
}

/// Runs `nnverify verify` on one instance in a process of its own.
final class ChildSolver: Sendable {
  private let state = Mutex<(child: Int32?, isStopped: Bool)>((nil, false))

  /// Kills the running solver, and every one that would be started.
  func stop() {
    state.withLock { state in
      state.isStopped = true
      if let child = state.child { kill(child, SIGKILL) }
    }
  }

  /// The result of one instance; whatever goes wrong in the solver becomes a result of its own.
  func solve(_ instance: Instance, memory: Double?, threads: Int) throws -> InstanceResult {
    let limit = instance.limit
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    var arguments = [
      "verify", instance.queryPath, "--timeout", "\(limit)", "--threads", "\(threads)", "--json",
    ]
    if let memory { arguments += ["--memory", "\(memory)"] }
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
      if state.isStopped { kill(process.processIdentifier, SIGKILL) }
    }
    let watchdog = DispatchWorkItem { kill(process.processIdentifier, SIGKILL) }
    DispatchQueue.global().asyncAfter(deadline: .now() + limit + 5, execute: watchdog)
    // Both streams are read at once: a child that writes much to one of them is not blocked by the other.
    let message = PipeContents(errors.fileHandleForReading, limit: 1 << 16)
    let answer = PipeContents(output.fileHandleForReading, limit: 1 << 28)
    message.wait()
    answer.wait()
    process.waitUntilExit()
    watchdog.cancel()
    state.withLock { $0.child = nil }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    var result = InstanceResult(
      key: instance.key, verdict: "error", seconds: seconds, limit: limit, folder: instance.folder)
    if process.terminationReason == .exit, process.terminationStatus == 0,
      let json = try? JSONValue.parse(answer.bytes, file: "answer"),
      let verdict = json["verdict"]?.stringValue
    {
      result.verdict = verdict
      result.reason = json["reason"]?.stringValue ?? ""
      result.answer = String(decoding: answer.bytes, as: UTF8.self)
    } else {
      result.reason = String(decoding: message.bytes.prefix(2000), as: UTF8.self)
      if process.terminationReason == .uncaughtSignal {
        result.reason += "ended by signal \(process.terminationStatus)"
      }
    }
    return result
  }
}
