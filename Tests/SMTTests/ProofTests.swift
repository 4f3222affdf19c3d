import FileFormats
import Foundation
import Rigor
import SMT
import Testing

/// Certificates are accepted as they were written and refused once anything is changed.
@Suite(.enabled(if: SharedRegions.folder != nil, SharedRegions.absent)) struct ProofTests {
  private func prove(_ record: RegionRecord, _ session: RegionSession) throws -> String? {
    var options = SolverOptions()
    options.wantsProof = true
    options.deadline = ContinuousClock.now + .seconds(60)
    return try session.decide(record, options).proof
  }

  @Test(arguments: [
    "exact_radius.jsonl", "verdict_acas.jsonl", "verdict_m49.jsonl", "verdict_mnist.jsonl",
    "verdict_coav.jsonl",
  ])
  func everyHoldsHasAProof(file: String) throws {
    let session = RegionSession()
    try SharedRegions.withTemporaryFolder { folder in
      let path = folder + "/proof.jsonl"
      for record in try SharedRegions.records(file) where record.kind == .verdict {
        guard record.place.value["verdict"]?.stringValue == "holds" else { continue }
        let proof = try #require(try prove(record, session), "\(record.identifier)")
        try proof.write(toFile: path, atomically: true, encoding: .utf8)
        let verdict = try session.check(proof: path, records: [record])
        #expect(verdict.isValid, "\(record.identifier): \(verdict.place ?? "") \(verdict.reason ?? "")")
      }
    }
  }

  @Test func changesAreRefusedWithThePlace() throws {
    let session = RegionSession()
    let records = try SharedRegions.records("exact_radius.jsonl")
    let record = try #require(records.first { $0.identifier == "curve-06-in" })
    let proof = try #require(try prove(record, session))
    let lines = proof.split(separator: "\n").map(String.init)
    #expect(lines.count > 3, "the test needs a proof with splits")
    try SharedRegions.withTemporaryFolder { folder in
      let path = folder + "/proof.jsonl"
      func verdict(_ lines: [String], _ records: [RegionRecord]) throws -> ProofVerdict {
        try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        return try session.check(proof: path, records: records)
      }
      #expect(try verdict(lines, [record]).isValid)
      // A missing branch.
      #expect(try !verdict(Array(lines.dropLast()), [record]).isValid)
      // Any change of any digit of a line is named.
      for index in 1..<lines.count {
        var changed = lines
        guard let digit = changed[index].firstIndex(where: \.isNumber) else { continue }
        changed[index].replaceSubrange(digit...digit, with: changed[index][digit] == "7" ? "8" : "7")
        let answer = try verdict(changed, [record])
        #expect(!answer.isValid && answer.place?.hasPrefix("line \(index + 1)") == true, "\(index)")
      }
      // Another region.
      var wider = record
      wider.box?.upper[1] += Rational(1, 1000)
      let region = try verdict(lines, [wider])
      #expect(!region.isValid && region.place == "region.upper[1]")
      // Another property.
      var other = record
      other.violation?[0][0].rhs += 1
      #expect(try verdict(lines, [other]).place == "violation")
    }
  }

  @Test func theCheckerRecomputesEverything() throws {
    // The same tree with valid fingerprints, but for a region that is not safe: only the arithmetic can refuse it.
    let session = RegionSession()
    let records = try SharedRegions.records("exact_radius.jsonl")
    for name in ["curve-02", "curve-06", "blobs-02"] {
      let inside = try #require(records.first { $0.identifier == name + "-in" })
      let outside = try #require(records.first { $0.identifier == name + "-out" })
      let proof = try #require(try prove(inside, session))
      try SharedRegions.withTemporaryFolder { folder in
        let path = folder + "/proof.jsonl"
        let forged = try session.forgedProof(proof, claiming: outside)
        try forged.write(toFile: path, atomically: true, encoding: .utf8)
        var claimed = outside
        claimed.identifier = inside.identifier
        let verdict = try session.check(proof: path, records: [claimed])
        #expect(!verdict.isValid && verdict.place?.hasPrefix("line") == true, "\(name)")
      }
    }
  }

  @Test func aChangedNetworkIsRefused() throws {
    let session = RegionSession()
    let folder = try #require(SharedRegions.folder)
    let text = try String(contentsOfFile: folder + "/import/nnet/fc_2-2-3.nnet", encoding: .utf8)
    try SharedRegions.withTemporaryFolder { temporary in
      try text.write(toFile: temporary + "/net.nnet", atomically: true, encoding: .utf8)
      let region = """
        {"id": "a", "network": "net.nnet", "region": {"lower": [0.4, -0.2], "upper": [0.5, -0.1]},
         "violation": [[{"coeffs": {"0": 1}, "op": "<=", "rhs": -100}]]}
        """
      try region.write(toFile: temporary + "/r.json", atomically: true, encoding: .utf8)
      let record = try RegionRecord.read(temporary + "/r.json")[0]
      let proof = try #require(try prove(record, session))
      try proof.write(toFile: temporary + "/p", atomically: true, encoding: .utf8)
      #expect(try RegionSession().check(proof: temporary + "/p", records: [record]).isValid)
      // Flip the sign of one weight.
      let flipped = text.replacingOccurrences(of: "2.0,-1.0,", with: "2.0,1.0,")
      #expect(flipped != text)
      try flipped.write(toFile: temporary + "/net.nnet", atomically: true, encoding: .utf8)
      let verdict = try RegionSession().check(proof: temporary + "/p", records: [record])
      #expect(!verdict.isValid && verdict.place == "network")
    }
  }
}
