import Domains
import Foundation
import IR
import Importers
import Operators
import Tensors
import TestSupport
import Testing

/// Gradients of the backward walk against central differences.
@Suite struct GradientTests {
  private func pseudoRandom(_ count: Int, _ seed: inout UInt64) -> [Double] {
    (0..<count).map { _ in
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(seed >> 11) / 0x1p53 * 2 - 1
    }
  }

  /// The derivative along a random direction for a random combination of the outputs, both ways; nil where the
  /// difference quotient itself is unreliable (a kink between the two points).
  private func directional(_ graph: Graph, _ x: [Tensor<Double>], seed: UInt64) throws -> (
    gradient: Double, difference: Double
  )? {
    var seed = seed
    let output = graph.outputs.firstIndex { graph[$0.node].elementType.isFloatingPoint } ?? 0
    let shape = graph[graph.outputs[output].node].shape
    let weights = Tensor([1] + shape, pseudoRandom(shape.count, &seed))
    let directions = zip(graph.inputNodes, x).map { node, value -> Tensor<Double> in
      let isFree = node.elementType.isFloatingPoint
      return Tensor(value.shape, pseudoRandom(value.count, &seed).map { isFree ? $0 : 0 })
    }
    let (_, gradients) = try graph.gradients(inputs: x, output: output, seed: weights, precision: .float64)
    var gradient = 0.0
    for (g, d) in zip(gradients, directions) {
      guard let g else { continue }
      gradient += zip(g.elements, d.elements).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func value(_ step: Double) throws -> Double {
      let moved = zip(x, directions).map { x, d in
        Tensor(x.shape, zip(x.elements, d.elements).map { $0 + step * $1 })
      }
      let y = try graph.run(moved)[output].float64
      return zip(y.elements, weights.elements).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let h = 1e-5
    let wide = (try value(h) - value(-h)) / (2 * h)
    let narrow = (try value(h / 4) - value(-h / 4)) / (h / 2)
    let size = max(abs(narrow), 1e-3)
    guard abs(wide - narrow) < 1e-5 * size else { return nil }
    return (gradient, narrow)
  }

  private func check(_ graph: Graph, _ x: [Tensor<Double>], _ name: String) throws -> Int {
    var compared = 0
    for seed in 1...3 as ClosedRange<UInt64> {
      guard let (gradient, difference) = try directional(graph, x, seed: seed) else { continue }
      compared += 1
      #expect(abs(gradient - difference) <= 1e-4 * max(1e-2, abs(difference)), "\(name), seed \(seed)")
    }
    return compared
  }

  private func inputs(_ graph: Graph, seed: UInt64, scale: Double = 0.5) -> [Tensor<Double>] {
    var seed = seed
    return graph.inputNodes.map { node in
      Tensor([1] + node.shape, pseudoRandom(node.shape.count, &seed).map { $0 * scale + 0.6 })
    }
  }

  @Test(.enabled(if: SharedData.isPresent, "the shared reference data is absent"))
  func everyOperatorOfTheOperatorZoo() throws {
    let folder = SharedData.path("verification/opzoo")
    var compared = 0
    for file in try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    where file.hasSuffix(".onnx") {
      let graph = try OnnxImporter.load(path: folder + "/" + file).graph
      compared += try check(graph, inputs(graph, seed: 11), file)
    }
    #expect(compared >= 60)
  }

  @Test(.enabled(if: SharedData.isPresent, "the shared reference data is absent"))
  func everyNetworkOfTheZoo() throws {
    let folder = SharedData.path("zoo")
    var compared = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
      let path = "\(folder)/\(name)/model.onnx"
      guard FileManager.default.fileExists(atPath: path) else { continue }
      let graph = try OnnxImporter.load(path: path).graph
      guard graph.inputNodes.allSatisfy({ $0.elementType.isFloatingPoint }) else { continue }
      compared += try check(graph, inputs(graph, seed: 5, scale: 0.2), name)
    }
    #expect(compared >= 150)
  }

  /// Gradients in the weights of every kind of map with weights, and in biases.
  @Test func weightsOfLinearMaps() throws {
    var seed: UInt64 = 9
    let dense = Weight(Tensor([6, 4], pseudoRandom(24, &seed)))
    let transposed = Weight(Tensor([4, 6], pseudoRandom(24, &seed)))
    let kernel = Weight(Tensor([4, 1, 2, 2], pseudoRandom(16, &seed)))
    let deconvolution = Weight(Tensor([2, 2, 2, 2], pseudoRandom(16, &seed)))
    let scale = Weight(Tensor([6], pseudoRandom(6, &seed)))
    let left = Weight(Tensor([3, 2], pseudoRandom(6, &seed)))
    let geometry = ConvolutionGeometry(
      examples: 1, inputChannels: 2, outputChannels: 4, groups: 2, inputExtent: [3, 3], kernel: [2, 2],
      strides: [2, 1], dilations: [1, 1], padsBefore: [1, 0], padsAfter: [0, 1])
    let opposite = ConvolutionGeometry(
      examples: 1, inputChannels: 2, outputChannels: 2, groups: 1, inputExtent: [4, 4], kernel: [2, 2],
      strides: [2, 2], dilations: [1, 1], padsBefore: [0, 0], padsAfter: [0, 0])
    let product = try #require(MatrixProduct([3, 2], [2, 4]))
    func cases(_ w: (Weight) -> Weight) -> [(Weight, any LinearMap)] {
      [
        (dense, Dense(w(dense), inputShape: [2, 6])),
        (transposed, Dense(w(transposed), inputShape: [6], transposed: true)),
        (kernel, Convolution(w(kernel), geometry)),
        (deconvolution, TransposedConvolution(Convolution(w(deconvolution), opposite))),
        (scale, Diagonal(w(scale), shape: [6])),
        (left, product.fixing(left: w(left))),
      ]
    }
    for (index, (weight, map)) in cases({ $0 }).enumerated() {
      let bias = Weight(Tensor(map.outputShape, pseudoRandom(map.outputShape.count, &seed)))
      let x = Tensor([2] + map.inputShape, pseudoRandom(2 * map.inputShape.count, &seed))
      let covector = Tensor([2] + map.outputShape, pseudoRandom(2 * map.outputShape.count, &seed))
      func graph(_ map: any LinearMap) throws -> Graph {
        var builder = GraphBuilder()
        let input = builder.input("x", map.inputShape, type: .float64)
        builder.output(builder.elementwise(Relu(), try builder.linear(map, input, bias: bias)))
        return builder.build()
      }
      var domain = ConcreteDomain(.float64)
      let built = try graph(map)
      let trace = try built.interpret([.double(x)], in: &domain, keepingAll: true)
      var rule = GradientRule<Double>(trace, collectsWeights: true)
      try built.pullBack([(built.outputs[0].node, covector)], rule: &rule)
      let gradient = try #require(rule.weightGradients.values.first { $0.weight !== bias })
      for element in 0..<weight.values.count {
        func value(_ step: Double) throws -> Double {
          var moved = weight.values
          moved[flat: element] += step
          let other = cases { $0 === weight ? Weight(moved) : $0 }[index].1
          let y = try graph(other).run([x])[0].float64
          return zip(y.elements, covector.elements).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let difference = (try value(1e-6) - value(-1e-6)) / 2e-6
        #expect(abs(gradient.gradient[flat: element] - difference) < 1e-6, "map \(index), element \(element)")
      }
    }
  }
}
