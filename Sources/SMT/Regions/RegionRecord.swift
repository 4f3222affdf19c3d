import FileFormats
import Rigor

/// One query of a region file: which network, which region, which property.
///
/// Numbers may be JSON numbers or strings (`"1/3"`) and are read as the exact decimals or quotients written.
public struct RegionRecord: Sendable {
  /// What a record asks for.
  public enum Kind: String, Sendable, CaseIterable {
    case verdict
    case minimalRadius = "min_radius"
    case lattice = "lattice_layer0"
    case inverseMap = "inverse_map"
  }

  /// Classification properties.
  public enum Property: String, Sendable, CaseIterable {
    case strictArgmax = "strict_argmax"
    case strictArgmin = "strict_argmin"
  }

  /// Bounds by coordinate, flattened in the network's input order.
  public struct Box: Sendable, Equatable {
    public var lower: [Rational]
    public var upper: [Rational]
  }

  /// Discretised manipulations.
  public struct Manipulations: Sendable {
    /// Flat indices into the layer; nil to choose them by a heuristic.
    public var dims: [Int]?
    public var span: Rational
    public var steps: Int
    /// Whether lattice points outside [0, 1] are left out.
    public var clampsToDomain: Bool
  }

  /// An inverse-map question.
  public struct Inverse: Sendable {
    public var dims: [Int]
    public var target: [Rational]
    public var region: Box
  }

  public var identifier: String
  public var kind: Kind
  /// Paths, already relative to the working folder.
  public var network: String
  public var images: String?
  public var imageIndex: Int?
  public var box: Box?
  public var domain: Box?
  public var center: [Rational]?
  public var radius: Rational?
  public var property: Property?
  public var label: Int?
  public var violation: [[OutputConstraint]]?
  public var isL1: Bool
  public var manipulations: Manipulations?
  public var layer: Int?
  public var inverse: Inverse?
  /// Whether a `.nnet` network includes its normalisation.
  public var isNormalised: Bool
  /// For errors.
  public var place: JSONField
}

extension RegionRecord {
  /// The most coordinates that a region may have.
  public static let sizeLimit = 1 << 22
  /// The most steps to either side in a lattice.
  public static let stepLimit = 30_000
  /// The largest magnitude of an input: what float32 can hold.
  static let inputLimit = Rational(Float.greatestFiniteMagnitude)

  /// The members that mean something. Others (reference verdicts, notes) are left alone.
  private static let known = [
    "id", "kind", "network", "images", "image_index", "region", "region_rule", "input_domain", "center",
    "eps",
    "radius", "property", "label", "violation", "norm", "span", "num_span", "dims", "clamp_to_domain",
    "layer",
    "target", "input_region", "normalised",
  ]

  /// Refuses members that are all but the name of a known one: a misspelt member would silently change the question.
  private static func refuseMisspelt(_ field: JSONField) throws {
    for (key, member) in try field.members() where !known.contains(key) {
      if let meant = known.first(where: { isSlip(key, of: $0) }) {
        throw member.error("unknown member; did you mean \"\(meant)\"?")
      }
    }
  }

  /// Whether two names differ by case, one letter, or two neighbours exchanged.
  private static func isSlip(_ text: String, of name: String) -> Bool {
    let a = Array(text.lowercased().utf8)
    let b = Array(name.utf8)
    if a == b { return true }
    if abs(a.count - b.count) > 1 || b.count < 3 { return false }
    var start = 0
    while start < min(a.count, b.count), a[start] == b[start] { start += 1 }
    let tailA = a[start...]
    let tailB = b[start...]
    if a.count != b.count {
      return a.count < b.count
        ? tailA.elementsEqual(tailB.dropFirst())
        : tailB.elementsEqual(tailA.dropFirst())
    }
    if tailA.dropFirst().elementsEqual(tailB.dropFirst()) { return true }
    return tailA.prefix(2).elementsEqual(tailB.prefix(2).reversed())
      && tailA.dropFirst(2).elementsEqual(tailB.dropFirst(2))
  }

  /// Reads the records of a `.json` or `.jsonl` file (plain or gzip-compressed), in order.
  ///
  /// - Throws: `FileError` with line and member for anything that is missing, mistyped or unknown.
  public static func read(_ path: String) throws -> [RegionRecord] {
    let bytes = try Gzip.contents(ofFile: path)
    let name = path.hasSuffix(".gz") ? String(path.dropLast(3)) : path
    if name.hasSuffix(".jsonl") {
      let lines = try JSONValue.parseLines(bytes, file: path)
      if lines.isEmpty { throw FileError(file: path, reason: "holds no records") }
      return try lines.map { try RegionRecord(JSONField(root: $0.value, file: path, line: $0.line)) }
    }
    let root = JSONField(root: try JSONValue.parse(bytes, file: path), file: path)
    if case .array = root.value {
      let records = try root.elements().map { try RegionRecord($0) }
      if records.isEmpty { throw FileError(file: path, reason: "holds no records") }
      return records
    }
    return [try RegionRecord(root)]
  }

  init(_ field: JSONField) throws {
    place = field
    try Self.refuseMisspelt(field)
    identifier = try field.optional("id")?.string() ?? ""
    network = Self.resolve(try field.member("network").string(), field.file)
    images = try field.optional("images").map { Self.resolve(try $0.string(), field.file) }
    imageIndex = try field.optional("image_index")?.int()
    box = try field.optional("region").map { try Self.box($0) }
    domain = try field.optional("input_domain").map { try Self.box($0) }
    center = try field.optional("center").map { try Self.inputs($0) }
    let size = try field.optional("eps") ?? field.optional("radius")
    radius = try size.map { try Self.rational($0) }
    if let size, let radius, radius.sign < 0 || radius > Self.inputLimit {
      throw size.error("a radius must not be negative, nor exceed what float32 can hold")
    }
    label = try field.optional("label")?.int()
    // Inverse-map records may describe their layer in words: the first one is meant then.
    layer = try field.optional("layer").flatMap { member in
      if case .string = member.value { return nil }
      let layer = try member.int()
      if layer < 0 { throw member.error("must not be negative") }
      return layer
    }
    isNormalised = try field.optional("normalised")?.bool() ?? false
    property = try field.optional("property").map { member in
      let text = try member.string()
      guard let known = Property(rawValue: text) else {
        let names = Property.allCases.map(\.rawValue).joined(separator: ", ")
        throw member.error("unknown property \"\(text)\"; known are \(names)")
      }
      return known
    }
    violation = try field.optional("violation").map { try Self.clauses($0) }
    switch try field.optional("norm")?.string() {
    case nil, "linf", "inf": isL1 = false
    case "l1", "1": isL1 = true
    case let other?: throw try field.member("norm").error("unknown norm \"\(other)\"; known are linf, l1")
    }
    manipulations = nil
    if let span = try field.optional("span") {
      let spanValue = try Self.rational(span)
      guard spanValue.sign > 0, spanValue <= Self.inputLimit else {
        throw span.error("the span must be positive and no larger than float32 can hold")
      }
      let steps = try field.optional("num_span")?.int() ?? 1
      guard steps >= 1, steps <= Self.stepLimit else {
        throw try field.member("num_span").error("must lie between 1 and \(Self.stepLimit)")
      }
      manipulations = Manipulations(
        dims: try field.optional("dims").map { try Self.indices($0) }, span: spanValue, steps: steps,
        clampsToDomain: try field.optional("clamp_to_domain")?.bool() ?? false)
    }
    let kindField = try field.optional("kind")
    let kindText = try kindField?.string()
    if let kindField, let kindText, Kind(rawValue: kindText) == nil {
      let names = Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw kindField.error("unknown kind \"\(kindText)\"; known are \(names)")
    }
    inverse = nil
    kind = kindText.flatMap { Kind(rawValue: $0) } ?? (manipulations != nil ? .lattice : .verdict)
    if kind == .inverseMap {
      let dims = try Self.indices(field.member("dims"))
      let target = try Self.vector(field.member("target"))
      guard dims.count == target.count else {
        throw try field.member("target").error("has \(target.count) values for \(dims.count) dims")
      }
      inverse = Inverse(dims: dims, target: target, region: try Self.box(field.member("input_region")))
    }
    if let rule = try field.optional("region_rule"), box == nil {
      let text = try rule.string().filter { $0 != " " }
      guard text.hasPrefix("[max(0,p/255-eps),min(1,p/255+eps)]") else {
        throw rule.error("unknown rule; the known one is [max(0,p/255-eps), min(1,p/255+eps)]")
      }
      if imageIndex == nil || radius == nil { throw rule.error("needs image_index and eps") }
    }
    if imageIndex != nil && images == nil { throw field.error("\"image_index\" needs \"images\"") }
  }

  // MARK: Pieces

  private static func resolve(_ path: String, _ file: String) -> String {
    if path.hasPrefix("/") { return path }
    guard let slash = file.lastIndex(of: "/") else { return path }
    return file[...slash] + path
  }

  private static func rational(_ field: JSONField) throws -> Rational {
    let text = try field.numberText()
    guard text.utf8.count <= 100_000, let value = Rational(text) else {
      throw field.error("\"\(text.prefix(40))\" is not a number")
    }
    return value
  }

  private static func vector(_ field: JSONField) throws -> [Rational] {
    let elements = try field.elements()
    guard elements.count <= sizeLimit else { throw field.error("has more than \(sizeLimit) entries") }
    return try elements.map { try rational($0) }
  }

  /// Coordinates of an input, which float32 must be able to hold.
  private static func inputs(_ field: JSONField) throws -> [Rational] {
    let values = try vector(field)
    for (i, value) in values.enumerated() where value.magnitude > inputLimit {
      throw try field.elements()[i].error("no float32 is that large")
    }
    return values
  }

  private static func indices(_ field: JSONField) throws -> [Int] {
    let elements = try field.elements()
    var seen = Set<Int>()
    return try elements.map { element in
      let index = try element.int()
      guard index >= 0, index < sizeLimit else {
        throw element.error("an index must not be negative or absurd")
      }
      guard seen.insert(index).inserted else { throw element.error("the index \(index) is repeated") }
      return index
    }
  }

  static func box(_ field: JSONField) throws -> Box {
    let box = Box(lower: try inputs(field.member("lower")), upper: try inputs(field.member("upper")))
    guard box.lower.count == box.upper.count else {
      throw field.error("lower has \(box.lower.count) entries, upper \(box.upper.count)")
    }
    for i in box.lower.indices where box.lower[i] > box.upper[i] {
      throw try field.member("lower").elements()[i].error("exceeds the upper bound, the region is empty")
    }
    return box
  }

  static func clauses(_ field: JSONField) throws -> [[OutputConstraint]] {
    let clauses = try field.elements()
    if clauses.isEmpty { throw field.error("an empty disjunction can never be violated") }
    return try clauses.map { clause in
      let terms = try clause.elements()
      if terms.isEmpty { throw clause.error("an empty conjunction is always violated") }
      return try terms.map { try constraint($0) }
    }
  }

  private static func constraint(_ field: JSONField) throws -> OutputConstraint {
    var result = OutputConstraint(terms: [], rhs: try rational(field.member("rhs")))
    for (key, member) in try field.member("coeffs").members() {
      guard let output = Int(key), output >= 0 else { throw member.error("\"\(key)\" is no output index") }
      result.terms.append(OutputConstraint.Term(output: output, coefficient: try rational(member)))
    }
    if result.terms.isEmpty { throw field.error("the constraint has no coefficients") }
    let op = try field.optional("op")?.string() ?? "<="
    switch op {
    case "<=": return result
    case ">=":
      result.rhs = -result.rhs
      for i in result.terms.indices { result.terms[i].coefficient = -result.terms[i].coefficient }
      return result
    default: throw try field.member("op").error("unknown comparison \"\(op)\"; known are <= and >=")
    }
  }
}
