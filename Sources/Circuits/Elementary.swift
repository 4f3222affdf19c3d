import Foundation

/// exp and log of the C library under names that no method shadows.
@inline(__always) func exponential(_ x: Double) -> Double { Foundation.exp(x) }
@inline(__always) func logarithm(_ x: Double) -> Double { Foundation.log(x) }
