/// Text for SVG and HTML: numbers, colours of signed scores.
package enum Markup {
  /// A coordinate: at most two decimals.
  package static func coordinate(_ x: Double) -> String {
    guard x.isFinite else { return "0" }
    let scaled = (x * 100).rounded() / 100
    if scaled == scaled.rounded(), scaled.magnitude < 1e9 { return String(Int(scaled)) }
    return String(scaled)
  }

  /// A score for people: four significant digits, a sign for negative numbers, `undefined` for NaN.
  package static func score(_ x: Double) -> String {
    if x.isNaN { return "undefined" }
    if !x.isFinite { return x < 0 ? "-∞" : "∞" }
    if x == 0 { return "0" }
    let magnitude = x.magnitude
    if magnitude >= 1e6 || magnitude < 1e-4 { return exponential(x) }
    var digits = 3
    var bound = 10.0
    while digits > 0 && magnitude >= bound {
      digits -= 1
      bound *= 10
    }
    if magnitude < 1 {
      digits = magnitude >= 0.1 ? 4 : (magnitude >= 0.01 ? 5 : 6)
    }
    return fixed(x, digits)
  }

  /// A number with a fixed number of decimals.
  package static func fixed(_ x: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let rounded = (x.magnitude * scale).rounded()
    guard rounded.isFinite, rounded < 1e18 else { return String(x) }
    let whole = Int64(rounded)
    let unit = Int64(scale)
    var text = String(whole / unit)
    if digits > 0 {
      let fraction = String(whole % unit)
      text += "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
    return x < 0 && whole != 0 ? "-" + text : text
  }

  private static func exponential(_ x: Double) -> String {
    var exponent = 0
    var mantissa = x.magnitude
    while mantissa >= 10 {
      mantissa /= 10
      exponent += 1
    }
    while mantissa < 1 {
      mantissa *= 10
      exponent -= 1
    }
    return (x < 0 ? "-" : "") + fixed(mantissa, 2) + "e" + String(exponent)
  }

  /// A number as JSON holds it; `null` if it is not finite.
  package static func json(_ x: Double) -> String { x.isFinite ? "\(x)" : "null" }

  /// A string as a JSON literal that is also safe inside an HTML script element.
  package static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "<", ">", "&", "\u{2028}", "\u{2029}":
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      case _ where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Blue for support, red against, paler the smaller `fraction` (0...1) is. Readable by the colour-blind.
  package static func colour(sign: Double, fraction: Double) -> String {
    let (r, g, b) = rgb(sign: sign, fraction: fraction)
    return "rgb(\(r),\(g),\(b))"
  }

  package static func rgb(sign: Double, fraction: Double) -> (Int, Int, Int) {
    let f = min(max(fraction.isFinite ? fraction : 0, 0), 1)
    let end: (Double, Double, Double) = sign < 0 ? (203, 24, 29) : (33, 102, 172)
    func mix(_ to: Double) -> Int { Int((247 + (to - 247) * f).rounded()) }
    return (mix(end.0), mix(end.1), mix(end.2))
  }

  /// Whether text on the colour of `rgb` should be white.
  package static func wantsWhiteText(fraction: Double) -> Bool { fraction > 0.55 }
}
