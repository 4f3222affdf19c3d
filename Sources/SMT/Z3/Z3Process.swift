import Foundation
import Limits
import Rigor
import Synchronization

/// Z3 in a child process, for deadlines that must hold: Z3 4.8.12 can overrun its own time-out, and ignore interrupts
/// for minutes, in linear arithmetic with large coefficients. A child is killed.
///
/// The child is a program that reads one line with the names of the wanted variables, then SMT-LIB 2 text, and
/// answers as ``serve(input:)`` does; the `nnverify` command contains it (`nnverify smt-child`).
public struct Z3Process: Sendable {
  /// The program to start.
  public let program: String
  public let arguments: [String]

  public init(program: String, arguments: [String]) {
    self.program = program
    self.arguments = arguments
  }

  struct Answer {
    var result: Satisfiability
    var values: [Rational]?
  }

  func check(_ text: String, variables: [String], deadline: ContinuousClock.Instant?) -> Answer {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      return Answer(result: .unknown("the solver process cannot be started: \(error)"))
    }
    let killer = DeadlineKiller(process.processIdentifier, deadline)
    // A child that died takes no input; its silence is the answer then.
    try? input.fileHandleForWriting.write(
      contentsOf: Data((variables.joined(separator: " ") + "\n" + text).utf8))
    try? input.fileHandleForWriting.close()
    let reply = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    killer.stop()
    process.waitUntilExit()
    let lines = reply.split(separator: "\n").map(String.init)
    switch lines.first {
    case "unsat": return Answer(result: .unsatisfiable)
    case "sat":
      let values = lines.dropFirst().compactMap { Rational($0) }
      guard values.count == variables.count else {
        return Answer(result: .unknown("the solver process gave an unreadable model"))
      }
      return Answer(result: .satisfiable, values: values)
    default: return Answer(result: .unknown("time-out"))
    }
  }

  /// The child's side: the reply to a request.
  public static func serve(input: String) -> String {
    guard let end = input.firstIndex(of: "\n") else { return "unknown\n" }
    let names = input[..<end].split(separator: " ").map(String.init)
    let z3 = Z3Context()
    guard z3.assertText(String(input[input.index(after: end)...])) else { return "unknown\n" }
    switch z3.check() {
    case .unsatisfiable: return "unsat\n"
    case .satisfiable:
      guard let values = z3.values(of: names.map { z3.real($0) }) else { return "unknown\n" }
      return "sat\n" + values.map { $0.description + "\n" }.joined()
    case .unknown: return "unknown\n"
    }
  }
}

/// Kills a process at a deadline.
private final class DeadlineKiller: Sendable {
  private let alarm = Alarm()
  /// Held while killing: after `stop` the identifier may belong to another process.
  private let isStopped = Mutex(false)

  init(_ identifier: Int32, _ deadline: ContinuousClock.Instant?) {
    guard let deadline else { return }
    Thread.detachNewThread { [self] in
      if alarm.wait(seconds: deadline.secondsLeft) { return }
      // Our own child, not yet waited for: the identifier cannot belong to anything else.
      isStopped.withLock { if !$0 { _ = kill(identifier, SIGKILL) } }
    }
  }

  func stop() {
    isStopped.withLock { $0 = true }
    alarm.set()
  }
}
