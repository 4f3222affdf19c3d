import Domains
import IR
import Operators
import SMT
import Tensors
import TestSupport
import Testing

/// How features are chosen.
@Suite struct HeuristicsTests {
  @Test func activationsFarFromTheMeanComeFirst() {
    let scores = FeatureSelection.activation([1, 2, 3, 10])
    #expect(scores == [3, 2, 1, 6])
    #expect(FeatureSelection.pick(scores, count: 2, excluding: []) == [3, 0])
    #expect(FeatureSelection.pick(scores, count: 2, excluding: [3], among: [1, 2, 3]) == [1, 2])
    // Ties go to the lower index.
    #expect(FeatureSelection.pick([1, 5, 5, 5], count: 2, excluding: []) == [1, 2])
  }

  /// The recursion equals the largest product over all paths, written out.
  @Test(arguments: 0..<6) func derivativeIsTheBestPath(seed: Int) throws {
    var g = UnitGenerator(state: UInt64(seed) + 11)
    func matrix(_ rows: Int, _ columns: Int) -> [[Double]] {
      (0..<rows).map { _ in (0..<columns).map { _ in Double(Float(g.unit() * 2 - 1)) } }
    }
    let w1 = matrix(4, 5)
    let w2 = matrix(5, 3)
    let w3 = matrix(3, 2)
    var b = GraphBuilder(origin: "test")
    let x = b.input("x", [1, 4])
    func weight(_ m: [[Double]]) -> Weight { Weight(Tensor([m.count, m[0].count], m.flatMap { $0 })) }
    let h1 = b.elementwise(Relu(), try b.linear(Dense(weight(w1), inputShape: [1, 4]), x))
    let h2 = b.elementwise(Relu(), try b.linear(Dense(weight(w2), inputShape: [1, 5]), h1))
    b.output(try b.linear(Dense(weight(w3), inputShape: [1, 3]), h2))
    let graph = b.build()
    let network = try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node)
    let point = (0..<4).map { _ in g.unit() * 2 - 1 }
    func product(_ v: [Double], _ m: [[Double]]) -> [Double] {
      m[0].indices.map { j in v.indices.reduce(0.0) { $0 + v[$1] * m[$1][j] } }
    }
    let z1 = product(point, w1)
    let z2 = product(z1.map { max($0, 0) }, w2)
    var expected = [Double](repeating: 0, count: 4)
    for i in 0..<4 {
      for j in 0..<5 where z1[j] > 0 {
        for k in 0..<3 where z2[k] > 0 {
          for o in 0..<2 { expected[i] = max(expected[i], abs(w1[i][j] * w2[j][k] * w3[k][o])) }
        }
      }
    }
    for (a, e) in zip(FeatureSelection.derivative(network, at: point), expected) {
      #expect(abs(a - e) < 1e-12)
    }
  }
}
