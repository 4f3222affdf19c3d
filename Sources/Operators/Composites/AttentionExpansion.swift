import IR
import Tensors

extension Attention {
  /// What stands for -inf in the expansion: far enough that exp gives 0 in every precision, finite so that bounds stay
  /// finite.
  static let masked = -1e30

  /// Scores, softmax and the weighted sum of values, written out.
  static func expanded(
    positions n: Int, heads: Int, headWidth: Int, scale: Double, isMasked: (Int, Int) -> Bool
  ) throws -> Graph {
    var builder = GraphBuilder(origin: "Attention")
    let shape: Shape = [n, heads * headWidth]
    let split: Shape = [n, heads, headWidth]
    let square: Shape = [heads, n, n]
    let inputs = ["q", "k", "v"].map { builder.input($0, shape) }
    func perHead(_ x: NodeID, _ permutation: [Int], _ name: String) throws -> NodeID {
      let parts = try builder.linear(Reshape(shape, to: split), x, name: name + ".parts")
      return try builder.linear(IndexMap.transpose(split, permutation), parts, name: name + ".heads")
    }
    let q = try perHead(inputs[0], [1, 0, 2], "q")
    let k = try perHead(inputs[1], [1, 2, 0], "k")
    let v = try perHead(inputs[2], [1, 0, 2], "v")
    guard let scoring = MatrixProduct([heads, n, headWidth], [heads, headWidth, n]),
      let mixing = MatrixProduct(square, [heads, n, headWidth])
    else { throw GraphError(node: "Attention", reason: "the shapes of its heads do not fit") }
    let raw = try builder.product(scoring, q, k, name: "products")
    let mask = (0..<square.count).map { isMasked($0 / n % n, $0 % n) ? masked : 0 }
    let bias = mask.contains { $0 != 0 } ? Weight(Tensor(square, mask)) : nil
    let scores = try builder.linear(
      Diagonal.scale(scale, square, roundings: 1), raw, bias: bias, name: "scores")
    let pattern = try builder.composite(try Softmax(square, axis: -1), [scores], name: "pattern")
    let mixed = try builder.product(mixing, pattern, v, name: "mixed")
    let back = try builder.linear(
      IndexMap.transpose([heads, n, headWidth], [1, 0, 2]), mixed, name: "positions")
    let z = try builder.linear(Reshape(split, to: shape), back, name: "z")
    builder.output(z)
    return builder.build()
  }
}

extension LayerNormalization {
  /// The general normalisation with the same parameters, whose relaxations bound methods use.
  static func expanded(shape: Shape, gain: Weight, shift: Weight, epsilon: Double) throws -> Graph {
    var builder = GraphBuilder(origin: "LayerNormalization")
    let x = builder.input("x", shape)
    let norm = try Normalization.layer(shape, epsilon: epsilon, scale: gain, bias: shift)
    let y = try builder.composite(norm, [x], name: "normalized")
    builder.output(y)
    return builder.build()
  }
}
