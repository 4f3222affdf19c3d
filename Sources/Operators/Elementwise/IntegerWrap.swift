import IR

/// An integer brought into the range of its type: arithmetic beyond the range wraps around (two's complement), which
/// is what ONNX runtimes do.
///
/// The argument is an integer. Inside the range the function is the identity, so nothing is lost where bounds show that
/// nothing wraps.
public struct IntegerWrap: PiecewiseFunction {
  public let type: ElementType
  /// Whether numbers outside the range have the value that wrapping gives. They have none in particular when a real
  /// number was converted (ONNX Cast); bounds then allow every value of the type.
  public let isDefinedOutside: Bool
  private let least: Double
  private let greatest: Double

  /// Fails for types that are no integers.
  public init?(_ type: ElementType, isDefinedOutside: Bool = true) {
    guard let range = type.integerRange else { return nil }
    self.type = type
    self.isDefinedOutside = isDefinedOutside
    least = range.lowerBound
    // The last Float64 inside a 64-bit type is not its greatest integer.
    greatest = range.upperBound > 0x1p53 ? range.upperBound.nextUp : range.upperBound
  }

  public var name: String { "Wrap" }

  /// How many values the type has, where Float64 holds all of them.
  private var count: Double? { greatest <= 0x1p32 ? greatest - least + 1 : nil }

  /// Not a number where a 64-bit integer wraps: Float64 does not hold its value.
  public func value(_ x: Double) -> Double {
    if x >= least && x <= greatest { return x }
    guard let count, x.magnitude <= 0x1p53 else { return .nan }
    let offset = (x - least).truncatingRemainder(dividingBy: count)
    return least + (offset < 0 ? offset + count : offset)
  }

  public func derivative(_ x: Double) -> Double { 1 }

  public func segments(_ lower: Double, _ upper: Double) -> [Segment] {
    // Only integers are arguments.
    var (first, last) = (lower.rounded(.up), upper.rounded(.down))
    if first > last { (first, last) = (lower, upper) }
    if first >= least && last <= greatest { return [Segment(first, last, slope: 1, intercept: 0)] }
    let anything = [least, greatest].map { Segment(lower, upper, slope: 0, intercept: $0) }
    guard let count, isDefinedOutside, first >= -0x1p52, last <= 0x1p52 else { return anything }
    let turns = (from: ((first - least) / count).rounded(.down), to: ((last - least) / count).rounded(.down))
    guard turns.to - turns.from <= 8 else { return anything }
    // One piece per turn, from its least to its greatest integer.
    return stride(from: turns.from, through: turns.to, by: 1).map { turn in
      let start = least + turn * count
      return Segment(
        max(first, start), min(last, start + count - 1), slope: 1, intercept: -turn * count)
    }
  }
}
