import Foundation

/// Something that sleepers wait for with a time limit, on the monotonic clock: setting the system's time changes nothing.
public final class Alarm: @unchecked Sendable {
  // Both are made in `init`, used through pthread's functions only, which are made for use by several threads, and
  // destroyed when no thread holds the object any more.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// Guarded by `mutex`.
  private var isSet = false

  public init() {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Wakes all who wait, now and later.
  public func set() {
    pthread_mutex_lock(mutex)
    isSet = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Waits for ``set()``, at most this many seconds.
  ///
  /// - Returns: whether it was set.
  public func wait(seconds: Double) -> Bool {
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    // Ten years are forever, and no overflow.
    let wait = min(max(seconds, 0), 3e8)
    end.tv_sec += Int(wait)
    end.tv_nsec += Int((wait - wait.rounded(.down)) * 1e9)
    if end.tv_nsec >= 1_000_000_000 {
      end.tv_sec += 1
      end.tv_nsec -= 1_000_000_000
    }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isSet {
      if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { break }
    }
    return isSet
  }
}
