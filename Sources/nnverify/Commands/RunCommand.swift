import ArgumentParser
import CommandSupport
import Domains
import FileFormats
import IR
import Inputs
import Reports
import Foundation

struct RunCommand: SupervisedCommand {
  enum Precision: String, ExpressibleByArgument, CaseIterable { case float32, float64 }

  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "The network's outputs at one input.",
    discussion: """
      Without --input: the sample stored beside the network, else the zero vector. float32 computes every value in the \
      precision that the network declares for it, float64 everything in double precision on the stored weights.
      """)

  @Argument(help: "The network: ONNX or .nnet, plain or gzip-compressed.")
  var model: String

  @Option(help: ArgumentHelp("The input: JSON or .npy.", valueName: "file"))
  var input: String?

  @Option(help: "float32 or float64.")
  var precision: Precision = .float32

  @Option(help: ArgumentHelp("The extent of a dynamic batch dimension.", valueName: "n"))
  var batch: Int?

  @Option(
    help: ArgumentHelp(
      "The shape of an input with open extents, as x=1,3,64,64; once per input.", valueName: "name=n,..."))
  var shape: [InputShape] = []

  @Flag(help: "JSON on standard output.")
  var json = false

  @OptionGroup var limits: LimitOptions

  var printsJSON: Bool { json }

  func validate() throws { try Check.positive(batch, "--batch") }

  func run(_ supervisor: Supervisor) throws {
    let loaded = try LoadedNetwork(
      network: model, input: input, batch: batch, shapes: InputShape.shapes(shape),
      arithmetic: precision == .float32 ? .float32 : .real)
    let graph = loaded.graph
    let outputs = try graph.run(loaded.inputs, precision == .float32 ? .deployed : .float64)
    let named = zip(graph.outputs, outputs).map { output, value -> (String, Node, AnyTensor) in
      (output.name, graph[output.node], value)
    }
    if json {
      let list = named.map { name, node, value -> JSONValue in
        [
          "name": .string(name), "shape": JSONValue(node.shape.dims),
          "values": JSONValue.values(value, of: node.elementType),
        ]
      }
      try supervisor.finish { try printJSON(["outputs": .array(list)]) }
      return
    }
    try supervisor.finish {
      print("network  \(VisibleText.line(loaded.network.file)) (\(loaded.network.format))")
      print("input    \(VisibleText.line(loaded.inputs.source.text))")
      for (name, node, value) in named {
        print("")
        print(table(name, node, value))
      }
    }
  }

  private func table(_ name: String, _ node: Node, _ value: AnyTensor) -> String {
    var table = TextTable([.init("output"), .init("value", .right)])
    let values = value.float64.elements
    let shown = values.prefix(BoundsReport.rowLimit)
    let format = DirectedDecimal(for: Array(shown))
    let isInteger = !node.elementType.isFloatingPoint
    for (i, x) in shown.enumerated() {
      table.append([node.shape.elementName(name, i), isInteger ? String(format: "%.0f", x) : format.text(x)])
    }
    if shown.count < values.count {
      return table.text + "\n... \(values.count - shown.count) more elements (--json gives all)"
    }
    return table.text
  }
}

extension NetworkInputs.Source {
  /// For people.
  var text: String {
    switch self {
    case .file(let path): path
    case .sample(let path): "the sample beside the network, \(path)"
    case .zeros: "the zero vector (no --input was given)"
    }
  }
}

extension JSONValue {
  /// Values as results are written; integers without a point.
  static func values(_ tensor: AnyTensor, of type: ElementType) -> JSONValue {
    let values = tensor.float64.elements
    if type.isFloatingPoint { return JSONValue(results: values) }
    return .array(values.map { $0.magnitude < 0x1p63 ? JSONValue(Int($0)) : JSONValue(result: $0) })
  }
}
