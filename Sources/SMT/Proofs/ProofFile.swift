import FileFormats
import Rigor

/// One proof of a proof file: which query it belongs to, and the tree.
///
/// The format is JSON lines. A header names the record, the network's fingerprint, the region and the number of
/// nodes; then every node of the tree stands on a line of its own, in preorder. Each line ends in a fingerprint of
/// its own text.
struct ProofSection: Sendable {
  var identifier: String
  var network: String
  var query: SafetyQuery
  var tree: ProofTree
  /// The line of the header, and of every node.
  var line: Int
  var nodeLines: [Int]
}

/// Writes and reads proof files.
enum ProofFile {
  static let format = "nnverify-proof"
  static let version = 1
  /// The most nodes a proof may have.
  static let nodeLimit = 50_000_000

  // MARK: Writing

  /// The text of one proof. Neurons are named by their numbers, not the solver's variables.
  static func text(
    identifier: String, network: String, query: SafetyQuery, tree: ProofTree, neuronOfVariable: [Int: Int]
  ) -> String {
    let clauses = query.violation.map { clause in JSONValue.array(clause.map { constraint($0) }) }
    let header: JSONValue = [
      "format": .string(format), "version": JSONValue(version), "id": .string(identifier),
      "network": .string(network),
      "region": [
        "lower": JSONValue(query.lower.map(\.description)),
        "upper": JSONValue(query.upper.map(\.description)),
      ],
      "violation": .array(clauses), "nodes": JSONValue(tree.nodes.count),
    ]
    var text = sealed(header)
    for node in tree.nodes { text += sealed(json(node, neuronOfVariable)) }
    return text
  }

  private static func constraint(_ constraint: OutputConstraint) -> JSONValue {
    var coefficients = JSONObject()
    for term in constraint.terms { coefficients["\(term.output)"] = .string(term.coefficient.description) }
    return ["coeffs": .object(coefficients), "op": "<=", "rhs": .string(constraint.rhs.description)]
  }

  private static func sealed(_ value: JSONValue) -> String {
    let body = value.text()
    return body.dropLast() + (body == "{}" ? "" : ",") + "\"sum\":\"\(Fingerprint.of(body))\"}\n"
  }

  private static func json(_ node: ProofNode, _ neurons: [Int: Int]) -> JSONValue {
    var object = JSONObject()
    if node.isEmpty { object["empty"] = true }
    if !node.refutations.isEmpty {
      object["refute"] = .array(node.refutations.map { json($0, neurons) })
    }
    switch node.split {
    case .input(let input, let at): object["input"] = JSONValue(input); object["at"] = JSONValue(at)
    case .phase(let variable): object["neuron"] = JSONValue(neurons[variable] ?? -1)
    case nil: break
    }
    return .object(object)
  }

  private static func json(_ refutation: ProofRefutation, _ neurons: [Int: Int]) -> JSONValue {
    switch refutation {
    case .row(let clause, let row): return ["clause": JSONValue(clause), "row": JSONValue(row)]
    case .duals(let clause, let rows, let slopes, let multipliers):
      func table(_ values: [Int: Double]) -> JSONValue {
        var object = JSONObject()
        for (variable, value) in values.sorted(by: { $0.key < $1.key }) {
          object["\(neurons[variable] ?? -1)"] = JSONValue(value)
        }
        return .object(object)
      }
      return [
        "clause": JSONValue(clause), "rows": JSONValue(rows), "slopes": table(slopes),
        "phases": table(multipliers),
      ]
    }
  }

  /// The same tree under the header of another query.
  static func replacingQuery(in text: String, by query: SafetyQuery) throws -> String {
    var lines = text.split(separator: "\n").map { String($0) + "\n" }
    guard let first = lines.first, var header = try JSONValue.parse(first).objectValue else { return text }
    header["sum"] = nil
    header["region"] = [
      "lower": JSONValue(query.lower.map(\.description)), "upper": JSONValue(query.upper.map(\.description)),
    ]
    header["violation"] = .array(query.violation.map { clause in .array(clause.map { constraint($0) }) })
    lines[0] = sealed(.object(header))
    return lines.joined()
  }

  // MARK: Reading

  /// Reads all proofs of a file; neurons stay numbers.
  static func read(_ path: String) throws -> [ProofSection] {
    let bytes = try Gzip.contents(ofFile: path)
    var sections: [ProofSection] = []
    var expected = 0
    for (line, value) in try JSONValue.parseLines(bytes, file: path) {
      let field = JSONField(root: value, file: path, line: line)
      try checkSeal(field)
      if expected == 0 {
        let (section, count) = try header(field, line)
        sections.append(section)
        expected = count
      } else {
        sections[sections.count - 1].tree.nodes.append(try node(field))
        sections[sections.count - 1].nodeLines.append(line)
        expected -= 1
      }
    }
    if sections.isEmpty { throw FileError(file: path, reason: "holds no proof") }
    if expected > 0 {
      throw FileError(file: path, reason: "ends before the last \(expected) nodes of a proof")
    }
    return sections
  }

  private static func checkSeal(_ field: JSONField) throws {
    var object = try field.object()
    let sum = try field.member("sum").string()
    object["sum"] = nil
    guard Fingerprint.of(JSONValue.object(object).text()) == sum else {
      throw field.error("the line was changed after it was written")
    }
  }

  private static func header(_ field: JSONField, _ line: Int) throws -> (ProofSection, Int) {
    guard try field.optional("format")?.string() == format else {
      throw field.error("expected the header of a proof (\"format\": \"\(format)\")")
    }
    let found = try field.member("version").int()
    guard found == version else {
      throw try field.member("version").error("version \(found) is not supported")
    }
    let count = try field.member("nodes").int()
    guard count >= 1, count <= nodeLimit else {
      throw try field.member("nodes").error("unreasonable number of nodes")
    }
    let box = try RegionRecord.box(field.member("region"))
    let query = SafetyQuery(
      lower: box.lower, upper: box.upper, violation: try RegionRecord.clauses(field.member("violation")))
    let section = ProofSection(
      identifier: try field.member("id").string(), network: try field.member("network").string(),
      query: query,
      tree: ProofTree(), line: line, nodeLines: [])
    return (section, count)
  }

  private static func node(_ field: JSONField) throws -> ProofNode {
    var node = ProofNode()
    node.isEmpty = try field.optional("empty")?.bool() ?? false
    if let list = try field.optional("refute") {
      node.refutations = try list.elements().map { try refutation($0) }
    }
    if let neuron = try field.optional("neuron") {
      node.split = .phase(try neuron.int())
    } else if let input = try field.optional("input") {
      node.split = .input(try input.int(), at: try field.member("at").double())
    }
    return node
  }

  private static func refutation(_ field: JSONField) throws -> ProofRefutation {
    let clause = try field.member("clause").int()
    if let row = try field.optional("row") { return .row(clause: clause, row: try row.int()) }
    func table(_ name: String) throws -> [Int: Double] {
      var result: [Int: Double] = [:]
      for (key, member) in try field.member(name).members() {
        guard let neuron = Int(key) else { throw member.error("\"\(key)\" is no neuron") }
        result[neuron] = try member.double()
      }
      return result
    }
    guard let rows = try field.member("rows").value.doubles else {
      throw try field.member("rows").error("expected numbers")
    }
    return .duals(clause: clause, rows: rows, slopes: try table("slopes"), multipliers: try table("phases"))
  }
}
