import Limits
import Synchronization

/// Time and interruption of a search, shared by its threads.
public final class SearchControl: Sendable {
  /// Why a search has to stop.
  public enum Stop: Sendable, Equatable {
    case timeLimit, interrupted, memoryLimit

    public init(_ reason: StopReason) {
      switch reason {
      case .timeLimit: self = .timeLimit
      case .memoryLimit: self = .memoryLimit
      case .interrupted, .terminated: self = .interrupted
      }
    }
  }

  private let start: ContinuousClock.Instant
  private let deadline: ContinuousClock.Instant?
  private let interrupted = Atomic<Bool>(false)
  private let outOfMemory = Atomic<Bool>(false)
  /// Whoever else may stop the search.
  private let cancellation: Cancellation?
  /// The most bytes the process may use.
  public let memoryLimit: Int
  public let threads: Int
  public let seed: UInt64
  /// Called with a line for people now and then, from the searching thread.
  public let progress: (@Sendable (SearchProgress) -> Void)?

  public init(
    seconds: Double? = nil, threads: Int = 1, memoryLimit: Int = .max, seed: UInt64 = 0,
    cancellation: Cancellation? = nil, progress: (@Sendable (SearchProgress) -> Void)? = nil
  ) {
    let now = ContinuousClock.now
    start = now
    deadline = seconds.map { now.advanced(by: .seconds($0)) }
    self.threads = max(1, threads)
    self.memoryLimit = memoryLimit
    self.seed = seed
    self.cancellation = cancellation
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
    if let reason = cancellation?.reason { return Stop(reason) }
    if let deadline, ContinuousClock.now >= deadline { return .timeLimit }
    return nil
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
