import Foundation

/// The time ended before a computation did; nothing is claimed about its result.
package struct OutOfTime: Error {}

/// When a long computation has to stop. It asks often enough to stop within tenths of a second.
package struct TimeLimit: Sendable {
  /// nil for never.
  package var deadline: Date?

  package init(deadline: Date?) { self.deadline = deadline }

  package static let never = TimeLimit(deadline: nil)

  package var isOver: Bool { deadline.map { Date() >= $0 } ?? false }

  /// - Throws: `OutOfTime` after the deadline.
  package func check() throws(OutOfTime) {
    if isOver { throw OutOfTime() }
  }
}
