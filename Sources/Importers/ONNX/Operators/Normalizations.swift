import IR
import Operators
import Tensors

// Normalisation by stored or by the input's own statistics.
extension OnnxOperators {
  static let normalizations: [String: Lower] = [
    "BatchNormalization": { node, l in try batchNormalization(node, l) },
    "InstanceNormalization": { node, l in
      let x = try node.input(0)
      let epsilon = try node.float("epsilon", default: 1e-5)
      let (scale, bias) = (try node.input(1), try node.input(2))
      guard x.rank >= 3, scale.shape == [x.shape[1]], bias.shape == [x.shape[1]] else {
        throw node.malformed("scale \(scale.shape) and bias \(bias.shape) do not fit \(x.shape)")
      }
      return [try l.channelNormalization(x, groups: nil, epsilon: epsilon, scale: scale, bias: bias)]
    },
    "GroupNormalization": { node, l in
      let x = try node.input(0)
      let epsilon = try node.float("epsilon", default: 1e-5)
      let groups = try node.require("num_groups", try node.int("num_groups"))
      node.ignore("stash_type")
      let (scale, bias) = (try node.input(1), try node.input(2))
      guard x.rank >= 2, groups > 0, x.shape[1] % groups == 0 else {
        throw node.malformed("\(groups) groups do not fit \(x.shape)", attribute: "num_groups")
      }
      // Scale and bias per group until opset 20, per channel from 21 on.
      let count = node.version < 21 ? groups : x.shape[1]
      guard scale.shape == [count], bias.shape == [count] else {
        throw node.malformed("scale \(scale.shape) and bias \(bias.shape) do not fit \(count) of \(x.shape)")
      }
      return [try l.channelNormalization(x, groups: groups, epsilon: epsilon, scale: scale, bias: bias)]
    },
    "LayerNormalization": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try node.int("axis", default: -1), x.rank, node)
      let epsilon = try node.float("epsilon", default: 1e-5)
      node.ignore("stash_type")
      let axes = Set(axis..<x.rank)
      let scaled = try l.layerNormalization(
        x, axis: axis, epsilon: epsilon, scale: try node.input(1), bias: node.optional(2))
      if !node.wantsOutput(1) && !node.wantsOutput(2) { return [scaled] }
      let mean = try l.reduceMean(x, axes)
      let variance = try l.reduceMean(try l.square(try l.sub(x, mean)), axes)
      return [scaled, mean, try l.reciprocal(try l.sqrt(try l.add(variance, epsilon)))]
    },
    "RMSNormalization": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try node.int("axis", default: -1), x.rank, node)
      let epsilon = try node.float("epsilon", default: 1e-5)
      node.ignore("stash_type")
      return [try l.rootMeanSquare(x, axis: axis, epsilon: epsilon, scale: try node.input(1))]
    },
    "MeanVarianceNormalization": { node, l in
      let x = try node.input(0)
      let axes = try l.axes(try node.ints("axes") ?? [0, 2, 3], x.rank, node)
      let centered = try l.sub(x, try l.reduceMean(x, Set(axes)))
      let variance = try l.reduceMean(try l.square(centered), Set(axes))
      // The definition adds 1e-9 to the standard deviation.
      let deviation = try l.add(try l.sqrt(variance), 1e-9)
      return [try l.div(centered, deviation)]
    },
    "LpNormalization": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try node.int("axis", default: -1), x.rank, node)
      let p = try node.int("p", default: 2)
      let norm: Value
      switch p {
      case 1: norm = try l.reduceSum(try l.abs(x), [axis])
      case 2: norm = try l.sqrt(try l.reduceSum(try l.square(x), [axis]))
      default: throw node.malformed("\(p) is neither 1 nor 2", attribute: "p")
      }
      // A vector of zeros stays zero; its norm is taken as 1.
      let isZero = try l.compare(.equal, norm, Value(scalar: 0, x.type))
      let divisor = try l.choose(isZero, try l.filled(1, norm.shape, x.type), norm)
      return [try l.div(x, divisor)]
    },
    "LRN": { node, l in
      let x = try node.input(0)
      let size = try node.require("size", try node.int("size"))
      let alpha = try node.float("alpha", default: 1e-4)
      let beta = try node.float("beta", default: 0.75)
      let bias = try node.float("bias", default: 1)
      guard x.rank >= 2, size > 0 else { throw node.malformed("\(size) is no window", attribute: "size") }
      let channels = x.shape[1]
      let rows = (0..<channels).map { c in
        (max(0, c - (size - 1) / 2)...min(channels - 1, c + size / 2)).map { SparseEntry($0, 1) }
      }
      let sums = try alongAxis(try l.square(x), 1, rows, l)
      let scaled = try l.add(try l.div(try l.scale(sums, alpha), Value(scalar: Double(size), x.type)), bias)
      return [try l.mul(x, try l.power(scaled, -beta))]
    },
  ]

  /// scale * x + bias with one scale and one bias for every index of axis 1.
  private static func perChannel(
    _ x: Value, _ scale: Value, _ bias: Value, _ node: OnnxNode, _ l: Lowering
  ) throws -> Value {
    guard scale.shape == [x.shape[1]], bias.shape == [x.shape[1]] else {
      throw node.malformed("scale \(scale.shape) and bias \(bias.shape) do not fit \(x.shape)")
    }
    var dims = [Int](repeating: 1, count: x.rank)
    dims[1] = x.shape[1]
    return try l.add(
      try l.mul(x, try l.reshape(scale, Shape(dims))), try l.reshape(bias, Shape(dims)))
  }

  /// BatchNormalization with stored statistics; with training_mode the statistics of the input, whose running
  /// averages are further outputs.
  private static func batchNormalization(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let x = try node.input(0)
    let epsilon = try node.float("epsilon", default: 1e-5)
    let momentum = try node.float("momentum", default: 0.9)
    let training = try node.bool("training_mode", default: false)
    if node.version < 9, try node.int("spatial", default: 1) != 1 {
      throw node.unsupported("statistics per position are not supported", attribute: "spatial")
    }
    let (scale, bias) = (try node.input(1), try node.input(2))
    let (mean, variance) = (try node.input(3), try node.input(4))
    guard x.rank >= 2 else { throw node.malformed("needs a channel axis, its input has shape \(x.shape)") }
    let channels = x.shape[1]
    for part in [scale, bias, mean, variance] where part.shape != [channels] {
      throw node.malformed("a parameter of shape \(part.shape) does not fit \(channels) channels")
    }
    var dims = [Int](repeating: 1, count: x.rank)
    dims[1] = channels
    if training {
      let axes = Set((0..<x.rank).filter { $0 != 1 })
      let current = try l.reduceMean(x, axes)
      let spread = try l.reduceMean(try l.square(try l.sub(x, current)), axes)
      let normal = try l.normalize(x, axes: axes, epsilon: epsilon)
      let y = try perChannel(normal, scale, bias, node, l)
      func running(_ old: Value, _ new: Value) throws -> Value {
        try l.add(try l.scale(old, momentum), try l.scale(try l.reshape(new, [channels]), 1 - momentum))
      }
      return [y, try running(mean, current), try running(variance, spread)]
    }
    guard let s = scale.elements, let b = bias.elements, let m = mean.elements, let v = variance.elements
    else {
      let factor = try l.mul(scale, try l.reciprocal(try l.sqrt(try l.add(variance, epsilon))))
      let centered = try l.sub(x, try l.reshape(mean, Shape(dims)))
      return [
        try l.add(
          try l.mul(centered, try l.reshape(factor, Shape(dims))), try l.reshape(bias, Shape(dims)))
      ]
    }
    // (x - mean) * factor + bias: centring first keeps the stored numbers exact. The factor carries the roundings of
    // a sum, a root, a quotient; relative to a positive variance these are at most 3.
    guard v.allSatisfy({ $0 + epsilon > 0 }) else {
      throw node.malformed("has a variance that is not positive")
    }
    if l.arithmetic != .real { return [try deployedScaling(x, (s, b, m, v), epsilon, Shape(dims), l)] }
    let factors = zip(s, v).map { $0 / ($1 + epsilon).squareRoot() }
    let centered =
      m.allSatisfy { $0 == 0 } ? x : try l.sub(x, try l.reshape(mean, Shape(dims)))
    let table = Shape(dims).broadcastIndices(to: x.shape)
    let diagonal = Diagonal(
      Weight(Tensor(x.shape, table.map { factors[Int($0)] })), shape: x.shape, roundings: 3)
    let offset = Weight(Tensor(x.shape, table.map { b[Int($0)] }))
    return [try l.linear(diagonal, centered, bias: offset)]
  }

  /// x f - mean f + bias with f = scale / sqrt(variance + epsilon), as a sum of three terms: runs compute (x - mean) f + bias
  /// or x f + (bias - mean f). The sum, the root (2), the reciprocal (2) and the product give f at most 6 roundings, the
  /// difference first one more; 8 are counted for each of the two products.
  private static func deployedScaling(
    _ x: Value, _ parts: (scale: [Double], bias: [Double], mean: [Double], variance: [Double]),
    _ epsilon: Double, _ dims: Shape, _ l: Lowering
  ) throws -> Value {
    let table = dims.broadcastIndices(to: x.shape).map { Int($0) }
    let factors = zip(parts.scale, parts.variance).map { $0 / ($1 + epsilon).squareRoot() }
    let diagonal = Diagonal(Weight(Tensor(x.shape, table.map { factors[$0] })), shape: x.shape, roundings: 8)
    let scaled = try l.linear(diagonal, x)
    let offset = Weight(Tensor(x.shape, table.map { parts.bias[$0] }))
    if parts.mean.allSatisfy({ $0 == 0 }) {
      return try l.linear(Reshape.identity(x.shape), scaled, bias: offset)
    }
    let mean = Value(table.map { parts.mean[$0] }, x.shape, x.type)
    let shift = try l.negate(try l.linear(diagonal, mean))
    return try l.affine(
      [(scaled, Reshape.identity(x.shape)), (shift, Reshape.identity(x.shape))], bias: offset, type: x.type)
  }
}
