extension JSONValue: CustomStringConvertible {
  /// The compact JSON text, on one line.
  public var description: String { text() }

  /// The JSON text: on one line, or indented by two spaces a level with arrays of plain values kept on one line.
  public func text(indented: Bool = false) -> String {
    var out = ""
    write(to: &out, indent: indented ? 0 : nil)
    return out
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: return false
    default: return true
    }
  }

  private func write(to out: inout String, indent: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .number(let text): out += text
    case .string(let text): Self.quote(text, to: &out)
    case .array(let elements):
      let inline = indent == nil || elements.allSatisfy(\.isPlain)
      out += "["
      for (i, element) in elements.enumerated() {
        if i > 0 { out += inline && indent != nil ? ", " : "," }
        if let indent, !inline { Self.newLine(indent + 1, to: &out) }
        element.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if let indent, !inline { Self.newLine(indent, to: &out) }
      out += "]"
    case .object(let members):
      out += "{"
      for (i, entry) in members.entries.enumerated() {
        if i > 0 { out += "," }
        if let indent { Self.newLine(indent + 1, to: &out) }
        Self.quote(entry.key, to: &out)
        out += indent == nil ? ":" : ": "
        entry.value.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if let indent, members.count > 0 { Self.newLine(indent, to: &out) }
      out += "}"
    }
  }

  private static func newLine(_ level: Int, to out: inout String) {
    out += "\n"
    out += String(repeating: "  ", count: level)
  }

  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      default:
        if scalar.value < 32 || (127..<160).contains(scalar.value) {
          let hex = String(scalar.value, radix: 16)
          out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        } else {
          out.unicodeScalars.append(scalar)
        }
      }
    }
    out += "\""
  }
}
