import Foundation
import Synchronization

/// Time and interruption of a search, shared by its threads.
public final class SearchControl: Sendable {
  /// Why a search has to stop.
  public enum Stop: Sendable, Equatable { case timeLimit, interrupted, memoryLimit }

  private let start: ContinuousClock.Instant
  private let deadline: ContinuousClock.Instant?
  private let interrupted = Atomic<Bool>(false)
  private let outOfMemory = Atomic<Bool>(false)
  /// The most bytes the process may use.
  public let memoryLimit: Int
  public let threads: Int
  public let seed: UInt64
  /// Called with a line for people now and then, from the searching thread.
  public let progress: (@Sendable (SearchProgress) -> Void)?

  public init(
    seconds: Double? = nil, threads: Int = 1, memoryLimit: Int = .max, seed: UInt64 = 0,
    progress: (@Sendable (SearchProgress) -> Void)? = nil
  ) {
    let now = ContinuousClock.now
    start = now
    deadline = seconds.map { now.advanced(by: .seconds($0)) }
    self.threads = max(1, threads)
    self.memoryLimit = memoryLimit
    self.seed = seed
    self.progress = progress
  }

  /// Seconds since the control was made.
  public var elapsed: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// Seconds left; infinite without a limit.
  public var remaining: Double {
    guard let deadline else { return .infinity }
    return (deadline - ContinuousClock.now) / .seconds(1)
  }

  /// Asks the search to stop, from any thread.
  public func interrupt() { interrupted.store(true, ordering: .relaxed) }

  /// Says that the memory limit is reached.
  public func reportMemory() { outOfMemory.store(true, ordering: .relaxed) }

  /// The reason to stop now, nil to go on.
  public var stop: Stop? {
    if interrupted.load(ordering: .relaxed) { return .interrupted }
    if outOfMemory.load(ordering: .relaxed) { return .memoryLimit }
    if let deadline, ContinuousClock.now >= deadline { return .timeLimit }
    return nil
  }

  /// The process's resident memory in bytes, 0 where it cannot be read.
  public static var residentMemory: Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var size = 0
    var resident = 0
    withUnsafeMutablePointer(to: &size) { a in
      withUnsafeMutablePointer(to: &resident) { b in
        _ = withVaList([a, b]) { vfscanf(file, "%ld %ld", $0) }
      }
    }
    return resident * Int(sysconf(Int32(_SC_PAGESIZE)))
  }
}

/// Where a search stands.
public struct SearchProgress: Sendable {
  public var seconds: Double
  /// Subproblems still open.
  public var open: Int
  /// Subproblems bounded so far.
  public var visited: Int
  /// The smallest proven bound among the open ones; the query is refuted once it is positive.
  public var worstBound: Double
}
