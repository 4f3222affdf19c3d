import Circuits
import CommandSupport
import FileFormats
import Foundation
import IR
import Reports

/// Numbers and tables for people.
enum Output {
  /// A table with aligned columns; numbers to the right. What acts on terminals is escaped.
  static func table(_ header: [String], _ rows: [[String]], numeric: Set<Int> = []) -> String {
    let header = header.map(VisibleText.line)
    let rows = rows.map { $0.map(VisibleText.line) }
    var widths = header.map(\.count)
    for row in rows { for (i, cell) in row.enumerated() { widths[i] = max(widths[i], cell.count) } }
    func line(_ row: [String]) -> String {
      var parts: [String] = []
      for (i, cell) in row.enumerated() {
        let pad = String(repeating: " ", count: widths[i] - cell.count)
        parts.append(numeric.contains(i) ? pad + cell : cell + pad)
      }
      var text = parts.joined(separator: "  ")
      while text.hasSuffix(" ") { text.removeLast() }
      return text
    }
    return ([line(header)] + rows.map(line)).joined(separator: "\n")
  }

  static func score(_ x: Double) -> String { Markup.score(x) }
  static func score(_ x: Double?) -> String { x.map(Markup.score) ?? "undefined" }

  /// A number in scientific notation with two digits.
  static func scientific(_ x: Double) -> String { String(format: "%.1e", x) }

  /// Ends a command: states the conservation error and fails if it is above its limit.
  static func conclude(_ error: Double, _ settings: DecompositionSettings, json: Bool) throws {
    if !json { CommandSupport.print("conservation error \(scientific(error))") }
    guard error <= settings.conservationLimit else {
      throw FailedCheck(
        check: "conservation",
        reason: "β + γ differs from the forward pass by \(scientific(error)), above the limit "
          + "\(scientific(settings.conservationLimit)) of the \(settings.biasRule.rawValue) rule")
    }
  }

  /// Writes a file and says so.
  static func write(_ text: String, to file: OutputFile, quiet: Bool) throws {
    try file.write(text)
    if !quiet { StandardError.write("wrote \(VisibleText.line(file.path))\n") }
  }

  /// Prints an object of these members in this order.
  static func print(members: [(String, JSONValue)]) {
    print(json: .object(JSONObject(members.map { JSONObject.Entry(key: $0.0, value: $0.1) })))
  }

  static func print(json value: JSONValue) { Swift.print(value.text(indented: true)) }
}
