import FileFormats
import IR
import OnnxFormat
import Tensors

/// Reads ONNX models (opsets 7 to 28, IR versions 3 to 14) into graphs.
///
/// Shapes are settled and constants folded here: the graph holds no shape arithmetic. Control flow with constant
/// conditions and trip counts is unrolled, functions are inlined, recurrent layers become steps.
public struct OnnxImporter: Sendable {
  /// Versions of the default operator set that are read.
  public static let opsets = 7...28
  /// The specification of this toolkit names 3 to 13; 14 differs from 13 in nothing that is read here.
  static let irVersions = 3...14

  /// Reads `path` (`.onnx`, or gzip-compressed).
  ///
  /// - Throws: `FileError` for files that cannot be read or are wrong, `UnsupportedOperator` for operators, or uses
  ///   of them, that the toolkit does not know.
  public static func load(path: String, options: ImportOptions = ImportOptions()) throws -> ImportedNetwork {
    try build(try OnnxModelFile(path: path), options)
  }

  /// Imports a model that is already in memory; `file` is what errors call it. External data is not read.
  ///
  /// - Throws: as ``load(path:options:)``.
  public static func load(bytes: [UInt8], file: String, options: ImportOptions = ImportOptions()) throws
    -> ImportedNetwork
  {
    try build(try OnnxModelFile(bytes: bytes, tensors: TensorDecoder(file: file)), options)
  }

  /// Imports, building in the values of inputs that shapes turn out to depend on.
  static func build(_ file: OnnxModelFile, _ options: ImportOptions) throws -> ImportedNetwork {
    var bound: Set<String> = []
    if options.integersAreFixed {
      for input in file.model.graph.input where options.values[input.name] != nil {
        let type = OnnxElementTypes.type(Int(input.type.tensorType.elemType))
        if type?.isFloatingPoint == false { bound.insert(input.name) }
      }
    }
    while true {
      let session = try OnnxSession(file, options, bound: bound)
      do {
        return try session.network()
      } catch var error as FileError where !session.assumedExtents.isEmpty {
        // Extents that nobody gave may be why.
        error.reason += "; " + AssumedExtents.text(session.assumedExtents)
        throw error
      } catch let needed as StaticValueNeededAt {
        let found = needed.inputs.filter { options.values[$0] != nil && !bound.contains($0) }
        guard !found.isEmpty, found.count == needed.inputs.filter({ !bound.contains($0) }).count else {
          throw needed.unsupported
        }
        bound.formUnion(found)
      }
    }
  }
}

/// A ``StaticValueNeeded`` with the node that needs it.
struct StaticValueNeededAt: Error {
  var node: String
  var op: String
  var what: String
  var inputs: [String]

  var unsupported: UnsupportedOperator {
    let list = inputs.map { "'\($0)'" }.joined(separator: ", ")
    let cause = inputs.isEmpty ? "" : "; it depends on the value of input \(list), which was not given"
    return UnsupportedOperator(
      node: node, operatorName: op, reason: "\(what) must be known when the model is read\(cause)")
  }
}

/// One import of one model.
final class OnnxSession {
  let file: OnnxModelFile
  let options: ImportOptions
  /// Inputs whose values are built in.
  let bound: Set<String>
  let lowering: Lowering
  /// Opset by domain, of the model or of the function that is being inlined.
  var opsets: [String: Int]
  let functions: [FunctionKey: Onnx_FunctionProto]
  var callDepth = 0
  var operatorCounts: [String: Int] = [:]
  /// Names in the file of graph nodes.
  var names: [NodeID: String] = [:]
  /// Extents that the file leaves open and nothing settled.
  var assumedExtents: [AssumedExtent] = []

  struct FunctionKey: Hashable {
    var domain: String
    var name: String
    var overload: String
  }

  init(_ file: OnnxModelFile, _ options: ImportOptions, bound: Set<String>) throws {
    self.file = file
    self.options = options
    self.bound = bound
    let model = file.model
    let path = file.tensors.file
    guard model.hasGraph, !model.graph.output.isEmpty else {
      throw FileError(file: path, reason: "is no ONNX model: it holds no graph with outputs")
    }
    guard OnnxImporter.irVersions.contains(Int(model.irVersion)) else {
      throw FileError(
        file: path, reason: "has IR version \(model.irVersion); versions 3 to 14 are supported")
    }
    opsets = try Self.opsets(model.opsetImport, path)
    var functions: [FunctionKey: Onnx_FunctionProto] = [:]
    for function in model.functions {
      let key = FunctionKey(
        domain: Self.domain(function.domain), name: function.name, overload: function.overload)
      if functions.updateValue(function, forKey: key) != nil {
        throw FileError(file: path, place: "function '\(function.name)'", reason: "is defined twice")
      }
    }
    self.functions = functions
    let stored = model.graph.initializer.reduce(0) { total, proto in
      total
        + max(proto.rawData.count / 4, proto.floatData.count, proto.doubleData.count, proto.int64Data.count)
    }
    lowering = Lowering(file: path, storedElements: stored, arithmetic: options.arithmetic)
  }

  /// The default domain has two names.
  static func domain(_ name: String) -> String { name == "ai.onnx" ? "" : name }

  static func opsets(_ imports: [Onnx_OperatorSetIdProto], _ path: String) throws -> [String: Int] {
    var opsets: [String: Int] = [:]
    for entry in imports {
      let domain = Self.domain(entry.domain)
      let version = Int(entry.version)
      if domain.isEmpty && !OnnxImporter.opsets.contains(version) {
        throw UnsupportedOperator(
          node: path, operatorName: "opset_import",
          reason: "opset \(version) of the default domain is not supported, 7 to 28 are")
      }
      if let other = opsets[domain], other != version {
        throw FileError(file: path, reason: "imports opsets \(other) and \(version) of domain '\(domain)'")
      }
      opsets[domain] = version
    }
    return opsets
  }

  /// The imported network.
  func network() throws -> ImportedNetwork {
    let model = file.model
    let graph = model.graph
    let scope = OnnxScope()
    try readInitializers(graph, into: scope)
    try readInputs(graph, into: scope)
    try lower(graph.node, in: scope, outputs: graph.output.map(\.name))
    var outputs: [(String, Value)] = []
    for output in graph.output {
      guard let value = scope.find(output.name) else {
        throw malformed("output '\(output.name)'", "nothing computes it")
      }
      guard value.isTensor else {
        throw UnsupportedOperator(
          node: output.name, operatorName: "output",
          reason: "outputs that are no tensors of numbers are not supported"
        )
      }
      outputs.append((output.name, value))
    }
    for (name, value) in outputs {
      lowering.builder.origin = "Constant"
      lowering.builder.output(try lowering.node(value), name: name)
    }
    let opset = opsets[""].map { "opset \($0), " } ?? ""
    let written = named(lowering.builder.build()).prunedToOutputs()
    return ImportedNetwork(
      graph: options.arithmetic == .real
        ? SoftmaxFusion.apply(to: NormalizationFusion.apply(to: ActivationFusion.apply(to: written)))
        : written,
      file: file.tensors.file,
      format: "ONNX, \(opset)IR \(model.irVersion)", operatorCounts: operatorCounts,
      boundInputs: graph.input.map(\.name).filter { bound.contains($0) },
      storedParameterCount: Self.parameterCount(graph), assumedExtents: assumedExtents)
  }

  /// The number of elements of the floating-point weights: initialisers and the tensors of Constant nodes, subgraphs
  /// included.
  private static func parameterCount(_ graph: Onnx_GraphProto) -> Int {
    var total = 0
    for proto in graph.initializer { total += parameterCount(proto) }
    for node in graph.node {
      for attribute in node.attribute {
        if node.opType == "Constant", attribute.hasT { total += parameterCount(attribute.t) }
        if attribute.hasG { total += parameterCount(attribute.g) }
        for inner in attribute.graphs { total += parameterCount(inner) }
      }
    }
    return total
  }

  private static func parameterCount(_ proto: Onnx_TensorProto) -> Int {
    guard let type = OnnxElementType(rawValue: Int(proto.dataType)),
      elementType(type)?.isFloatingPoint == true
    else { return 0 }
    return Shape(proto.dims.map { Int($0) }).checkedCount(limit: Lowering.sizeLimit) ?? 0
  }

  /// The graph whose nodes carry the names of the file's values.
  private func named(_ graph: Graph) -> Graph {
    let nodes = graph.nodes.map { node -> Node in
      guard let name = names[node.id] else { return node }
      return Node(
        id: node.id, name: name, origin: node.origin, operation: node.operation, inputs: node.inputs,
        shape: node.shape, elementType: node.elementType)
    }
    return Graph(nodes: nodes, inputs: graph.inputs, outputs: graph.outputs)
  }

  func malformed(_ place: String, _ reason: String) -> FileError {
    FileError(file: file.tensors.file, place: place, reason: reason)
  }
}
