import Domains
import IR
import Operators
import Rigor
import Search
import Specifications
import Tensors
import TestSupport
import Testing

/// Queries that no bound with rounding can decide: a linear program over several rows, or exact arithmetic, must.
@Suite struct LeafTests {
  private func verify(
    _ graph: Graph, _ conditions: String, lower: [Rational], upper: [Rational], type: String = "real"
  ) throws -> Verification {
    let outputs = graph[graph.outputs[0].node].shape.count
    var text = "(vnnlib-version <2.0>)\n(declare-network f (declare-input X \(type) [\(lower.count)]) "
    text += "(declare-output Y \(type) [\(outputs)]))\n"
    for j in lower.indices {
      text += "(assert (and (>= X[\(j)] \(decimal(lower[j]))) (<= X[\(j)] \(decimal(upper[j])))))\n"
    }
    let query = try Query(text: text + conditions)
    let control = SearchControl(seconds: 60)
    return try Verifier(VerificationProblem(query, networks: ["f": graph]), control: control).run()
  }

  private func decimal(_ x: Rational) -> String {
    let text = x.decimalText ?? ""
    return text.contains(".") ? text : text + ".0"
  }

  private func weights(_ count: Int, _ random: inout UnitGenerator) -> [Double] {
    (0..<count).map { _ in random.unit() * 2 - 1 }
  }

  /// `[n] -> relu -> [m] -> [outputs]` with the given matrices, row-major `[from, to]`.
  private func network(_ n: Int, _ hidden: [Double], _ last: [Double]) throws -> Graph {
    let m = hidden.count / n
    var builder = GraphBuilder()
    let x = builder.input("x", [n])
    let h = try builder.linear(Dense(Weight(Tensor([n, m], hidden)), inputShape: [n]), x)
    let a = builder.elementwise(Relu(), h)
    let y = try builder.linear(Dense(Weight(Tensor([m, last.count / m], last)), inputShape: [m]), a)
    builder.output(y, name: "y")
    return builder.build()
  }

  /// The maximum over a box on which the network is linear is reached at a corner, and exactly there: asking for more is
  /// refuted, asking for that much is not.
  @Test func cornersOfLinearPiecesAreDecidedExactly() throws {
    var random = UnitGenerator(state: 5)
    for trial in 0..<10 {
      let graph = try network(2, weights(12, &random), weights(6, &random))
      let lower = (0..<2).map { _ in Rational(random.unit()) }
      let upper = lower.map { $0 + Rational(1, timesTwoTo: -12) }
      var best: Rational?
      for corner in 0..<4 {
        let point = (0..<2).map { (corner >> $0) & 1 == 1 ? upper[$0] : lower[$0] }
        var exact = ExactDomain()
        let value = try graph.interpret([point], in: &exact).outputs[0][0]
        best = best.map { max($0, value) } ?? value
      }
      let threshold = decimal(try #require(best))
      let more = try verify(graph, "(assert (> Y[0] \(threshold)))", lower: lower, upper: upper)
      #expect(more.verdict == .unsat, "trial \(trial): \(more.verdict) \(more.reason)")
      let reached = try verify(graph, "(assert (>= Y[0] \(threshold)))", lower: lower, upper: upper)
      #expect(reached.verdict == .sat, "trial \(trial): \(reached.verdict) \(reached.reason)")
    }
  }

  /// |a x| is 0 on a plane that hardly any floating-point number lies on.
  @Test func kinksAreDecidedExactly() throws {
    var random = UnitGenerator(state: 6)
    let n = 14
    let a = weights(n, &random)
    let graph = try network(n, a.flatMap { [$0, -$0] }, [1, 1])
    let lower = [Rational](repeating: -1, count: n)
    let upper = [Rational](repeating: 1, count: n)
    let less = try verify(graph, "(assert (< Y[0] 0.0))", lower: lower, upper: upper)
    #expect(less.verdict == .unsat, "\(less.reason)")
    let equal = try verify(graph, "(assert (<= Y[0] 0.0))", lower: lower, upper: upper)
    #expect(equal.verdict == .sat, "\(equal.reason)")
    #expect(equal.witness?.exact == .holds)
  }

  /// Rows that can each be satisfied, but not together; no single row is ever refuted.
  @Test(arguments: [3, 14]) func rowsAreTakenTogether(inputs n: Int) throws {
    var random = UnitGenerator(state: 7)
    let a = weights(n, &random)
    // Outputs a x + |b x| / 8 and -a x + |b x| / 8: their sum is |b x| / 4 <= sum |b| / 4.
    let b = weights(n, &random)
    let hidden = (0..<n).flatMap { [a[$0], -a[$0], b[$0], -b[$0]] }
    let graph = try network(n, hidden, [1, -1, -1, 1, 0.125, 0.125, 0.125, 0.125])
    let limit = b.reduce(0) { $0 + abs($1) } / 8
    let lower = [Rational](repeating: -1, count: n)
    let upper = [Rational](repeating: 1, count: n)
    func both(_ x: Double) -> String {
      "(assert (>= Y[0] \(decimal(Rational(x)))))\n(assert (>= Y[1] \(decimal(Rational(x)))))"
    }
    let apart = try verify(graph, both(limit * 1.05), lower: lower, upper: upper)
    #expect(apart.verdict == .unsat, "\(apart.reason)")
    let together = try verify(graph, both(limit * 0.4), lower: lower, upper: upper)
    #expect(together.verdict == .sat, "\(together.reason)")
  }

  /// |a x| + b x and |a x| - b x are not both negative, but only because of the sides on which neurons are held. Over
  /// float32 no exact arithmetic helps out: the linear program has to see it.
  @Test func heldSidesAreConditions() throws {
    var random = UnitGenerator(state: 8)
    let n = 14
    let (a, b) = (weights(n, &random), weights(n, &random))
    let hidden = (0..<n).flatMap { [a[$0], -a[$0], b[$0], -b[$0]] }.map { Double(Float($0)) }
    let graph = try network(n, hidden, [1, 1, 1, 1, 1, -1, -1, 1])
    let result = try verify(
      graph, "(assert (<= Y[0] -0.01))\n(assert (<= Y[1] -0.01))", lower: [Rational](repeating: -1, count: n),
      upper: [Rational](repeating: 1, count: n), type: "float32")
    #expect(result.verdict == .unsat, "\(result.verdict) \(result.reason)")
  }

  /// Products and selections have no phases to split: boxes are.
  @Test func productsAndSelectionsAreSplitByBoxes() throws {
    var builder = GraphBuilder()
    let x = builder.input("x", [2])
    let first = try builder.linear(IndexMap([2], to: [1], index: [0]), x)
    let second = try builder.linear(IndexMap([2], to: [1], index: [1]), x)
    let product = try builder.product(#require(Multiply([1], [1])), first, second)
    let largest = try builder.selection(
      Selection(.maximum, inputShapes: [[2]], outputShape: [1], width: 2, candidates: [0, 1]), [x])
    // x0 x1 - max(x0, x1) on [-1, 1]^2: at most 2, at (-1, -1).
    let y = try builder.affine([
      (product, Reshape([1], to: [1])), (largest, Diagonal(Weight(Tensor([1], [-1])), shape: [1])),
    ])
    builder.output(y, name: "y")
    let graph = builder.build()
    let lower: [Rational] = [-1, -1]
    let upper: [Rational] = [1, 1]
    let more = try verify(graph, "(assert (>= Y[0] 2.01))", lower: lower, upper: upper)
    #expect(more.verdict == .unsat, "\(more.reason)")
    let reached = try verify(graph, "(assert (>= Y[0] 1.99))", lower: lower, upper: upper)
    #expect(reached.verdict == .sat, "\(reached.reason)")
  }
}
