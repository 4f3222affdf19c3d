import Explanations
import FileFormats
import Foundation
import Importers
import Tensors
import TestSupport
import Testing

/// The shared fidelity data.
enum Shared {
  static let root = SharedData.path("fidelity")

  static var isPresent: Bool { FileManager.default.fileExists(atPath: root + "/README.md") }

  static let skip = Comment(rawValue: SharedData.comment)

  static func json(_ path: String) throws -> JSONField {
    JSONField(root: try JSONValue.parse(contentsOf: "\(root)/\(path)"), file: path)
  }

  static func network(_ name: String) throws -> GraphNetwork {
    try GraphNetwork(contentsOf: "\(root)/models/\(name).safetensors")
  }

  static func graphs(_ name: String) throws -> GraphDataset {
    try GraphDocument.read("\(root)/graphs/\(name).json")
  }
}

/// Features as float32 holds them, which is what the references of the node models were computed with.
func float32Features(_ graph: AttributedGraph) -> AttributedGraph {
  var copy = graph
  copy.features = graph.features.map { Double(Float($0)) }
  return copy
}

/// The largest difference, relative to the largest magnitude of the reference (at least 1).
func deviation(_ values: [Double], _ reference: [Double]) -> Double {
  guard values.count == reference.count else { return .infinity }
  let scale = max(1, reference.map(\.magnitude).max() ?? 1)
  return (zip(values, reference).map { ($0 - $1).magnitude }.max() ?? 0) / scale
}

/// A mask that changes nothing.
func onesMask(_ graph: AttributedGraph) -> Tensor<Double> {
  Tensor(repeating: 1, [1, graph.edges.count * (graph.isDirected ? 1 : 2)])
}
