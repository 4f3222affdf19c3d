import Bounds
import Domains
import IR
import Operators
import Tensors
import Testing

/// Bounds for float32 arithmetic contain every float32 evaluation, whatever the order of summation.
@Suite struct DeployedTests {
  /// The dense ReLU network in Float, each sum in a random order, with or without fused multiply-add.
  private func deployed(_ graph: Graph, _ x: [Float], _ generator: inout Generator) -> [Float] {
    var values: [Int: [Float]] = [graph.inputs[0]: x]
    for node in graph.nodes {
      switch node.operation {
      case .affine(let map):
        // Every input has been computed: nodes are in topological order.
        let input = values[node.inputs[0]] ?? []
        let fused = Bool.random(using: &generator)
        values[node.id] = (0..<node.shape.count).map { o in
          var sum: Float = 0
          for entry in map.maps[0].row(o).shuffled(using: &generator) {
            let weight = Float(entry.coefficient)
            sum = fused ? sum.addingProduct(weight, input[entry.index]) : sum + weight * input[entry.index]
          }
          return sum + Float(map.bias?.values[flat: o] ?? 0)
        }
      case .elementwise: values[node.id] = (values[node.inputs[0]] ?? []).map { max($0, 0) }
      default: break
      }
    }
    return values[graph.outputs[0].node] ?? []
  }

  private func float32Network(_ widths: [Int], seed: UInt64) throws -> Graph {
    let graph = try randomNetwork(widths, seed: seed)
    var builder = GraphBuilder()
    var node = builder.input("x", [widths[0]], type: .float32)
    for original in graph.nodes {
      if case .affine(let map) = original.operation, let dense = map.maps[0] as? Dense, let bias = map.bias {
        // Weights of the size of activations that cancel: float32 rounding then shows in the output.
        let rounded = Weight(dense.weight.values.map { Double(Float($0 * 1000)) })
        let roundedBias = Weight(bias.values.map { Double(Float($0)) })
        node = try builder.linear(Dense(rounded, inputShape: dense.inputShape), node, bias: roundedBias)
      } else if case .elementwise = original.operation {
        node = builder.elementwise(Relu(), node)
      }
    }
    builder.output(node, name: "y")
    return builder.build()
  }

  @Test(arguments: [BoundMethod.ibp, .forward, .crownIBP, .crown, .alphaCrown])
  func everySummationOrderLiesInside(_ method: BoundMethod) throws {
    var outsideReal = 0
    for seed in 0..<4 as Range<UInt64> {
      let graph = try float32Network([4, 40, 40, 2], seed: seed)
      var generator = Generator(seed)
      let x = (0..<4).map { _ in Float.random(in: -1...1, using: &generator) }
      let set = InputSet.box(
        lower: Tensor([1, 4], x.map { Double($0) }), upper: Tensor([1, 4], x.map { Double($0.nextUp) }))
      var options = BoundOptions(method: method)
      let real = try graph.bounds(over: Region([set]), options).outputs[0]
      options.arithmetic = .float32
      let bounds = try graph.bounds(over: Region([set]), options).outputs[0]
      for _ in 0..<60 {
        for (o, value) in deployed(graph, x, &generator).enumerated() {
          #expect(
            bounds.lower[flat: o] <= Double(value) && Double(value) <= bounds.upper[flat: o], "\(method)")
          if Double(value) < real.lower[flat: o] || Double(value) > real.upper[flat: o] { outsideReal += 1 }
        }
      }
    }
    // The bounds of the real-valued network do not contain what is deployed: the test can fail. Intervals are too
    // wide to show it.
    if method == .crown || method == .alphaCrown { #expect(outsideReal > 0) }
  }
}
