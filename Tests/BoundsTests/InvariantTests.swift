import Bounds
import Domains
import IR
import Operators
import Tensors
import Testing

/// Relations that hold between methods whatever the network.
@Suite struct InvariantTests {
  @Test func dearerMethodsAreNeverLooser() throws {
    for seed in 0..<8 as Range<UInt64> {
      let graph = try randomNetwork([3, 12, 12, 12, 2], seed: seed)
      let region = Region([randomBox(3, radius: 0.3, seed: seed)])
      func interval(_ method: BoundMethod) throws -> Interval {
        try graph.bounds(over: region, BoundOptions(method: method)).outputs[0]
      }
      let best = try interval(.best)
      for method in singleMethods {
        let other = try interval(method)
        for o in 0..<2 {
          #expect(best.lower[flat: o] >= other.lower[flat: o], "\(method)")
          #expect(best.upper[flat: o] <= other.upper[flat: o], "\(method)")
        }
      }
      let chain = try [BoundMethod.ibp, .crownIBP, .crown, .alphaCrown].map(interval)
      for (loose, tight) in zip(chain, chain.dropFirst()) {
        for o in 0..<2 {
          #expect(tight.lower[flat: o] >= loose.lower[flat: o] - 1e-12)
          #expect(tight.upper[flat: o] <= loose.upper[flat: o] + 1e-12)
        }
      }
    }
  }

  @Test func samplesLieInsideAndBoundsAreNotVacuous() throws {
    for seed in 20..<26 as Range<UInt64> {
      let graph = try randomNetwork([3, 10, 10, 2], seed: seed)
      let box = randomBox(3, radius: 0.02, seed: seed)
      let hull = box.hull
      var generator = Generator(seed)
      var low = [Double](repeating: .infinity, count: 2)
      var high = [Double](repeating: -.infinity, count: 2)
      for _ in 0..<400 {
        let x = (0..<3).map {
          Double.random(in: hull.lower[flat: $0]...hull.upper[flat: $0], using: &generator)
        }
        let y = try graph.run([Tensor([1, 3], x)])[0].float64
        for o in 0..<2 {
          low[o] = min(low[o], y[flat: o])
          high[o] = max(high[o], y[flat: o])
        }
      }
      for method in singleMethods {
        let bound = try graph.bounds(over: Region([box]), BoundOptions(method: method)).outputs[0]
        for o in 0..<2 {
          #expect(bound.lower[flat: o] <= low[o] && bound.upper[flat: o] >= high[o], "\(method)")
          if method != .ibp {
            #expect(bound.upper[flat: o] - bound.lower[flat: o] < 3 * (high[o] - low[o]) + 1e-9, "\(method)")
          }
        }
      }
    }
  }

  /// Bounds of a batch of regions are the bounds of its members.
  @Test(arguments: [BoundMethod.ibp, .forward, .crownIBP, .forwardCrown, .crown, .alphaCrown])
  func batchesAreIndependent(_ method: BoundMethod) throws {
    let graph = try randomNetwork([3, 10, 10, 2], seed: 5)
    let boxes = (0..<3).map { randomBox(3, radius: 0.1 + 0.1 * Double($0), seed: UInt64($0)) }
    let joined = InputSet.box(
      lower: .concatenatingBatches(boxes.map(\.hull.lower)),
      upper: .concatenatingBatches(boxes.map(\.hull.upper)))
    let together = try graph.bounds(over: Region([joined]), BoundOptions(method: method)).outputs[0]
    for (b, box) in boxes.enumerated() {
      let alone = try graph.bounds(over: Region([box]), BoundOptions(method: method)).outputs[0]
      for o in 0..<2 {
        // Neurons stable in one member may be bounded anew for another, which only tightens.
        #expect(together.lower[flat: b * 2 + o] >= alone.lower[flat: o] - 1e-9)
        #expect(together.upper[flat: b * 2 + o] <= alone.upper[flat: o] + 1e-9)
      }
    }
  }

  /// A ball stays a ball through normalisation in front of the first layer.
  @Test func ballsPassAffinePrefixes() throws {
    var builder = GraphBuilder()
    let x = builder.input("x", [2], type: .float64)
    let shifted = try builder.linear(
      Diagonal.scale(0.5, [2]), x, bias: Weight(Tensor([2], [0.25, -0.5])))
    let dense = try builder.linear(
      Dense(Weight(Tensor([2, 1], [3, 4])), inputShape: [2]), shifted)
    builder.output(builder.elementwise(Relu(), dense))
    let graph = builder.build()
    let center = Tensor<Double>([1, 2], [1, 1])
    // 0.5 (3 x + 4 y) + 0.75 - 2 at (1, 1) is 2.25; over an l2 ball of radius 1 it moves by 0.5 * 5.
    for method in [BoundMethod.ibp, .crown, .crownIBP, .best] {
      let l2 = try graph.bounds(
        over: Region([.ball(center: center, radius: 1, norm: .l2)]), BoundOptions(method: method)
      ).outputs[0]
      #expect(abs(l2.upper[flat: 0] - 4.75) < 1e-9, "\(method)")
      #expect(abs(l2.lower[flat: 0]) < 1e-9, "\(method)")
      let l1 = try graph.bounds(
        over: Region([.ball(center: center, radius: 1, norm: .l1)]), BoundOptions(method: method)
      ).outputs[0]
      #expect(abs(l1.upper[flat: 0] - 4.25) < 1e-9, "\(method)")
    }
  }

  @Test func coefficientsBoundTheNetwork() throws {
    let graph = try randomNetwork([3, 10, 10, 2], seed: 8)
    let box = randomBox(3, radius: 0.2, seed: 8)
    for method in [BoundMethod.crown, .alphaCrown] {
      var options = BoundOptions(method: method)
      options.keepsCoefficients = true
      let result = try graph.bounds(over: Region([box]), options)
      let linear = try #require(result.coefficients.first)
      let lower = try #require(linear.lowerCoefficients[0])
      let upper = try #require(linear.upperCoefficients[0])
      let hull = box.hull
      var generator = Generator(8)
      for _ in 0..<200 {
        let x = (0..<3).map {
          Double.random(in: hull.lower[flat: $0]...hull.upper[flat: $0], using: &generator)
        }
        let y = try graph.run([Tensor([1, 3], x)])[0].float64
        for o in 0..<2 {
          let low = (0..<3).reduce(linear.lowerConstant[flat: o]) { $0 + lower[flat: o * 3 + $1] * x[$1] }
          let high = (0..<3).reduce(linear.upperConstant[flat: o]) { $0 + upper[flat: o * 3 + $1] * x[$1] }
          #expect(low <= y[flat: o] + 1e-12 && y[flat: o] <= high + 1e-12)
        }
      }
    }
  }
}
