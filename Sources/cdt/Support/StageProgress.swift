import Foundation
import Reports
import Synchronization

/// A progress line on a terminal's standard error; silent elsewhere.
final class StageProgress: Sendable {
  private struct State {
    var name = ""
    var total = 0
    var done = 0
    var drawn: ContinuousClock.Instant?
    var visible = false
  }
  private let state = Mutex(State())
  private let isEnabled: Bool
  private let began = ContinuousClock.now

  init(quiet: Bool) { isEnabled = !quiet && isatty(2) == 1 }

  func stage(_ name: String, _ total: Int) {
    state.withLock {
      $0.name = name
      $0.total = total
      $0.done = 0
    }
  }

  func advance(_ count: Int) {
    guard isEnabled else { return }
    state.withLock { state in
      state.done += count
      let now = ContinuousClock.now
      // Short runs never flicker.
      guard now - began > .seconds(0.5), state.drawn.map({ now - $0 > .seconds(0.1) }) ?? true else { return }
      state.drawn = now
      state.visible = true
      let share = min(1, Double(state.done) / Double(max(1, state.total)))
      let filled = Int(share * 24)
      let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: 24 - filled)
      let text = "\r\u{1B}[2K\(state.name) [\(bar)] \(min(state.done, state.total))/\(state.total)"
      StandardError.write(text)
    }
  }

  func end() {
    state.withLock { state in
      if state.visible { StandardError.write("\r\u{1B}[2K") }
      state.visible = false
    }
  }
}
