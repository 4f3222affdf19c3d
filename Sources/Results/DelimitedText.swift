import FileFormats

/// A table in comma-separated values (RFC 4180): quoted fields may hold commas, quotes and line breaks.
public struct DelimitedText: Sendable {
  /// The rows with the number of the line each starts on (from 1); empty lines are left out.
  public var rows: [(line: Int, fields: [String])]

  /// Splits a text into rows and fields; white space around unquoted fields is dropped.
  ///
  /// - Throws: `FileError` for a quote that is never closed.
  public init(_ bytes: [UInt8], file: String) throws {
    rows = []
    var fields: [String] = []
    var field: [UInt8] = []
    var line = 1
    var rowLine = 1
    var inQuotes = false
    var wasQuoted = false
    func finished(_ field: [UInt8], quoted: Bool) -> String {
      let text = String(decoding: field, as: UTF8.self)
      return quoted ? text : text.trimmingSpaces
    }
    var i = 0
    while i <= bytes.count {
      let c: UInt8 = i < bytes.count ? bytes[i] : 10
      if inQuotes {
        guard i < bytes.count else {
          throw FileError(file: file, place: "line \(rowLine)", reason: "a quoted field is not closed")
        }
        if c == UInt8(ascii: "\"") {
          if i + 1 < bytes.count, bytes[i + 1] == c {
            field.append(c)
            i += 1
          } else {
            inQuotes = false
          }
        } else {
          if c == 10 { line += 1 }
          field.append(c)
        }
      } else if c == UInt8(ascii: "\""), field.allSatisfy({ $0 == 32 }) {
        field = []
        inQuotes = true
        wasQuoted = true
      } else if c == UInt8(ascii: ",") || c == 10 {
        fields.append(finished(field, quoted: wasQuoted))
        field = []
        wasQuoted = false
        if c == 10 {
          if fields != [""] { rows.append((rowLine, fields)) }
          fields = []
          line += 1
          rowLine = line
        }
      } else if c != 13 {
        field.append(c)
      }
      i += 1
    }
  }

  /// Reads a table from a file, plain or gzip-compressed.
  public init(contentsOf path: String) throws {
    try self.init(Gzip.contents(ofFile: path, limit: ReaderLimits.tableBytes), file: path)
  }
}

extension String {
  /// Without blanks at both ends.
  var trimmingSpaces: String {
    var view = self[...]
    while let c = view.first, c == " " || c == "\t" { view = view.dropFirst() }
    while let c = view.last, c == " " || c == "\t" { view = view.dropLast() }
    return String(view)
  }
}
