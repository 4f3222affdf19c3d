import Limits
import Synchronization
import Testing

@Suite struct CancellationTests {
  @Test func theFirstReasonCounts() throws {
    let cancellation = Cancellation()
    try cancellation.check()
    cancellation.stop(.memoryLimit)
    cancellation.stop(.interrupted)
    #expect(throws: Stopped(.memoryLimit)) { try cancellation.check() }
  }

  @Test func deadlinesStop() {
    #expect(Cancellation(deadline: ContinuousClock.now + .seconds(60)).reason == nil)
    #expect(Cancellation(deadline: ContinuousClock.now - .seconds(1)).reason == .timeLimit)
  }

  @Test func storesBeyondTheLimitAreRefused() throws {
    let parent = Cancellation(memoryLimit: 800)
    for cancellation in [parent, Cancellation(parent: parent)] {
      try cancellation.check(storing: 100)
      #expect(throws: Stopped(.memoryLimit)) { try cancellation.check(storing: 101) }
    }
    try Cancellation().check(storing: 1 << 59)
  }

  /// Every reason is handed to all threads of a loop, on few and on many.
  @Test(arguments: [1, 2, 37]) func threadsLookAtTheCallersCancellation(threads: Int) {
    let cancellation = Cancellation()
    cancellation.stop(.terminated)
    let count = Atomic(0)
    Cancellation.$current.withValue(cancellation) {
      parallelFor(100, threads: threads) { _ in
        if Cancellation.current?.reason == .terminated { count.add(1, ordering: .relaxed) }
      }
    }
    #expect(count.load(ordering: .relaxed) == 100)
  }

  /// As many threads run as were asked for, also where there are fewer processors: each waits for all the others.
  @Test func asManyThreadsAsAskedFor() {
    let started = Atomic(0)
    let everyone = Alarm()
    let late = Atomic(0)
    parallelFor(9, threads: 9) { _ in
      if started.add(1, ordering: .relaxed).newValue == 9 { everyone.set() }
      if !everyone.wait(seconds: 20) { late.add(1, ordering: .relaxed) }
    }
    #expect(late.load(ordering: .relaxed) == 0)
  }

  @Test func alarmsEnd() {
    let alarm = Alarm()
    let start = ContinuousClock.now
    #expect(!alarm.wait(seconds: 0.05))
    #expect(ContinuousClock.now - start >= .seconds(0.05))
    alarm.set()
    #expect(alarm.wait(seconds: 1000))
  }
}
