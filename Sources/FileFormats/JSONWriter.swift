extension JSONValue: CustomStringConvertible {
  /// The compact JSON text, on one line.
  public var description: String { text() }

  /// The JSON text: on one line, or indented by two spaces a level with arrays of plain values kept on one line.
  public func text(indented: Bool = false) -> String {
    var out = ""
    write(to: &out, indent: indented ? 0 : nil)
    return out
  }

  /// Writes the compact text, on one line, part by part.
  public func write(to out: inout some TextOutputStream) { write(to: &out, indent: nil) }

  private var isPlain: Bool {
    switch self {
    case .array, .object, .results: return false
    default: return true
    }
  }

  private func write(to out: inout some TextOutputStream, indent: Int?) {
    switch self {
    case .null: out.write("null")
    case .bool(let value): out.write(value ? "true" : "false")
    case .number(let text): out.write(text)
    case .results(let values):
      out.write("[")
      for (i, value) in values.enumerated() {
        if i > 0 { out.write(indent != nil ? ", " : ",") }
        JSONValue(result: value).write(to: &out, indent: nil)
      }
      out.write("]")
    case .string(let text): Self.quote(text, to: &out)
    case .array(let elements):
      let inline = indent == nil || elements.allSatisfy(\.isPlain)
      out.write("[")
      for (i, element) in elements.enumerated() {
        if i > 0 { out.write(inline && indent != nil ? ", " : ",") }
        if let indent, !inline { Self.newLine(indent + 1, to: &out) }
        element.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if let indent, !inline { Self.newLine(indent, to: &out) }
      out.write("]")
    case .object(let members):
      out.write("{")
      for (i, entry) in members.entries.enumerated() {
        if i > 0 { out.write(",") }
        if let indent { Self.newLine(indent + 1, to: &out) }
        Self.quote(entry.key, to: &out)
        out.write(indent == nil ? ":" : ": ")
        entry.value.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if let indent, members.count > 0 { Self.newLine(indent, to: &out) }
      out.write("}")
    }
  }

  private static func newLine(_ level: Int, to out: inout some TextOutputStream) {
    out.write("\n")
    out.write(String(repeating: "  ", count: level))
  }

  private static func quote(_ text: String, to out: inout some TextOutputStream) {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\r": quoted += "\\r"
      case "\t": quoted += "\\t"
      default:
        if scalar.value < 32 || (127..<160).contains(scalar.value) {
          let hex = String(scalar.value, radix: 16)
          quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        } else {
          quoted.unicodeScalars.append(scalar)
        }
      }
    }
    out.write(quoted + "\"")
  }
}
