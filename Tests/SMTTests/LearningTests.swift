import FileFormats
import Foundation
import Importers
import Rigor
import SMT
import TestSupport
import Testing

/// Learned clauses: they change no verdict, they close parts, and the checker believes none of them.
@Suite struct LearningTests {
  /// A random network as `.nnet` text, and a region where its first output stays below a threshold.
  struct Case {
    var record: RegionRecord
    var session = RegionSession()

    /// - Parameter share: How far above the largest sampled output the threshold lies, as a share of their range.
    init(_ folder: String, seed: UInt64, sizes: [Int], radius: Double, share: Double) throws {
      var g = UnitGenerator(state: seed &* 2_654_435_761 &+ 12345)
      for _ in 0..<8 { _ = g.unit() }
      func gaussian() -> Double { (0..<6).reduce(0) { sum, _ in sum + g.unit() } - 3 }
      let count = sizes.count - 1
      var lines = ["// random", "\(count),\(sizes[0]),\(sizes[count]),\(sizes.max() ?? 0),"]
      lines.append(sizes.map(String.init).joined(separator: ",") + ",")
      lines.append("0,")
      lines.append(String(repeating: "-1000.0,", count: sizes[0]))
      lines.append(String(repeating: "1000.0,", count: sizes[0]))
      lines.append(String(repeating: "0.0,", count: sizes[0] + 1))
      lines.append(String(repeating: "1.0,", count: sizes[0] + 1))
      for k in 0..<count {
        let scale = (2.0 / Double(sizes[k])).squareRoot() * 1.4
        for _ in 0..<sizes[k + 1] {
          lines.append((0..<sizes[k]).map { _ in "\(Float(gaussian() * scale))," }.joined())
        }
        for _ in 0..<sizes[k + 1] { lines.append("\(Float(gaussian() * 0.1)),") }
      }
      let path = folder + "/r\(seed).nnet"
      try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
      let graph = try Importer.load(path).graph
      let network = try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node)
      let center = (0..<sizes[0]).map { _ in (g.unit() * 1000).rounded() / 1000 }
      var least = Double.infinity
      var most = -Double.infinity
      for _ in 0..<2000 {
        let x = center.map { $0 + radius * (g.unit() < 0.5 ? -1 : 1) * (g.unit() < 0.7 ? 1 : g.unit()) }
        let y = network.evaluate(x)[network.outputs[0]]
        least = min(least, y)
        most = max(most, y)
      }
      let threshold = most + share * (most - least)
      let lower = center.map { "\"\($0 - radius)\"" }.joined(separator: ",")
      let upper = center.map { "\"\($0 + radius)\"" }.joined(separator: ",")
      let text = """
        {"id": "r\(seed)", "network": "r\(seed).nnet", "region": {"lower": [\(lower)], "upper": [\(upper)]},
         "violation": [[{"coeffs": {"0": -1}, "op": "<=", "rhs": \(-threshold)}]]}
        """
      try text.write(toFile: folder + "/r\(seed).json", atomically: true, encoding: .utf8)
      record = try RegionRecord.read(folder + "/r\(seed).json")[0]
    }

    func decide(learns: Bool, proof: Bool, _ change: (inout SolverOptions) -> Void = { _ in }) throws
      -> RegionAnswer
    {
      var options = SolverOptions()
      options.learnsClauses = learns
      options.wantsProof = proof
      options.deadline = ContinuousClock.now + .seconds(60)
      change(&options)
      return try session.decide(record, options)
    }
  }

  private static func isLemma(_ line: String) -> Bool { line.hasPrefix("{\"lemma\"") }

  @Test func verdictsStayAndPartsAreClosed() throws {
    try SharedRegions.withTemporaryFolder { folder in
      var verdicts = Set<String>()
      var learned = 0
      var closed = 0
      var propagated = 0
      for seed in 1...14 as ClosedRange<UInt64> {
        let few = seed % 2 == 0
        let c = try Case(
          folder, seed: seed, sizes: few ? [4, 14, 14, 14, 2] : [10, 30, 30, 30, 2], radius: few ? 0.2 : 0.05,
          share: seed % 5 == 0 ? -0.05 : 0.08)
        let with = try c.decide(learns: true, proof: false)
        let without = try c.decide(learns: false, proof: false)
        #expect(with.verdict == without.verdict && with.verdict != "unknown", "\(seed)")
        // Z3 gets remainders early and often, and its cores are learned from; it may run out of time.
        if few {
          let eager = try c.decide(learns: true, proof: false) {
            $0.remainderLimit = 14
            $0.inputSplitLimit = 0
            $0.deadline = ContinuousClock.now + .seconds(2)
          }
          #expect([with.verdict, "unknown"].contains(eager.verdict), "\(seed)")
        }
        verdicts.insert(with.verdict)
        let s = try #require(with.statistics)
        learned += s.clausesLearned
        closed += s.conflictsAvoided
        propagated += s.propagations
        #expect(without.statistics?.clausesLearned == 0 && without.statistics?.conflictsAvoided == 0)
      }
      #expect(verdicts == ["holds", "violated"])
      #expect(learned > 0 && closed > 0 && propagated > 0, "\(learned) \(closed) \(propagated)")
    }
  }

  @Test func lemmasAreCheckedAndForgeriesRefused() throws {
    try SharedRegions.withTemporaryFolder { folder in
      let path = folder + "/proof"
      var lemmas = 0
      var reasons = Set<String>()
      for seed in stride(from: UInt64(1), through: 23, by: 2) {
        // Every other one has few inputs, so that boxes are halved too.
        let c = try Case(
          folder, seed: seed, sizes: seed % 4 == 1 ? [10, 30, 30, 30, 2] : [4, 50, 50, 50, 50, 2],
          radius: seed % 4 == 1 ? 0.05 : 0.15, share: 0.08)
        let answer = try c.decide(learns: true, proof: true)
        guard let proof = answer.proof else { continue }
        let lines = proof.split(separator: "\n").map(String.init)
        func verdict(_ changed: [String]) throws -> ProofVerdict {
          let text = try RegionSession.resealedProof(changed.joined(separator: "\n") + "\n")
          try text.write(toFile: path, atomically: true, encoding: .utf8)
          return try c.session.check(proof: path, records: [c.record])
        }
        let honest = try verdict(lines)
        #expect(honest.isValid, "\(seed): \(honest.place ?? "") \(honest.reason ?? "")")
        for (index, line) in lines.enumerated() where Self.isLemma(line) {
          lemmas += 1
          func expectRefused(_ what: String, _ change: (inout JSONObject) -> Void) throws {
            var object = try #require(try JSONValue.parse(line).objectValue)
            change(&object)
            var changed = lines
            changed[index] = JSONValue.object(object).text()
            let answer = try verdict(changed)
            #expect(!answer.isValid && answer.place?.hasPrefix("line") == true, "\(what): \(line)")
          }
          let object = try #require(try JSONValue.parse(line).objectValue)
          for kind in ["refute", "from", "empty"] where object[kind] != nil { reasons.insert(kind) }
          // One phase turned round: either the refutation fails, or the lemma speaks of other parts than those it closes.
          let other = ["active": "inactive", "inactive": "active"]
          for (from, to) in other {
            guard let list = object[from]?.arrayValue, let moved = list.first else { continue }
            try expectRefused("turned phase") {
              $0[from] = .array(Array(list.dropFirst()))
              $0[to] = .array([moved] + ($0[to]?.arrayValue ?? []))
            }
          }
          // A smaller box than the part that it closes.
          let low = try #require(c.record.box?.lower[0].nearestDouble)
          let high = try #require(c.record.box?.upper[0].nearestDouble)
          try expectRefused("smaller box") {
            let table = object["lower"]?.objectValue
            var changed = table ?? JSONObject()
            let top = object["upper"]?["0"]?.doubleValue ?? high
            let bottom = table?["0"]?.doubleValue ?? low
            changed["0"] = JSONValue(bottom + 0.5 * (top - bottom))
            $0["lower"] = .object(changed)
          }
          if object["lower"] != nil || object["upper"] != nil { reasons.insert("box") }
          try expectRefused("another clause") { $0["clause"] = 1 }
          try expectRefused("number") { $0["lemma"] = 99 }
          if object["from"] != nil {
            // Itself, a later one, or one side twice.
            let number = object["lemma"] ?? 0
            let first = object["from"]?.arrayValue?.first ?? 0
            try expectRefused("itself") { $0["from"] = .array([first, number]) }
            try expectRefused("twice") { $0["from"] = .array([first, first]) }
            try expectRefused("beyond") { $0["from"] = .array([first, 99]) }
          } else {
            // Nothing supports a lemma without reasons, or one that says that its phases are impossible.
            try expectRefused("no reason") { $0["refute"] = nil }
            try expectRefused("impossible") {
              $0["refute"] = nil
              $0["empty"] = true
            }
          }
          // Without it, what comes after has nothing to rest on.
          var without = lines
          without.remove(at: index)
          #expect(try !verdict(without).isValid)
        }
      }
      #expect(lemmas >= 3 && reasons.isSuperset(of: ["refute", "box"]), "\(lemmas) \(reasons)")
    }
  }

  /// Phases that a lemma does not name cannot be left out of those it does: most of what it says is needed.
  @Test func lemmasNeedTheirPhases() throws {
    try SharedRegions.withTemporaryFolder { folder in
      let path = folder + "/proof"
      var tried = 0
      var refused = 0
      for seed in stride(from: UInt64(1), through: 15, by: 2) {
        let c = try Case(folder, seed: seed, sizes: [10, 30, 30, 30, 2], radius: 0.05, share: 0.08)
        guard let proof = try c.decide(learns: true, proof: true).proof else { continue }
        let lines = proof.split(separator: "\n").map(String.init)
        for (index, line) in lines.enumerated() where Self.isLemma(line) {
          let object = try #require(try JSONValue.parse(line).objectValue)
          for key in ["active", "inactive"] {
            let list = object[key]?.arrayValue ?? []
            for k in list.indices {
              var weaker = object
              var fewer = list
              fewer.remove(at: k)
              weaker[key] = .array(fewer)
              var changed = lines
              changed[index] = JSONValue.object(weaker).text()
              let text = try RegionSession.resealedProof(changed.joined(separator: "\n") + "\n")
              try text.write(toFile: path, atomically: true, encoding: .utf8)
              tried += 1
              if try !c.session.check(proof: path, records: [c.record]).isValid { refused += 1 }
            }
          }
        }
      }
      #expect(tried > 0 && 2 * refused > tried, "\(refused) of \(tried)")
    }
  }
}
