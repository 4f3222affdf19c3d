import FileFormats
import Foundation
import Rigor
import SMT
import Testing

/// Every record of the shared reference data.
@Suite(.enabled(if: SharedRegions.folder != nil, SharedRegions.absent)) struct RecordTests {
  @Test(arguments: [
    "exact_radius.jsonl", "verdict_acas.jsonl", "verdict_coav.jsonl", "verdict_m49.jsonl",
    "verdict_mnist.jsonl",
  ])
  func verdictsAreRight(file: String) throws {
    let session = RegionSession()
    for record in try SharedRegions.records(file) where record.kind == .verdict {
      let answer = try session.decide(record, SolverOptions())
      #expect(answer.verdict == record.place.value["verdict"]?.stringValue, "\(record.identifier)")
      #expect((answer.verdict == "violated") == (answer.witness != nil))
      if let witness = answer.witness, let box = record.box {
        // The witness lies in the region of the file, exactly.
        for i in witness.point.indices {
          #expect(
            box.lower[i] <= witness.point[i] && witness.point[i] <= box.upper[i], "\(record.identifier) \(i)")
        }
        #expect(witness.violatesInFloat32 == true, "\(record.identifier)")
      }
    }
  }

  @Test func minimalRadiiAreExact() throws {
    let session = RegionSession()
    var count = 0
    for record in try SharedRegions.records("exact_radius.jsonl") where record.kind == .minimalRadius {
      let answer = try session.minimise(record, isL1: nil, SolverOptions())
      #expect(
        answer.minimal?.description == record.place.value["min_radius"]?.stringValue, "\(record.identifier)")
      #expect(answer.witness != nil)
      count += 1
    }
    #expect(count == 20)
  }

  /// A search that had no time says so; only a proof says that there is no violation.
  @Test func distancesWithoutTimeAreUnknown() throws {
    let session = RegionSession()
    var options = SolverOptions()
    options.deadline = ContinuousClock.now + .seconds(-1)
    for record in try SharedRegions.records("exact_radius.jsonl") where record.kind == .minimalRadius {
      let answer = try session.minimise(record, isL1: nil, options)
      #expect(answer.verdict == "unknown" && answer.minimal == nil, "\(record.identifier)")
      #expect(answer.reason == "time-out")
    }
  }

  /// A domain without violations: only a finished proof says so.
  @Test func onlyAProofSaysThatThereIsNoDistance() throws {
    let session = RegionSession()
    let records = try SharedRegions.records("exact_radius.jsonl")
    var record = try #require(
      records.first { $0.kind == .minimalRadius && $0.identifier.hasPrefix("curve-06") })
    record.domain = try #require(records.first { $0.identifier == "curve-06-in" }?.box)
    var options = SolverOptions()
    #expect(try session.minimise(record, isL1: nil, options).verdict == "holds")
    options.nodeLimit = 1
    let answer = try session.minimise(record, isL1: nil, options)
    #expect(answer.verdict == "unknown" && answer.reason != nil && answer.witness == nil)
  }

  @Test func minimalL1DistancesLieBetweenTheirBounds() throws {
    // With n inputs, the L1 distance is at least the L-infinity one and at most n times it.
    let session = RegionSession()
    for record in try SharedRegions.records("exact_radius.jsonl").prefix(9)
    where record.kind == .minimalRadius {
      let l1 = try #require(try session.minimise(record, isL1: true, SolverOptions()).minimal)
      let linf = try #require(try session.minimise(record, isL1: false, SolverOptions()).minimal)
      #expect(linf <= l1 && l1 <= linf * 2, "\(record.identifier)")
    }
  }

  @Test func inverseMapsAreExact() throws {
    let session = RegionSession()
    for record in try SharedRegions.records("inverse.jsonl") {
      let answer = try session.invert(record, deadline: nil)
      #expect(answer.status == record.place.value["status"]?.stringValue, "\(record.identifier)")
      if answer.status == "sat" {
        let expected = SharedRegions.rationals(record.place.value["preimage"])
        #expect(answer.preimage == expected, "\(record.identifier)")
      }
    }
  }

  @Test func latticeCountsAreEqual() throws {
    let session = RegionSession()
    var certified = 0
    var safe = 0
    for record in try SharedRegions.records("lattice.jsonl") {
      let answer = try session.layerwise(record, LayerwiseOptions())
      let result = try #require(answer.layerwise)
      let expected = record.place.value
      #expect(result.latticePoints == expected["lattice_points"]?.intValue, "\(record.identifier)")
      #expect(
        result.misclassifiedPoints == expected["misclassified_points"]?.intValue, "\(record.identifier)")
      let isUnsafe = expected["verdict"]?.stringValue == "unsafe"
      #expect((result.outcome == .unsafe) == isUnsafe, "\(record.identifier)")
      if isUnsafe {
        let l1 = try #require(expected["nearest_l1"]?.doubleValue)
        let l2 = try #require(expected["nearest_l2"]?.doubleValue)
        #expect(abs((result.nearestL1?.nearestDouble ?? -1) - l1) < 1e-9, "\(record.identifier)")
        #expect(
          abs((result.nearestL2Squared?.nearestDouble.squareRoot() ?? -1) - l2) < 1e-9, "\(record.identifier)"
        )
        #expect(result.witness != nil)
      } else if record.network.contains("twodcurve") {
        safe += 1
        if result.outcome == .safeRegion { certified += 1 }
      }
    }
    #expect(safe == 7 && Double(certified) >= 0.9 * Double(safe))
  }

  @Test func regionsBeyondTheExactRadiusAreNeverCertified() throws {
    let session = RegionSession()
    for record in try SharedRegions.records("exact_radius.jsonl") where record.kind == .minimalRadius {
      guard record.network.contains("twodcurve"), let text = record.place.value["min_radius"]?.stringValue,
        let radius = Rational(text)
      else { continue }
      var options = LayerwiseOptions()
      options.featureDimensions = 2
      options.steps = 2
      options.span = radius * Rational(101, 200)
      let beyond = try session.layerwise(record, options)
      #expect(beyond.verdict != "safe_region", "\(record.identifier)")
      guard let center = record.center, let domain = record.domain,
        center.indices.allSatisfy({
          domain.lower[$0] <= center[$0] - radius && center[$0] + radius <= domain.upper[$0]
        })
      else { continue }
      options.span = radius * Rational(99, 200)
      #expect(try session.layerwise(record, options).verdict == "safe_region", "\(record.identifier)")
    }
  }
}
