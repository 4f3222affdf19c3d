import ArgumentParser
import CKernels
import Explanations
import FileFormats
import Foundation
import Importers

extension MaskSemantics: ExpressibleByArgument {}
extension TargetClass: ExpressibleByArgument {}
extension EstimationMethod: ExpressibleByArgument {}
extension DirectionPairing: ExpressibleByArgument {}
extension FeatureBaseline: ExpressibleByArgument {}
extension ExplainerMethod: ExpressibleByArgument {}
extension CertificationMethod: ExpressibleByArgument {}

/// The class and the graphs that the commands about graph networks read.
struct GraphInputs: ParsableArguments {
  @Argument(help: "The network: .safetensors with a .json description beside it, or ONNX.")
  var model: String

  @Argument(help: "The graphs: a JSON document, or a CSV edge list (then --features gives the node table).")
  var graphs: String

  @Option(help: ArgumentHelp("The node table of a CSV edge list.", valueName: "file.csv"))
  var features: String?

  @Option(
    help: ArgumentHelp(
      "Round features to the precision they were stored in: float32, float64, or auto (float32 for node data sets).",
      valueName: "type"))
  var featurePrecision = "auto"

  func validate() throws {
    guard ["auto", "float32", "float64"].contains(featurePrecision) else {
      throw ValidationError("--feature-precision is auto, float32 or float64")
    }
  }

  /// Reads both files and checks that they fit.
  func load() throws -> (model: any GraphModel, data: GraphDataset) {
    // Blocks of masked graphs are allocated and freed all the time: keep their pages, which saves a third of the time.
    ck_keep_freed_memory()
    var data: GraphDataset
    if graphs.lowercased().hasSuffix(".csv") {
      guard let features else {
        throw FileError(file: graphs, reason: "an edge list needs a node table: --features FILE.csv")
      }
      data = try GraphTables.read(edges: graphs, features: features)
    } else {
      data = try GraphDocument.read(graphs)
    }
    if featurePrecision == "float32" || (featurePrecision == "auto" && data.task == .node) {
      data.graphs = data.graphs.map { graph in
        var copy = graph
        copy.features = graph.features.map { Double(Float($0)) }
        return copy
      }
    }
    let model = try GraphModelFile.load(model, task: data.task == .graph ? .graph : .node)
    let width = data.graphs[0].featureCount
    guard model.featureCount == width else {
      throw FileError(
        file: graphs, reason: "nodes have \(width) features, the network takes \(model.featureCount)")
    }
    guard (model.task == .graph) == (data.task == .graph) else {
      throw FileError(
        file: graphs,
        reason: "the network answers per \(model.task.rawValue), the data are per \(data.task.rawValue)")
    }
    return (model, data)
  }
}

/// `--node V`, a list `V,W,...`, or `all`.
struct NodeArgument: ExpressibleByArgument {
  var choice: NodeChoice

  init?(argument: String) {
    if argument == "all" {
      choice = .all
      return
    }
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.allSatisfy({ $0 != nil }), !parts.isEmpty else { return nil }
    choice = .nodes(parts.compactMap { $0 })
  }
}

extension GraphDataset {
  /// The number of classes to evaluate: what the network answers.
  func classCount(of model: any GraphModel) -> Int { max(model.classCount, 1) }
}

/// A number for people; what rounds to zero has no sign.
func decimal(_ x: Double, _ digits: Int = 4) -> String {
  let text = String(format: "%.\(digits)f", x)
  return text.hasPrefix("-") && text.allSatisfy({ "-0.".contains($0) }) ? String(text.dropFirst()) : text
}
func decimal(_ x: Double?, _ digits: Int = 4) -> String { x.map { decimal($0, digits) } ?? "-" }
