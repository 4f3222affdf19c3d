import Foundation
import Synchronization

/// SIGINT and SIGTERM as messages.
///
/// They are caught by a handler and not waited for by a thread that has them blocked: libraries start threads of their own
/// before the command runs, which do not block them.
enum StopSignals {
  static let all = [SIGINT, SIGTERM]

  /// The number of a signal that came and was not taken, 0 for none. A process has one handler of a signal, and all that
  /// one may do is to store into something like this.
  private static let received = Atomic<Int32>(0)

  /// From now on signals wait for ``take()``.
  static func catchThem() {
    // Made here, so that the handler has nothing to initialise.
    received.store(0, ordering: .relaxed)
    for number in all { signal(number) { StopSignals.received.store($0, ordering: .relaxed) } }
  }

  /// From now on a signal ends the process at once.
  static func obeyThem() {
    for number in all { signal(number, SIG_DFL) }
  }

  /// The number of the last signal since the last call; nil if none came.
  static func take() -> Int32? {
    let number = received.exchange(0, ordering: .relaxed)
    return number == 0 ? nil : number
  }
}
