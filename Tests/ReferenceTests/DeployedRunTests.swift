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
  /// Bounds at a point by intervals (whatever does not vary is bounded so), and of a small ball by CROWN.
  private func check(_ graph: Graph, _ point: [Tensor<Double>], _ values: [[Double]], _ name: String) throws {
    for (method, radius) in [(BoundMethod.ibp, 0.0), (.crown, 1e-5)] {
      var options = BoundOptions(method: method)
      options.arithmetic = .float32
      let region = Region(
        zip(graph.inputNodes, point).map { node, x in
          node.elementType.isFloatingPoint ? Region.infinityBall(x, radius: radius) : .fixed(x)
        })
      let bounds: BoundResult
      do {
        bounds = try graph.bounds(over: region, options)
      } catch is UnsupportedOperator {
        continue
      }
      for (output, value) in zip(bounds.outputs, values) {
        for (i, number) in value.enumerated() {
          let isInside = output.lower[flat: i] <= number && number <= output.upper[flat: i]
          let isUnknown =
            number.isNaN && output.lower[flat: i] == -.infinity && output.upper[flat: i] == .infinity
          #expect(isInside || isUnknown, "\(name) \(method)[\(i)]: \(number)")
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
    try check(graph, [point], run(graph, [point]), name)
  }

  @Test(arguments: ZooTests.networks) func networks(_ name: String) throws {
    var network = try ZooTests.Network(name)
    network.graph = try Importer.load(
      SharedData.path("zoo/\(name)/model.onnx"), ImportOptions(arithmetic: .float32)
    ).graph
    for example in network.cases.prefix(1) {
      let point = try network.inputs(example).nearest(for: network.graph)
      try check(network.graph, point, run(network.graph, point), name)
      let stored = try network.graph.outputs.map {
        try #require(example["onnxruntime_float32"]?[$0.name]?["data"]).flattened
      }
      try check(network.graph, point, stored, "\(name), onnxruntime")
    }
  }
}
