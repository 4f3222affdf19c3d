import Bounds
import Domains
import FileFormats
import IR
import Operators
import Rigor
import Search
import Specifications
import TestSupport
import Tensors
import Testing

/// Two networks on the same inputs, against sampling and against bounds of each network by itself.
@Suite struct ComparisonTests {
  private static let files = (first: "first", second: "second")

  /// A ReLU network; `noise` changes every weight by up to that part of it.
  private func network(_ sizes: [Int], seed: UInt64, noise: Double = 0) throws -> Graph {
    var random = UnitGenerator(state: seed)
    var change = UnitGenerator(state: seed &+ 99)
    func number() -> Double {
      let w = 2 * random.unit() - 1
      return Double(Float(w * (1 + noise * (2 * change.unit() - 1))))
    }
    var builder = GraphBuilder()
    var x = builder.input("x", [sizes[0]])
    for k in 1..<sizes.count {
      let weight = Weight(
        Tensor([sizes[k - 1], sizes[k]], (0..<(sizes[k - 1] * sizes[k])).map { _ in number() }))
      let bias = Weight(Tensor([sizes[k]], (0..<sizes[k]).map { _ in number() }))
      x = try builder.linear(Dense(weight, inputShape: [sizes[k - 1]]), x, bias: bias)
      if k < sizes.count - 1 { x = builder.elementwise(Relu(), x) }
    }
    builder.output(x, name: "y")
    return builder.build()
  }

  private func box(_ n: Int, _ radius: Double) -> [[VariableBounds]] {
    [(0..<n).map { _ in VariableBounds(lower: Rational(-radius), upper: Rational(radius)) }]
  }

  private func differences(_ a: Graph, _ b: Graph, _ n: Int, _ radius: Double) throws -> [(Double, Double)] {
    var random = UnitGenerator(state: 3)
    let points = Tensor<Double>([2000, n], (0..<(2000 * n)).map { _ in (2 * random.unit() - 1) * radius })
    let p = try a.values(at: [points])[0]
    let q = try b.values(at: [points])[0]
    let m = p.count / 2000
    return (0..<m).map { j in
      let d = (0..<2000).map { q[flat: $0 * m + j] - p[flat: $0 * m + j] }
      return (d.min() ?? 0, d.max() ?? 0)
    }
  }

  @Test func boundsOfTheDifferenceHoldAndAreTight() throws {
    for seed in 1...6 {
      let sizes = [3, 16, 16, 2]
      let a = try network(sizes, seed: UInt64(seed))
      let b = try network(sizes, seed: UInt64(seed), noise: 1e-3)
      let comparison = try NetworkComparison(a, b, region: box(3, 0.25), files: Self.files)
      let bounds = try comparison.differenceBounds()
      let separate = try zip(
        a.bounds(over: region(3, 0.25)).outputs[0].upper.elements,
        b.bounds(over: region(3, 0.25)).outputs[0].lower.elements
      ).map { $0 - $1 }
      for (j, sampled) in try differences(a, b, 3, 0.25).enumerated() {
        #expect(bounds[j].lower <= sampled.0 && sampled.1 <= bounds[j].upper)
        // Bounding each network by itself knows nothing of what they share.
        #expect(bounds[j].upper - bounds[j].lower < 0.2 * separate[j].magnitude)
      }
    }
  }

  private func region(_ n: Int, _ radius: Double) -> Domains.Region {
    let end = Tensor<Double>([1, n], Array(repeating: radius, count: n))
    return Domains.Region([.box(lower: end.map { -$0 }, upper: end)])
  }

  @Test func claimsAreDecided() throws {
    for seed in 1...5 {
      let sizes = [2, 12, 12, 2]
      let a = try network(sizes, seed: UInt64(seed))
      let b = try network(sizes, seed: UInt64(seed), noise: 1e-2)
      let comparison = try NetworkComparison(a, b, region: box(2, 1), files: Self.files)
      let largest = try differences(a, b, 2, 1).map { max($0.0.magnitude, $0.1.magnitude) }.max() ?? 0
      let control = SearchControl(seconds: 60)
      let holds = try comparison.decide(.within(Rational(1.5 * largest)), control: control)
      #expect(holds.verdict == .unsat)
      let violated = try comparison.decide(.within(Rational(0.9 * largest)), control: control)
      #expect(violated.verdict == .sat)
      #expect(violated.witness?.exact == .holds)
    }
  }

  @Test func aNetworkEqualsItself() throws {
    let a = try network([4, 20, 20, 3], seed: 8)
    let comparison = try NetworkComparison(a, a, region: box(4, 10), files: Self.files)
    for bounds in try comparison.differenceBounds() { #expect(bounds.lower >= -1e-9 && bounds.upper <= 1e-9) }
    #expect(
      try comparison.decide(.within(Rational(0.001)), control: SearchControl(seconds: 60)).verdict == .unsat)
  }

  /// relu(z) + |z|, both of one z: the fast search knows differences of ReLUs only and must leave this one to general bounds.
  @Test func differencesOfOtherFunctionsAreNotThoseOfReLU() throws {
    func network(_ noise: Double) throws -> Graph {
      var random = UnitGenerator(state: 21)
      var change = UnitGenerator(state: 22)
      func number() -> Double {
        Double(Float((2 * random.unit() - 1) * (1 + noise * (2 * change.unit() - 1))))
      }
      func weight(_ shape: Shape) -> Weight { Weight(Tensor(shape, (0..<shape.count).map { _ in number() })) }
      var builder = GraphBuilder()
      let x = builder.input("x", [2])
      let z = try builder.linear(Dense(weight([2, 8]), inputShape: [2]), x, bias: weight([8]))
      let both = try builder.affine([
        (builder.elementwise(Relu(), z), Dense(weight([8, 1]), inputShape: [8])),
        (builder.elementwise(Abs(), z), Dense(weight([8, 1]), inputShape: [8])),
      ])
      builder.output(both, name: "y")
      return builder.build()
    }
    let (a, b) = try (network(0), network(1e-2))
    let comparison = try NetworkComparison(a, b, region: box(2, 1), files: Self.files)
    let (least, most) = try differences(a, b, 2, 1)[0]
    let bounds = try comparison.differenceBounds()[0]
    #expect(bounds.lower <= least && most <= bounds.upper)
    let largest = max(least.magnitude, most.magnitude)
    let claim = NetworkComparison.Claim.within(Rational(1.3 * largest))
    let verification = try comparison.decide(claim, control: SearchControl(seconds: 60))
    #expect(verification.verdict == .unsat)
    #expect(verification.method == "input branch and bound")
  }

  @Test func otherClassesAreFound() throws {
    let a = try network([3, 10, 3], seed: 4)
    let b = try network([3, 10, 3], seed: 5)
    let comparison = try NetworkComparison(a, b, region: box(3, 1), files: Self.files)
    let verification = try comparison.decide(.sameClass, control: SearchControl(seconds: 60))
    #expect(verification.verdict == .sat)
  }

  @Test func networksOfOtherShapesAreRefused() throws {
    let a = try network([3, 4, 2], seed: 1)
    #expect(throws: FileError.self) {
      _ = try NetworkComparison(
        a, network([3, 4, 3], seed: 1), region: box(3, 1), files: (first: "a.onnx", second: "b.onnx"))
    }
  }
}
