import FileFormats
import Foundation
import Rigor
import SMT
import TestSupport
import Testing

/// Certificates in the wild: what the solver writes is accepted however thin its margin is, and nothing makes the checker
/// accept a claim that is false.
@Suite struct CertificateTests {
  private func record(_ text: String, in folder: TemporaryFolder) throws -> RegionRecord {
    try RegionRecord.read(folder.write("region.json", text))[0]
  }

  private func check(_ proof: String, _ record: RegionRecord, in folder: TemporaryFolder) throws
    -> ProofVerdict
  {
    try RegionSession().check(proof: folder.write("proof", proof), records: [record])
  }

  /// The answer of one method.
  private func decide(_ text: String, method: SolverMethod, proof: Bool, in folder: TemporaryFolder) throws
    -> RegionAnswer
  {
    var options = SolverOptions()
    options.method = method
    options.wantsProof = proof
    return try RegionSession().decide(record(text, in: folder), options)
  }

  @Test func whatHoldsIsProvenAndAccepted() throws {
    var random = UnitGenerator(state: 11)
    var proven = 0
    for trial in 0..<60 {
      let folder = try TemporaryFolder()
      let region = RandomRegion(&random)
      let network = try folder.write("net.nnet", region.networkText)
      let least = region.leastSample.value
      // Far, near and hair-thin misses; coefficients with odd denominators, and large ones.
      for (k, margin) in [Rational(3), Rational(1, 1000), Rational(1, timesTwoTo: -60)].enumerated() {
        let coefficient = [Rational(1), Rational(3, 7), Rational(1000)][(trial + k) % 3]
        let text = region.recordText("r", network: network, coefficient: coefficient, bound: least - margin)
        let plain = try decide(text, method: .exact, proof: false, in: folder)
        for method in [SolverMethod.auto, .bab, .exact] {
          let answer = try decide(text, method: method, proof: true, in: folder)
          #expect(answer.verdict == plain.verdict, "\(trial) \(margin) \(method)")
          guard plain.verdict == "holds" else { continue }
          let proof = try #require(answer.proof, "\(trial) \(margin) \(method)")
          let verdict = try check(proof, record(text, in: folder), in: folder)
          #expect(
            verdict.isValid, "\(trial) \(margin) \(method): \(verdict.place ?? "") \(verdict.reason ?? "")")
          proven += 1
        }
      }
    }
    #expect(proven > 200)
  }

  @Test func conjunctionsOfRowsWithDifferentDenominatorsAreAccepted() throws {
    // y = (x, -x) on [0, 1]: x <= 1/3 and -x <= -1/2 exclude each other, and only together.
    let folder = try TemporaryFolder()
    let network = try folder.write(
      "net.nnet", "1,1,2,2,\n1,2,\n0,\n0,\n1,\n0,0,\n1,1,\n1,\n-1,\n0,\n0,\n")
    let text = """
      {"id":"r","network":"\(network)","region":{"lower":["0"],"upper":["1"]},"violation":[[\
      {"coeffs":{"0":"1/7"},"op":"<=","rhs":"1/21"},{"coeffs":{"1":"1/5"},"op":"<=","rhs":"-1/10"}]]}
      """
    let answer = try decide(text, method: .auto, proof: true, in: folder)
    #expect(answer.verdict == "holds")
    #expect(try check(#require(answer.proof), record(text, in: folder), in: folder).isValid)
  }

  /// Proofs of true claims, put under the header of a false claim about the same network and changed at random.
  @Test func noMutationProvesAFalseClaim() throws {
    var random = UnitGenerator(state: 23)
    var tried = 0
    for trial in 0..<40 {
      let folder = try TemporaryFolder()
      let region = RandomRegion(&random)
      let network = try folder.write("net.nnet", region.networkText)
      let (least, point) = region.leastSample
      #expect(region.value(at: point)[0] == least)
      let session = RegionSession()
      let honest = try record(region.recordText("r", network: network, bound: least - 3), in: folder)
      var options = SolverOptions()
      options.wantsProof = true
      guard let proof = try session.decide(honest, options).proof else { continue }
      // The sample itself violates: at a tie, by a hair, by much.
      for excess in [Rational(0), Rational(1, timesTwoTo: -40), Rational(1)] {
        let claimed = try record(region.recordText("r", network: network, bound: least + excess), in: folder)
        let forged = try session.forgedProof(proof, claiming: claimed)
        for _ in 0..<12 {
          let changed = try RegionSession.resealedProof(mutated(forged, &random))
          let verdict = try check(changed, claimed, in: folder)
          #expect(!verdict.isValid, "\(trial) \(excess): \(changed)")
          tried += 1
        }
      }
    }
    #expect(tried > 500)
  }

  private func mutated(_ proof: String, _ random: inout UnitGenerator) -> String {
    var lines = proof.split(separator: "\n").map(String.init)
    let numbers = ["0", "1", "-1", "0.5", "1e18", "1e-300", "\"1/3\"", "-0.0", "1e300"]
    let claims = [
      "{\"empty\":true}", "{\"refute\":[{\"clause\":0,\"row\":0}]}", "{\"neuron\":0}",
      "{\"refute\":[{\"clause\":0,\"rows\":[1],\"slopes\":{},\"phases\":{\"0\":0}}]}",
      "{\"refute\":[{\"clause\":0,\"rows\":[1],\"slopes\":{\"0\":0.5},\"phases\":{\"1\":0,\"0\":1e9}}]}",
      "{\"refute\":[{\"clause\":0,\"rows\":[0],\"slopes\":{},\"phases\":{}}]}", "{\"input\":0,\"at\":0.25}",
    ]
    for _ in 0...random.below(3) {
      let index = 1 + random.below(lines.count - 1)
      switch random.below(4) {
      case 0: lines[index] = claims.randomElement(&random)
      case 1: lines[index] = lines[index].replacing("\"phases\":{}", with: "\"phases\":{\"0\":0,\"1\":0}")
      case 2:
        // A division whose sides claim things of their own.
        lines[index...index] = [
          "{\"neuron\":\(random.below(4))}", claims.randomElement(&random), claims.randomElement(&random),
        ]
      default:
        let text = Array(lines[index].utf8)
        let digits = text.indices.filter {
          text[$0] >= 48 && text[$0] <= 57 && (text[$0 - 1] == 58 || text[$0 - 1] == 91)
        }
        guard let place = digits.isEmpty ? nil : digits.randomElement(&random) else { continue }
        let end = text[place...].firstIndex { !"0123456789.e-+".utf8.contains($0) } ?? text.endIndex
        lines[index] =
          String(decoding: text[..<place], as: UTF8.self) + numbers.randomElement(&random)
          + String(decoding: text[end...], as: UTF8.self)
      }
    }
    let count = lines.count - 1
    lines[0] = lines[0].replacing(/"nodes":\d+/, with: "\"nodes\":\(count)")
    return lines.joined(separator: "\n") + "\n"
  }

  /// A multiplier of 0 on an inactive neuron, beside a weight of 2^38 that makes the checker's unit coarse.
  @Test func aZeroMultiplierProvesNothing() throws {
    let folder = try TemporaryFolder()
    // 2^38 relu(-x - 1) + relu(2^20 x - 2^21) + relu(x), which is x on [0, 1].
    let text =
      "2,1,1,3,\n1,3,1,\n0,\n0,\n1,\n0,0,\n1,1,\n-1,\n1048576,\n1,\n-1,\n-2097152,\n0,\n274877906944,1,1,\n0,\n"
    let network = try folder.write("net.nnet", text)
    let session = RegionSession()
    func claim(_ bound: String) throws -> RegionRecord {
      try record(
        """
        {"id":"r","network":"\(network)","region":{"lower":["0"],"upper":["1"]},\
        "violation":[[{"coeffs":{"0":"1"},"op":"<=","rhs":"\(bound)"}]]}
        """, in: folder)
    }
    var options = SolverOptions()
    options.wantsProof = true
    let honest = try #require(try session.decide(claim("-1"), options).proof)
    let falseClaim = try claim("1/10")
    let header = try session.forgedProof(honest, claiming: falseClaim).split(separator: "\n")[0]
      .replacing(/"nodes":\d+/, with: "\"nodes\":3")
    let forged = try RegionSession.resealedProof(
      [
        header, "{\"neuron\":1}",
        "{\"refute\":[{\"clause\":0,\"rows\":[1],\"slopes\":{},\"phases\":{\"1\":0}}]}", "{\"empty\":true}",
      ].joined(separator: "\n"))
    let verdict = try check(forged, falseClaim, in: folder)
    #expect(!verdict.isValid)
    #expect(verdict.place?.hasSuffix("refute[0]") == true, "\(verdict.place ?? "") \(verdict.reason ?? "")")
  }

  @Test func aProofGivenTwiceProvesOneRecord() throws {
    let folder = try TemporaryFolder()
    var random = UnitGenerator(state: 3)
    let region = RandomRegion(&random)
    let network = try folder.write("net.nnet", region.networkText)
    let least = region.leastSample.value
    let lines = [least - 3, least - 4].map { region.recordText("r", network: network, bound: $0) }
    let records = try RegionRecord.read(folder.write("regions.jsonl", lines.joined(separator: "\n")))
    var options = SolverOptions()
    options.wantsProof = true
    let session = RegionSession()
    guard let proof = try session.decide(records[0], options).proof else { return }
    let twice = try session.check(proof: folder.write("p", proof + proof), records: records)
    #expect(twice.isValid && twice.proofs == 1)
  }
}

/// The cases of the field about certificates.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment))) struct FieldCertificateTests
{
  private let folder = SharedData.path("field")

  @Test func theForgedProofIsRefused() throws {
    let record = try RegionRecord.read(folder + "/a14-check-accepts-forged-proof/false.json")
    let verdict = try RegionSession().check(
      proof: folder + "/a14-check-accepts-forged-proof/forged.proof", records: record)
    #expect(!verdict.isValid)
  }

  @Test(arguments: ["rows", "coef", "thin"], [SolverMethod.auto, .exact, .bab])
  func ownCertificatesAreAccepted(name: String, method: SolverMethod) throws {
    let records = try RegionRecord.read(folder + "/a15-own-certificates-rejected/\(name).json")
    var options = SolverOptions()
    options.wantsProof = true
    options.method = method
    let session = RegionSession()
    let answer = try session.decide(records[0], options)
    #expect(answer.verdict == "holds")
    let temporary = try TemporaryFolder()
    let proof = try temporary.write("proof", #require(answer.proof))
    let verdict = try session.check(proof: proof, records: records)
    #expect(verdict.isValid, "\(verdict.place ?? "") \(verdict.reason ?? "")")
  }
}
