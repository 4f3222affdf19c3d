import Synchronization

/// Why a computation has to end before it is done.
public enum StopReason: UInt8, Sendable, Equatable, CaseIterable {
  case timeLimit = 1
  case memoryLimit
  /// SIGINT, as from Ctrl-C.
  case interrupted
  /// SIGTERM.
  case terminated

  /// For people.
  public var text: String {
    switch self {
    case .timeLimit: "the time limit was reached"
    case .memoryLimit: "the memory limit was reached"
    case .interrupted: "interrupted"
    case .terminated: "terminated"
    }
  }
}

/// A computation was told to stop; nothing is claimed about its result.
public struct Stopped: Error, Sendable, Equatable, CustomStringConvertible {
  public var reason: StopReason
  public init(_ reason: StopReason) { self.reason = reason }
  public var description: String { reason.text }
}

/// Tells long computations to stop, from any thread.
///
/// The walks over graphs and the loops around them look at ``current``, which whoever starts them binds:
/// `Cancellation.$current.withValue(cancellation) { ... }`. ``parallelFor(_:threads:_:)`` hands it to its threads.
public final class Cancellation: Sendable {
  private let deadline: ContinuousClock.Instant?
  private let parent: Cancellation?
  /// The most bytes that the process may use.
  private let memoryLimit: Int
  /// The raw value of the first reason, 0 for none.
  private let first = Atomic<UInt8>(0)

  /// What computations on this thread look at; nil where nobody may stop them.
  @TaskLocal public static var current: Cancellation?

  /// - Parameters:
  ///   - deadline: when to stop on its own; nil if only ``stop(_:)`` ends it.
  ///   - memoryLimit: the most bytes that the process may use; nil for the parent's, else for any number.
  ///   - parent: whose reasons hold here too.
  public init(
    deadline: ContinuousClock.Instant? = nil, memoryLimit: Int? = nil, parent: Cancellation? = nil
  ) {
    self.deadline = deadline
    self.parent = parent
    self.memoryLimit = memoryLimit ?? parent?.memoryLimit ?? .max
  }

  /// Asks to stop; the first reason counts.
  public func stop(_ reason: StopReason) {
    _ = first.compareExchange(expected: 0, desired: reason.rawValue, ordering: .relaxed)
  }

  /// The reason to stop now, nil to go on.
  public var reason: StopReason? {
    if let reason = StopReason(rawValue: first.load(ordering: .relaxed)) { return reason }
    if let deadline, ContinuousClock.now >= deadline { return .timeLimit }
    return parent?.reason
  }

  /// - Throws: `Stopped` when there is a reason to stop.
  public func check() throws(Stopped) {
    if let reason { throw Stopped(reason) }
  }

  /// - Parameter doubles: how many numbers are to be stored at once next.
  /// - Throws: `Stopped` when there is a reason to stop, or when that alone is more than the memory limit: the system might
  ///   refuse it, which nobody survives.
  public func check(storing doubles: Int) throws(Stopped) {
    try check()
    if doubles > memoryLimit / 8 { throw Stopped(.memoryLimit) }
  }

  /// Looks at ``current``.
  ///
  /// - Throws: `Stopped` when there is a reason to stop.
  public static func check() throws(Stopped) { try current?.check() }
}

extension ContinuousClock.Instant {
  /// Seconds from now to this instant; negative once it is over.
  public var secondsLeft: Double { (self - ContinuousClock.now) / .seconds(1) }
}
