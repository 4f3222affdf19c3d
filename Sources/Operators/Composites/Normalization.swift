import Foundation
import IR
import Tensors

/// Normalisation of blocks of consecutive elements: (x - mean) / sqrt(variance + epsilon) or x / sqrt(mean square +
/// epsilon), then a scale and a bias of their own for every element.
///
/// LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization differ in the blocks only.
public struct Normalization: RelaxedComposite {
  public let name: String
  public let shape: Shape
  /// Elements per block.
  public let blockLength: Int
  public let epsilon: Double
  /// Whether the mean is subtracted.
  public let isCentered: Bool
  /// One number per element of `shape`, or nil for 1 and 0.
  public let scale: Weight?
  public let bias: Weight?
  public let expansion: Graph

  /// - Parameters:
  ///   - blockLength: divides the number of elements.
  ///   - scale: broadcast to `shape` (numpy rules), and likewise `bias`.
  /// - Throws: `GraphError` if the shapes do not fit or epsilon is negative.
  public init(
    name: String, shape: Shape, blockLength: Int, epsilon: Double, isCentered: Bool, scale: Weight? = nil,
    bias: Weight? = nil
  ) throws {
    func fail(_ reason: String) -> GraphError { GraphError(node: name, reason: reason) }
    guard blockLength > 0, shape.count % blockLength == 0 else {
      throw fail("shape \(shape) has no blocks of \(blockLength) elements")
    }
    guard epsilon >= 0, epsilon.isFinite else { throw fail("epsilon must not be negative, got \(epsilon)") }
    func spread(_ weight: Weight?) throws -> Weight? {
      guard let weight else { return nil }
      if weight.shape == shape { return weight }
      guard Shape.broadcast(weight.shape, shape) == shape else {
        throw fail("a parameter of shape \(weight.shape) does not fit \(shape)")
      }
      let index = weight.shape.broadcastIndices(to: shape)
      return Weight(Tensor(shape, index.map { weight.values[flat: Int($0)] }))
    }
    self.name = name
    self.shape = shape
    self.blockLength = blockLength
    self.epsilon = epsilon
    self.isCentered = isCentered
    self.scale = try spread(scale)
    self.bias = try spread(bias)
    expansion = try Self.expand(
      name: name, shape: shape, length: blockLength, epsilon: epsilon, isCentered: isCentered,
      scale: self.scale,
      bias: self.bias)
  }

  /// Blocks of everything from `axis` on (ONNX LayerNormalization; Ba et al., 2016).
  public static func layer(
    _ shape: Shape, axis: Int = -1, epsilon: Double = 1e-5, scale: Weight? = nil, bias: Weight? = nil
  ) throws -> Normalization {
    try Normalization(
      name: "LayerNormalization", shape: shape, blockLength: tail(shape, axis, "LayerNormalization"),
      epsilon: epsilon, isCentered: true, scale: scale, bias: bias)
  }

  /// The same without subtraction of the mean (Zhang & Sennrich, 2019).
  public static func rootMeanSquare(
    _ shape: Shape, axis: Int = -1, epsilon: Double = 1e-5, scale: Weight? = nil
  ) throws -> Normalization {
    try Normalization(
      name: "RMSNormalization", shape: shape, blockLength: tail(shape, axis, "RMSNormalization"),
      epsilon: epsilon, isCentered: false, scale: scale)
  }

  /// Shape [N, C, ...]: one block per example and channel, or per group of channels with `groups`; scale and bias per
  /// channel, or per group where `groups` is given and they have that length (opset 18).
  public static func channels(
    _ shape: Shape, groups: Int? = nil, epsilon: Double = 1e-5, scale: Weight? = nil, bias: Weight? = nil
  ) throws -> Normalization {
    let name = groups == nil ? "InstanceNormalization" : "GroupNormalization"
    guard shape.rank >= 2 else { throw GraphError(node: name, reason: "shape \(shape) has no channels") }
    let channels = shape[1]
    let parts = groups ?? channels
    guard parts > 0, channels % parts == 0 else {
      throw GraphError(node: name, reason: "\(channels) channels cannot be divided into \(parts) groups")
    }
    let area = shape.dims[2...].reduce(1, *)
    func perChannel(_ weight: Weight?) throws -> Weight? {
      guard let weight else { return nil }
      let count = weight.values.count
      guard count == channels || count == parts else {
        throw GraphError(
          node: name, reason: "a parameter of shape \(weight.shape) does not fit \(channels) channels")
      }
      let repeats = channels / count
      let values = (0..<shape.count).map { weight.values[flat: ($0 / area % channels) / repeats] }
      return Weight(Tensor(shape, values))
    }
    return try Normalization(
      name: name, shape: shape, blockLength: max(1, channels / parts * area), epsilon: epsilon,
      isCentered: true,
      scale: perChannel(scale), bias: perChannel(bias))
  }

  private static func tail(_ shape: Shape, _ axis: Int, _ name: String) throws -> Int {
    guard let axis = shape.axis(axis) else {
      throw GraphError(node: name, reason: "shape \(shape) has no axis \(axis)")
    }
    return max(1, shape.dims[axis...].reduce(1, *))
  }

  public var inputShapes: [Shape] { [shape] }
  public var outputShape: Shape { shape }

  /// Mean, centring, square, mean, `DeviationScaling`, scale and bias.
  private static func expand(
    name: String, shape: Shape, length: Int, epsilon: Double, isCentered: Bool, scale: Weight?, bias: Weight?
  ) throws -> Graph {
    var b = GraphBuilder(origin: name)
    let x = b.input("x", shape)
    let blocks: Shape = [shape.count / length, length]
    let average = SumMap.reduce(blocks, axes: [1], mean: true)
    let perBlock = average.outputShape
    let flat = try b.linear(Reshape(shape, to: blocks), x)
    var centered = flat
    if isCentered {
      let mean = try b.linear(average, flat, name: "mean")
      let spread = try b.linear(IndexMap.broadcast(perBlock, to: blocks), mean)
      centered = try b.affine(
        [(flat, Reshape.identity(blocks)), (spread, Diagonal.scale(-1, blocks))], name: "centered")
    }
    let square = b.elementwise(Square(), centered)
    let variance = try b.linear(average, square, name: "mean square")
    let core = try DeviationScaling(
      name: name, blocks: blocks[0], length: length, epsilon: epsilon, isCentered: isCentered)
    let normal = try b.composite(core, [centered, variance], name: "normalized")
    let back = try b.linear(Reshape(blocks, to: shape), normal)
    if let scale {
      b.output(try b.linear(Diagonal(scale, shape: shape), back, bias: bias))
    } else {
      b.output(try b.linear(Reshape.identity(shape), back, bias: bias))
    }
    return b.build()
  }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    // Double inside in either precision; Real has exactly two conformances.
    if let value = x[0] as? Tensor<Double> { return evaluate(value) as? Tensor<T> }
    return (x[0] as? Tensor<Float>).flatMap { evaluate($0.float64).float32 as? Tensor<T> }
  }

  private func evaluate(_ x: Tensor<Double>) -> Tensor<Double> {
    let n = blockLength
    let size = shape.count
    return Tensor(writing: x.shape) { y in
      x.withPointer { x0 in
        for start in stride(from: 0, to: x.count, by: n) {
          let (mean, inverse) = statistics(x0 + start)
          for i in start..<(start + n) {
            var value = (x0[i] - mean) * inverse
            if let scale { value *= scale.values[flat: i % size] }
            if let bias { value += bias.values[flat: i % size] }
            y[i] = value
          }
        }
      }
    }
  }

  private func statistics(_ x: UnsafePointer<Double>) -> (mean: Double, inverse: Double) {
    let n = blockLength
    var mean = 0.0
    if isCentered {
      for i in 0..<n { mean += x[i] }
      mean /= Double(n)
    }
    var sum = 0.0
    for i in 0..<n { sum += (x[i] - mean) * (x[i] - mean) }
    return (mean, 1 / (sum / Double(n) + epsilon).squareRoot())
  }

  /// With z the normalised values and d = scale c: (d - mean(d) - z mean(d z)) / deviation, without mean(d) if not
  /// centred.
  public func adjoint(_ c: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let n = blockLength
    let size = shape.count
    let (batch, dc, dx) = batchRatio(c.batch, x[0].batch)
    let result = Tensor<Double>(writing: [batch] + shape) { g in
      c.withPointer { c0 in
        x[0].withPointer { x0 in
          for b in 0..<batch {
            for start in stride(from: 0, to: size, by: n) {
              let x1 = x0 + (b / dx) * size + start
              let c1 = c0 + (b / dc) * size + start
              let g1 = g + b * size + start
              let (mean, inverse) = statistics(x1)
              var sum = 0.0
              var dot = 0.0
              for i in 0..<n {
                let d = c1[i] * (scale?.values[flat: start + i] ?? 1)
                g1[i] = d
                sum += d
                dot += d * (x1[i] - mean) * inverse
              }
              let average = isCentered ? sum / Double(n) : 0
              for i in 0..<n {
                g1[i] = (g1[i] - average - (x1[i] - mean) * inverse * dot / Double(n)) * inverse
              }
            }
          }
        }
      }
    }
    return [result]
  }
}
