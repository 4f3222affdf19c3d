import FileFormats

/// Verdicts that are known from elsewhere.
public struct ExpectedVerdicts: Sendable {
  private var verdicts: [Instance.Key: String]

  public init(_ verdicts: [Instance.Key: String]) { self.verdicts = verdicts }

  /// Reads a table with a header that names the columns `benchmark` (or `family`), `onnx` (or `network`,
  /// `networks`), `vnnlib` (or `query`) and `verdict`. Without a family column all instances share the family "".
  public init(contentsOf path: String) throws {
    let table = try DelimitedText(contentsOf: path)
    guard let header = table.rows.first else { throw FileError(file: path, reason: "the table is empty") }
    func column(_ names: String...) -> Int? { header.fields.firstIndex { names.contains($0) } }
    let family = column("benchmark", "family")
    guard let network = column("onnx", "network", "networks"), let query = column("vnnlib", "query"),
      let verdict = column("verdict")
    else {
      throw FileError(
        file: path, place: "line 1", reason: "the header must name the columns onnx, vnnlib and verdict")
    }
    verdicts = [:]
    for (line, fields) in table.rows.dropFirst() {
      guard fields.count > max(network, query, verdict, family ?? 0) else {
        throw FileError(file: path, place: "line \(line)", reason: "the row has only \(fields.count) fields")
      }
      let key = Instance.Key(
        family: family.map { fields[$0] } ?? "", network: fields[network], query: fields[query])
      verdicts[key] = fields[verdict]
    }
  }

  /// `sat` or `unsat`; nil where the verdict is not known well enough to be scored.
  public subscript(key: Instance.Key) -> String? {
    let verdict =
      verdicts[key.names] ?? verdicts[Instance.Key(family: "", network: key.network, query: key.query)]
    return verdict == "sat" || verdict == "unsat" ? verdict : nil
  }
}

/// Results of several stores, joined.
public struct MergedResults: Sendable {
  /// One result per instance, ordered by family, then as the stores list them.
  public var results: [InstanceResult]
  /// Instances that are `sat` in one store and `unsat` in another.
  public var contradictions: [Instance.Key]

  /// Joins results. Of several for one instance a decided one is kept, and the fastest of those.
  public init(_ stores: [[InstanceResult]]) {
    var best: [Instance.Key: InstanceResult] = [:]
    var order: [Instance.Key] = []
    var contradicting: Set<Instance.Key> = []
    for result in stores.joined() {
      guard let present = best[result.key] else {
        best[result.key] = result
        order.append(result.key)
        continue
      }
      if present.isDecided, result.isDecided, present.verdict != result.verdict {
        contradicting.insert(result.key)
      }
      let isBetter =
        present.isDecided == result.isDecided ? result.seconds < present.seconds : result.isDecided
      if isBetter { best[result.key] = result }
    }
    results = order.compactMap { best[$0] }.sorted { ($0.key.family) < ($1.key.family) }
    contradictions = order.filter { contradicting.contains($0) }
  }
}

/// The results of one family, counted.
public struct FamilySummary: Sendable, Equatable {
  public var family: String
  public var instances = 0
  public var sat = 0
  public var unsat = 0
  public var unknown = 0
  public var timedOut = 0
  public var errors = 0
  /// Verdicts that contradict the expected ones.
  public var wrong = 0
  /// Instances whose expected verdict is known, and how many of them were decided as expected.
  public var expected = 0
  public var confirmed = 0
  /// Over all instances, in seconds.
  public var totalSeconds = 0.0
  public var slowestDecided = 0.0

  public var solved: Int { sat + unsat }

  public init(family: String) { self.family = family }

  /// Counts one result.
  public mutating func add(_ result: InstanceResult, expected verdict: String?) {
    instances += 1
    totalSeconds += result.seconds
    switch result.verdict {
    case "sat": sat += 1
    case "unsat": unsat += 1
    case "timed-out": timedOut += 1
    case "unknown": unknown += 1
    default: errors += 1
    }
    if result.isDecided { slowestDecided = max(slowestDecided, result.seconds) }
    guard let verdict else { return }
    expected += 1
    if result.verdict == verdict { confirmed += 1 } else if result.isDecided { wrong += 1 }
  }

  /// One summary per family and one of everything, named `all`.
  public static func summaries(_ results: [InstanceResult], expected: ExpectedVerdicts?) -> [FamilySummary] {
    var families: [FamilySummary] = []
    var all = FamilySummary(family: "all")
    for result in results {
      let verdict = expected?[result.key]
      if families.last?.family != result.key.family {
        if let i = families.firstIndex(where: { $0.family == result.key.family }) {
          families.append(families.remove(at: i))
        } else {
          families.append(FamilySummary(family: result.key.family))
        }
      }
      families[families.count - 1].add(result, expected: verdict)
      all.add(result, expected: verdict)
    }
    families.sort { $0.family < $1.family }
    return families + [all]
  }
}
