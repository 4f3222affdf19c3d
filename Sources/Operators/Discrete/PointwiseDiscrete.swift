import IR
import Tensors
import Foundation

/// Binary functions of two broadcast operands that jump, or that are exact only on integers: comparisons, Xor,
/// integer Div, Mod, bit operations, Pow with a variable exponent.
public struct PointwiseDiscrete: DiscreteFunction {
  public enum Function: String, Sendable, CaseIterable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
    case exclusiveOr
    /// Division that truncates towards zero; integers only.
    case integerDivide
    /// The remainder with the sign of the divisor (Python's `%`, ONNX Mod with fmod = 0).
    case modulo
    /// The remainder with the sign of the dividend (C's `fmod`).
    case remainder
    case bitAnd, bitOr, bitXor, shiftLeft, shiftRight
    /// Real powers.
    case power
  }

  public let function: Function
  public let inputShapes: [Shape]
  public let outputShape: Shape
  private let left: [Int32]
  private let right: [Int32]

  /// Fails if the shapes do not broadcast.
  public init?(_ function: Function, _ a: Shape, _ b: Shape) {
    guard let shape = Shape.broadcast(a, b) else { return nil }
    self.function = function
    inputShapes = [a, b]
    outputShape = shape
    left = a.broadcastIndices(to: shape)
    right = b.broadcastIndices(to: shape)
  }

  public var name: String { function.rawValue }

  /// Whether the function compares, so that it is constant but for jumps.
  public var isComparison: Bool {
    switch function {
    case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual: true
    default: false
    }
  }

  public var deployedRoundings: Int { function == .power ? Int(DeployedKernel.pow.error.relative) : 0 }

  public func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double> {
    var result = [Double](repeating: 0, count: left.count)
    for o in result.indices {
      result[o] = try value(x[0][flat: Int(left[o])], x[1][flat: Int(right[o])])
    }
    return Tensor(outputShape, result)
  }

  private func value(_ a: Double, _ b: Double) throws -> Double {
    switch function {
    case .equal: return a == b ? 1 : 0
    case .notEqual: return a != b ? 1 : 0
    case .less: return a < b ? 1 : 0
    case .lessOrEqual: return a <= b ? 1 : 0
    case .greater: return a > b ? 1 : 0
    case .greaterOrEqual: return a >= b ? 1 : 0
    case .exclusiveOr: return (a != 0) != (b != 0) ? 1 : 0
    case .integerDivide:
      guard b != 0 else { throw GraphError(node: "", reason: "an integer is divided by zero") }
      return (a / b).rounded(.towardZero)
    case .modulo:
      let rest = a.truncatingRemainder(dividingBy: b)
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
    case .remainder: return a.truncatingRemainder(dividingBy: b)
    case .power: return pow(a, b)
    case .bitAnd, .bitOr, .bitXor, .shiftLeft, .shiftRight: return try bits(a, b)
    }
  }

  private func bits(_ a: Double, _ b: Double) throws -> Double {
    guard a.magnitude <= 0x1p53, b.magnitude <= 0x1p53 else {
      throw GraphError(node: "", reason: "an integer beyond 2^53 cannot be computed exactly")
    }
    let x = Int64(a)
    let y = Int64(b)
    switch function {
    case .bitAnd: return Double(x & y)
    case .bitOr: return Double(x | y)
    case .bitXor: return Double(x ^ y)
    case .shiftLeft:
      // The domain wraps the product into the element type.
      // Shifts are unsigned, so a negative one is a large one.
      guard y >= 0, y < 64 else { return 0 }
      return a * Double(sign: .plus, exponent: Int(y), significand: 1)
    default: return Double(y >= 0 && y < 64 ? x >> y : x >> 63)
    }
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = [Double](repeating: 0, count: left.count)
    var high = low
    for o in low.indices {
      let (i, j) = (Int(left[o]), Int(right[o]))
      let a = (lower[0][flat: i], upper[0][flat: i])
      let b = (lower[1][flat: j], upper[1][flat: j])
      (low[o], high[o]) = try bounds(a, b)
    }
    return (Tensor(outputShape, low), Tensor(outputShape, high))
  }

  /// Bounds of one output for operands in [a.0, a.1] and [b.0, b.1].
  private func bounds(_ a: (Double, Double), _ b: (Double, Double)) throws -> (Double, Double) {
    switch function {
    case .less: return (a.1 < b.0 ? 1 : 0, a.0 < b.1 ? 1 : 0)
    // Comparisons with what is no number are false, so that nothing holds for sure.
    case .lessOrEqual: return (a.1 <= b.0 && !isUnknown(a, b) ? 1 : 0, a.0 <= b.1 ? 1 : 0)
    case .greater: return (a.0 > b.1 ? 1 : 0, a.1 > b.0 ? 1 : 0)
    case .greaterOrEqual: return (a.0 >= b.1 && !isUnknown(a, b) ? 1 : 0, a.1 >= b.0 ? 1 : 0)
    case .equal:
      let fixed = a.0 == a.1 && b.0 == b.1 && a.0 == b.0
      return (fixed ? 1 : 0, a.0 <= b.1 && b.0 <= a.1 ? 1 : 0)
    case .notEqual:
      let fixed = a.0 == a.1 && b.0 == b.1 && a.0 == b.0
      return (a.0 <= b.1 && b.0 <= a.1 ? 0 : 1, fixed ? 0 : 1)
    case .power: return try powerBounds(a, b)
    default: break
    }
    // The rest by 0 and that of infinity are no numbers.
    if function == .modulo || function == .remainder,
      (b.0 <= 0 && b.1 >= 0) || !(a.0.isFinite && a.1.isFinite) || isUnknown(b, b)
    {
      return (-.infinity, .infinity)
    }
    if a.0 == a.1 && b.0 == b.1 {
      let point = try value(a.0, b.0)
      return (point, point)
    }
    switch function {
    case .exclusiveOr: return (0, 1)
    case .integerDivide where b.0 > 0 || b.1 < 0:
      // Monotone in each operand while the divisor keeps its sign.
      let corners = try [value(a.0, b.0), value(a.0, b.1), value(a.1, b.0), value(a.1, b.1)]
      return (corners.min() ?? 0, corners.max() ?? 0)
    case .modulo where b.0 == b.1 && b.0 > 0:
      let same = (a.0 / b.0).rounded(.down) == (a.1 / b.0).rounded(.down)
      return try same ? (value(a.0, b.0), value(a.1, b.0)) : (0, b.0)
    case .modulo, .remainder:
      let reach = max(b.0.magnitude, b.1.magnitude)
      return (-reach, reach)
    default:
      throw UnsupportedOperator(
        node: "", operatorName: name, reason: "it has no bounds where its operands vary")
    }
  }

  /// Whether an operand may be no number.
  private func isUnknown(_ a: (Double, Double), _ b: (Double, Double)) -> Bool {
    (a.0 == -.infinity && a.1 == .infinity) || (b.0 == -.infinity && b.1 == .infinity)
  }

  /// Powers of positive bases: monotone in each operand on either side of 1, so the extrema are at corners. The
  /// library's pow errs by less than one unit in the last place (glibc manual); two are added.
  private func powerBounds(_ a: (Double, Double), _ b: (Double, Double)) throws -> (Double, Double) {
    guard a.0 > 0 else {
      throw UnsupportedOperator(
        node: "", operatorName: "Pow", reason: "a variable exponent has bounds for positive bases only")
    }
    let corners = [pow(a.0, b.0), pow(a.0, b.1), pow(a.1, b.0), pow(a.1, b.1)]
    let low = corners.min() ?? 0
    let high = corners.max() ?? 0
    return (max(0, low.nextDown.nextDown), high.nextUp.nextUp)
  }
}
