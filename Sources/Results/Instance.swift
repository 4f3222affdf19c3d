import FileFormats
import Foundation

/// One row of an instance list: networks, a query and a time limit.
public struct Instance: Sendable, Hashable {
  /// The name of the folder that holds the instance list.
  public var family: String
  /// The network column as it stands in the list: a path, or `NAME=PATH` items separated by blanks.
  public var network: String
  /// The query column as it stands in the list.
  public var query: String
  /// The row's time limit in seconds.
  public var limit: Double
  /// The folder that relative paths start from.
  public var folder: String

  public init(family: String, network: String, query: String, limit: Double, folder: String) {
    self.family = family
    self.network = network
    self.query = query
    self.limit = limit
    self.folder = folder
  }

  /// What tells instances apart, in stores and in lists of expected verdicts.
  public var key: Key { Key(family: family, network: network, query: query) }

  /// The identity of an instance.
  public struct Key: Sendable, Hashable {
    public var family: String
    public var network: String
    public var query: String

    public init(family: String, network: String, query: String) {
      self.family = family
      self.network = network
      self.query = query
    }
  }

  /// The path of the query; falls back to the `.gz` form when only that exists.
  public var queryPath: String { Self.resolve(query, in: folder) }

  /// The `--network` arguments.
  public var networkArguments: [String] {
    network.split(separator: " ").map { item in
      guard let equals = item.firstIndex(of: "="), !item[..<equals].contains("/") else {
        return Self.resolve(String(item), in: folder)
      }
      return item[...equals] + Self.resolve(String(item[item.index(after: equals)...]), in: folder)
    }
  }

  private static func resolve(_ path: String, in folder: String) -> String {
    let full = path.hasPrefix("/") ? path : folder + "/" + path
    if !FileManager.default.fileExists(atPath: full), FileManager.default.fileExists(atPath: full + ".gz") {
      return full + ".gz"
    }
    return full
  }

  /// Reads an instance list: rows of network, query, time limit, without a header.
  ///
  /// The family is the name of the folder that holds the list.
  ///
  /// - Throws: `FileError` with the line of a row that is not like that.
  public static func list(contentsOf path: String) throws -> [Instance] {
    let table = try DelimitedText(contentsOf: path)
    let url = URL(fileURLWithPath: path).standardizedFileURL.deletingLastPathComponent()
    return try table.rows.map { line, fields in
      guard fields.count == 3 else {
        throw FileError(
          file: path, place: "line \(line)",
          reason: "expected network, query, time limit; found \(fields.count) fields")
      }
      guard let limit = Double(fields[2]), limit > 0, limit.isFinite else {
        throw FileError(
          file: path, place: "line \(line)", reason: "'\(fields[2])' is not a time limit in seconds")
      }
      guard !fields[0].isEmpty, !fields[1].isEmpty else {
        throw FileError(file: path, place: "line \(line)", reason: "the network or the query is empty")
      }
      return Instance(
        family: url.lastPathComponent, network: fields[0], query: fields[1], limit: limit, folder: url.path)
    }
  }
}

/// A part of an instance list, `2/5` for the second of five: every fifth row from the second on.
public struct Shard: Sendable, Hashable, CustomStringConvertible {
  /// From 1 to `count`.
  public var index: Int
  public var count: Int

  public static let all = Shard(index: 1, count: 1)

  private init(index: Int, count: Int) {
    self.index = index
    self.count = count
  }

  /// Reads `I/N` with 1 <= I <= N; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = Int(parts[0]), let count = Int(parts[1]), index >= 1, index <= count
    else { return nil }
    self.init(index: index, count: count)
  }

  public var description: String { "\(index)/\(count)" }

  /// The rows of the list that belong to this shard.
  public func select<T>(_ rows: [T]) -> [T] {
    stride(from: index - 1, to: rows.count, by: count).map { rows[$0] }
  }
}
