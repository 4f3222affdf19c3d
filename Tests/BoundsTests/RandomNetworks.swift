import Bounds
import Domains
import IR
import Operators
import Rigor
import Tensors

/// A small linear congruential generator: the same networks on every machine.
struct Generator: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_F491_4F6C_DD1D
  }
}

/// Random dense ReLU networks; with `spread` weights cover many orders of magnitude and rows cancel.
func randomNetwork(_ widths: [Int], seed: UInt64, spread: Bool = false) throws -> Graph {
  var generator = Generator(seed)
  var builder = GraphBuilder()
  var node = builder.input("x", [widths[0]], type: .float64)
  for (layer, pair) in zip(widths, widths.dropFirst()).enumerated() {
    let (n, m) = pair
    var weights = (0..<(n * m)).map { _ in Double.random(in: -1...1, using: &generator) }
    if spread {
      for i in weights.indices {
        let exponent = Double.random(in: -24...24, using: &generator)
        weights[i] *= Double(sign: .plus, exponent: Int(exponent), significand: 1)
      }
      // Columns that cancel: pairs of huge opposite weights on neighbouring inputs.
      for column in 0..<m where n >= 2 && column % 2 == 0 {
        let huge = Double.random(in: 1...2, using: &generator) * 0x1p40
        weights[column] = huge
        weights[m + column] = -huge + Double.random(in: -1...1, using: &generator)
      }
    }
    let bias = (0..<m).map { _ in Double.random(in: -0.5...0.5, using: &generator) }
    node = try builder.linear(
      Dense(Weight(Tensor([n, m], weights)), inputShape: [n]), node, bias: Weight(Tensor([m], bias)))
    if layer < widths.count - 2 { node = builder.elementwise(Relu(), node) }
  }
  builder.output(node, name: "y")
  return builder.build()
}

func randomBox(_ n: Int, batch: Int = 1, radius: Double, seed: UInt64) -> InputSet {
  var generator = Generator(seed &+ 77)
  let center = (0..<(n * batch)).map { _ in Double.random(in: -1...1, using: &generator) }
  return .box(
    lower: Tensor([batch, n], center.map { $0 - radius }),
    upper: Tensor([batch, n], center.map { $0 + radius }))
}

let singleMethods: [BoundMethod] = [.ibp, .forward, .crownIBP, .forwardCrown, .crown, .alphaCrown, .best]
