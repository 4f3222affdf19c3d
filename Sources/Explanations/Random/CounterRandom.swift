/// Counter-based random numbers: Philox4x32-10.
///
/// The n-th number of a stream is a pure function of (seed, stream, n), so a computation that gives every item
/// its own stream or counter yields the same numbers on any number of threads and in any order of execution.
///
/// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
public struct CounterRandom: Sendable, Hashable {
  /// The 64-bit key of the stream.
  public let key: UInt64

  /// The stream that belongs to a user's seed.
  public init(seed: UInt64) { key = seed }

  /// An independent stream derived from this one, for example one per instance or per purpose.
  public func stream(_ identifier: UInt64) -> CounterRandom {
    // The tag in the second counter word keeps derived keys apart from the numbers a stream hands out.
    let block = Self.philox(counter: (identifier, 0x5354_5245_414D_0001), key: key)
    return CounterRandom(seed: block.0)
  }

  /// The two 64-bit words at position `index`.
  @inlinable
  public func words(at index: UInt64) -> (UInt64, UInt64) {
    Self.philox(counter: (index, 0), key: key)
  }

  /// A number in [0, 1) with 53 random bits, at position `index`.
  @inlinable
  public func uniform(at index: UInt64) -> Double {
    Double(words(at: index).0 >> 11) * 0x1p-53
  }

  /// A sequential generator that starts at position 0 of this stream.
  public func generator() -> CounterGenerator { CounterGenerator(self) }

  /// Ten rounds of Philox on 128 bits of counter and 64 bits of key.
  @inlinable
  public static func philox(counter: (UInt64, UInt64), key: UInt64) -> (UInt64, UInt64) {
    var x0 = UInt32(truncatingIfNeeded: counter.0)
    var x1 = UInt32(truncatingIfNeeded: counter.0 >> 32)
    var x2 = UInt32(truncatingIfNeeded: counter.1)
    var x3 = UInt32(truncatingIfNeeded: counter.1 >> 32)
    var k0 = UInt32(truncatingIfNeeded: key)
    var k1 = UInt32(truncatingIfNeeded: key >> 32)
    for _ in 0..<10 {
      let a = UInt64(x0) &* 0xD251_1F53
      let b = UInt64(x2) &* 0xCD9E_8D57
      let y0 = UInt32(truncatingIfNeeded: b >> 32) ^ x1 ^ k0
      let y2 = UInt32(truncatingIfNeeded: a >> 32) ^ x3 ^ k1
      x1 = UInt32(truncatingIfNeeded: b)
      x3 = UInt32(truncatingIfNeeded: a)
      x0 = y0
      x2 = y2
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
    }
    return (UInt64(x1) << 32 | UInt64(x0), UInt64(x3) << 32 | UInt64(x2))
  }
}

/// Reads a ``CounterRandom`` stream in order.
public struct CounterGenerator: RandomNumberGenerator, Sendable {
  private let stream: CounterRandom
  private var position: UInt64 = 0
  private var spare: UInt64?

  /// A generator at position 0 of `stream`.
  public init(_ stream: CounterRandom) { self.stream = stream }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    if let word = spare {
      spare = nil
      return word
    }
    let (first, second) = stream.words(at: position)
    position += 1
    spare = second
    return first
  }

  /// The next number in [0, 1).
  public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// The next integer in 0..<bound, without modulo bias. `bound` must be positive.
  public mutating func index(below bound: Int) -> Int {
    let range = UInt64(bound)
    // Rejecting the incomplete last interval leaves every value the same number of preimages.
    let limit = UInt64.max - UInt64.max % range
    while true {
      let word = next()
      if word < limit { return Int(word % range) }
    }
  }

  /// The next standard normal number (Box and Muller).
  public mutating func normal() -> Double {
    let radius = (-2 * logarithm(1 - uniform())).squareRoot()
    return radius * cosine(2 * Double.pi * uniform())
  }

  /// Shuffles in place (Fisher and Yates).
  public mutating func shuffle<T>(_ items: inout [T]) {
    guard items.count > 1 else { return }
    for i in stride(from: items.count - 1, to: 0, by: -1) {
      let j = index(below: i + 1)
      if i != j { items.swapAt(i, j) }
    }
  }
}
