import FileFormats
import Foundation
import GRDB

/// Results of batches in an SQLite file.
///
/// Each result is one committed transaction: after a kill the store holds exactly the instances that had finished, and a
/// batch that is started again goes on with the others. A result belongs to the contents of its files and to its time
/// limit: where one of them has changed, the instance is run again and the result replaced. Several batches may work on
/// one store; each instance is claimed before it is run (``claim(_:)``).
public final class ResultStore: Sendable {
  /// The path as the user gave it.
  public let path: String
  private let database: DatabaseQueue
  /// A copy that is read in place of a store in a folder that cannot be written.
  private let copy: StoreCopy?
  /// Written into the file so that other SQLite files are not mistaken for stores ("nnv1").
  private static let applicationID = 0x6e6e_7631

  /// Opens a store.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - create: Whether to write: the store is created when it is absent. Otherwise it is only read, and may lie in a
  ///     folder that cannot be written.
  /// - Throws: `FileError` if the file is absent, or is not a store.
  public init(path: String, create: Bool) throws {
    self.path = path
    let exists = FileManager.default.fileExists(atPath: path)
    guard create || exists else { throw FileError(file: path, reason: "there is no such store") }
    // Opening a FIFO or a device would wait or worse.
    if exists { try RegularFile.check(path) }
    do {
      var copy: StoreCopy?
      var database: DatabaseQueue
      do {
        database = try Self.open(path, create: create)
      } catch let error as DatabaseError where !create && Self.needsWriting(error) {
        // SQLite writes beside a store even to read it, if a batch left its log there.
        let made = try StoreCopy(of: path)
        database = try Self.open(made.path, create: false)
        copy = made
      }
      self.copy = copy
      self.database = database
    } catch let error as DatabaseError {
      throw Self.unusable(path, error)
    } catch let error as FileError {
      throw FileError(file: path, place: error.place, reason: error.reason)
    }
  }

  private static func unusable(_ path: String, _ error: DatabaseError) -> FileError {
    FileError(file: path, reason: "cannot be used as a store of results: \(error.message ?? "\(error)")")
  }

  private static func needsWriting(_ error: DatabaseError) -> Bool {
    [.SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_IOERR, .SQLITE_PERM].contains(error.resultCode)
  }

  private static func open(_ path: String, create: Bool) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.busyMode = .timeout(30)
    configuration.label = "results"
    configuration.readonly = !create
    // A store from elsewhere is data: nothing in its schema runs.
    configuration.prepareDatabase { try $0.execute(sql: "PRAGMA trusted_schema = OFF") }
    let database = try DatabaseQueue(path: path, configuration: configuration)
    let (id, tables, others) = try database.read { db in
      (
        try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0,
        try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0,
        try Int.fetchOne(
          db, sql: "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')") ?? 0
      )
    }
    guard (id == applicationID && others == 0) || (create && id == 0 && tables == 0) else {
      throw FileError(file: path, reason: "is not a store of results")
    }
    if create { try prepare(database) }
    return database
  }

  private static let columns = """
    family TEXT NOT NULL, network TEXT NOT NULL, query TEXT NOT NULL, folder TEXT NOT NULL DEFAULT '',
    content TEXT NOT NULL DEFAULT '', verdict TEXT NOT NULL, seconds REAL NOT NULL, time_limit REAL NOT NULL,
    reason TEXT NOT NULL, answer TEXT NOT NULL, finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (family, network, query, folder, time_limit)
    """

  private static func prepare(_ database: DatabaseQueue) throws {
    try database.writeWithoutTransaction { db in
      // The write-ahead log with full synchronisation: a commit survives a kill and a power cut.
      _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
      try db.execute(sql: "PRAGMA synchronous = FULL")
      try db.inTransaction(.immediate) {
        try db.execute(sql: "PRAGMA application_id = \(applicationID)")
        let known = try Row.fetchAll(db, sql: "PRAGMA table_info(result)").compactMap {
          $0["name"] as String?
        }
        if known.isEmpty {
          try db.execute(sql: "CREATE TABLE result (\(columns)) WITHOUT ROWID")
        } else if !known.contains("content") {
          // A store of the first version: what its results were about is not known any more.
          try db.execute(sql: "ALTER TABLE result RENAME TO result_1")
          try db.execute(sql: "CREATE TABLE result (\(columns)) WITHOUT ROWID")
          try db.execute(
            sql: """
              INSERT INTO result (family, network, query, verdict, seconds, time_limit, reason, answer, finished)
              SELECT family, network, query, verdict, seconds, time_limit, reason, answer, finished FROM result_1
              """)
          try db.execute(sql: "DROP TABLE result_1")
        }
        try db.execute(
          sql: """
            CREATE TABLE IF NOT EXISTS claim (
              family TEXT NOT NULL, network TEXT NOT NULL, query TEXT NOT NULL, content TEXT NOT NULL,
              time_limit REAL NOT NULL, owner TEXT NOT NULL, since REAL NOT NULL,
              PRIMARY KEY (family, network, query, content, time_limit)) WITHOUT ROWID
            """)
        return .commit
      }
    }
  }

  // MARK: Writing

  /// Commits a result and gives up the claim to its instance. A result of the same instance, from the same folder and
  /// with the same limit, is replaced.
  public func record(_ result: InstanceResult) throws {
    do {
      try database.write { db in
        try db.execute(
          sql: """
            INSERT OR REPLACE INTO result
              (family, network, query, folder, content, verdict, seconds, time_limit, reason, answer)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
          arguments: [
            result.key.family, result.key.network, result.key.query, result.folder, result.key.content,
            result.verdict, result.seconds, result.limit, result.reason, result.answer,
          ])
        try Self.release(db, result.key, result.limit)
      }
    } catch let error as DatabaseError {
      throw FileError(file: path, reason: "the result cannot be stored: \(error.message ?? "\(error)")")
    }
  }

  /// What became of the wish to run an instance.
  public enum Claim: Sendable, Hashable {
    /// The instance is the caller's to run.
    case granted
    /// There is a result.
    case done
    /// Another batch is running it.
    case taken
  }

  /// Claims an instance for this process. Claims of processes that have ended count for nothing.
  public func claim(_ instance: Instance) throws -> Claim {
    do {
      return try database.write { db in
        let key = instance.key
        let names: StatementArguments = [key.family, key.network, key.query, key.content, instance.limit]
        let which = "family = ? AND network = ? AND query = ? AND content = ? AND time_limit = ?"
        if try Bool.fetchOne(db, sql: "SELECT 1 FROM result WHERE \(which)", arguments: names) != nil {
          return .done
        }
        if let row = try Row.fetchOne(
          db, sql: "SELECT owner, since FROM claim WHERE \(which)", arguments: names),
          let owner = row["owner"] as String?, let since = row["since"] as Double?,
          BatchProcess(owner).mayBeRunning(since: since, limit: instance.limit)
        {
          return .taken
        }
        try db.execute(
          sql: """
            INSERT OR REPLACE INTO claim (family, network, query, content, time_limit, owner, since)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
          arguments: names + [BatchProcess.current.text, Date().timeIntervalSince1970])
        return .granted
      }
    } catch let error as DatabaseError {
      throw Self.unusable(path, error)
    }
  }

  /// Gives up a claim without a result.
  public func release(_ instance: Instance) throws {
    do {
      try database.write { try Self.release($0, instance.key, instance.limit) }
    } catch let error as DatabaseError {
      throw Self.unusable(path, error)
    }
  }

  private static func release(_ db: Database, _ key: Instance.Key, _ limit: Double) throws {
    try db.execute(
      sql: """
        DELETE FROM claim WHERE family = ? AND network = ? AND query = ? AND content = ? AND time_limit = ?
        """,
      arguments: [key.family, key.network, key.query, key.content, limit])
  }

  // MARK: Reading

  /// All results, ordered by key.
  ///
  /// - Parameter withAnswers: Whether to read the solver's answers too, which take far more memory than the rest.
  /// - Throws: `FileError`, also for a row whose cells are not what a batch writes.
  public func results(withAnswers: Bool = true) throws -> [InstanceResult] {
    try reading { db in
      let columns = try Set(
        Row.fetchAll(db, sql: "PRAGMA table_info(result)").compactMap { $0["name"] as String? })
      let answer = withAnswers ? "answer" : "'' AS answer"
      let place = columns.contains("content") ? "folder, content" : "'' AS folder, '' AS content"
      let rows = try Row.fetchCursor(
        db,
        sql: """
          SELECT family, network, query, \(place), verdict, seconds, time_limit, reason, \(answer)
          FROM result ORDER BY family, network, query
          """)
      var results: [InstanceResult] = []
      while let row = try rows.next() {
        results.append(try StoredCells(row: row, number: results.count + 1, file: path).result())
      }
      return results
    }
  }

  /// The instances of a list that have no result yet for their contents and limit, in the order of the list, each once.
  public func pending(_ instances: [Instance]) throws -> [Instance] {
    struct Done: Hashable {
      var key: Instance.Key
      var limit: Double
    }
    var seen: Set<Done> = try reading { db in
      let rows = try Row.fetchCursor(
        db, sql: "SELECT family, network, query, content, time_limit FROM result")
      var done: Set<Done> = []
      var number = 0
      while let row = try rows.next() {
        number += 1
        let cells = StoredCells(row: row, number: number, file: path)
        done.insert(Done(key: try cells.key(), limit: try cells.number("time_limit")))
      }
      return done
    }
    return instances.filter { seen.insert(Done(key: $0.key, limit: $0.limit)).inserted }
  }

  private func reading<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do {
      return try database.read(body)
    } catch let error as DatabaseError {
      throw FileError(file: path, reason: "cannot be read: \(error.message ?? "\(error)")")
    }
  }
}
