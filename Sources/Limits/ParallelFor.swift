import Foundation
import Synchronization

/// Runs `body` for 0..<count on `threads` threads, the calling one among them; each takes the next index that is left.
///
/// Up to the number of processors the threads come from the system's pool, beyond it they are started here, so that as many
/// run as were asked for. The caller's `Cancellation.current` holds in all of them.
public func parallelFor(_ count: Int, threads: Int, _ body: @Sendable (Int) -> Void) {
  let workers = min(threads, count)
  guard workers > 1 else {
    for index in 0..<count { body(index) }
    return
  }
  withoutActuallyEscaping(body) { body in
    let loop = Loop(count, body, Cancellation.current)
    if workers <= ProcessInfo.processInfo.activeProcessorCount {
      DispatchQueue.concurrentPerform(iterations: workers) { _ in loop.run() }
    } else {
      let helpers = (1..<workers).map { _ -> Alarm in
        let ended = Alarm()
        let thread = Thread {
          loop.run()
          ended.set()
        }
        // As deep as the main thread's.
        thread.stackSize = 8 << 20
        thread.start()
        return ended
      }
      loop.run()
      for helper in helpers { while !helper.wait(seconds: 3600) {} }
    }
    loop.end()
  }
}

/// The indices that are left, and what is done with each.
private final class Loop: Sendable {
  private let count: Int
  private let next = Atomic(0)
  private let cancellation: Cancellation?
  // Written once, by `end`, when no other thread is in `run` any more: a thread that has not yet let go of this object
  // must not hold the body, which ends with the call.
  private nonisolated(unsafe) var body: (@Sendable (Int) -> Void)?

  init(_ count: Int, _ body: @escaping @Sendable (Int) -> Void, _ cancellation: Cancellation?) {
    self.count = count
    self.body = body
    self.cancellation = cancellation
  }

  func run() {
    guard let body else { return }
    Cancellation.$current.withValue(cancellation) {
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        if index >= count { return }
        body(index)
      }
    }
  }

  func end() { body = nil }
}
