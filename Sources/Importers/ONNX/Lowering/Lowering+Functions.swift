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
    let shifted = try sub(x, try reduceExtremum(.maximum, x, [axis]))
    let powers = try exp(shifted)
    return try div(powers, try reduceSum(powers, [axis]))
  }

  func logSoftmax(_ x: Value, axis: Int) throws -> Value {
    let shifted = try sub(x, try reduceExtremum(.maximum, x, [axis]))
    return try sub(shifted, try log(try reduceSum(try exp(shifted), [axis])))
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

  /// LayerNormalization over the last axes.
  func layerNormalization(_ x: Value, axes: Set<Int>, epsilon: Double, scale: Value, bias: Value?) throws
    -> Value
  {
    let scaled = try mul(try normalize(x, axes: axes, epsilon: epsilon), scale)
    return try bias.map { try add(scaled, $0) } ?? scaled
  }

  /// x / sqrt(mean square + epsilon) over axes.
  func rootMeanSquare(_ x: Value, axes: Set<Int>, epsilon: Double) throws -> Value {
    let mean = try reduceMean(try square(x), axes)
    return try mul(x, try reciprocal(try sqrt(try add(mean, epsilon))))
  }
}
