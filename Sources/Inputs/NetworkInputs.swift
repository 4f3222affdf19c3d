import Domains
import FileFormats
import Foundation
import IR
import Importers
import Tensors

/// Values for all inputs of a network, and where they came from.
public struct NetworkInputs: Sendable {
  public enum Source: Sendable, Hashable {
    case file(String)
    /// The sample stored beside the network.
    case sample(String)
    case zeros
  }

  /// In the order of the network's inputs; every shape is set.
  public var values: [DecimalTensor]
  public var source: Source

  /// Values of a document, checked against the network's inputs.
  ///
  /// Shapes must agree but for extents of 1; a flat list takes the input's shape.
  /// - Throws: `FileError` for values that are missing, do not fit or are no integers where the input holds integers.
  public init(_ document: InputDocument, for graph: Graph, source: Source? = nil) throws {
    let found = try document.values.ordered(by: graph.inputNodes.map(\.name), file: document.file)
    values = try zip(graph.inputNodes, found).map { node, value in
      guard let value else {
        throw FileError(file: document.file, reason: "input '\(node.name)' is missing")
      }
      return try value.fitted(to: node, file: document.file)
    }
    self.source = source ?? .file(document.file)
  }

  /// Zeros for every input.
  public init(zerosFor graph: Graph) {
    values = graph.inputNodes.map { .zeros($0.shape) }
    source = .zeros
  }

  /// The values as the engine takes them, with a batch axis of 1, in the precision the file declares.
  public func tensors(for graph: Graph) -> [AnyTensor] {
    zip(graph.inputNodes, values).map { node, value in
      let tensor = Tensor([1] + node.shape, value.nearest)
      return node.elementType.runsInFloat ? .float(tensor.float32) : .double(tensor)
    }
  }

  /// The doubles nearest to the values, `[1] + shape` each.
  public func nearest(for graph: Graph) -> [Tensor<Double>] {
    zip(graph.inputNodes, values).map { Tensor([1] + $0.shape, $1.nearest) }
  }

  /// The file beside a network that holds a sample of its input: `digits.input.json` beside `digits.onnx`.
  public static func samplePath(beside network: String) -> String? {
    var stem = PathName.stem(network)
    if network.hasSuffix(".gz") { stem = PathName.stem(stem) }
    guard !stem.isEmpty else { return nil }
    let path = PathName.folderPrefix(network) + stem + ".input.json"
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }
}

extension DecimalTensor {
  /// The same numbers under the shape of an input.
  func fitted(to node: Node, file: String) throws -> DecimalTensor {
    let place = "input '\(node.name)'"
    guard count == node.shape.count else {
      throw FileError(
        file: file, place: place,
        reason: "\(count) values were given, the input has shape \(node.shape), \(node.shape.count) elements")
    }
    if let shape, shape.dims.filter({ $0 != 1 }) != node.shape.dims.filter({ $0 != 1 }) {
      throw FileError(
        file: file, place: place, reason: "has shape \(shape) in the file, \(node.shape) in the network")
    }
    if !node.elementType.isFloatingPoint {
      let range = node.elementType.integerRange ?? 0...1
      for i in 0..<count where nearest[i] != nearest[i].rounded() || lower[i] != upper[i] {
        throw FileError(
          file: file, place: place, reason: "element \(i), \(nearest[i]), is no \(node.elementType.rawValue)")
      }
      for i in 0..<count where !range.contains(nearest[i]) {
        throw FileError(
          file: file, place: place,
          reason: "element \(i), \(nearest[i]), is out of the range of \(node.elementType.rawValue)")
      }
    }
    var result = self
    result.shape = node.shape
    return result
  }
}
