import ArgumentParser
import FileFormats
import Foundation
import Limits

/// A command that keeps `--timeout` and `--memory` and ends on signals with what it knows.
public protocol SupervisedCommand: ParsableCommand {
  var limits: LimitOptions { get }
  /// Whether the answer is a JSON document.
  var printsJSON: Bool { get }
  /// The seconds that the supervisor counts from the start; by default `--timeout`.
  var timeLimit: Double? { get }

  /// Does the work. Answers are printed in `supervisor.finish`, and what is known before through
  /// `supervisor.ifStopped`.
  mutating func run(_ supervisor: Supervisor) throws
}

extension SupervisedCommand {
  public var timeLimit: Double? { limits.timeout }

  public mutating func run() throws {
    let isJSON = printsJSON
    let supervisor = Supervisor(
      timeout: timeLimit, memoryLimit: limits.memoryBytes,
      parent: ProcessInfo.processInfo.environment["NNVERIFY_BATCH"].flatMap { Int32($0) }
    ) { reason in
      if isJSON {
        try printJSON(.partial(reason))
      } else {
        print("partial: \(reason.text) before anything was known")
      }
    }
    supervisor.watch()
    do {
      try InputFiles.$current.withValue(InputFiles()) {
        try Cancellation.$current.withValue(supervisor.cancellation) { try run(supervisor) }
      }
    } catch let stopped as Stopped {
      supervisor.end(stopped.reason)
    }
    // A search that ends by itself when interrupted has printed its answer.
    if let reason = supervisor.cancellation.reason, Supervisor.status(reason) != ExitStatus.success {
      throw ExitCode(Supervisor.status(reason))
    }
  }
}

extension JSONValue {
  /// The answer of a command that was stopped: `partial`, the reason, and what is known.
  public static func partial(_ reason: StopReason, _ known: [JSONObject.Entry] = []) -> JSONValue {
    .object(
      JSONObject(
        [.init(key: "partial", value: .bool(true)), .init(key: "reason", value: .string(reason.text))] + known
      ))
  }
}
