import ArgumentParser
import CKernels
import CommandSupport
import Domains
import FileFormats
import IR
import Inputs
import Limits
import Reports
import Rigor
import Search
import Specifications

struct CompareCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "How far apart two networks are on a region: pruned, quantised, fine-tuned, exported twice.",
    discussion: """
      Bounds second minus first for every output over all inputs of the region and decides a claim: --within D, no output \
      differs by more than D; --same-class, where an element of the first network's output is the largest it is the largest of \
      the second's. Prints holds, violated with an input that shows it, unknown or timed-out; bounded without a claim. \
      All answers are about exact real arithmetic on the stored weights, rounding included.

      Example: nnverify compare networks/digits-mlp.onnx pruned.onnx 0.01 --within 0.5
      """)

  @Argument(help: "The first network.")
  var first: String

  @Argument(help: "The second network.")
  var second: String

  @Argument(help: "The size of the perturbation, a decimal or a quotient; not needed with --box and --query.")
  var epsilon: Radius?

  @Option(help: ArgumentHelp("The centre: JSON or .npy.", valueName: "file"))
  var input: String?

  @Option(help: ArgumentHelp("The region: JSON with lower and upper bounds.", valueName: "file"))
  var box: String?

  @Option(
    help: ArgumentHelp("The region: the input bounds of a VNN-LIB query over one network.", valueName: "file")
  )
  var query: String?

  @Option(help: ArgumentHelp("The claim that no output differs by more than this.", valueName: "distance"))
  var within: Radius?

  @Flag(help: "The claim that both networks name the same class.")
  var sameClass = false

  @OptionGroup var limits: LimitOptions

  @Option(help: ArgumentHelp("Threads to use.", valueName: "n"))
  var threads = 1

  @Option(help: ArgumentHelp("The seed of the attack's starting points.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "JSON on standard output.")
  var json = false

  func validate() throws {
    let regions = [epsilon != nil, box != nil, query != nil].filter { $0 }.count
    guard regions == 1 else { throw ValidationError("give one of EPSILON, --box and --query") }
    if input != nil && epsilon == nil { throw ValidationError("--input is the centre that EPSILON needs") }
    if within != nil && sameClass { throw ValidationError("--within and --same-class exclude each other") }
    try Check.positive(threads, "--threads", limit: 1024)
  }

  var printsJSON: Bool { json }

  func run(_ supervisor: Supervisor) throws {
    ck_keep_freed_memory()
    let control = SearchControl(
      seconds: limits.timeout, threads: threads, memoryLimit: limits.memoryBytes, seed: seed,
      cancellation: supervisor.cancellation)
    let loaded = try LoadedNetwork(network: first, input: input)
    let other = try LoadedNetwork(network: second, input: input)
    let region = try ComparedRegion(self, loaded)
    let comparison = try NetworkComparison(
      loaded.graph, other.graph, region: region.bounds, files: (first, second))
    if sameClass && comparison.classCount < 2 {
      throw ValidationError("--same-class: the first output has one element, so there are no classes")
    }
    let hasClaim = sameClass || within != nil
    let deliver = { @Sendable (difference: [NetworkComparison.Range], verification: Verification?) throws in
      let report = ComparisonReport(
        names: comparison.outputs, difference: difference, verification: verification.map(region.checked),
        within: within?.text, inputs: loaded.graph.inputNodes, seconds: control.elapsed)
      if json { try printJSON(report.json) } else { try StandardOutput.write(report.text) }
    }
    let unknown = comparison.outputs.map { _ in NetworkComparison.Range(lower: -.infinity, upper: .infinity) }
    supervisor.ifStopped { stop in
      try deliver(unknown, hasClaim ? Verification(stopped: .init(stop)) : nil)
    }
    // Intervals at once, so that there is an answer at any limit.
    let rough = try comparison.differenceBounds(method: .ibp, threads: threads)
    supervisor.ifStopped { stop in
      try deliver(rough, hasClaim ? Verification(stopped: .init(stop)) : nil)
    }
    let difference = try comparison.differenceBounds(threads: threads)
    supervisor.ifStopped { stop in
      try deliver(difference, hasClaim ? Verification(stopped: .init(stop)) : nil)
    }
    let verification = try claim.map { claim -> Verification in
      // Bounds of the whole region may already say it.
      if case .within(let distance) = claim,
        difference.allSatisfy({ within(distance, $0.lower) && within(distance, $0.upper) })
      {
        return Verification(verdict: .unsat, method: "bounds of the difference")
      }
      // The search looks at its control, which knows how far it may go on.
      return try Cancellation.$current.withValue(nil) { try comparison.decide(claim, control: control) }
    }
    try supervisor.finish { try deliver(difference, verification) }
  }

  private func within(_ distance: Rational, _ value: Double) -> Bool {
    guard let exact = Rational(exactly: value) else { return false }
    return exact.magnitude <= distance
  }

  private var claim: NetworkComparison.Claim? {
    if sameClass { return .sameClass }
    // Radius has checked the text.
    return within.flatMap { Rational($0.text) }.map { .within($0) }
  }
}

/// The region that two networks are compared on.
struct ComparedRegion: Sendable {
  /// Never smaller than what was written: decimals that are no doubles are rounded outward.
  var bounds: [[VariableBounds]]
  /// Never larger: a witness has to lie in it.
  private var inner: [[VariableBounds]]

  init(_ command: CompareCommand, _ loaded: LoadedNetwork) throws {
    let nodes = loaded.graph.inputNodes
    if let path = command.box {
      let box = try BoxDocument(contentsOf: path)
      let region = try PerturbedRegion(box, for: loaded.graph)
      bounds = region.region.inputs.map { set in
        zip(set.hull.lower.elements, set.hull.upper.elements).map {
          VariableBounds(lower: Rational($0), upper: Rational($1))
        }
      }
      inner = try box.innerBounds(nodes)
    } else if let path = command.query {
      bounds = try Self.bounds(of: Query(contentsOf: path), nodes)
      inner = bounds
    } else {
      // validate() has made sure of EPSILON, whose text is a number.
      let radius = command.epsilon.flatMap { Rational($0.text) } ?? .zero
      func ball(_ shift: (DecimalTensor, Int) -> (Double, Double)) -> [[VariableBounds]] {
        loaded.inputs.values.map { values in
          (0..<values.count).map { i in
            let (low, high) = shift(values, i)
            return VariableBounds(lower: Rational(low) - radius, upper: Rational(high) + radius)
          }
        }
      }
      bounds = ball { ($0.lower[$1], $0.upper[$1]) }
      inner = ball { ($0.upper[$1], $0.lower[$1]) }
    }
  }

  /// A violation at a point that only rounding put into the region shows nothing.
  func checked(_ verification: Verification) -> Verification {
    guard let witness = verification.witness else { return verification }
    if zip(witness.input, inner.flatMap { $0 }).allSatisfy({ $1.contains($0) }) { return verification }
    var open = verification
    open.verdict = .unknown
    open.witness = nil
    open.reason = "a violation was found only where rounding makes the region larger"
    return open
  }

  private static func bounds(of query: Query, _ nodes: [Node]) throws -> [[VariableBounds]] {
    guard query.networks.count == 1, let network = query.networks.first else {
      throw FileError(file: query.file, reason: "a region is read from a query over one network")
    }
    guard network.inputs.map(\.count) == nodes.map(\.shape.count) else {
      throw FileError(
        file: query.file,
        reason:
          "its inputs have \(network.inputs.map(\.count)) elements, the network's \(nodes.map(\.shape.count))"
      )
    }
    let cases = query.cases()
    guard cases.count == 1, let part = cases.first else {
      throw FileError(file: query.file, reason: "its inputs form \(cases.count) boxes, one is needed")
    }
    return network.inputs.map { tensor in tensor.variables.map { part.bounds[$0] ?? VariableBounds() } }
  }
}

/// What `compare` prints.
struct ComparisonReport {
  var names: [String]
  var difference: [NetworkComparison.Range]
  /// nil without a claim.
  var verification: Verification?
  var within: String?
  var inputs: [Node]
  var seconds: Double

  /// The claim's verdict: the query's is about its violation.
  var verdict: String? {
    verification.map {
      switch $0.verdict {
      case .sat: "violated"
      case .unsat: "holds"
      case .unknown: "unknown"
      case .timedOut: "timed-out"
      }
    }
  }

  private var witness: [String]? {
    verification?.witness.map { $0.input.map { $0.decimalText ?? $0.description } }
  }

  var json: JSONValue {
    [
      "verdict": verdict.map { .string($0) } ?? .null,
      "within": within.map { .string($0) } ?? .null,
      "difference": .array(
        zip(names, difference).map { name, bounds in
          [
            "output": .string(name), "lower": JSONValue(result: bounds.lower),
            "upper": JSONValue(result: bounds.upper),
          ]
        }),
      "witness": witness.map { JSONValue($0) } ?? .null,
      "seconds": JSONValue((seconds * 1000).rounded() / 1000),
    ]
  }

  var text: String {
    var lines = [verdict ?? "bounded", ""]
    var table = TextTable([
      .init("second - first"), .init("lower", .right), .init("upper", .right),
    ])
    let decimals = DirectedDecimal(
      for: difference.flatMap { [$0.lower, $0.upper] }, resolving: difference.map { $0.upper - $0.lower })
    for (name, bounds) in zip(names, difference) {
      table.append([name, decimals.text(bounds.lower, .down), decimals.text(bounds.upper, .up)])
    }
    lines += table.lines()
    if let witness {
      lines.append("")
      var place = 0
      for node in inputs {
        let values = witness[place..<(place + node.shape.count)].joined(separator: " ")
        lines.append("\(node.name) = \(values)")
        place += node.shape.count
      }
    }
    if let reason = verification?.reason, !reason.isEmpty { lines += ["", reason] }
    lines += ["", "real arithmetic on the stored weights, rounding included"]
    return lines.joined(separator: "\n") + "\n"
  }
}
