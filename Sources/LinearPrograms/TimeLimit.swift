import Limits

/// The time ended before a computation did; nothing is claimed about its result.
package struct OutOfTime: Error {}

/// When a long computation has to stop. It asks often enough to stop within tenths of a second.
package struct TimeLimit: Sendable {
  /// nil for never.
  package var deadline: ContinuousClock.Instant?

  package init(deadline: ContinuousClock.Instant?) { self.deadline = deadline }

  package static let never = TimeLimit(deadline: nil)

  /// Whether the deadline is past, or `Cancellation.current` says stop.
  package var isOver: Bool {
    Cancellation.current?.reason != nil || deadline.map { ContinuousClock.now >= $0 } ?? false
  }

  /// - Throws: `OutOfTime` after the deadline.
  package func check() throws(OutOfTime) {
    if isOver { throw OutOfTime() }
  }
}
