import Rigor

/// A number too large or a sum too long for the checker's integers. Nothing is claimed then.
struct CheckerRangeError: Error {}

/// Numbers of the checker: integers in units of 2^-52.
///
/// All of the checker's arithmetic is on integers. Where a result needs more digits than are kept, it is rounded toward
/// the safe side by an explicit shift; there is no floating-point operation whose rounding could matter.
package enum Fixed {
  static let bits = 52
  /// Magnitudes stay below 2^74, that is values below 2^22; products with 41-bit covectors then fit 127 bits in sums of
  /// up to 2^11 terms, and longer sums are checked for overflow.
  static let limit = Int128(1) << 74

  /// The greatest multiple of the unit not above a rational number.
  package static func down(_ value: Rational) throws -> Int128 {
    try integer(value.scaled(byTwoTo: bits).floor)
  }

  package static func up(_ value: Rational) throws -> Int128 { try -down(-value) }

  private static func integer(_ value: Rational) throws -> Int128 {
    if let small = value.int { return Int128(small) }
    let high = value.scaled(byTwoTo: -40).floor
    guard let top = high.int, let low = (value - high.scaled(byTwoTo: 40)).int else {
      throw CheckerRangeError()
    }
    let result = Int128(top) << 40 + Int128(low)
    guard result.magnitude < limit.magnitude else { throw CheckerRangeError() }
    return result
  }

  /// A double rounded down or up; exact for doubles that are multiples of the unit.
  static func round(_ value: Double, up: Bool) throws -> Int128 {
    guard value.isFinite else { throw CheckerRangeError() }
    let (mantissa, exponent) = dyadicParts(value)
    let shift = exponent + bits
    if shift >= 0 {
      guard mantissa == 0 || shift < 74 else { throw CheckerRangeError() }
      let result = Int128(mantissa) << shift
      guard result.magnitude < limit.magnitude else { throw CheckerRangeError() }
      return result
    }
    return try shiftedRight(Int128(mantissa), by: -shift, up: up)
  }

  /// Division by a power of two with a direction of rounding; a negative shift multiplies.
  static func shiftedRight(_ value: Int128, by shift: Int, up: Bool) throws -> Int128 {
    if shift <= 0 {
      // A shift to the left must not lose a digit: one more bit than the magnitude has is the sign's.
      guard value == 0 || -shift < value.magnitude.leadingZeroBitCount - 1 else { throw CheckerRangeError() }
      return value << -shift
    }
    if shift > 120 { return value == 0 ? 0 : (up ? (value > 0 ? 1 : 0) : (value < 0 ? -1 : 0)) }
    return up ? -((-value) >> shift) : value >> shift
  }

  /// `value * 2^-exponent` as a rational number.
  package static func rational(_ value: Int128, exponent: Int) -> Rational {
    // Three pieces, each of which an Int holds whatever the value is.
    let high = Int(truncatingIfNeeded: value >> 64)
    let middle = Int(truncatingIfNeeded: (value >> 32) & 0xffff_ffff)
    let low = Int(truncatingIfNeeded: value & 0xffff_ffff)
    let top = Rational(high).scaled(byTwoTo: 64) + Rational(middle).scaled(byTwoTo: 32)
    return (top + Rational(low)).scaled(byTwoTo: -exponent)
  }
}

/// A block's weights as integers with one exponent.
final class FixedRows {
  let count: Int
  /// Entries of row i: start[i] ..< start[i + 1].
  let start: [Int]
  let column: [Int]
  let weight: [Int64]
  /// A weight is `weight * 2^-exponent`, up to half a unit where `isExact` is false.
  let exponent: Int
  let isExact: Bool
  /// Which weights are rounded.
  let isRounded: [Bool]
  let biasDown: [Int128]
  let biasUp: [Int128]
  /// The most entries that one variable has in the block: the terms of a sum when covectors are sent along the rows.
  let mostUses: Int

  init(_ block: CheckerNetwork.Block) throws {
    count = block.rows.count
    var largest = 0.0
    for row in block.rows { for entry in row { largest = max(largest, abs(entry.weight)) } }
    guard largest.isFinite else { throw CheckerRangeError() }
    // The largest weight gets 46 bits.
    let exponent = largest == 0 ? 0 : 45 - Int(largest.exponent)
    guard abs(exponent) < 200 else { throw CheckerRangeError() }
    var start = [0]
    var column: [Int] = []
    var weight: [Int64] = []
    var rounded: [Bool] = []
    for row in block.rows {
      for entry in row {
        let (mantissa, e) = dyadicParts(entry.weight)
        let shift = e + exponent
        if shift >= 0 {
          weight.append(Int64(mantissa) << Int64(shift))
          rounded.append(false)
        } else {
          let half = shift < -60 ? 0 : (Int64(mantissa) + (Int64(1) << Int64(-shift - 1))) >> Int64(-shift)
          weight.append(half)
          rounded.append(true)
        }
        column.append(entry.variable)
      }
      start.append(column.count)
    }
    self.start = start
    self.column = column
    self.weight = weight
    self.exponent = exponent
    isExact = !rounded.contains(true)
    isRounded = rounded
    var uses = [Int](repeating: 0, count: (column.max() ?? -1) + 1)
    for c in column { uses[c] += 1 }
    mostUses = uses.max() ?? 0
    biasDown = try block.bias.map { try Fixed.round($0, up: false) }
    biasUp = try block.bias.map { try Fixed.round($0, up: true) }
  }
}
