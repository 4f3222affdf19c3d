import FileFormats
import OnnxFormat

/// What the importer knows of an operator that a model uses.
public struct OperatorSupport: Sendable, Equatable {
  /// The operator's name, with its domain in front where it is not the default one: `com.example::Fuse`.
  public var name: String
  /// How many nodes use it, subgraphs and functions included.
  public var count: Int
  /// Why it cannot be imported; nil if it can be (some uses may still be refused).
  public var refusal: String?
}

extension OnnxImporter {
  /// The operators of a model, whether or not it can be imported, by name.
  ///
  /// - Throws: `FileError` when the file cannot be read.
  public static func survey(path: String) throws -> [OperatorSupport] {
    let model = try OnnxModelFile(path: path).model
    let functions = Set(model.functions.map { "\(OnnxSession.domain($0.domain))::\($0.name)" })
    var counts: [String: (count: Int, refusal: String?)] = [:]
    var pending = model.graph.node + model.functions.flatMap(\.node)
    while let node = pending.popLast() {
      for attribute in node.attribute {
        if attribute.hasG { pending += attribute.g.node }
        for graph in attribute.graphs { pending += graph.node }
      }
      let domain = OnnxSession.domain(node.domain)
      if functions.contains("\(domain)::\(node.opType)") { continue }
      let name = domain.isEmpty ? node.opType : "\(domain)::\(node.opType)"
      let known = OnnxOperators.isSupported(node.opType, domain: domain)
      counts[name, default: (0, known ? nil : OnnxOperators.refusal(node.opType))].count += 1
    }
    return counts.sorted { $0.key < $1.key }.map {
      OperatorSupport(name: $0.key, count: $0.value.count, refusal: $0.value.refusal)
    }
  }

  /// The names of a model's inputs that have no value built in, whether or not it can be imported.
  ///
  /// - Throws: `FileError` when the file cannot be read.
  public static func inputNames(path: String) throws -> [String] {
    let graph = try OnnxModelFile(path: path).model.graph
    let known = Set(graph.initializer.map(\.name) + graph.sparseInitializer.map(\.values.name))
    return graph.input.map(\.name).filter { !known.contains($0) }
  }

  /// The names of the operators that can be imported, in alphabetical order.
  public static var supportedOperators: [String] { OnnxOperators.supported }
}
