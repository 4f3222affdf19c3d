import IR
import Operators
import Tensors

// Functions of every element, and the units that analyses may treat whole.
extension Lowering {
  /// Operators without attributes that are one elementwise function.
  static let plainFunctions: [String: any ElementwiseFunction] = [
    "Relu": Relu(), "Sigmoid": Sigmoid(), "Tanh": Tanh(), "Exp": Exp(), "Log": Log(), "Sqrt": Sqrt(),
    "Abs": Operators.Abs(), "Erf": Erf(), "Softplus": Softplus(), "Softsign": Softsign(),
    "HardSwish": HardSwish(), "Mish": Mish(), "Sin": Sin(), "Cos": Cos(), "Tan": Tan(), "Asin": Asin(),
    "Acos": Acos(), "Atan": Atan(), "Sinh": Sinh(), "Cosh": Cosh(), "Asinh": Asinh(), "Acosh": Acosh(),
    "Atanh": Atanh(), "Floor": Floor(), "Ceil": Ceil(), "Round": Round(), "Sign": Sign(),
  ]

  /// Functions that leave integers as they are.
  static let integerIdentities: Set<String> = ["Floor", "Ceil", "Round"]

  func square(_ x: Value) throws -> Value { try elementwise(Square(), x) }
  func sqrt(_ x: Value) throws -> Value { try elementwise(Sqrt(), x) }
  func reciprocal(_ x: Value) throws -> Value { try elementwise(Reciprocal(), x) }
  func abs(_ x: Value) throws -> Value { try elementwise(Operators.Abs(), x) }
  func exp(_ x: Value) throws -> Value { try elementwise(Exp(), x) }
  func log(_ x: Value) throws -> Value { try elementwise(Log(), x) }
  func generalPower(_ x: Value, _ exponent: Double) throws -> Value { try elementwise(Pow(exponent), x) }

  // MARK: Units

  /// exp(x) over its sum along an axis.
  func softmax(_ x: Value, axis: Int) throws -> Value {
    if x.shape.count == 0 { return x }
    if x.type == .float16 || x.type == .bfloat16 {
      // Half precision rounds every step of the definition.
      let powers = try exp(try sub(x, try reduceExtremum(.maximum, x, [axis])))
      return try div(powers, try reduceSum(powers, [axis]))
    }
    return try composite(Softmax(x.shape, axis: axis), [x])
  }

  func logSoftmax(_ x: Value, axis: Int) throws -> Value {
    if x.shape.count == 0 { return x }
    return try composite(LogSoftmax(x.shape, axis: axis), [x])
  }

  /// The logarithm of the sum of exponentials along axes, which keep extent 1.
  func logSumExp(_ x: Value, _ axes: Set<Int>) throws -> Value {
    let top = try reduceExtremum(.maximum, x, axes)
    return try add(top, try log(try reduceSum(try exp(try sub(x, top)), axes)))
  }

  /// (x - mean) / sqrt(variance + epsilon) over axes.
  func normalize(_ x: Value, axes: Set<Int>, epsilon: Double) throws -> Value {
    let centered = try sub(x, try reduceMean(x, axes))
    let variance = try reduceMean(try square(centered), axes)
    return try mul(centered, try reciprocal(try sqrt(try add(variance, epsilon))))
  }

  /// LayerNormalization over all axes from `axis` on.
  func layerNormalization(_ x: Value, axis: Int, epsilon: Double, scale: Value, bias: Value?) throws -> Value
  {
    if x.shape.count == 0 { return x }
    let fixed = scale.isConstant && bias?.isConstant ?? true
    let unit = try Normalization.layer(
      x.shape, axis: axis, epsilon: epsilon, scale: fixed ? scale.weight : nil,
      bias: fixed ? bias?.weight : nil)
    let normal = try composite(unit, [x])
    if fixed { return normal }
    let scaled = try mul(normal, scale)
    return try bias.map { try add(scaled, $0) } ?? scaled
  }

  /// x / sqrt(mean square + epsilon) over all axes from `axis` on, scaled.
  func rootMeanSquare(_ x: Value, axis: Int, epsilon: Double, scale: Value) throws -> Value {
    if x.shape.count == 0 { return x }
    let unit = try Normalization.rootMeanSquare(x.shape, axis: axis, epsilon: epsilon, scale: scale.weight)
    let normal = try composite(unit, [x])
    return scale.isConstant ? normal : try mul(normal, scale)
  }

  /// Normalisation of every channel, or group of channels, of `[N, C, ...]`, with a scale and a bias per channel or
  /// group.
  func channelNormalization(
    _ x: Value, groups: Int?, epsilon: Double, scale: Value, bias: Value
  ) throws -> Value {
    if x.shape.count == 0 { return x }
    let fixed = scale.isConstant && bias.isConstant
    let unit = try Normalization.channels(
      x.shape, groups: groups, epsilon: epsilon, scale: fixed ? scale.weight : nil,
      bias: fixed ? bias.weight : nil)
    let normal = try composite(unit, [x])
    if fixed { return normal }
    // One number per channel; those of a group repeat.
    let channels = x.shape[1]
    func spread(_ value: Value) throws -> Value {
      var dims = [Int](repeating: 1, count: x.rank)
      dims[1] = channels
      let repeats = channels / max(1, value.shape.count)
      let all = try take(value, axis: 0, (0..<channels).map { $0 / max(1, repeats) })
      return try reshape(all, Shape(dims))
    }
    return try add(try mul(normal, try spread(scale)), try spread(bias))
  }
}
