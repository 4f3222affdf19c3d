import ArgumentParser
import CommandSupport
import FileFormats
import Foundation
import Limits
import Reports
import Rigor
import SMT
import Synchronization
import Tensors

extension SolverMethod: ExpressibleByArgument {}
extension FeatureHeuristic: ExpressibleByArgument {}

/// `--manipulations SPAN,STEPS`.
struct ManipulationSize: ExpressibleByArgument {
  var span: Rational
  var steps: Int

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    guard parts.count == 2, let span = Rational(String(parts[0])), let steps = Int(parts[1]), span > 0,
      steps >= 1, steps <= 30_000
    else { return nil }
    self.span = span
    self.steps = steps
  }
}

/// `--search single|multi:B`.
struct SearchPaths: ExpressibleByArgument {
  var count: Int

  init?(argument: String) {
    if argument == "single" {
      count = 1
    } else if argument.hasPrefix("multi:"), let count = Int(argument.dropFirst(6)), count >= 1,
      count <= 10_000
    {
      self.count = count
    } else {
      return nil
    }
  }
}

struct SMTCommand: SupervisedCommand {
  enum Norm: String, ExpressibleByArgument, CaseIterable {
    case inf
    case one = "1"
  }
  enum Order: String, ExpressibleByArgument, CaseIterable { case l1, l2 }
  enum Inverse: String, ExpressibleByArgument, CaseIterable { case exact, layerwise }
  enum Path: String, ExpressibleByArgument, CaseIterable {
    case singleLayer = "single-layer"
    case stepwise
  }

  static let configuration = CommandConfiguration(
    commandName: "smt",
    abstract: "Exact safety of a region, exact minimal distances, and layer-wise search.",
    discussion: """
      REGION is a JSON file with one query, or a .jsonl file with one a line. All answers are about exact real \
      arithmetic on the stored weights; every witness is checked in exact arithmetic and replayed in float32. The \
      guide docs/guides/smt.md says what each outcome claims.
      """)

  @Argument(help: "The region file, .json or .jsonl.")
  var region: String

  @Option(
    help: "How to decide: auto, exact (Z3 on all that root bounds leave), or bab (branch and bound only).")
  var method: SolverMethod = .auto

  @Option(help: ArgumentHelp("Write the certificates of all 'holds' here.", valueName: "file"))
  var proof: String?

  @Flag(help: "Print one JSON object a query.")
  var json = false

  @Flag(help: "The exact smallest distance from the centre to a violation.")
  var minimal = false

  @Option(help: "The norm of that distance: inf or 1.")
  var norm: Norm?

  @Option(help: ArgumentHelp("Layer-wise search at layer K; 0 is the input.", valueName: "k"))
  var layers: Int?

  @Option(
    help: ArgumentHelp("The size of a manipulation and the steps to either side.", valueName: "span,steps"))
  var manipulations: ManipulationSize?

  @Option(help: ArgumentHelp("How many features to manipulate.", valueName: "n"))
  var features: Int = 1

  @Option(help: ArgumentHelp("Coordinates of a feature.", valueName: "d"))
  var dims: Int = 5

  @Option(help: "How features are chosen: activation or derivative.")
  var heuristic: FeatureHeuristic = .activation

  @Option(help: ArgumentHelp("Keep one activation after each feature, or B.", valueName: "single|multi:B"))
  var search: SearchPaths?

  @Option(help: "Visit lattice points in order of growing l1 or l2 distance.")
  var order: Order = .l2

  @Option(help: "How inner layers are mapped back: exact or layerwise.")
  var inverse: Inverse = .exact

  @Option(help: "Check only layer K, or all layers up to it in turn: single-layer or stepwise.")
  var path: Path = .singleLayer

  @Option(help: ArgumentHelp("Draw what was found, .svg or .png.", valueName: "file"))
  var picture: String?

  @Flag(inversion: .prefixedNo, help: "Learn clauses from refuted parts.")
  var learning = true

  @Option(help: "The seed of the search for violations.")
  var seed: UInt64 = 0

  /// The time limit holds for each query.
  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if let layers, layers < 0 { throw ValidationError("--layers must not be negative") }
    guard features >= 1, features <= 1_000_000 else { throw ValidationError("--features must be at least 1") }
    guard dims >= 1, dims <= 1_000_000 else { throw ValidationError("--dims must be at least 1") }
    if minimal && layers != nil { throw ValidationError("--minimal and --layers exclude each other") }
    if norm != nil && !minimal { throw ValidationError("--norm goes with --minimal") }
    if proof != nil && (minimal || layers != nil) {
      throw ValidationError("--proof goes with the plain decision of a region")
    }
    if let picture, !picture.hasSuffix(".svg"), !picture.hasSuffix(".png") {
      throw ValidationError("--picture must end in .svg or .png")
    }
  }

  func run(_ supervisor: Supervisor) throws {
    // Batches of small products: threads of the BLAS would only wait for each other.
    useSingleThreadedBLAS()
    let proofFile = try OutputFile(proof)
    let drawing = try OutputFile(picture)
    let records = try RegionRecord.read(region)
    for record in records {
      InputFiles.current?.note(path: record.network)
      if let images = record.images { InputFiles.current?.note(path: images) }
    }
    try proofFile?.checkIsNoInput()
    try drawing?.checkIsNoInput()
    // From here on every query has a time of its own.
    supervisor.restart(timeout: nil)
    let latest = LatestDistance()
    supervisor.ifStopped { try show(records[...], stopped: $0, latest) }
    var session = RegionSession()
    var proofs = ""
    var last: (RegionRecord, RegionAnswer)?
    for (index, record) in records.enumerated() {
      latest.set(nil)
      let answer = try limitedAnswer(record, &session, latest)
      if let text = answer.proof { proofs += text }
      try supervisor.part {
        try show(answer, isBatch: records.count > 1)
      } then: {
        try show(records[(index + 1)...], stopped: $0, latest)
      }
      last = (record, answer)
    }
    if let proofFile {
      if proofs.isEmpty {
        // A violation, or no decision, is an answer too.
        StandardError.write("\(proofFile.path): nothing was proven, so no proof is written\n")
      } else {
        try proofFile.write(proofs)
      }
    }
    if let drawing, let (record, answer) = last {
      try drawing.write(try session.picture(record, answer, path: drawing.path))
    }
  }

  private func show(_ answer: RegionAnswer, isBatch: Bool) throws {
    if json {
      try printJSON(answer.json)
    } else {
      try StandardOutput.write(VisibleText.lines(SMTReport.text(answer, isBatch: isBatch)))
    }
  }

  /// Queries that a limit or a signal left without an answer.
  ///
  /// - Parameter latest: What is known of the first one.
  private func show(_ records: ArraySlice<RegionRecord>, stopped: StopReason, _ latest: LatestDistance) throws
  {
    for (offset, record) in records.enumerated() {
      var answer = unanswered(record, stopped.text, seconds: 0)
      if offset == 0 { latest.add(to: &answer, norm(of: record)) }
      try show(answer, isBatch: records.count > 1)
    }
  }

  private func isMinimal(_ record: RegionRecord) -> Bool {
    minimal || (record.kind == .minimalRadius && layers == nil)
  }

  private func norm(of record: RegionRecord) -> String {
    norm.map { $0 == .one } ?? record.isL1 ? "l1" : "linf"
  }

  /// Seconds that a minimal distance may take where no limit is given: it can take any time, and both ends are worth having.
  private static let minimalSeconds = 60.0

  private func seconds(for record: RegionRecord) -> Double? {
    limits.timeout ?? (isMinimal(record) ? Self.minimalSeconds : nil)
  }

  private func isLayerwise(_ record: RegionRecord) -> Bool {
    layers != nil || (record.kind == .lattice && !minimal)
  }

  private func unanswered(_ record: RegionRecord, _ reason: String, seconds: Double) -> RegionAnswer {
    RegionAnswer(
      unanswered: record, isLayerwise: isLayerwise(record), reason: reason, seconds: seconds)
  }

  /// Seconds that a query has, past its limit, to end by itself.
  private static let grace = 0.2

  /// The answer to one query within its time, whatever part of the search overruns it.
  private func limitedAnswer(
    _ record: RegionRecord, _ session: inout RegionSession, _ latest: LatestDistance
  ) throws -> RegionAnswer {
    guard let timeout = seconds(for: record) else { return try answer(record, session, latest) }
    let start = ContinuousClock.now
    // Used by one thread at a time: after a time-out nobody else touches it.
    nonisolated(unsafe) let own = session
    let inTime = try attempt(
      seconds: timeout + Self.grace / 2, grace: Self.grace / 2, { try answer(record, own, latest) })
    if let inTime { return inTime }
    session = RegionSession()
    var late = unanswered(
      record, StopReason.timeLimit.text, seconds: (ContinuousClock.now - start) / .seconds(1))
    latest.add(to: &late, norm(of: record))
    return late
  }

  private func answer(_ record: RegionRecord, _ session: RegionSession, _ latest: LatestDistance) throws
    -> RegionAnswer
  {
    let deadline = seconds(for: record).map { ContinuousClock.now + .seconds($0) }
    var isolated: Z3Process?
    if deadline != nil, let program = Bundle.main.executablePath {
      isolated = Z3Process(program: program, arguments: ["smt-child"])
    }
    if record.kind == .inverseMap {
      return try session.invert(record, deadline: deadline, isolated: isolated)
    }
    if isLayerwise(record) {
      var options = LayerwiseOptions()
      options.layer = layers ?? 0
      options.span = manipulations?.span
      options.steps = manipulations?.steps
      options.features = features
      options.featureDimensions = dims
      options.heuristic = heuristic
      options.paths = search?.count ?? 1
      options.ordersByL2 = order == .l2
      options.inverseIsExact = inverse == .exact
      options.isStepwise = path == .stepwise
      options.deadline = deadline
      options.isolated = isolated
      options.seed = seed
      options.keepsGrid = picture != nil
      return try session.layerwise(record, options)
    }
    var options = SolverOptions()
    options.method = method
    options.deadline = deadline
    options.wantsProof = proof != nil
    options.seed = seed
    options.isolated = isolated
    options.learnsClauses = learning
    if isMinimal(record) {
      let progress = ProgressLine()
      defer { progress.clear() }
      return try session.minimise(record, isL1: norm.map { $0 == .one }, options) { state in
        latest.set(state)
        let upper = state.upper.map { "violated at \($0.nearestDouble)" } ?? "no violation found yet"
        progress.update("nothing within \(state.lower.roundedDown)  \(upper)  \(state.nodes) subproblems")
      }
    }
    return try session.decide(record, options)
  }
}

/// How far a search for a minimal distance has come, for when it is stopped from outside.
private final class LatestDistance: Sendable {
  private let state = Mutex<DistanceProgress?>(nil)

  func set(_ progress: DistanceProgress?) { state.withLock { $0 = progress } }

  /// Both ends, where there are any.
  func add(to answer: inout RegionAnswer, _ norm: String) {
    guard let progress = state.withLock({ $0 }) else { return }
    answer.lowerBound = progress.lower
    answer.upperBound = progress.upper
    answer.norm = norm
  }
}

/// The solver process that `smt --method exact --timeout` starts.
struct SMTChildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "smt-child", abstract: "Answers one query of the smt command.", shouldDisplay: false)

  @Option(help: "The process that asks; this one ends with it.")
  var parent: Int32?

  func run() throws {
    if let parent { Z3Process.endWith(parent: parent) }
    let input = FileHandle.standardInput.readDataToEndOfFile()
    let reply = Z3Process.serve(input: String(decoding: input, as: UTF8.self))
    try StandardOutput.write(reply)
  }
}

/// Answers for people.
enum SMTReport {
  static func text(_ answer: RegionAnswer, isBatch: Bool) -> String {
    let time = String(format: "%.3f s", answer.seconds)
    if isBatch {
      var line = pad(answer.identifier.isEmpty ? "-" : VisibleText.line(answer.identifier), 18)
      line += pad(answer.status ?? answer.verdict, 24)
      line += pad(time, 11)
      if let minimal = answer.minimal {
        line += "distance \(number(minimal))"
      } else if answer.verdict == Verdict.holds.rawValue, let bound = answer.lowerBound {
        line += "distance further than \(number(bound))"
      } else if let layerwise = answer.layerwise {
        line += "\(layerwise.latticePoints) points, \(layerwise.misclassifiedPoints) misclassified"
      } else if let reason = answer.reason {
        line += reason
      }
      return line + "\n"
    }
    var rows: [(String, String)] = []
    if !answer.identifier.isEmpty { rows.append(("query", VisibleText.line(answer.identifier))) }
    rows.append(("verdict", answer.status ?? answer.verdict))
    if answer.status == nil { rows.append(("claim", answer.claim)) }
    rows.append(("semantics", RegionAnswer.semantics))
    if let minimal = answer.minimal {
      rows.append(("distance", "\(minimal) (\(number(minimal)), \(answer.norm ?? "linf"))"))
    }
    if answer.verdict == Verdict.holds.rawValue, let bound = answer.lowerBound {
      rows.append(("distance", "further than \(bound) (\(number(bound)), \(answer.norm ?? "linf"))"))
    } else if let bound = answer.lowerBound {
      rows.append(("nothing within", "\(bound.roundedDown) (\(answer.norm ?? "linf"))"))
    }
    if let bound = answer.upperBound { rows.append(("violated at", number(bound))) }
    for layer in answer.layers.dropLast() {
      let counts = "\(layer.latticePoints) points, \(layer.misclassifiedPoints) misclassified"
      rows.append(("layer \(layer.layer)", "\(layer.outcome.rawValue): \(counts)"))
    }
    if let layerwise = answer.layerwise { rows += self.rows(layerwise) }
    if let witness = answer.witness {
      rows.append(("witness", vector(witness.point.map { number($0) })))
      rows.append(("in float32", vector(witness.float32.map { "\($0)" })))
      if witness.violatesInFloat32 == false {
        rows.append(("note", "a tie: the float32 run of the network falls on the other side"))
      }
    }
    if let preimage = answer.preimage { rows.append(("preimage", vector(preimage.map(\.description)))) }
    if let reason = answer.reason { rows.append(("reason", reason)) }
    if let s = answer.statistics {
      rows.append(
        (
          "search",
          "\(s.nodes) subproblems, \(s.z3Calls) Z3 calls, \(s.undecidedAtRoot) of \(s.neurons) neurons undecided"
        ))
    }
    rows.append(("time", time))
    return rows.map { pad($0.0, 14) + $0.1 + "\n" }.joined()
  }

  private static func rows(_ result: LayerwiseResult) -> [(String, String)] {
    var rows = [("layer", "\(result.layer)"), ("label", "\(result.label)")]
    for feature in result.features.prefix(8) {
      rows.append(("feature", feature.map(String.init).joined(separator: " ")))
    }
    rows.append(("lattice", "\(result.latticePoints) points, \(result.misclassifiedPoints) misclassified"))
    if let l1 = result.nearestL1, let l2 = result.nearestL2Squared {
      rows.append(("nearest", "l1 \(number(l1)), l2 \(l2.nearestDouble.squareRoot())"))
    }
    if let cells = result.cells, let certified = result.certifiedCells {
      rows.append(("cells", "\(certified) of \(cells) certified"))
    }
    if result.betweenLatticePoints != nil {
      rows.append(("note", "between lattice points there is a misclassified input"))
    }
    return rows
  }

  private static func number(_ value: Rational) -> String { "\(value.nearestDouble)" }

  private static func vector(_ values: [String]) -> String {
    values.count <= 12
      ? values.joined(separator: " ")
      : values.prefix(12).joined(separator: " ") + " ... (\(values.count) values, all with --json)"
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text.count >= width ? text + " " : text + String(repeating: " ", count: width - text.count)
  }
}
