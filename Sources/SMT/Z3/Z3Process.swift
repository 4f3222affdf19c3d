import Foundation
import Limits
import LinearPrograms
import Rigor
import Synchronization

/// Z3 in a child process, for deadlines that must hold: Z3 4.8.12 can overrun its own time-out, and ignore interrupts
/// for minutes, in linear arithmetic with large coefficients. A child is killed, and its death, by whatever hand, is an
/// answer like any other; if this process dies first, the child follows within 20 ms.
///
/// The child is a program that takes `--parent PID`, reads one line with the names of the wanted variables, then SMT-LIB 2 text, and
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
    process.arguments = arguments + ["--parent", "\(getpid())"]
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
    Self.write(
      Array((variables.joined(separator: " ") + "\n" + text).utf8),
      to: input.fileHandleForWriting.fileDescriptor)
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
    case "unknown": return Answer(result: .unknown("Z3 gave up"))
    default:
      let isLate = TimeLimit(deadline: deadline).isOver
      return Answer(result: .unknown(isLate ? "time-out" : "the solver process ended without an answer"))
    }
  }

  /// Writes to a pipe whose reader may be gone: that must not end this process, so SIGPIPE is held back and taken.
  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var pipe = sigset_t()
    var before = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    defer {
      var none = timespec()
      while sigtimedwait(&pipe, nil, &none) == SIGPIPE {}
      pthread_sigmask(SIG_SETMASK, &before, nil)
    }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        return
      }
    }
  }

  /// The child's side: ends this process once the one that started it is gone.
  public static func endWith(parent: Int32) {
    Thread.detachNewThread {
      while getppid() == parent { usleep(20_000) }
      _exit(1)
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
