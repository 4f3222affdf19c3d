import FileFormats
import Foundation
import Limits
import Reports
import Synchronization

/// Keeps a command's limits: at the time limit, the memory limit, SIGINT or SIGTERM it asks the computation to stop,
/// and, when that does not end by itself, prints what is known and ends the process.
///
/// An answer is printed once, whoever comes first: the command through ``finish(_:)`` or this.
public final class Supervisor: Sendable {
  /// What the command's computations look at.
  public let cancellation: Cancellation

  private struct State {
    var ifStopped: @Sendable (StopReason) throws -> Void
    var isFinished = false
  }

  private let state: Mutex<State>
  /// The time limit; it can be set anew while the command runs.
  private let deadline: Mutex<ContinuousClock.Instant?>
  private let memoryLimit: Int
  private let start = ContinuousClock.now
  /// The process that this one ends with.
  private let parent: Int32?

  /// Seconds that a computation has to end by itself.
  private static let grace = 0.15
  /// Seconds between looks.
  private static let interval = 0.005

  /// - Parameters:
  ///   - parent: the process to end with; nil for none.
  ///   - ifStopped: prints the answer of a command that had to stop before anything was known.
  public init(
    timeout: Double?, memoryLimit: Int, parent: Int32? = nil,
    ifStopped: @escaping @Sendable (StopReason) throws -> Void
  ) {
    // What the user waits for began with the process.
    deadline = Mutex(timeout.map { ContinuousClock.now + .seconds($0 - ProcessAge.seconds) })
    self.memoryLimit = memoryLimit
    cancellation = Cancellation(memoryLimit: memoryLimit)
    self.parent = parent
    state = Mutex(State(ifStopped: ifStopped))
  }

  /// Seconds since the command started.
  public var elapsed: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// Sets the time limit anew, from now on; nil for none.
  public func restart(timeout: Double?) {
    deadline.withLock { $0 = timeout.map { ContinuousClock.now + .seconds($0) } }
  }

  /// Says what to print at a limit from now on. The closure runs on another thread while the computation goes on.
  public func ifStopped(_ print: @escaping @Sendable (StopReason) throws -> Void) {
    state.withLock { $0.ifStopped = print }
  }

  /// Prints a part of the answer, and says what to print at a limit from then on.
  public func part(
    _ print: () throws -> Void, then ifStopped: @escaping @Sendable (StopReason) throws -> Void
  ) throws {
    try finish(print)
    state.withLock { $0 = State(ifStopped: ifStopped) }
  }

  /// Prints the command's answer: `print` runs unless the answer of a stopped command is being printed already.
  public func finish(_ print: () throws -> Void) throws {
    let isFirst = state.withLock { state in
      defer { state.isFinished = true }
      return !state.isFinished
    }
    // The other thread ends the process.
    while !isFirst { sleep(1000) }
    try print()
    try StandardOutput.flush()
  }

  /// Prints the answer of a command that was stopped and ends the process: with status 0 after a limit, 130 after SIGINT
  /// and 143 after SIGTERM.
  public func end(_ reason: StopReason) -> Never {
    let print = state.withLock { state in
      defer { state.isFinished = true }
      return state.isFinished ? nil : state.ifStopped
    }
    guard let print else { while true { sleep(1000) } }
    // Whatever this thread waits for from here on, a signal ends it.
    StopSignals.obeyThem()
    do {
      try print(reason)
      try StandardOutput.flush()
    } catch {
      let status = CommandRunner.report(error)
      if status != ExitStatus.success { _exit(status) }
    }
    _exit(Self.status(reason))
  }

  /// The exit status of a command that ends for a reason.
  static func status(_ reason: StopReason) -> Int32 {
    switch reason {
    case .timeLimit, .memoryLimit: ExitStatus.success
    case .interrupted: 128 + SIGINT
    case .terminated: 128 + SIGTERM
    }
  }

  // MARK: The thread that looks

  /// Starts to look.
  func watch() {
    StopSignals.catchThem()
    let thread = Thread { [self] in look() }
    thread.stackSize = 8 << 20
    thread.start()
  }

  private func look() -> Never {
    var stopped: ContinuousClock.Instant?
    while true {
      usleep(UInt32(Self.interval * 1e6))
      switch StopSignals.take() {
      case SIGINT: receive(.interrupted, again: stopped != nil)
      case SIGTERM: receive(.terminated, again: stopped != nil)
      default: break
      }
      if let parent, getppid() != parent { _exit(ExitStatus.failedCheck) }
      if ProcessMemory.resident > memoryLimit {
        cancellation.stop(.memoryLimit)
        // Nobody is waited for: memory grows on.
        if !state.withLock({ $0.isFinished }) { end(.memoryLimit) }
      }
      if let deadline = deadline.withLock({ $0 }), ContinuousClock.now >= deadline {
        cancellation.stop(.timeLimit)
      }
      guard let reason = cancellation.reason else { continue }
      let since = stopped ?? ContinuousClock.now
      stopped = since
      if ContinuousClock.now - since >= .seconds(Self.grace), !state.withLock({ $0.isFinished }) {
        end(reason)
      }
    }
  }

  /// The first signal stops the computation, a second one the process.
  private func receive(_ reason: StopReason, again: Bool) {
    if again { _exit(Self.status(reason)) }
    cancellation.stop(reason)
  }
}
