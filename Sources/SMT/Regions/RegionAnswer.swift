import FileFormats
import Foundation
import Rigor

/// The answer to one record, for people and for machines.
public struct RegionAnswer: Sendable {
  public var identifier: String
  /// One of the verdicts or of the outcomes of a layer-wise run.
  public var verdict = "unknown"
  public var witness: Witness?
  public var reason: String?
  public var statistics: SolverStatistics?
  /// The exact minimal distance.
  public var minimal: Rational?
  /// In a search that ended early: a distance at which there is a violation.
  public var upperBound: Rational?
  /// In a search that ended early, or found nothing as far as it was to look: nothing nearer violates the property.
  public var lowerBound: Rational?
  public var norm: String?
  /// In layer-wise runs.
  public var layerwise: LayerwiseResult?
  /// In layer-wise runs: every layer that was checked, in order.
  public var layers: [LayerwiseResult] = []
  /// In inverse-map records: `sat` or `unsat`.
  public var status: String?
  public var preimage: [Rational]?
  /// The text of the certificate.
  public var proof: String?
  public var seconds = 0.0

  init(_ record: RegionRecord, _ start: ContinuousClock.Instant) {
    identifier = record.identifier
  }

  /// The answer to a record of which nothing was found out.
  ///
  /// - Parameter isLayerwise: whether it was searched layer by layer, whose outcomes have names of their own.
  public init(unanswered record: RegionRecord, isLayerwise: Bool, reason: String, seconds: Double) {
    identifier = record.identifier
    if record.kind == .inverseMap { status = "unknown" }
    if isLayerwise { verdict = LayerwiseOutcome.exhaustedBudget.rawValue }
    self.reason = reason
    self.seconds = seconds
  }

  /// What verdicts are about.
  public static let semantics = "exact real arithmetic on the stored weights"

  /// The object that `--json` prints.
  public var json: JSONValue {
    var object = JSONObject()
    object["id"] = .string(identifier)
    if let status {
      object["status"] = .string(status)
      object["preimage"] = preimage.map { JSONValue($0.map(\.description)) } ?? .null
      object["semantics"] = .string(Self.semantics)
      object["seconds"] = JSONValue(seconds)
      return .object(object)
    }
    object["verdict"] = .string(verdict)
    object["semantics"] = .string(Self.semantics)
    object["witness"] = witness.map { JSONValue($0.point.map(\.description)) } ?? .null
    object["witness_float32"] = witness.map { JSONValue($0.float32) } ?? .null
    if let agrees = witness?.violatesInFloat32 { object["float32_agrees"] = .bool(agrees) }
    object["minimal"] = minimal.map { .string($0.description) } ?? .null
    if let norm { object["norm"] = .string(norm) }
    if let lowerBound { object["lower_bound"] = .string(lowerBound.description) }
    if let upperBound { object["upper_bound"] = .string(upperBound.description) }
    if let reason { object["reason"] = .string(reason) }
    if let layerwise { layerwise.add(to: &object) }
    if layers.count > 1 {
      object["layers"] = .array(
        layers.map { layer in
          [
            "layer": JSONValue(layer.layer), "verdict": .string(layer.outcome.rawValue),
            "lattice_points": JSONValue(layer.latticePoints),
            "misclassified_points": JSONValue(layer.misclassifiedPoints),
          ]
        })
    }
    var counts = JSONObject()
    if let statistics {
      counts["nodes"] = JSONValue(statistics.nodes)
      counts["neurons"] = JSONValue(statistics.neurons)
      counts["undecided_at_root"] = JSONValue(statistics.undecidedAtRoot)
      counts["z3_calls"] = JSONValue(statistics.z3Calls)
      counts["dual_steps"] = JSONValue(statistics.dualSteps)
      counts["points_tried"] = JSONValue(statistics.pointsTried)
      counts["linear_programs"] = JSONValue(statistics.linearPrograms)
      counts["clauses_learned"] = JSONValue(statistics.clausesLearned)
      counts["propagations"] = JSONValue(statistics.propagations)
      counts["conflicts_avoided"] = JSONValue(statistics.conflictsAvoided)
    }
    if let layerwise { layerwise.addStatistics(to: &counts) }
    object["statistics"] = .object(counts)
    object["seconds"] = JSONValue(seconds)
    return .object(object)
  }

  /// What the verdict claims, in one sentence.
  public var claim: String {
    switch verdict {
    case "holds":
      if norm != nil {
        guard let lowerBound else {
          return "No admissible input violates the property: there is no distance."
        }
        return "No violation lies within \(lowerBound): the nearest one is further away than that."
      }
      return "No point of the region violates the property."
    case "violated":
      if minimal != nil { return "This is the exact smallest distance at which the property is violated." }
      return "The witness lies in the region and violates the property."
    case "unsafe":
      if witness?.violatesInFloat32 == false {
        return "The witness is classified differently in exact arithmetic; float32 falls on the other side."
      }
      return "The witness is classified differently; checked in exact arithmetic and in float32."
    case "safe_region":
      return "Every point of the continuous region keeps its class; every cell of the lattice is certified."
    case "safe_wrt_manipulations":
      return
        "Every lattice point keeps its class or cannot be reached. Nothing is claimed between lattice points."
    case "exhausted_budget": return "The budget ended before the search did. Nothing is claimed."
    case "heuristic": return "The search was incomplete. No misclassification was found; nothing is claimed."
    default: return reason.map { "Not decided: \($0)." } ?? "Not decided."
    }
  }
}
