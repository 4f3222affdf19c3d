import Foundation
import Limits

/// A function of subsets: what a network answers when a subset of `elementCount` elements is removed.
///
/// The elements are whatever an analysis masks (the edges of an explanation, the edges outside it, nodes,
/// features); the values are whatever it averages (a probability and a hit, or all classes at once).
public struct SubsetGame: Sendable {
  /// The number of elements that can be removed.
  public let elementCount: Int
  /// The number of values per subset.
  public let valueCount: Int
  /// A number per element that common random numbers are keyed by: two games over different sets of the same edges
  /// share the numbers of the edges they share.
  public let keys: [Int]
  /// Values of `rows` subsets: flags are row-major [rows, elementCount], 1 = removed; the result is row-major
  /// [rows, valueCount]. It must not depend on how subsets are grouped into calls.
  public let evaluate: @Sendable (_ removed: [UInt8], _ rows: Int) throws -> [Double]

  public init(
    elementCount: Int, valueCount: Int, keys: [Int]? = nil,
    evaluate: @escaping @Sendable (_ removed: [UInt8], _ rows: Int) throws -> [Double]
  ) {
    self.elementCount = elementCount
    self.valueCount = valueCount
    self.keys = keys ?? Array(0..<elementCount)
    self.evaluate = evaluate
  }

  /// The number of subsets handed to one evaluation.
  public static let batch = 256

  /// Evaluates any number of subsets in batches, on all cores.
  public func values(_ removed: [UInt8], rows: Int) throws -> [Double] {
    if rows <= Self.batch { return rows == 0 ? [] : try evaluate(removed, rows) }
    let chunks = (rows + Self.batch - 1) / Self.batch
    let parts = try Parallel.map(chunks) { chunk in
      let first = chunk * Self.batch
      let count = Swift.min(Self.batch, rows - first)
      let slice = Array(removed[(first * elementCount)..<((first + count) * elementCount)])
      return try evaluate(slice, count)
    }
    return parts.flatMap { $0 }
  }
}

/// Data parallelism with results in order, so that nothing depends on the number of threads.
public enum Parallel {
  /// Calls `body` for 0..<count on all cores; rethrows the error of the smallest index.
  public static func map<T: Sendable>(
    _ count: Int, _ body: @Sendable (Int) throws -> T
  ) throws -> [T] {
    if count <= 1 { return try (0..<count).map(body) }
    let results = Slots<T>(count)
    parallelFor(count, threads: ProcessInfo.processInfo.activeProcessorCount) { index in
      results.set(
        index,
        Result {
          try Cancellation.check()
          return try body(index)
        })
    }
    return try results.all().map { try $0.get() }
  }

  /// One slot per index. Every index is written once, by one thread, before anyone reads.
  private final class Slots<T: Sendable>: @unchecked Sendable {
    private let storage: UnsafeMutableBufferPointer<Result<T, any Error>?>
    init(_ count: Int) {
      storage = .allocate(capacity: count)
      storage.initialize(repeating: nil)
    }
    deinit {
      storage.deinitialize()
      storage.deallocate()
    }
    func set(_ index: Int, _ value: Result<T, any Error>) { storage[index] = value }
    func all() -> [Result<T, any Error>] { storage.map { $0! } }  // parallelFor wrote every slot
  }
}
