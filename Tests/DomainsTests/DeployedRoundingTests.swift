import Domains
import IR
import Operators
import Tensors
import Testing

/// Bounds of deployed networks account for the rounding of every node's own type.
@Suite struct DeployedRoundingTests {
  /// A dot product with weights of very different sizes.
  private func graph(_ type: ElementType, _ weights: [Double]) throws -> Graph {
    var builder = GraphBuilder()
    let x = builder.input("x", [weights.count], type: type)
    let dense = Dense(Weight(Tensor([weights.count, 1], weights)), inputShape: [weights.count])
    builder.output(try builder.linear(dense, x), name: "y")
    return builder.build()
  }

  private func interval(_ graph: Graph, _ count: Int, _ arithmetic: Arithmetic) throws -> (Double, Double) {
    let region = Region([.fixed(Tensor([1, count], [Double](repeating: 1, count: count)))])
    let result = try graph.intervals(over: region, arithmetic).outputs[0]
    return (result.lower[flat: 0], result.upper[flat: 0])
  }

  /// The worst order of summation of a sum that cancels: every partial sum rounds at the size of the largest term.
  @Test(arguments: [ElementType.float32, .float64]) func anyOrderOfSummationIsInside(type: ElementType) throws
  {
    let large = type == .float32 ? 0x1p24 : 0x1p53
    let weights = [1, 1, 1, large, -large]
    let graph = try graph(type, weights)
    let (lower, upper) = try interval(graph, weights.count, .float32)
    // All orders of five terms, in the type itself.
    var sums: Set<Double> = []
    func visit(_ rest: [Double], _ sum: Double) {
      if rest.isEmpty { sums.insert(sum) }
      for i in rest.indices {
        var others = rest
        let term = others.remove(at: i)
        visit(others, type == .float32 ? Double(Float(sum) + Float(term)) : sum + term)
      }
    }
    visit(weights, 0)
    #expect(sums.count > 1)
    for sum in sums { #expect(lower <= sum && sum <= upper, "\(sum)") }
    let real = try interval(graph, weights.count, .real)
    #expect(upper - lower > 1.4 * (real.1 - real.0))
  }

  /// Half precision rounds by 2^-11: 1 + 2^-11 may come out as 1.
  @Test func halfPrecisionHasItsOwnRoundoff() throws {
    let graph = try graph(.float16, [1, 0x1p-11])
    let (lower, upper) = try interval(graph, 2, .float32)
    #expect(lower <= Double(Float16(1) + Float16(0x1p-11)) && upper >= 1 + 0x1p-11)
    #expect(upper - lower < 0x1p-7)
  }

  /// Sums beyond the largest float32 are infinite, and cancel to what is no number.
  @Test func overflowIsInfinite() throws {
    let one = try interval(graph(.float32, [0x1p127, 0x1p127]), 2, .float32)
    #expect(one.1 == .infinity)
    let two = try interval(graph(.float32, [0x1p127, 0x1p127, -0x1p127, -0x1p127]), 4, .float32)
    #expect(two.0 == -.infinity && two.1 == .infinity)
    let real = try interval(graph(.float32, [0x1p127, 0x1p127]), 2, .real)
    #expect(real.1 < 0x1.0001p128)
  }

  /// A conversion that rounds must be a rounding of the graph.
  @Test func uncountedConversionsAreRefused() throws {
    var builder = GraphBuilder()
    let x = builder.input("x", [1], type: .float64)
    let y = builder.elementwise(Exp(), x)
    builder.append(
      .affine(Affine([Reshape.identity([1])])), inputs: [y], shape: [1], type: .float32, name: "z")
    builder.output(2)
    #expect(throws: UnsupportedOperator.self) { try interval(builder.build(), 1, .float32) }
  }
}
