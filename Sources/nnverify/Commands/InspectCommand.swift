import ArgumentParser
import Bounds
import CommandSupport
import FileFormats
import IR
import Importers
import Inputs
import Reports

struct InspectCommand: SupervisedCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "What a network consists of and which methods can bound it.")

  @Argument(help: "The network: ONNX or .nnet, plain or gzip-compressed; not needed with --coverage.")
  var model: String?

  @Flag(help: "Instead of a network, list every ONNX operator that can be imported and how it is bounded.")
  var coverage = false

  @Option(help: ArgumentHelp("The extent of a dynamic batch dimension.", valueName: "n"))
  var batch: Int?

  @Option(
    help: ArgumentHelp(
      "Values of the inputs, JSON or .npy, where shapes depend on them; their shapes settle open extents.",
      valueName: "file"))
  var input: String?

  @Option(
    help: ArgumentHelp(
      "The shape of an input with open extents, as x=1,3,64,64; once per input.", valueName: "name=n,..."))
  var shape: [InputShape] = []

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws {
    try Check.positive(batch, "--batch")
    if !coverage && model == nil { throw ValidationError("Missing expected argument '<model>'") }
    if coverage && (input != nil || !shape.isEmpty) {
      throw ValidationError("--coverage takes neither --input nor --shape")
    }
    if coverage && model != nil { throw ValidationError("--coverage takes no network") }
  }

  func run(_ supervisor: Supervisor) throws {
    guard let model else {
      try supervisor.finish { try printCoverage() }
      return
    }
    let values = try input.map { try InputDocument(contentsOf: $0) }
    let network = try ImportedNetwork.load(
      model, batch: batch, shapes: InputShape.shapes(shape), document: values)
    let graph = network.graph
    let methods = graph.methodsByOperator()
    let counts = network.operatorCounts.isEmpty ? graph.operatorCounts : network.operatorCounts
    try supervisor.finish { try show(network, counts, methods) }
  }

  private func show(
    _ network: ImportedNetwork, _ counts: [String: Int], _ methods: [String: [BoundMethod]]
  ) throws {
    let graph = network.graph
    if json {
      try printJSON(document(network, counts, methods))
      return
    }
    print("network     \(VisibleText.line(network.file)) (\(network.format))")
    for node in graph.inputNodes {
      print("input       \(VisibleText.line(node.name)) \(node.shape) \(node.elementType.rawValue)")
    }
    for output in graph.outputs {
      let node = graph[output.node]
      print("output      \(VisibleText.line(output.name)) \(node.shape) \(node.elementType.rawValue)")
    }
    if !network.boundInputs.isEmpty {
      print(
        "fixed       \(network.boundInputs.joined(separator: ", ")): shapes depend on the value, which is built in"
      )
    }
    // That an open batch is 1 goes without saying.
    if network.assumedExtents.contains(where: { $0.axis > 0 }) {
      print("assumed     \(AssumedExtents.text(network.assumedExtents))")
    }
    print("parameters  \(network.parameterCount.grouped)")
    print("nodes       \(graph.nodes.count.grouped) after constant folding")
    print("")
    var table = TextTable([.init("operator"), .init("count", .right), .init("methods")])
    for (name, count) in counts.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
      table.append([name, String(count), text(methods[name])])
    }
    print(table.text)
  }

  private func printCoverage() throws {
    let operators = OnnxImporter.coverage
    if json {
      try printJSON([
        "operators": .array(
          operators.map {
            [
              "name": .string($0.name), "kinds": .array($0.kinds.map { .string($0) }),
              "bounds": .string($0.treatment.rawValue),
            ]
          })
      ])
      return
    }
    var table = TextTable([.init("operator"), .init("kinds"), .init("bounds")])
    for operation in operators {
      let kinds = operation.kinds.isEmpty ? "-" : operation.kinds.joined(separator: ", ")
      table.append([operation.name, kinds, operation.treatment.rawValue])
    }
    print(table.text)
    print("")
    print(
      "All methods cover every kind. exact: linear, only rounding widens; relaxed: lines above and below;")
    print(
      "union: of the values that remain possible, exact once the choice is decided; folded: gone at import.")
  }

  private func text(_ methods: [BoundMethod]?) -> String {
    guard let methods else { return "folded into constants" }
    if methods == BoundMethod.allCases { return "all" }
    return methods.isEmpty ? "none" : methods.map(\.rawValue).joined(separator: ", ")
  }

  private func document(
    _ network: ImportedNetwork, _ counts: [String: Int], _ methods: [String: [BoundMethod]]
  )
    -> JSONValue
  {
    let graph = network.graph
    func value(_ name: String, _ node: Node) -> JSONValue {
      [
        "name": .string(name), "shape": JSONValue(node.shape.dims),
        "type": .string(node.elementType.rawValue),
      ]
    }
    let names = counts.keys.sorted()
    return [
      "file": .string(network.file),
      "format": .string(network.format),
      "inputs": .array(graph.inputNodes.map { value($0.name, $0) }),
      "outputs": .array(graph.outputs.map { value($0.name, graph[$0.node]) }),
      "fixed_inputs": .array(network.boundInputs.map { .string($0) }),
      "assumed_extents": .array(
        network.assumedExtents.map {
          [
            "input": .string($0.input), "axis": JSONValue($0.axis), "name": .string($0.name),
            "extent": JSONValue($0.extent),
          ]
        }),
      "operators": .object(JSONObject(names.map { .init(key: $0, value: JSONValue(counts[$0] ?? 0)) })),
      "parameters": JSONValue(network.parameterCount),
      "nodes": JSONValue(graph.nodes.count),
      "methods": .object(
        JSONObject(
          names.compactMap { name in
            methods[name].map { .init(key: name, value: JSONValue($0.map(\.rawValue))) }
          })),
    ]
  }
}

extension Graph {
  /// How often each operator occurs among the nodes.
  var operatorCounts: [String: Int] {
    var counts: [String: Int] = [:]
    for node in nodes {
      switch node.operation {
      case .input, .constant: continue
      default: counts[node.origin, default: 0] += 1
      }
    }
    return counts
  }
}
