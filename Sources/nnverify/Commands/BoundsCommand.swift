import ArgumentParser
import Bounds
import CommandSupport
import Domains
import FileFormats
import Foundation
import IR
import Inputs
import Limits
import Reports
import Tensors

struct BoundsCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "bounds",
    abstract: "Guaranteed bounds of a network's outputs over a region of inputs.",
    discussion: """
      The region is every input within EPSILON of a point: that of --input, else the sample stored beside the \
      network, else the zero vector; or the box of --box. All rounding is included: the bounds hold for the \
      real-valued network on the stored weights, with --arithmetic float32 for the network as deployed.
      """)

  @Argument(help: "The network: ONNX or .nnet, plain or gzip-compressed.")
  var model: String

  @Argument(
    help: "The size of the perturbation, a decimal or a quotient such as 2/255; not needed with --box.")
  var epsilon: Radius?

  @Option(help: ArgumentHelp("The centre: JSON or .npy.", valueName: "file"))
  var input: String?

  @Option(help: ArgumentHelp("The region: JSON with lower and upper bounds.", valueName: "file"))
  var box: String?

  @Option(help: "The norm of the perturbation: inf, 2 or 1, over all elements of an input.")
  var norm: PerturbationNorm = .linf

  @Option(help: "How to bound: \(BoundMethod.allCases.map(\.rawValue).joined(separator: ", ")).")
  var method: BoundMethod = .best

  @Flag(help: "No intersection with interval bounds at every node, to compare with published numbers.")
  var plain = false

  @Option(help: "The lower line of an undecided ReLU: adaptive, zero, one or same.")
  var slope: SlopePolicy = .adaptive

  @Option(
    help: ArgumentHelp(
      "The inputs that EPSILON applies to; all floating-point ones by default.", valueName: "input,..."))
  var perturb: NameList?

  @Option(help: "What the bounds hold for: real, or float32 in any order of summation.")
  var arithmetic: Arithmetic = .real

  @Option(help: ArgumentHelp("The extent of a dynamic batch dimension.", valueName: "n"))
  var batch: Int?

  @Option(
    help: ArgumentHelp(
      "The shape of an input with open extents, as x=1,3,64,64; once per input.", valueName: "name=n,..."))
  var shape: [InputShape] = []

  @Option(help: ArgumentHelp("Steps of alpha-CROWN's optimiser.", valueName: "n"))
  var iterations: Int?

  @Option(help: ArgumentHelp("The optimiser's rate.", valueName: "x"))
  var learningRate: Double?

  @Option(
    help: ArgumentHelp(
      "How many values the varying indices of a look-up may take in all before it is refused (default: 1048576).",
      valueName: "n"))
  var choices: Int?

  @Option(
    help: ArgumentHelp("Bound this element of the first output minus every other one.", valueName: "label"))
  var margins: Int?

  @Option(
    help: ArgumentHelp(
      "Bound these linear functions of the first output: JSON {\"rows\":[[..],..]}.", valueName: "file"))
  var rows: String?

  @Flag(help: "Bounds of every node too.")
  var intermediate = false

  @Flag(help: "The linear functions of the input that bound the outputs, too.")
  var coefficients = false

  @Option(help: ArgumentHelp("Threads; results do not depend on it.", valueName: "n"))
  var threads: Int = ProcessInfo.processInfo.activeProcessorCount

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if box == nil && epsilon == nil { throw ValidationError("EPSILON or --box is needed") }
    if box != nil && input != nil { throw ValidationError("--input and --box exclude each other") }
    if box != nil && perturb != nil {
      throw ValidationError(
        "--perturb says what EPSILON applies to; a --box gives every input its own bounds")
    }
    if box != nil && norm != .linf { throw ValidationError("the norm of a --box is inf") }
    if margins != nil && rows != nil { throw ValidationError("--margins and --rows exclude each other") }
    if let margins, margins < 0 { throw ValidationError("--margins needs a label of 0 or more") }
    try Check.positive(batch, "--batch")
    try Check.positive(threads, "--threads", limit: 1024)
    if let iterations, iterations < 0 || iterations > 1_000_000 {
      throw ValidationError("--iterations must lie between 0 and 1000000")
    }
    try Check.positive(choices, "--choices")
    if let learningRate, !(learningRate > 0 && learningRate <= 1000) {
      throw ValidationError("--learning-rate must lie above 0 and not above 1000")
    }
  }

  func run(_ supervisor: Supervisor) throws {
    let progress = ProgressLine()
    progress.update("reading \(model)", isUrgent: true)
    let box = try box.map { try BoxDocument(contentsOf: $0) }
    let loaded =
      if let box {
        try LoadedNetwork(
          network: model, box: box, batch: batch, shapes: InputShape.shapes(shape), arithmetic: arithmetic)
      } else {
        try LoadedNetwork(
          network: model, input: input, batch: batch, shapes: InputShape.shapes(shape), arithmetic: arithmetic
        )
      }
    let graph = loaded.graph
    let region = try perturbedRegion(loaded, box)
    try loaded.checkBoundInputs(region.region)
    let target = try outputRows(graph)
    var options = BoundOptions(method: method)
    options.isPlain = plain
    options.slope = slope
    options.arithmetic = arithmetic
    options.threads = threads
    options.keepsCoefficients = coefficients
    options.boundsEveryNode = intermediate
    if let iterations { options.iterations = iterations }
    if let learningRate { options.learningRate = learningRate }
    if let choices { options.choiceLimit = choices }

    progress.update("bounding with \(method.rawValue)", isUrgent: true)
    let start = ContinuousClock.now
    // Whatever is known when a limit comes is an answer: that there are outputs, then intervals, which cost next to
    // nothing.
    let known = PartialBounds { [self] result, center, reason in
      progress.clear()
      var result = result
      if let error = target?.coefficientErrors { result.widen(byCoefficientErrors: error) }
      try print(
        BoundsReport(
          loaded: loaded, region: region, command: self, target: target, result: result, center: center,
          certification: nil, seconds: (ContinuousClock.now - start) / .seconds(1), stopped: reason))
    }
    known.take(.unbounded(graph, rows: target?.rows), supervisor)
    let center = try graph.values(at: region.center, rows: target?.rows)
    known.center(center)
    if method != .ibp {
      var quick = options
      quick.method = .ibp
      quick.isPlain = true
      quick.keepsCoefficients = false
      known.take(try graph.bounds(over: region.region, rows: target?.rows, quick), supervisor)
    }
    options.progress = { known.take($0, supervisor) }
    var result = try graph.bounds(over: region.region, rows: target?.rows, options)
    known.take(result, supervisor)
    options.progress = nil
    if let error = target?.coefficientErrors { result.widen(byCoefficientErrors: error) }
    var certification: Certification?
    if !json, target == nil, let label = graph.predictedLabel(center[0]) {
      certification = try graph.certification(
        label: label, over: region.region, known: result.outputs[0], options)
    }
    progress.clear()
    let answer = BoundsReport(
      loaded: loaded, region: region, command: self, target: target, result: result, center: center,
      certification: certification, seconds: (ContinuousClock.now - start) / .seconds(1))
    try supervisor.finish { try print(answer) }
  }

  private func print(_ report: BoundsReport) throws {
    if json { try printJSON(report.json) } else { CommandSupport.print(report.text) }
  }

  private func perturbedRegion(_ loaded: LoadedNetwork, _ box: BoxDocument?) throws -> PerturbedRegion {
    if let box { return try PerturbedRegion(box, for: loaded.graph) }
    for name in perturb?.names ?? [] {
      guard let node = loaded.graph.inputNodes.first(where: { $0.name == name }) else {
        let names = loaded.graph.inputNodes.map(\.name).joined(separator: ", ")
        throw ValidationError("--perturb: the network has no input '\(name)'; its inputs are \(names)")
      }
      guard node.elementType.isFloatingPoint else {
        throw ValidationError("--perturb: input '\(name)' holds integers")
      }
    }
    // validate() has made sure of EPSILON.
    guard let radius = epsilon?.number else { throw ValidationError("EPSILON is needed") }
    return try PerturbedRegion(
      around: loaded.inputs, radius: radius, norm: norm, perturbed: perturb?.names, in: loaded.graph)
  }

  private func outputRows(_ graph: Graph) throws -> BoundsTarget? {
    let shape = graph[graph.outputs[0].node].shape
    if let margins {
      guard shape.count >= 2 else {
        throw ValidationError(
          "--margins: the first output has one element, there is nothing to compare it with")
      }
      guard margins < shape.count else {
        throw ValidationError(
          "--margins: the first output has \(shape.count) elements, there is no label \(margins)")
      }
      return .margins(label: margins, count: shape.count)
    }
    if let rows { return try .rows(RowsDocument(contentsOf: rows), columns: shape.count) }
    return nil
  }
}
