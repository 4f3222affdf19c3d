/// Text from files on terminals: the one place where it is made harmless.
public enum VisibleText {
  /// The text on one line, with everything that acts on a terminal, or hides, written as an escape: `\u{1b}`.
  public static func line(_ text: String) -> String { escaped(text, keepsLines: false) }

  /// The same with line breaks left as they are, for text that was made line by line.
  public static func lines(_ text: String) -> String { escaped(text, keepsLines: true) }

  private static func escaped(_ text: String, keepsLines: Bool) -> String {
    guard text.unicodeScalars.contains(where: acts) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if acts(scalar), !(keepsLines && scalar == "\n") {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Control characters, line separators, and what changes the direction of writing.
  private static func acts(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F: true
    case 0x2028, 0x2029, 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
