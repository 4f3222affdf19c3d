/// Text from files inside SVG, HTML and CSV: the one place where it is made harmless.
public enum MarkupText {
  /// The text for an element or an attribute of SVG and HTML: the five characters that XML reserves become entities, and
  /// what XML 1.0 does not allow, or only control devices understand, becomes U+FFFD.
  public static func xml(_ text: String) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
        result.unicodeScalars.append("\u{FFFD}")
      case "\u{FFFE}", "\u{FFFF}": result.unicodeScalars.append("\u{FFFD}")
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// A field of comma-separated values (RFC 4180), in quotes where needed.
  ///
  /// A spreadsheet takes a field that begins with `= + - @`, a tab or a carriage return for a formula and runs it: such a
  /// field gets an apostrophe before it, which marks text there. Numbers stay as they are, and so do tabs and line breaks;
  /// other control characters are written as an escape, `\u{1b}`.
  public static func csv(_ field: String) -> String {
    let starts: Set<Unicode.Scalar> = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]
    let visible = field.unicodeScalars.first { $0 != " " }
    let isFormula = visible.map { starts.contains($0) } ?? false
    let text = isFormula && Double(field)?.isFinite != true ? "'" + field : field
    let needsQuotes = text.unicodeScalars.contains {
      $0 == "," || $0 == ";" || $0 == "\"" || $0.value < 0x20 || (0x7F...0x9F).contains($0.value)
        || text.first == "'"
    }
    guard needsQuotes else { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" { quoted += "\"" }
      if acts(scalar) {
        quoted += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// What only terminals understand.
  private static func acts(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 9, 10, 13: false
    case 0..<0x20, 0x7F...0x9F: true
    default: false
    }
  }
}
