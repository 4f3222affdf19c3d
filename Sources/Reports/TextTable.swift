/// A table of text for people: columns padded to their widest cell.
public struct TextTable: Sendable {
  public enum Alignment: Sendable { case left, right }

  public struct Column: Sendable {
    public var title: String
    public var alignment: Alignment
    public init(_ title: String, _ alignment: Alignment = .left) {
      self.title = title
      self.alignment = alignment
    }
  }

  public var columns: [Column]
  public private(set) var rows: [[String]] = []

  public init(_ columns: [Column]) { self.columns = columns }

  /// Appends a row; missing cells are empty, surplus ones are dropped. What acts on terminals is escaped.
  public mutating func append(_ cells: [String]) {
    var cells = cells.prefix(columns.count).map(VisibleText.line)
    while cells.count < columns.count { cells.append("") }
    rows.append(cells)
  }

  /// The lines: titles, a rule, the rows.
  public func lines() -> [String] {
    let widths = columns.indices.map { c in
      max(columns[c].title.count, rows.map { $0[c].count }.max() ?? 0)
    }
    func line(_ cells: [String]) -> String {
      var text = ""
      for (c, cell) in cells.enumerated() {
        let padding = String(repeating: " ", count: widths[c] - cell.count)
        if c > 0 { text += "  " }
        text += columns[c].alignment == .left ? cell + padding : padding + cell
      }
      while text.last == " " { text.removeLast() }
      return text
    }
    return [
      line(columns.map(\.title)), widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "),
    ]
      + rows.map(line)
  }

  public var text: String { lines().joined(separator: "\n") }
}
