import FileFormats
import GRDB

/// The cells of a stored row. SQLite puts anything into any cell: what is not what a batch writes is an error.
struct StoredCells {
  let row: Row
  let number: Int
  let file: String

  private func failure(_ column: String, _ reason: String) -> FileError {
    FileError(file: file, place: "result \(number), \(column)", reason: reason)
  }

  func text(_ column: String) throws -> String {
    guard let value = row[column] as DatabaseValue?, case .string(let text) = value.storage else {
      throw failure(column, "is no text")
    }
    return text
  }

  /// A time in seconds.
  func number(_ column: String) throws -> Double {
    let value: Double
    switch (row[column] as DatabaseValue?)?.storage {
    case .double(let number): value = number
    case .int64(let number): value = Double(number)
    default: throw failure(column, "is no number")
    }
    // 30 years.
    guard value >= 0, value <= 1e9 else { throw failure(column, "is no time in seconds") }
    return value
  }

  func key() throws -> Instance.Key {
    Instance.Key(
      family: try text("family"), network: try text("network"), query: try text("query"),
      content: try text("content"))
  }

  func result() throws -> InstanceResult {
    InstanceResult(
      key: try key(), verdict: try text("verdict"), seconds: try number("seconds"),
      limit: try number("time_limit"), reason: try text("reason"), answer: try text("answer"),
      folder: try text("folder"))
  }
}
