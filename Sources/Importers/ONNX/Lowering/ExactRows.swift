import IR
import Operators
import Rigor
import Tensors

/// The rows of a sparse matrix of rational weights in the form a ``SparseMap`` holds.
///
/// Interpolation weights are fractions. They are kept exactly wherever they are Float64 numbers, or integers over one
/// common denominator; otherwise each is rounded once, and says so.
struct ExactRows {
  var rows: [[SparseEntry]]
  /// All coefficients are divided by it.
  var denominator = 1
  /// Relative error of the coefficients in units of 2^-53.
  var roundings = 0

  /// Largest common denominator.
  private static let denominatorLimit = 1 << 31

  /// - Throws: `GraphError` for weights so small that their rounding has no relative error.
  init(_ exact: [[(index: Int, weight: Rational)]]) throws {
    var rows: [[SparseEntry]] = []
    rows.reserveCapacity(exact.count)
    var isExact = true
    for row in exact {
      rows.append(
        try row.map { entry in
          let (value, same) = try Self.nearest(entry.weight)
          if !same { isExact = false }
          return SparseEntry(entry.index, value)
        })
    }
    self.rows = rows
    if isExact { return }
    if let common = Self.commonDenominator(exact) {
      denominator = common
      self.rows = exact.map { row in
        // An integer below 2^53: see `commonDenominator`.
        row.map { SparseEntry($0.index, ($0.weight * Rational(common)).nearestDouble) }
      }
    } else {
      roundings = 1
    }
  }

  /// The integer that makes integers below 2^53 of all weights, if there is a small one.
  private static func commonDenominator(_ exact: [[(index: Int, weight: Rational)]]) -> Int? {
    var common = Rational.one
    var largest = Rational.zero
    for (_, weight) in exact.joined() {
      common = .leastCommonMultiple(common, weight.denominator)
      guard let size = common.int, size <= denominatorLimit else { return nil }
      largest = max(largest, weight.magnitude)
    }
    guard let size = common.int, (largest * common).roundedUp < 0x1p53 else { return nil }
    return size
  }

  /// The Float64 nearest to a number and whether it is the number. The error of a rounded one is at most 2^-53 of it.
  static func nearest(_ number: Rational) throws -> (value: Double, isExact: Bool) {
    if number.isZero { return (0, true) }
    if let p = number.numerator.int, let q = number.denominator.int, p.magnitude <= 1 << 53, q <= 1 << 53 {
      // One correctly rounded division of exact numbers, whose remainder a fused multiply-add gives exactly.
      let value = Double(p) / Double(q)
      return (value, Double(p).addingProduct(-value, Double(q)) == 0)
    }
    let value = number.nearestDouble
    if let held = Rational(exactly: value), held == number { return (value, true) }
    guard value.isFinite, value.magnitude > 0x1p-900 else {
      throw GraphError(node: "", reason: "a weight derived from the constants is too small or too large")
    }
    return (value, false)
  }

  /// A constant of rational elements, with the error of its rounding.
  static func constant(_ elements: [Rational], _ shape: Shape, _ type: ElementType) throws -> Value {
    let nearest = try elements.map { try Self.nearest($0) }
    let isExact = nearest.allSatisfy(\.isExact)
    var value = Value(
      Weight(Tensor(shape, nearest.map(\.value))), type, roundings: isExact ? 0 : 1)
    if !isExact { value.rationals = elements }
    return value
  }
}
