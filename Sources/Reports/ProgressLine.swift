import Foundation
import Synchronization

/// One line on standard error that says what a long run is doing. It is written only where a terminal shows it, and leaves
/// nothing behind.
public final class ProgressLine: Sendable {
  private struct State {
    var shown = 0
    var last: ContinuousClock.Instant?
  }

  private let isShown: Bool
  private let state = Mutex(State())

  public init(isShown: Bool = isatty(STDERR_FILENO) == 1) { self.isShown = isShown }

  deinit { clear() }

  /// Shows `text` in place of what was shown, at most ten times a second unless `isUrgent`.
  public func update(_ text: @autoclosure () -> String, isUrgent: Bool = false) {
    guard isShown else { return }
    state.withLock { state in
      let now = ContinuousClock.now
      if !isUrgent, let last = state.last, now - last < .seconds(0.1) { return }
      state.last = now
      let line = String(VisibleText.line(text()).prefix(110))
      let padding = String(repeating: " ", count: max(state.shown - line.count, 0))
      state.shown = line.count
      StandardError.write("\r\(line)\(padding)")
    }
  }

  /// Removes the line.
  public func clear() {
    guard isShown else { return }
    state.withLock { state in
      guard state.shown > 0 else { return }
      StandardError.write("\r\(String(repeating: " ", count: state.shown))\r")
      state.shown = 0
    }
  }
}
