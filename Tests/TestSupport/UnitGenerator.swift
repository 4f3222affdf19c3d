/// Uniform numbers in 0 ..< 1 from a linear congruential generator: the same on every machine.
public struct UnitGenerator: Sendable {
  public var state: UInt64

  public init(state: UInt64) { self.state = state }

  public mutating func unit() -> Double {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(state >> 33) / Double(1 << 31)
  }
}
