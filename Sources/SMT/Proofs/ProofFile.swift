import FileFormats
import Rigor

/// One proof of a proof file: which query it belongs to, and the tree.
///
/// The format is JSON lines. A header names the record, the network's fingerprint, the region and the number of
/// nodes; then every node of the tree stands on a line of its own, in preorder, and every lemma on one before the node that
/// first needs it. Each line ends in a fingerprint of its own text.
struct ProofSection: Sendable {
  var identifier: String
  var network: String
  var query: SafetyQuery
  var tree: ProofTree
  /// The line of the header, of every node and of every lemma.
  var line: Int
  var nodeLines: [Int]
  var lemmaLines: [Int] = []
}

/// Writes and reads proof files.
enum ProofFile {
  static let format = "nnverify-proof"
  static let version = 2
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
    var lemma = 0
    for (index, node) in tree.nodes.enumerated() {
      while lemma < tree.lemmas.count, tree.lemmas[lemma].place <= index {
        text += sealed(json(tree.lemmas[lemma], number: lemma, neuronOfVariable))
        lemma += 1
      }
      text += sealed(json(node, neuronOfVariable))
    }
    return text
  }

  private static func json(_ lemma: ProofLemma, number: Int, _ neurons: [Int: Int]) -> JSONValue {
    var object = JSONObject()
    object["lemma"] = JSONValue(number)
    object["clause"] = JSONValue(lemma.clause)
    func list(_ active: Bool) -> JSONValue {
      JSONValue(lemma.phases.filter { $0.value == active }.map { neurons[$0.key] ?? -1 }.sorted())
    }
    object["inactive"] = list(false)
    object["active"] = list(true)
    func table(_ bounds: [Int: Double]) -> JSONValue {
      var object = JSONObject()
      for (input, value) in bounds.sorted(by: { $0.key < $1.key }) { object["\(input)"] = JSONValue(value) }
      return .object(object)
    }
    if !lemma.lower.isEmpty { object["lower"] = table(lemma.lower) }
    if !lemma.upper.isEmpty { object["upper"] = table(lemma.upper) }
    switch lemma.reason {
    case .refutation(let refutation): object["refute"] = json(refutation, neurons)
    case .empty: object["empty"] = true
    case .split(let split, let first, let second):
      add(split, to: &object, neurons)
      object["from"] = JSONValue([first, second])
    }
    return .object(object)
  }

  private static func add(_ split: ProofSplit?, to object: inout JSONObject, _ neurons: [Int: Int]) {
    switch split {
    case .input(let input, let at):
      object["input"] = JSONValue(input)
      object["at"] = JSONValue(at)
    case .phase(let variable): object["neuron"] = JSONValue(neurons[variable] ?? -1)
    case nil: break
    }
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
    add(node.split, to: &object, neurons)
    return .object(object)
  }

  private static func json(_ refutation: ProofRefutation, _ neurons: [Int: Int]) -> JSONValue {
    switch refutation {
    case .row(let clause, let row): return ["clause": JSONValue(clause), "row": JSONValue(row)]
    case .lemma(let clause, let number): return ["clause": JSONValue(clause), "lemma": JSONValue(number)]
    case .duals(let clause, let rows, let slopes, let multipliers):
      func table(_ values: [Int: Double]) -> JSONValue {
        var object = JSONObject()
        for (variable, value) in values.sorted(by: { $0.key < $1.key }) {
          object["\(neurons[variable] ?? -1)"] = JSONValue(value)
        }
        return .object(object)
      }
      var phases = JSONObject()
      for (variable, value) in multipliers.sorted(by: { $0.key < $1.key }) {
        phases["\(neurons[variable] ?? -1)"] = json(value)
      }
      return [
        "clause": JSONValue(clause), "rows": .array(rows.map(json)), "slopes": table(slopes),
        "phases": .object(phases),
      ]
    }
  }

  /// A multiplier: a JSON number where a double holds it, otherwise a quotient in a string.
  private static func json(_ value: Rational) -> JSONValue {
    let nearest = value.nearestDouble
    return Rational(exactly: nearest) == value ? JSONValue(nearest) : .string(value.description)
  }

  private static func multiplier(_ field: JSONField) throws -> Rational {
    if case .string(let text) = field.value {
      guard text.utf8.count <= 1 << 20, let value = Rational(text) else {
        throw field.error("expected a number")
      }
      return value
    }
    guard let value = Rational(exactly: try field.double()) else { throw field.error("expected a number") }
    return value
  }

  /// A text whose lines were changed, with fingerprints that fit again.
  static func resealed(_ text: String) throws -> String {
    try text.split(separator: "\n").map { line in
      guard var object = try JSONValue.parse(String(line)).objectValue else { return String(line) + "\n" }
      object["sum"] = nil
      return sealed(.object(object))
    }.joined()
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
      } else if try field.optional("lemma") != nil {
        let last = sections.count - 1
        let count = sections[last].tree.lemmas.count
        sections[last].tree.lemmas.append(
          try lemma(field, place: sections[last].tree.nodes.count, number: count))
        sections[last].lemmaLines.append(line)
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
    guard (1...version).contains(found) else {
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
    node.split = try split(field)
    return node
  }

  private static func split(_ field: JSONField) throws -> ProofSplit? {
    if let neuron = try field.optional("neuron") { return .phase(try neuron.int()) }
    guard let input = try field.optional("input") else { return nil }
    return .input(try input.int(), at: try field.member("at").double())
  }

  private static func lemma(_ field: JSONField, place: Int, number: Int) throws -> ProofLemma {
    guard try field.member("lemma").int() == number else {
      throw try field.member("lemma").error("lemmas are numbered in order; expected \(number)")
    }
    var phases: [Int: Bool] = [:]
    for (name, active) in [("inactive", false), ("active", true)] {
      for neuron in try field.member(name).elements() {
        guard phases.updateValue(active, forKey: try neuron.int()) == nil else {
          throw neuron.error("the neuron is named twice")
        }
      }
    }
    func table(_ name: String) throws -> [Int: Double] {
      var result: [Int: Double] = [:]
      for (key, member) in try field.optional(name)?.members() ?? [] {
        guard let input = Int(key) else { throw member.error("\"\(key)\" is no input") }
        result[input] = try member.double()
      }
      return result
    }
    let reason: ProofLemma.Reason
    if let given = try field.optional("refute") {
      reason = .refutation(try refutation(given))
    } else if let split = try split(field) {
      let from = try field.member("from").elements().map { try $0.int() }
      guard from.count == 2 else { throw try field.member("from").error("expected two lemmas") }
      reason = .split(split, first: from[0], second: from[1])
    } else {
      guard try field.member("empty").bool() else { throw field.error("the lemma gives no reason") }
      reason = .empty
    }
    return ProofLemma(
      place: place, clause: try field.member("clause").int(), phases: phases, lower: try table("lower"),
      upper: try table("upper"), reason: reason)
  }

  private static func refutation(_ field: JSONField) throws -> ProofRefutation {
    let clause = try field.member("clause").int()
    if let row = try field.optional("row") { return .row(clause: clause, row: try row.int()) }
    if let number = try field.optional("lemma") { return .lemma(clause: clause, number: try number.int()) }
    func table<T>(_ name: String, _ value: (JSONField) throws -> T) throws -> [Int: T] {
      var result: [Int: T] = [:]
      for (key, member) in try field.member(name).members() {
        guard let neuron = Int(key) else { throw member.error("\"\(key)\" is no neuron") }
        result[neuron] = try value(member)
      }
      return result
    }
    return .duals(
      clause: clause, rows: try field.member("rows").elements().map(multiplier),
      slopes: try table("slopes") { try $0.double() }, multipliers: try table("phases", multiplier))
  }
}
