import ArgumentParser
import CommandSupport
import Importers
import Search

struct SupportsCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "supports",
    abstract: "What the verifier supports, in the words of the VNN-LIB 2.0 standard.",
    discussion: "Give one capability; the answer has one item a line.")

  @Flag(help: "The least and the greatest version of VNN-LIB.")
  var vnnlibVersions = false
  @Flag(help: "The least and the greatest opset version of ONNX.")
  var onnxOpsetVersions = false
  @Flag(help: "Element types of declared tensors.")
  var onnxElementTypes = false
  @Flag(help: "Operators of ONNX models.")
  var onnxOperators = false
  @Flag(help: "Operators for which unsat can be proved in the standard's proof format.")
  var onnxOperatorsUnsatProofs = false
  @Flag(help: "NH: no hidden values; H: hidden values.")
  var hiddenNodeTheories = false
  @Flag(help: "SIO: a single input and output; MIO: several.")
  var multipleInputOutputTheories = false
  @Flag(help: "SNET, MENET, MINET, MNET: one network, several equal, isomorphic, arbitrary ones.")
  var multipleNetworkTheories = false
  @Flag(help: "SNC, MNC: comparisons of one network's values, of several's.")
  var multipleNodeComparisonTheories = false
  @Flag(help: "BND, COUT, LIN, POLY: bounds, output comparisons, linear and polynomial arithmetic.")
  var arithmeticComplexityTheories = false
  @Flag(help: "Whether disjunctions are handled better than one by one.")
  var optimisedDisjunctiveReasoning = false
  @Flag(help: "Whether assignments can be written as ONNX tensors.")
  var serialiseAssignments = false
  @Flag(help: "Whether unsat can be proved in the standard's proof format.")
  var unsatProofs = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { false }

  func run(_ supervisor: Supervisor) throws {
    let answers: [(Bool, [String])] = [
      (vnnlibVersions, ["1.0", "2.0"]),
      (onnxOpsetVersions, ["\(OnnxImporter.opsets.lowerBound)", "\(OnnxImporter.opsets.upperBound)"]),
      (onnxElementTypes, ["real", "float32", "float64"]), (onnxOperators, OnnxImporter.supportedOperators),
      (onnxOperatorsUnsatProofs, []), (hiddenNodeTheories, ["NH", "H"]),
      (multipleInputOutputTheories, ["SIO", "MIO"]),
      (multipleNetworkTheories, ["SNET", "MENET", "MINET", "MNET"]),
      (multipleNodeComparisonTheories, ["SNC", "MNC"]),
      (arithmeticComplexityTheories, ["BND", "COUT", "LIN"]),
      (optimisedDisjunctiveReasoning, ["true"]), (serialiseAssignments, ["true"]), (unsatProofs, ["false"]),
    ]
    let chosen = answers.filter(\.0)
    guard chosen.count == 1 else { throw ValidationError("give exactly one capability; --help lists them") }
    try supervisor.finish { for line in chosen[0].1 { print(line) } }
  }
}
