import Domains
import Foundation
import IR
import Operators
import Rigor
import SMT
import Tensors
import TestSupport
import Testing

/// The exact form of a network computes what the network computes.
@Suite struct LoweringTests {
  private func weight(_ shape: Shape, _ generator: inout UnitGenerator) -> Weight {
    Weight(Tensor(shape, (0..<shape.count).map { _ in Double(Float(generator.unit() * 2 - 1)) }))
  }

  /// A network with every piecewise linear kind of operation, a residual connection and a divisor.
  private func network(_ seed: UInt64) throws -> Graph {
    var g = UnitGenerator(state: seed)
    var b = GraphBuilder(origin: "test")
    let x = b.input("x", [1, 4])
    let h1 = try b.linear(Dense(weight([4, 6], &g), inputShape: [1, 4]), x, bias: weight([1, 6], &g))
    let r1 = b.elementwise(Relu(), h1)
    let h2 = try b.linear(Dense(weight([6, 6], &g), inputShape: [1, 6]), r1, bias: weight([1, 6], &g))
    let r2 = b.elementwise(Relu(negativeSlope: Double(Float(0.1))), h2)
    let sum = try b.affine([(r2, Reshape.identity([1, 6])), (h1, Reshape.identity([1, 6]))])
    let a = b.elementwise(Abs(), sum)
    let c = b.elementwise(Clip(-0.5, 0.75), h2)
    let candidates: [Int32] = [0, 1, 6, 2, 3, 7, 4, 5, 8]
    let pool = try b.selection(
      Selection(
        .maximum, inputShapes: [[1, 6], [1, 6]], outputShape: [1, 3], width: 3, candidates: candidates),
      [a, c])
    let least = try b.selection(
      Selection(
        .minimum, inputShapes: [[1, 6]], outputShape: [1, 3], width: 2, candidates: [0, 3, 1, 4, 2, -1]), [c])
    let mean = SparseMap(
      [1, 3], to: [1, 2],
      rows: [[SparseEntry(0, 1), SparseEntry(1, 1), SparseEntry(2, 1)], [SparseEntry(2, 1)]],
      denominator: 3)
    let left = try b.linear(mean, pool)
    let right = try b.linear(Dense(weight([3, 2], &g), inputShape: [1, 3]), least)
    let out = try b.affine([(left, Reshape.identity([1, 2])), (right, Reshape.identity([1, 2]))])
    b.output(out)
    return b.build()
  }

  @Test(arguments: 0..<8) func exactOutputsAgreeWithTheEngine(seed: Int) throws {
    let graph = try network(UInt64(seed) + 1)
    let exact = try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node)
    var g = UnitGenerator(state: UInt64(seed) + 77)
    for _ in 0..<20 {
      let x = (0..<4).map { _ in g.unit() * 4 - 2 }
      var domain = ConcreteDomain(.float64)
      let run = try graph.interpret([.double(Tensor([1, 1, 4], x))], in: &domain).outputs[0].float64.elements
      let value = exact.exactOutputs(at: x.map { Rational($0) })
      for (a, b) in zip(run, value) { #expect(abs(a - b.nearestDouble) < 1e-12) }
      // Thirds are no doubles: the exact value differs from the one at the rounded point, but not by much.
      let thirds = x.map { Rational($0) / 3 }
      let near = try graph.interpret(
        [.double(Tensor([1, 1, 4], thirds.map(\.nearestDouble)))], in: &domain
      ).outputs[0].float64.elements
      for (a, b) in zip(near, exact.exactOutputs(at: thirds)) { #expect(abs(a - b.nearestDouble) < 1e-12) }
    }
  }

  @Test func neuronsAreCountedWithoutLowering() throws {
    let graph = try network(3)
    let lowered = try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node)
    #expect(graph.piecewiseLinearNeurons == lowered.neuronCount && lowered.neuronCount > 0)
    var b = GraphBuilder(origin: "Sigmoid")
    b.output(b.elementwise(Sigmoid(), b.input("x", [1, 2])))
    #expect(b.build().piecewiseLinearNeurons == nil)
  }

  /// Three ways to decide agree, and agree with dense sampling where that finds a violation.
  @Test(arguments: 0..<10) func methodsAgree(seed: Int) throws {
    let graph = try network(UInt64(seed) * 7 + 3)
    let network = try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node)
    var g = UnitGenerator(state: UInt64(seed) + 5)
    let center = (0..<4).map { _ in Rational(Int(g.unit() * 200) - 100, 100) }
    let value = network.exactOutputs(at: center)[0]
    for step in 0..<4 {
      let radius = Rational(1, 20)
      // Thresholds at growing distance below the value at the centre: some are reached, some are not.
      let rhs = value - Rational(1 + step * 2, 80)
      let query = SafetyQuery(
        lower: center.map { $0 - radius }, upper: center.map { $0 + radius },
        violation: [[OutputConstraint(terms: [.init(output: 0, coefficient: 1)], rhs: rhs)]])
      var verdicts: [Verdict] = []
      for method in SolverMethod.allCases {
        var options = SolverOptions()
        options.method = method
        options.deadline = ContinuousClock.now + .seconds(method == .exact ? 5 : 60)
        let result = try SafetySolver(network, query, options: options).solve()
        verdicts.append(result.verdict)
        if let witness = result.witness {
          #expect(query.contains(witness.point))
          #expect(network.exactOutputs(at: witness.point)[0] <= rhs)
        }
      }
      // Z3 alone may run out of time; branch and bound may not, and nobody may contradict.
      let decided = verdicts.filter { $0 != .unknown }
      #expect(Set(decided).count == 1 && decided.count >= 2, "\(verdicts)")
      var sampled = false
      for _ in 0..<2000 {
        let x = center.map { $0.nearestDouble + (g.unit() * 2 - 1) * 0.0499 }
        if network.evaluate(x)[network.outputs[0]] < rhs.nearestDouble - 1e-9 { sampled = true }
      }
      if sampled { #expect(decided.first == .violated) }
    }
  }

  @Test func smoothFunctionsAreRefused() throws {
    var b = GraphBuilder(origin: "Sigmoid")
    let x = b.input("x", [1, 2])
    b.output(b.elementwise(Sigmoid(), x))
    let graph = b.build()
    #expect(throws: UnsupportedOperator.self) { try PiecewiseLinearNetwork(graph, to: graph.outputs[0].node) }
  }
}
