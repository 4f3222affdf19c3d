import FileFormats
import Foundation
import IR
import Importers
import Rigor
import Search
import Specifications
import TestSupport
import Testing

/// Queries of the shared data with known verdicts.
@Suite struct SharedQueryTests {
  static let shared = SharedData.root.path
  static let isPresent = FileManager.default.fileExists(atPath: shared + "/verification")

  static func verify(_ query: Query, _ networks: [String: Graph], seconds: Double = 60, threads: Int = 1)
    throws
    -> Verification
  {
    let control = SearchControl(seconds: seconds, threads: threads)
    return try Verifier(VerificationProblem(query, networks: networks), control: control).run()
  }

  static func rows(_ path: String) throws -> [[String]] {
    try String(contentsOfFile: path, encoding: .utf8).split(whereSeparator: \.isNewline).dropFirst().map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
  }

  @Test(.enabled(if: isPresent, "the shared data is absent"))
  func vnnlib2QueriesInBothElementTypes() throws {
    let folder = Self.shared + "/verification/vnnlib2"
    var graphs: [String: Graph] = [:]
    var count = 0
    for row in try Self.rows(folder + "/expected.csv") where row[1] == "sat" || row[1] == "unsat" {
      var networks: [String: Graph] = [:]
      for item in row[2].split(separator: " ") {
        let parts = item.split(separator: "=", maxSplits: 1)
        let path = folder + "/" + parts[1]
        if graphs[path] == nil { graphs[path] = try Importer.load(path).graph }
        networks[String(parts[0])] = graphs[path]
      }
      let query = try Query(contentsOf: folder + "/" + row[0])
      let result = try Self.verify(query, networks)
      #expect(result.verdict.rawValue == row[1], "\(row[0]): \(result.reason)")
      if let witness = result.witness {
        let isFloat = row[0].hasSuffix("float32.vnnlib")
        #expect(isFloat ? witness.replay == .holds : witness.exact == .holds, "\(row[0])")
        // The witness satisfies the formula as parsed, whatever the checker says of it.
        if isFloat { #expect(query.formula.holds { witness.values[$0] }, "\(row[0])") }
      }
      count += 1
    }
    #expect(count >= 60)
  }

  @Test(.enabled(if: isPresent, "the shared data is absent"))
  func mismatchesAreRefused() throws {
    let folder = Self.shared + "/verification/vnnlib2"
    let graph = try Importer.load(folder + "/../../smt/small/blobs_4-10-10-3.onnx").graph
    let mismatch = try Query(contentsOf: folder + "/refuse-type-mismatch.vnnlib")
    #expect(throws: FileError.self) { try VerificationProblem(mismatch, networks: ["f": graph]) }
    let query = try Query(contentsOf: folder + "/blobs_4-10-10-3-output-sat-real.vnnlib")
    #expect(throws: FileError.self) { try VerificationProblem(query, networks: [:]) }
    #expect(throws: FileError.self) { try VerificationProblem(query, networks: ["f": graph, "g": graph]) }
    let equal = try Query(contentsOf: folder + "/blobs_4-10-10-3-equal-sat-real.vnnlib")
    #expect(throws: FileError.self) { try VerificationProblem(equal, networks: ["f": graph, "g": graph]) }
    #expect(throws: Never.self) { try VerificationProblem(equal, networks: ["f": graph]) }
  }

  @Test(.enabled(if: isPresent, "the shared data is absent"))
  func trapsAreNeverUnsat() throws {
    let folder = Self.shared + "/verification/traps"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".vnnlib") }
    var found = 0
    for name in names.sorted() {
      let query = try Query(contentsOf: folder + "/" + name)
      let graph = try Importer.load(folder + "/" + name.replacingOccurrences(of: ".vnnlib", with: ".onnx"))
        .graph
      let result = try Self.verify(query, ["": graph], seconds: 10)
      #expect(result.verdict != .unsat, "\(name)")
      if result.verdict == .sat {
        #expect(result.witness?.exact == .holds)
        found += 1
      } else {
        print("trap \(name): \(result.verdict.rawValue) \(result.reason)")
      }
    }
    #expect(names.count == 8)
    #expect(found == 8)
  }
}
