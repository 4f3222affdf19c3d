import Foundation
import Synchronization

/// Runs a computation on a thread of its own and, when it does not end in time, leaves it to itself.
///
/// - Parameters:
///   - seconds: what the computation has before its `Cancellation.current` says stop; it may say so earlier for the
///     caller's reasons.
///   - grace: seconds more to wait for it.
/// - Returns: the result; nil if there is none in time.
/// - Throws: what `body` throws, but `Stopped` for the time limit.
public func attempt<R: Sendable>(
  seconds: Double, grace: Double, _ body: @escaping @Sendable () throws -> R
) throws -> R? {
  let cancellation = Cancellation(
    deadline: ContinuousClock.now + .seconds(seconds), parent: Cancellation.current)
  let outcome = Outcome<R>()
  let ended = Alarm()
  let thread = Thread {
    let result = Cancellation.$current.withValue(cancellation) { Result { try body() } }
    outcome.result.withLock { $0 = result }
    ended.set()
  }
  // As deep as the main thread's.
  thread.stackSize = 8 << 20
  thread.start()
  guard ended.wait(seconds: seconds + grace) else { return nil }
  do {
    return try outcome.result.withLock { $0 }?.get()
  } catch let stopped as Stopped where stopped.reason == .timeLimit {
    return nil
  }
}

private final class Outcome<R: Sendable>: Sendable {
  let result = Mutex<Result<R, any Error>?>(nil)
}
