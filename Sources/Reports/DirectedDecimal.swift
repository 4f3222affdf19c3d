import Foundation
import Rigor

/// Decimals that keep a promise: a lower bound is printed rounded down, an upper bound rounded up, so that what people
/// read is as true as what was computed.
public struct DirectedDecimal: Sendable {
  public enum Direction: Sendable { case down, nearest, up }

  /// Digits after the point; nil for the scientific form.
  public var places: Int?
  /// Significant digits of the scientific form.
  public static let significant = 6

  public init(places: Int?) { self.places = places }

  /// A form that shows every one of `values` and keeps `digits` digits of `widths`.
  public init(for values: [Double], resolving widths: [Double] = [], digits: Int = 4) {
    let largest = values.lazy.filter(\.isFinite).map(abs).max() ?? 0
    let smallest = widths.lazy.filter { $0.isFinite && $0 > 0 }.min() ?? largest
    guard largest < 1e9, largest >= 1e-4 || largest == 0 else {
      places = nil
      return
    }
    let exponent = { (x: Double) in x > 0 ? Int(log10(x).rounded(.down)) : 0 }
    let wanted = max(5 - exponent(largest), min(digits - 1 - exponent(smallest), 10))
    places = min(max(wanted, 0), 12)
  }

  /// The decimal, on the promised side of the value.
  public func text(_ value: Double, _ direction: Direction = .nearest) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    var text = format(value)
    guard direction != .nearest else { return text }
    let exact = Rational(value)
    let unit = step(value)
    // Formatting rounds to nearest, so one step of the last digit is enough; a second covers the rounding of the step.
    for _ in 0..<4 {
      guard let printed = Rational(text), let number = Double(text) else { return text }
      if direction == .down ? printed <= exact : printed >= exact { return text }
      text = format(direction == .down ? number - unit : number + unit)
    }
    return text
  }

  private func step(_ value: Double) -> Double {
    if let places { return pow(10, Double(-places)) }
    let exponent = value == 0 ? 0 : log10(abs(value)).rounded(.down)
    return pow(10, exponent - Double(Self.significant - 1))
  }

  private func format(_ value: Double) -> String {
    guard let places else { return String(format: "%.\(Self.significant - 1)e", value) }
    let text = String(format: "%.\(places)f", value)
    // "-0.000" says no more than "0.000".
    return text.hasPrefix("-") && !text.contains(where: { $0 >= "1" && $0 <= "9" })
      ? String(text.dropFirst()) : text
  }
}

extension Double {
  /// A duration in seconds, for people: `1.24 ms`, `3.5 s`, `2 min 05 s`.
  public var duration: String {
    switch self {
    case ..<1e-3: return String(format: "%.0f us", self * 1e6)
    case ..<1: return String(format: "%.3g ms", self * 1e3)
    case ..<60: return String(format: "%.3g s", self)
    default:
      let seconds = Int(rounded())
      return "\(seconds / 60) min \(String(format: "%02d", seconds % 60)) s"
    }
  }
}

extension Int {
  /// The number with a comma after every third digit from the right.
  public var grouped: String {
    var digits = ""
    for (place, digit) in String(magnitude).reversed().enumerated() {
      if place > 0, place.isMultiple(of: 3) { digits.append(",") }
      digits.append(digit)
    }
    return (self < 0 ? "-" : "") + String(digits.reversed())
  }
}
