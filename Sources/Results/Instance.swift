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
  public var key: Key { Key(family: family, network: network, query: query, content: content) }

  /// A digest of the networks and the query, empty until it is set.
  public var content = ""

  /// The identity of an instance: its names, and the contents of its files where they are known.
  public struct Key: Sendable, Hashable {
    public var family: String
    public var network: String
    public var query: String
    /// A digest of the networks and the query; empty where only names are known. Lists of equal names in different
    /// folders differ in it, and a query that was edited differs from what it was.
    public var content: String

    public init(family: String, network: String, query: String, content: String = "") {
      self.family = family
      self.network = network
      self.query = query
      self.content = content
    }

    /// The names alone.
    public var names: Key { Key(family: family, network: network, query: query) }
  }

  /// The path of the query; falls back to the `.gz` form when only that exists.
  public var queryPath: String { Self.resolve(query, in: folder) }

  /// The `--network` arguments.
  public var networkArguments: [String] {
    networks.map { network in (network.name.map { $0 + "=" } ?? "") + network.path }
  }

  /// The networks: a path, or a name and a path each.
  ///
  /// Paths may hold blanks: a new item starts only where `NAME=` follows one, NAME being a name of the query language.
  public var networks: [(name: String?, path: String)] {
    // A file of exactly this name goes before any splitting.
    let whole = Self.resolve(network, in: folder)
    if FileManager.default.fileExists(atPath: whole) { return [(nil, whole)] }
    var items: [String] = []
    for part in network.split(separator: " ", omittingEmptySubsequences: false) {
      if items.isEmpty || Self.name(part) != nil {
        items.append(String(part))
      } else {
        items[items.count - 1] += " " + part
      }
    }
    return items.map { $0.trimmingSpaces }.filter { !$0.isEmpty }.map { item in
      guard let name = Self.name(item[...]) else { return (nil, Self.resolve(item, in: folder)) }
      return (name, Self.resolve(String(item.dropFirst(name.count + 1)), in: folder))
    }
  }

  /// The name in front of `=`, nil if there is none.
  private static func name(_ item: Substring) -> String? {
    guard let equals = item.firstIndex(of: "="), let first = item.first, first.isLetter,
      item[..<equals].allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
    else { return nil }
    return String(item[..<equals])
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
      guard let limit = Double(fields[2]), limit > 0, limit <= 1e9 else {
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
