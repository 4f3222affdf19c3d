import FileFormats
import Foundation
import GRDB
import Results
import Testing

@Suite struct ResultsTests {
  func temporaryFolder() throws -> String {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("results-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    return url.path
  }

  func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  func result(_ query: String, _ verdict: String, _ seconds: Double, family: String = "f") -> InstanceResult {
    InstanceResult(
      key: .init(family: family, network: "n", query: query), verdict: verdict, seconds: seconds, limit: 10)
  }

  // MARK: Instance lists

  @Test func readsInstanceLists() throws {
    let folder = try temporaryFolder() + "/acasxu"
    try FileManager.default.createDirectory(atPath: folder + "/onnx", withIntermediateDirectories: true)
    try write("", to: folder + "/onnx/a.onnx")
    try write("", to: folder + "/q.vnnlib.gz")
    let list = folder + "/instances.csv"
    try write("onnx/a.onnx, q.vnnlib ,116\r\n\n\"f=onnx/a.onnx g=b.onnx\",/x/q2.vnnlib,0.5\n", to: list)
    let instances = try Instance.list(contentsOf: list)
    #expect(instances.count == 2)
    #expect(instances[0].family == "acasxu")
    #expect(instances[0].query == "q.vnnlib")
    #expect(instances[0].queryPath == folder + "/q.vnnlib.gz")
    #expect(instances[0].networkArguments == [folder + "/onnx/a.onnx"])
    #expect(instances[1].networkArguments == ["f=\(folder)/onnx/a.onnx", "g=\(folder)/b.onnx"])
    #expect(instances[1].queryPath == "/x/q2.vnnlib")
    #expect(instances[1].limit == 0.5)
    for (bad, line) in [("a,b\n", 1), ("a,b,1\na,b,x\n", 2), ("a,b,1\n\n,b,1\n", 3), ("a,b,-1", 1)] {
      try write(bad, to: list)
      let error = #expect(throws: FileError.self) { try Instance.list(contentsOf: list) }
      #expect(error?.place == "line \(line)")
    }
  }

  @Test func delimitedTextKnowsQuotes() throws {
    let table = try DelimitedText(Array("a,\"b,\"\"c\"\"\n2\", d \n\n\"\",x".utf8), file: "t")
    #expect(table.rows.map(\.fields) == [["a", "b,\"c\"\n2", "d"], ["", "x"]])
    #expect(table.rows.map(\.line) == [1, 4])
    #expect(throws: FileError.self) { try DelimitedText(Array("a,\"b".utf8), file: "t") }
    for field in ["plain", "a,b", "say \"x\"", "two\nlines"] {
      let text = MarkupText.csv(field) + ",end"
      #expect(try DelimitedText(Array(text.utf8), file: "t").rows.map(\.fields) == [[field, "end"]])
    }
  }

  @Test func shardsPartitionTheList() {
    let rows = Array(0..<17)
    let parts = (1...5).compactMap { Shard("\($0)/5") }.map { $0.select(rows) }
    #expect(parts.count == 5)
    #expect(parts.flatMap { $0 }.sorted() == rows)
    #expect(parts[1] == [1, 6, 11, 16])
    for bad in ["0/5", "6/5", "1", "1/", "/5", "1/5/2", "a/b", "-1/5", ""] { #expect(Shard(bad) == nil) }
  }

  // MARK: Stores

  @Test func storesAndResumes() throws {
    let path = try temporaryFolder() + "/r.sqlite"
    let instances = ["a", "b", "c", "a"].map {
      Instance(family: "f", network: "n", query: $0, limit: 10, folder: "/")
    }
    do {
      let store = try ResultStore(path: path, create: true)
      #expect(try store.pending(instances).map(\.query) == ["a", "b", "c"])
      try store.record(result("b", "unsat", 1.5))
    }
    let store = try ResultStore(path: path, create: true)
    #expect(try store.results() == [result("b", "unsat", 1.5)])
    #expect(try store.pending(instances).map(\.query) == ["a", "c"])
    try store.record(result("b", "sat", 2))
    #expect(try store.results().map(\.verdict) == ["sat"])
    #expect(try ResultStore(path: path, create: false).results().count == 1)
  }

  @Test func refusesOtherFiles() throws {
    let folder = try temporaryFolder()
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/none", create: false) }
    #expect(!FileManager.default.fileExists(atPath: folder + "/none"))
    try write(String(repeating: "not a database ", count: 100), to: folder + "/text")
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/text", create: true) }
    try write("", to: folder + "/empty")
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/empty", create: false) }
    #expect(throws: FileError.self) { try ResultStore(path: folder, create: true) }
  }

  @Test func pathsMayHoldBlanks() throws {
    let folder = try temporaryFolder()
    try write("", to: folder + "/my net.onnx")
    func networks(_ text: String) -> [String] {
      Instance(family: "f", network: text, query: "q", limit: 1, folder: folder).networkArguments
    }
    #expect(networks("my net.onnx") == [folder + "/my net.onnx"])
    #expect(networks("f=my net.onnx g=b c.onnx") == ["f=\(folder)/my net.onnx", "g=\(folder)/b c.onnx"])
    #expect(networks("absent net.onnx") == [folder + "/absent net.onnx"])
  }

  func instance(_ query: String, content: String, limit: Double = 10, folder: String = "/") -> Instance {
    var instance = Instance(family: "f", network: "n", query: query, limit: limit, folder: folder)
    instance.content = content
    return instance
  }

  @Test func resultsBelongToContents() throws {
    let store = try ResultStore(path: temporaryFolder() + "/r.sqlite", create: true)
    func record(_ instance: Instance, _ verdict: String) throws {
      try store.record(
        InstanceResult(
          key: instance.key, verdict: verdict, seconds: 1, limit: instance.limit, folder: instance.folder))
    }
    try record(instance("a", content: "1"), "unsat")
    #expect(try store.pending([instance("a", content: "1")]).isEmpty)
    // Moved to another folder: the same contents.
    #expect(try store.pending([instance("a", content: "1", folder: "/x")]).isEmpty)
    #expect(try store.pending([instance("a", content: "2")]).count == 1)
    #expect(try store.pending([instance("a", content: "1", limit: 20)]).count == 1)
    // Edited: replaced. Equal names in another folder: another instance.
    try record(instance("a", content: "2"), "sat")
    #expect(try store.results().map(\.verdict) == ["sat"])
    try record(instance("a", content: "3", folder: "/x"), "unsat")
    #expect(try store.results().map(\.verdict).sorted() == ["sat", "unsat"])
    let merged = MergedResults([try store.results()])
    #expect(merged.results.count == 2 && merged.contradictions.isEmpty)
  }

  @Test func instancesAreClaimed() throws {
    let path = try temporaryFolder() + "/r.sqlite"
    let store = try ResultStore(path: path, create: true)
    let first = instance("a", content: "1")
    #expect(try store.claim(first) == .granted)
    try store.record(InstanceResult(key: first.key, verdict: "sat", seconds: 1, limit: 10, folder: "/"))
    #expect(try store.claim(first) == .done)
    // Claims of a process that lives (the first one) and of one that does not.
    let second = instance("b", content: "1")
    let host = ProcessInfo.processInfo.hostName.filter { $0 != " " }
    let stat = try String(contentsOfFile: "/proc/1/stat", encoding: .utf8)
    let start = try #require(stat.split(separator: ")").last).split(separator: " ")[19]
    for (owner, claim) in [
      ("\(host) 1 \(start)", ResultStore.Claim.taken), ("\(host) 1 12345678901", .granted),
      ("elsewhere 1 \(start)", .taken), ("nonsense", .granted),
    ] {
      let database = try DatabaseQueue(path: path)
      try database.write { db in
        try db.execute(
          sql: "INSERT OR REPLACE INTO claim VALUES ('f', 'n', 'b', '1', 10, ?, ?)",
          arguments: [owner, Date().timeIntervalSince1970])
      }
      #expect(try store.claim(second) == claim, "\(owner)")
    }
  }

  @Test("Cells that no batch writes are one error")
  func badCells() throws {
    let names = ["family", "network", "query", "verdict", "seconds", "time_limit", "reason", "answer"]
    for (i, name) in names.enumerated() {
      for bad in ["NULL", "x'00ff'", name == "seconds" || name == "time_limit" ? "'text'" : "7", "1e308"] {
        let path = try temporaryFolder() + "/r.sqlite"
        let database = try DatabaseQueue(path: path)
        try database.write { db in
          try db.execute(sql: "PRAGMA application_id = \(0x6e6e_7631)")
          try db.execute(sql: "CREATE TABLE result (\(names.joined(separator: ", ")), finished)")
          var cells = names.map { $0 == "seconds" || $0 == "time_limit" ? "1.5" : "'x'" }
          cells[i] = bad
          try db.execute(sql: "INSERT INTO result VALUES (\(cells.joined(separator: ", ")), 'now')")
        }
        let store = try ResultStore(path: path, create: false)
        #expect(throws: FileError.self, "\(name) \(bad)") { try store.results() }
      }
    }
  }

  @Test func viewsAndFifosAreNoStores() throws {
    let folder = try temporaryFolder()
    let database = try DatabaseQueue(path: folder + "/view.sqlite")
    try database.write { db in
      try db.execute(sql: "PRAGMA application_id = \(0x6e6e_7631)")
      try db.execute(
        sql: """
          CREATE VIEW result AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
          SELECT x AS family FROM c
          """)
    }
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/view.sqlite", create: false) }
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/view.sqlite", create: true) }
    try #require(mkfifo(folder + "/fifo", 0o600) == 0)
    #expect(throws: FileError.self) { try ResultStore(path: folder + "/fifo", create: false) }
  }

  @Test func readsStoresOfTheFirstVersion() throws {
    let path = try temporaryFolder() + "/old.sqlite"
    do {
      let database = try DatabaseQueue(path: path)
      try database.write { db in
        try db.execute(sql: "PRAGMA application_id = \(0x6e6e_7631)")
        try db.execute(
          sql: """
            CREATE TABLE result (
              family TEXT NOT NULL, network TEXT NOT NULL, query TEXT NOT NULL, verdict TEXT NOT NULL,
              seconds REAL NOT NULL, time_limit REAL NOT NULL, reason TEXT NOT NULL, answer TEXT NOT NULL,
              finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (family, network, query)) WITHOUT ROWID
            """)
        try db.execute(sql: "INSERT INTO result VALUES ('f', 'n', 'a', 'sat', 1, 10, '', '{}', 'then')")
      }
    }
    #expect(try ResultStore(path: path, create: false).results().map(\.verdict) == ["sat"])
    let store = try ResultStore(path: path, create: true)
    #expect(try store.results().map(\.verdict) == ["sat"])
    #expect(try store.pending([instance("a", content: "1")]).count == 1)
  }

  // MARK: Comparison

  @Test func mergesStores() {
    let merged = MergedResults([
      [result("a", "unsat", 3), result("b", "timed-out", 10), result("c", "sat", 1)],
      [result("a", "unsat", 2), result("b", "sat", 9), result("c", "unsat", 2)],
    ])
    #expect(merged.results == [result("a", "unsat", 2), result("b", "sat", 9), result("c", "sat", 1)])
    #expect(merged.contradictions.map(\.query) == ["c"])
  }

  @Test func comparesWithExpectedVerdicts() throws {
    let path = try temporaryFolder() + "/expected.csv"
    try write(
      """
      benchmark,onnx,vnnlib,timeout_s,verdict,note
      f,n,a,10,sat,"checked, twice"
      f,n,b,10,unsat,
      f,n,c,10,unknown,
      g,n,a,10,sat-unconfirmed,
      """, to: path)
    let expected = try ExpectedVerdicts(contentsOf: path)
    let summaries = FamilySummary.summaries(
      [
        result("a", "unsat", 1), result("b", "unsat", 2), result("c", "sat", 4),
        result("a", "timed-out", 8, family: "g"), result("d", "error", 16, family: "g"),
      ], expected: expected)
    #expect(summaries.map(\.family) == ["f", "g", "all"])
    #expect(summaries[0].solved == 3)
    #expect(summaries[0].wrong == 1)
    #expect(summaries[0].expected == 2)
    #expect(summaries[0].confirmed == 1)
    #expect(summaries[0].slowestDecided == 4)
    #expect(summaries[1].wrong == 0)
    #expect(summaries[1].expected == 0)
    #expect(summaries[1].timedOut == 1)
    #expect(summaries[1].errors == 1)
    #expect(summaries[2].instances == 5)
    #expect(summaries[2].totalSeconds == 31)
    try write("onnx,verdict\n", to: path)
    #expect(throws: FileError.self) { try ExpectedVerdicts(contentsOf: path) }
  }

  @Test func plotsACactus() throws {
    let plot = CactusPlot([
      result("a", "unsat", 3), result("b", "timed-out", 10), result("c", "sat", 0.01),
      result("a", "unsat", 2, family: "g<"),
    ])
    #expect(plot.curves.map(\.name) == ["all", "f", "g<"])
    #expect(plot.curves[0].seconds == [0.01, 2, 3])
    let svg = plot.svg()
    #expect(svg.contains("g&lt; (1)"))
    let parser = XMLCheck()
    #expect(parser.isWellFormed(svg))
    #expect(parser.isWellFormed(CactusPlot([]).svg()))
  }
}

/// Checks that every tag of an SVG text is closed.
private struct XMLCheck {
  func isWellFormed(_ text: String) -> Bool {
    var open: [Substring] = []
    var rest = text[...]
    while let start = rest.firstIndex(of: "<") {
      guard let end = rest[start...].firstIndex(of: ">") else { return false }
      let tag = rest[rest.index(after: start)..<end]
      rest = rest[rest.index(after: end)...]
      if tag.contains("<") { return false }
      if tag.hasSuffix("/") { continue }
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else {
        open.append(tag.prefix { $0 != " " })
      }
    }
    return open.isEmpty
  }
}
