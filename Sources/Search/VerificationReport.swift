import FileFormats
import Foundation
import Rigor
import Specifications

/// A verification in the forms that people and machines read.
public struct VerificationReport: Sendable {
  /// The query; nil if it was not read to its end.
  public var query: Query?
  public var verification: Verification
  public var seconds: Double

  public init(query: Query?, verification: Verification, seconds: Double) {
    self.query = query
    self.verification = verification
    self.seconds = seconds
  }

  /// A decimal that denotes the number exactly; witnesses have no other numbers, a quotient is the last resort.
  static func decimal(_ x: Rational) -> String { x.decimalText ?? x.description }

  /// The assignment of a witness, by tensor in the order of declaration.
  private var assignment: [(tensor: TensorDeclaration, values: [String])] {
    guard let witness = verification.witness, let query else { return [] }
    return query.tensors.map { tensor in (tensor, tensor.variables.map { Self.decimal(witness.values[$0]) }) }
  }

  /// The verdict on the first line and, after `sat`, the assignment: in the 2.0 format a line `NAME TYPE [d0,d1]` and
  /// one value a line; for 1.0 queries an s-expression.
  public var text: String {
    var lines = [verification.verdict.rawValue]
    if query?.majorVersion == 1 {
      if let expression { lines.append(expression) }
    } else {
      for (tensor, values) in assignment {
        let shape = tensor.shape.map(String.init).joined(separator: ",")
        lines.append("\(tensor.name) \(tensor.type) [\(shape)]")
        lines += values
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// `((X_0 v) (X_1 v) ... (Y_0 v))`, nil without a witness.
  private var expression: String? {
    guard let witness = verification.witness, let query else { return nil }
    let items = query.tensors.flatMap { tensor in
      tensor.variables.map { variable in
        let name =
          query.majorVersion == 1
          ? query.name(ofVariable: variable) : "\(tensor.name)_\(variable - tensor.firstVariable)"
        return "(\(name) \(Self.decimal(witness.values[variable])))"
      }
    }
    return "(" + items.joined(separator: "\n") + ")"
  }

  /// The competition's result file: `sat`, `unsat`, `timeout` or `unknown`, then the assignment.
  public var resultFile: String {
    let first = verification.verdict == .timedOut ? "timeout" : verification.verdict.rawValue
    return ([first] + (expression.map { [$0] } ?? [])).joined(separator: "\n") + "\n"
  }

  /// The JSON document of `nnverify verify --json`.
  public var json: JSONValue {
    var tensors = JSONObject()
    for (tensor, values) in assignment {
      tensors[tensor.name] = ["shape": JSONValue(tensor.shape), "values": JSONValue(values)]
    }
    let witness = verification.witness
    let statistics = verification.statistics
    return [
      "verdict": .string(verification.verdict.rawValue),
      "seconds": JSONValue((seconds * 1000).rounded() / 1000),
      "semantics": .string(verification.semantics.rawValue),
      "assignment": witness == nil ? .null : .object(tensors),
      "exact": witness.map { .bool($0.exact == .holds) } ?? .null,
      "float32_replay": witness.map { .bool($0.replay == .holds) } ?? .null,
      "reason": .string(verification.reason),
      "statistics": [
        "method": .string(verification.method),
        "subproblems": JSONValue(statistics.subproblems),
        "refuted": JSONValue(statistics.refuted),
        "largest_queue": JSONValue(statistics.largestQueue),
        "candidates": JSONValue(statistics.candidates),
        "by_enclosure": .bool(witness?.byEnclosure ?? false),
        "robust_replay": witness.map { .bool($0.replayIsRobust) } ?? .null,
      ],
    ]
  }
}
