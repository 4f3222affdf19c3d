import FileFormats
import Foundation
import GRDB

/// What became of one instance.
public struct InstanceResult: Sendable, Equatable {
  public var key: Instance.Key
  /// `sat`, `unsat`, `unknown`, `timed-out` or `error`.
  public var verdict: String
  /// From the start of the process to its end.
  public var seconds: Double
  /// The time limit that was in force.
  public var limit: Double
  /// Why the verdict is unknown, or what went wrong; empty otherwise.
  public var reason: String
  /// The solver's whole answer as JSON; empty if there was none.
  public var answer: String

  public init(
    key: Instance.Key, verdict: String, seconds: Double, limit: Double, reason: String = "",
    answer: String = ""
  ) {
    self.key = key
    self.verdict = verdict
    self.seconds = seconds
    self.limit = limit
    self.reason = reason
    self.answer = answer
  }

  /// Whether the verdict is `sat` or `unsat`.
  public var isDecided: Bool { verdict == "sat" || verdict == "unsat" }
}

/// Results of a batch in an SQLite file.
///
/// Each result is one committed transaction: after a kill the store holds exactly the instances that had
/// finished, and a batch that is started again goes on with the others.
public final class ResultStore: Sendable {
  /// The path as the user gave it.
  public let path: String
  private let database: DatabaseQueue
  /// Written into the file so that other SQLite files are not mistaken for stores ("nnv1").
  private static let applicationID = 0x6e6e_7631

  /// Opens a store.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - create: Whether to create it when it is absent.
  /// - Throws: `FileError` if the file is absent, or is not a store.
  public init(path: String, create: Bool) throws {
    self.path = path
    guard create || FileManager.default.fileExists(atPath: path) else {
      throw FileError(file: path, reason: "there is no such store")
    }
    var status = stat()
    guard stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(file: path, reason: "is not a regular file, so it is no store of results")
    }
    do {
      var configuration = Configuration()
      configuration.busyMode = .timeout(30)
      configuration.label = "results"
      configuration.readonly = !create
      database = try DatabaseQueue(path: path, configuration: configuration)
      let (id, tables) = try database.read { db in
        (
          try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0,
          try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
        )
      }
      guard id == Self.applicationID || (create && id == 0 && tables == 0) else {
        throw FileError(file: path, reason: "is not a store of results")
      }
      guard create else { return }
      try database.writeWithoutTransaction { db in
        // The write-ahead log with full synchronisation: a commit survives a kill and a power cut.
        _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.inTransaction(.immediate) {
          try db.execute(sql: "PRAGMA application_id = \(Self.applicationID)")
          try db.execute(
            sql: """
              CREATE TABLE IF NOT EXISTS result (
                family TEXT NOT NULL, network TEXT NOT NULL, query TEXT NOT NULL,
                verdict TEXT NOT NULL, seconds REAL NOT NULL, time_limit REAL NOT NULL,
                reason TEXT NOT NULL, answer TEXT NOT NULL,
                finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
                PRIMARY KEY (family, network, query)) WITHOUT ROWID
              """)
          return .commit
        }
      }
    } catch let error as DatabaseError {
      throw FileError(
        file: path, reason: "cannot be used as a store of results: \(error.message ?? "\(error)")")
    }
  }

  /// Commits a result; one with the same key is replaced.
  public func record(_ result: InstanceResult) throws {
    do {
      try database.write { db in
        try db.execute(
          sql: """
            INSERT OR REPLACE INTO result (family, network, query, verdict, seconds, time_limit, reason, answer)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
          arguments: [
            result.key.family, result.key.network, result.key.query, result.verdict, result.seconds,
            result.limit, result.reason, result.answer,
          ])
      }
    } catch let error as DatabaseError {
      throw FileError(file: path, reason: "the result cannot be stored: \(error.message ?? "\(error)")")
    }
  }

  /// All results, ordered by key.
  public func results() throws -> [InstanceResult] {
    do {
      return try database.read { db in
        try Row.fetchAll(db, sql: "SELECT * FROM result ORDER BY family, network, query").map { row in
          InstanceResult(
            key: Instance.Key(family: row["family"], network: row["network"], query: row["query"]),
            verdict: row["verdict"], seconds: row["seconds"], limit: row["time_limit"], reason: row["reason"],
            answer: row["answer"])
        }
      }
    } catch let error as DatabaseError {
      throw FileError(file: path, reason: "cannot be read: \(error.message ?? "\(error)")")
    }
  }

  /// The instances of a list that have no result yet, in the order of the list, each once.
  public func pending(_ instances: [Instance]) throws -> [Instance] {
    var seen = Set(try results().map(\.key))
    return instances.filter { seen.insert($0.key).inserted }
  }
}
