@_spi(Benchmarks) import Bounds
import Domains
import IR
import Operators
import Rigor
import Tensors
import Testing

/// Bounds against exact rational evaluation, where floating point loses everything to cancellation.
@Suite struct RoundingTests {
  private func exact(_ graph: Graph, _ x: [Double]) throws -> [Rational] {
    var domain = ExactDomain()
    return try graph.interpret([x.map { Rational($0) }], in: &domain).outputs[0]
  }

  @Test(arguments: [BoundMethod.ibp, .forward, .crownIBP, .forwardCrown, .crown, .alphaCrown, .best])
  func boundsHoldExactlyUnderCancellation(_ method: BoundMethod) throws {
    for seed in 0..<12 as Range<UInt64> {
      let graph = try randomNetwork([4, 6, 6, 3], seed: seed, spread: true)
      let box = randomBox(4, radius: seed % 3 == 0 ? 0x1p-50 : 0.01, seed: seed)
      let result = try graph.bounds(over: Region([box]), BoundOptions(method: method))
      let hull = box.hull
      var generator = Generator(seed)
      for _ in 0..<40 {
        let x = (0..<4).map { i -> Double in
          let (l, u) = (hull.lower[flat: i], hull.upper[flat: i])
          switch Int.random(in: 0..<3, using: &generator) {
          case 0: return l
          case 1: return u
          default: return Double.random(in: l...u, using: &generator)
          }
        }
        for (o, value) in try exact(graph, x).enumerated() {
          #expect(Rational(result.outputs[0].lower[flat: o]) <= value, "\(method) seed \(seed) output \(o)")
          #expect(value <= Rational(result.outputs[0].upper[flat: o]), "\(method) seed \(seed) output \(o)")
        }
      }
    }
  }

  /// The same points show that plain floating point is wrong here: the account is not idle.
  @Test func withoutTheAccountTheSameBoundsAreWrong() throws {
    var violations = 0
    for seed in 0..<12 as Range<UInt64> {
      let graph = try randomNetwork([4, 6, 6, 3], seed: seed, spread: true)
      let box = randomBox(4, radius: 0, seed: seed)
      let point = box.hull.lower
      let value = try graph.run([point])[0].float64
      for (o, exactValue) in try exact(graph, point.elements).enumerated()
      where Rational(value[flat: o]) != exactValue { violations += 1 }
    }
    #expect(violations > 20)
  }

  /// On well-conditioned networks the account costs next to nothing.
  @Test func theAccountIsSmallWhereNothingCancels() throws {
    let graph = try randomNetwork([5, 20, 20, 4], seed: 3)
    let region = Region([randomBox(5, radius: 0.05, seed: 3)])
    for method in [BoundMethod.ibp, .crownIBP, .crown] {
      var options = BoundOptions(method: method)
      let with = try graph.bounds(over: region, options).outputs[0]
      options.accountsForRounding = false
      let without = try graph.bounds(over: region, options).outputs[0]
      for o in 0..<4 {
        let width = without.upper[flat: o] - without.lower[flat: o]
        #expect(with.lower[flat: o] <= without.lower[flat: o])
        #expect(without.lower[flat: o] - with.lower[flat: o] < 1e-10 * max(1, width))
        #expect(with.upper[flat: o] - without.upper[flat: o] < 1e-10 * max(1, width))
      }
    }
  }
}
