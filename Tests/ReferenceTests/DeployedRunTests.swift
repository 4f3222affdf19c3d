import Bounds
import Domains
import FileFormats
import IR
import Importers
import Inputs
import Tensors
import TestSupport
import Testing

/// The invariant of deployed networks: a run in float32, and onnxruntime's stored answer, lie inside the float32 bounds.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct DeployedRunTests {
  /// Networks with more values than this are bounded by intervals only, which takes no time.
  private static let largest = 20_000

  /// Bounds at a point contain the given outputs; by CROWN, too, which follows the rounding by linear functions.
  private func check(
    _ graph: Graph, _ point: [Tensor<Double>], _ known: [(name: String, values: [[Double]])]
  ) throws {
    let isLarge = graph.nodes.reduce(0) { $0 + $1.shape.count } > Self.largest
    for method in isLarge ? [BoundMethod.ibp] : [.ibp, .crown] {
      var options = BoundOptions(method: method)
      options.arithmetic = .float32
      let bounds = try graph.bounds(over: Region(point.map { .fixed($0) }), options)
      for (name, values) in known {
        for (output, value) in zip(bounds.outputs, values) {
          for (i, number) in value.enumerated() {
            let (lower, upper) = (output.lower[flat: i], output.upper[flat: i])
            let isInside =
              number.isNaN ? lower == -.infinity && upper == .infinity : lower <= number && number <= upper
            #expect(isInside, "\(name) \(method)[\(i)]: \(number) and [\(lower), \(upper)]")
          }
        }
      }
    }
  }

  private func run(_ graph: Graph, _ point: [Tensor<Double>]) throws -> [[Double]] {
    var domain = ConcreteDomain(.deployed)
    return try graph.interpret(
      zip(graph.inputNodes, point).map { $0.elementType.runsInFloat ? .float($1.float32) : .double($1) },
      in: &domain
    ).outputs.map(\.float64.elements)
  }

  @Test(arguments: SharedData.names(in: "verification/opzoo", suffix: ".onnx"))
  func operators(_ name: String) throws {
    let path = SharedData.path("verification/opzoo/\(name)")
    let graph = try Importer.load(path, ImportOptions(arithmetic: .float32)).graph
    let node = graph.inputNodes[0]
    let center = try #require(SharedData.json("verification/opzoo/\(name.dropLast(5)).json")["center"])
      .flattened
    let point = Tensor([1] + node.shape, center.map { Double(Float($0)) })
    try check(graph, [point], [(name, run(graph, [point]))])
  }

  @Test(arguments: ZooTests.networks) func networks(_ name: String) throws {
    var network = try ZooTests.Network(name)
    network.graph = try Importer.load(
      SharedData.path("zoo/\(name)/model.onnx"), ImportOptions(arithmetic: .float32)
    ).graph
    for example in network.cases.prefix(1) {
      let point = try network.inputs(example).nearest(for: network.graph)
      let stored = try network.graph.outputs.map {
        try #require(example["onnxruntime_float32"]?[$0.name]?["data"]).flattened
      }
      try check(
        network.graph, point,
        [("\(name), run", run(network.graph, point)), ("\(name), onnxruntime", stored)])
    }
  }
}
