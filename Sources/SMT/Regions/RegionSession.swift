import Domains
import FileFormats
import Foundation
import IR
import Importers
import LinearPrograms
import Rigor
import Tensors

/// Answers the records of region files; networks and images are read once and kept.
public final class RegionSession {
  /// A network as the records need it.
  final class Loaded {
    let graph: Graph
    let target: NodeID
    let isBehindSoftmax: Bool
    let runner: GraphRunner
    let file: String
    let inputCount: Int
    let outputCount: Int
    private var lowered: PiecewiseLinearNetwork?

    init(_ imported: ImportedNetwork) throws {
      graph = imported.graph
      file = imported.file
      (target, isBehindSoftmax) = try imported.graph.propertyTarget()
      runner = GraphRunner(imported.graph, target: target)
      inputCount = runner.graph.inputNodes.reduce(0) { $0 + $1.shape.count }
      outputCount = imported.graph[target].shape.count
    }

    /// The neurons of the exact form, counted without lowering; 0 where an operator has none, so that lowering is tried
    /// and refuses it.
    lazy var neuronCount: Int = runner.graph.piecewiseLinearNeurons ?? 0

    /// The network in exact form; lowered at first use.
    func exact() throws -> PiecewiseLinearNetwork {
      if let lowered { return lowered }
      let made = try PiecewiseLinearNetwork(graph, to: target)
      lowered = made
      return made
    }
  }

  private var networks: [String: Loaded] = [:]
  private var images: [String: IdxFile] = [:]

  public init() {}

  func load(_ record: RegionRecord) throws -> Loaded {
    let key = record.network + (record.isNormalised ? "#normalised" : "")
    if let known = networks[key] { return known }
    let imported = try Importer.load(record.network, ImportOptions(normalised: record.isNormalised))
    let loaded = try Loaded(imported)
    networks[key] = loaded
    return loaded
  }

  /// The pixels of a record's image, if it names one.
  func image(_ record: RegionRecord) throws -> [Rational]? {
    guard let index = record.imageIndex, let path = record.images else { return nil }
    let file: IdxFile
    if let known = images[path] {
      file = known
    } else {
      file = try IdxFile(contentsOf: path)
      images[path] = file
    }
    guard index >= 0, index < file.count else {
      throw record.place.error("\"image_index\" is \(index), the file holds \(file.count) images")
    }
    guard file.elementType == .unsignedByte else { throw record.place.error("the images are not bytes") }
    return file.item(index).map { Rational(Int($0), 255) }
  }

  /// The point that a record is about: its centre or its image.
  func center(_ record: RegionRecord, _ loaded: Loaded) throws -> [Rational]? {
    guard let center = try record.center ?? image(record) else { return nil }
    guard center.count == loaded.inputCount else {
      throw record.place.error(
        "the centre has \(center.count) coordinates, the network \(loaded.inputCount) inputs")
    }
    return center
  }

  /// The region of a record.
  func box(_ record: RegionRecord, _ loaded: Loaded) throws -> RegionRecord.Box {
    var box: RegionRecord.Box
    if let given = record.box {
      box = given
    } else if let radius = record.radius, let center = try center(record, loaded) {
      if record.isL1 {
        throw record.place.error("an L1 ball is no box; only --minimal measures in L1")
      }
      box = RegionRecord.Box(lower: center.map { $0 - radius }, upper: center.map { $0 + radius })
      if let domain = record.domain {
        guard domain.lower.count == center.count else {
          throw record.place.error("\"input_domain\" has another size")
        }
        for i in center.indices {
          box.lower[i] = max(box.lower[i], domain.lower[i])
          box.upper[i] = min(box.upper[i], domain.upper[i])
        }
      } else if record.imageIndex != nil {
        for i in center.indices {
          box.lower[i] = max(box.lower[i], 0)
          box.upper[i] = min(box.upper[i], 1)
        }
      }
    } else {
      throw record.place.error("needs \"region\", or \"eps\" with \"center\" or \"image_index\"")
    }
    guard box.lower.count == loaded.inputCount else {
      throw record.place.error(
        "the region has \(box.lower.count) coordinates, the network \(loaded.inputCount) inputs")
    }
    return box
  }

  /// The class of the network at a point, in exact arithmetic where float32 is not clear.
  func label(at x: [Rational], _ loaded: Loaded) throws -> Int {
    let outputs = try loaded.runner.deployed(x.map(\.nearestFloat)).map { Double($0) }
    let order = outputs.indices.sorted { outputs[$0] > outputs[$1] }
    guard order.count > 1 else { return 0 }
    let size = outputs.reduce(0) { max($0, abs($1)) }
    if outputs[order[0]] - outputs[order[1]] > 1e-4 * (1 + size) { return order[0] }
    let exact = try loaded.exact().exactOutputs(at: x)
    var best = 0
    for (i, y) in exact.enumerated() where y > exact[best] { best = i }
    return best
  }

  /// What violates a record's property.
  func violation(_ record: RegionRecord, _ loaded: Loaded) throws -> [[OutputConstraint]] {
    let clauses: [[OutputConstraint]]
    if let given = record.violation {
      clauses = given
    } else {
      guard let property = record.property ?? (record.label != nil ? .strictArgmax : nil) else {
        throw record.place.error("needs \"violation\", or \"property\" with \"label\"")
      }
      let label: Int
      if let given = record.label {
        label = given
      } else if let center = try center(record, loaded) {
        label = try self.label(at: center, loaded)
      } else {
        throw record.place.error("\"property\" needs \"label\"")
      }
      guard label >= 0, label < loaded.outputCount else {
        throw record.place.error("\"label\" is \(label), the network has \(loaded.outputCount) outputs")
      }
      guard loaded.outputCount > 1 else {
        throw record.place.error(
          "\"\(property.rawValue)\" compares outputs, and the network has only one; state a \"violation\"")
      }
      clauses = SafetyQuery.misclassification(
        label: label, outputs: loaded.outputCount, isMaximum: property == .strictArgmax)
    }
    for constraint in clauses.joined() {
      for term in constraint.terms where term.output >= loaded.outputCount {
        throw record.place.error(
          "the violation names output \(term.output), the network has \(loaded.outputCount)")
      }
      if loaded.isBehindSoftmax {
        // Only comparisons of two probabilities mean the same for logits.
        let sum = constraint.terms.reduce(Rational()) { $0 + $1.coefficient }
        guard constraint.rhs.isZero, constraint.terms.count == 2, sum.isZero else {
          throw UnsupportedOperator(
            node: loaded.graph.outputs[0].name, operatorName: "Softmax",
            reason: "only comparisons between two outputs can be decided exactly behind a softmax")
        }
      }
    }
    return clauses
  }

  func query(_ record: RegionRecord, _ loaded: Loaded) throws -> SafetyQuery {
    let box = try self.box(record, loaded)
    return SafetyQuery(lower: box.lower, upper: box.upper, violation: try violation(record, loaded))
  }

  // MARK: Answers

  /// Decides whether a record's property holds on its region.
  public func decide(_ record: RegionRecord, _ options: SolverOptions) throws -> RegionAnswer {
    let start = ContinuousClock.now
    let loaded = try load(record)
    let query = try self.query(record, loaded)
    let network = try loaded.exact()
    let result = try solve(query, network, loaded, options)
    var answer = RegionAnswer(record, start)
    answer.verdict = result.verdict.rawValue
    answer.witness = result.witness
    answer.reason = result.reason
    answer.statistics = result.statistics
    if let tree = result.proof {
      var neurons: [Int: Int] = [:]
      for block in network.blocks where block.kind != .affine {
        for v in block.range { neurons[v] = neurons.count }
      }
      answer.proof = ProofFile.text(
        identifier: record.identifier, network: loaded.graph.fingerprint(of: loaded.target), query: query,
        tree: tree, neuronOfVariable: neurons)
    }
    answer.seconds = (ContinuousClock.now - start) / .seconds(1)
    return answer
  }

  /// Decides a query; where a certificate is wanted, tries both the method that gives one and the method that was chosen.
  private func solve(
    _ query: SafetyQuery, _ network: PiecewiseLinearNetwork, _ loaded: Loaded, _ options: SolverOptions
  ) throws -> SafetyResult {
    let runner = loaded.runner
    let checker = options.wantsProof ? try? CheckerNetwork(loaded.graph, to: loaded.target) : nil
    func solved(_ options: SolverOptions) throws -> SafetyResult {
      let solver = try SafetySolver(
        network, query, options: options, deployed: { try runner.deployed($0) }, checker: checker)
      return try solver.solve()
    }
    var result = try solved(options)
    guard options.wantsProof, !TimeLimit(deadline: options.deadline).isOver else { return result }
    if result.verdict == .holds, result.proof == nil {
      var search = options
      search.method = .bab
      result.proof = try solved(search).proof
    } else if result.verdict == .unknown, options.method == .auto {
      var plain = options
      plain.wantsProof = false
      result = try solved(plain)
    }
    if result.verdict == .holds, result.proof == nil { result.reason = "no certificate was found" }
    return result
  }

  /// The exact minimal distance from a record's centre to a violation.
  ///
  /// - Parameter progress: Called with the state of the search now and then.
  public func minimise(
    _ record: RegionRecord, isL1: Bool?, _ options: SolverOptions,
    progress: ((DistanceProgress) -> Void)? = nil
  ) throws -> RegionAnswer {
    let start = ContinuousClock.now
    let loaded = try load(record)
    guard let center = try center(record, loaded) else {
      throw record.place.error("a minimal distance needs \"center\" or \"image_index\"")
    }
    let violation = try violation(record, loaded)
    let domain: RegionRecord.Box
    // How far the domain lets the search look in every direction, where that is what makes the domain.
    var reach: Rational?
    if let given = record.domain {
      domain = given
    } else if record.imageIndex != nil {
      domain = RegionRecord.Box(
        lower: [Rational](repeating: 0, count: center.count),
        upper: [Rational](repeating: 1, count: center.count))
    } else if record.box != nil || record.radius != nil && !record.isL1 {
      domain = try box(record, loaded)
      if record.box == nil { reach = record.radius }
    } else {
      throw record.place.error(
        "a minimal distance needs \"input_domain\", or \"eps\" as the farthest distance")
    }
    guard domain.lower.count == loaded.inputCount else {
      throw record.place.error(
        "\"input_domain\" has \(domain.lower.count) coordinates, not \(loaded.inputCount)")
    }
    for i in center.indices where center[i] < domain.lower[i] || center[i] > domain.upper[i] {
      throw record.place.error("the centre lies outside the domain in coordinate \(i)")
    }
    let runner = loaded.runner
    let search = try MinimalRadiusSearch(
      try loaded.exact(), domain: SafetyQuery(lower: domain.lower, upper: domain.upper, violation: violation),
      center: center, isL1: isL1 ?? record.isL1, options: options
    ) { try runner.deployed($0) }
    search.progress = progress
    let result = try search.run()
    var answer = RegionAnswer(record, start)
    if result.radius == nil && result.reason == nil {
      answer.verdict = Verdict.holds.rawValue
      answer.lowerBound = reach
    } else if result.reason == nil {
      answer.verdict = Verdict.violated.rawValue
      answer.minimal = result.radius
    } else {
      answer.verdict = Verdict.unknown.rawValue
      answer.upperBound = result.radius
      answer.lowerBound = result.lowerBound
    }
    answer.norm = (isL1 ?? record.isL1) ? "l1" : "linf"
    answer.witness = result.witness
    answer.reason = result.reason
    answer.statistics = result.statistics
    answer.seconds = (ContinuousClock.now - start) / .seconds(1)
    return answer
  }

  /// Replays the proofs of a file against the records of a region file.
  public func check(proof path: String, records: [RegionRecord]) throws -> ProofVerdict {
    let sections: [ProofSection]
    do {
      sections = try ProofFile.read(path)
    } catch let error as FileError where error.place != nil || error.reason.contains("proof") {
      return ProofVerdict(isValid: false, place: error.place ?? "end", reason: error.reason, nodes: 0)
    }
    var nodes = 0
    // The records that have a proof: a proof given twice proves one record.
    var proven = Set<Int>()
    for section in sections {
      // Records without a name, or with the same one, are told apart by what they ask.
      let matches = try records.indices.filter { records[$0].identifier == section.identifier }.map { index in
        let loaded = try load(records[index])
        return (index: index, loaded: loaded, query: try self.query(records[index], loaded))
      }
      let equal = matches.filter { $0.query == section.query }
      guard
        let (index, loaded, query) = equal.first(where: { !proven.contains($0.index) }) ?? equal.first
          ?? matches.first
      else {
        return ProofVerdict(
          isValid: false, place: "line \(section.line): id",
          reason: "the region file has no record \"\(section.identifier)\"", nodes: nodes)
      }
      let verdict = try ProofChecker.check(section, graph: loaded.graph, target: loaded.target, query: query)
      if !verdict.isValid { return verdict }
      nodes += verdict.nodes
      proven.insert(index)
    }
    if records.count == 1, proven.isEmpty {
      return ProofVerdict(
        isValid: false, place: "end", reason: "there is no proof of this record", nodes: nodes)
    }
    return ProofVerdict(isValid: true, place: nil, reason: nil, nodes: nodes, proofs: proven.count)
  }

  /// A proof whose lines were changed, with valid fingerprints.
  package static func resealedProof(_ proof: String) throws -> String { try ProofFile.resealed(proof) }

  /// A proof rewritten, with valid fingerprints, to claim the region of another record of the same network: for tests that
  /// the checker's arithmetic alone refuses it.
  package func forgedProof(_ proof: String, claiming record: RegionRecord) throws -> String {
    let loaded = try load(record)
    return try ProofFile.replacingQuery(in: proof, by: try query(record, loaded))
  }
}
