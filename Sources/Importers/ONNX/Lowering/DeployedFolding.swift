import Domains
import IR
import Operators
import Tensors

/// How exact a constant is that a deployed run computes in its own type, and the import in Double.
///
/// Where the run's value is known up to a few roundings of its type, relatively, the constant is folded with that account
/// (as a ``RoundedCoefficients`` of the analyses, which take a rounding as 2^-24 for float32). Sums that cancel, sums of
/// more than two terms and library functions stay in the graph.
enum DeployedFolding {
  typealias Operand = (weight: Weight, roundings: Int)

  /// The relative error of every element of `result` in roundings of `type`; 0 if a run computes just that, nil if none is
  /// known.
  static func roundings(
    of operation: Operation, _ inputs: [Operand], result: Tensor<Double>, type: ElementType
  ) -> Int? {
    guard let rounding = DeployedRounding(type) else {
      // Integers and booleans, of which exact ones are computed exactly.
      return inputs.allSatisfy { $0.roundings == 0 }
        ? FoldingCertificate.roundings(of: operation, inputs, result: result, type: type) : nil
    }
    guard let count = self.count(operation, inputs, result, type) else { return nil }
    // Relative errors hold between underflow and overflow.
    let isNormal = result.elements.allSatisfy {
      $0 == 0 || ($0.magnitude >= rounding.underflow && $0.magnitude <= rounding.largest)
    }
    return count == 0 || isNormal ? count : nil
  }

  private static func count(
    _ operation: Operation, _ inputs: [Operand], _ result: Tensor<Double>, _ type: ElementType
  ) -> Int? {
    let worst = inputs.map(\.roundings).max() ?? 0
    let total = inputs.reduce(0) { $0 + $1.roundings }
    switch operation {
    case .affine(let map):
      let isMoved = map.bias == nil && (map.maps.count == 1 || map.disjoint)
      if isMoved, map.maps.allSatisfy(\.isCopy) { return worst }
      if isMoved, map.maps.count == 1, let scale = map.maps[0] as? Diagonal {
        return worst + scale.coefficientRoundings + own(operation, inputs, result, type)
      }
      return sum(map, inputs, result, type)
    case .product(let form) where form is Multiply: return total + own(operation, inputs, result, type)
    case .composite(let composite) where composite is Quotient:
      return total + own(operation, inputs, result, type)
    case .selection: return worst
    case .elementwise(let f):
      switch f {
      case is Operators.Abs: return worst
      case let relu as Relu where relu.negativeSlope == 0: return worst
      default: return worst == 0 && f.kernelError.isExact ? 0 : nil
      }
    case .discrete(let f):
      if f is Choice { return inputs[0].roundings == 0 ? worst : nil }
      if f is RuntimeGather { return inputs[1].roundings == 0 ? worst : nil }
      return worst == 0 && f.deployedRoundings == 0 ? 0 : nil
    default: return nil
    }
  }

  /// The rounding of the operation itself: none if its exact result is a number of the type.
  private static func own(
    _ operation: Operation, _ inputs: [Operand], _ result: Tensor<Double>, _ type: ElementType
  ) -> Int {
    let exact = inputs.map { (weight: $0.weight, roundings: 0) }
    let isExact = FoldingCertificate.roundings(of: operation, exact, result: result, type: type) == 0
    return isExact && result.elements.allSatisfy { rounded($0, type) == $0 } ? 0 : 1
  }

  /// Sums of two terms of equal signs, and of two terms whose sum is a number of the type.
  private static func sum(
    _ map: Affine, _ inputs: [Operand], _ result: Tensor<Double>, _ type: ElementType
  ) -> Int? {
    guard map.maps.allSatisfy(\.isCopy) else { return nil }
    var terms = zip(map.maps, inputs).map { map, input in
      map.apply(input.weight.values.reshaped([1] + input.weight.shape)).elements
    }
    if let bias = map.bias { terms.append(bias.values.elements) }
    guard terms.count == 2 else { return nil }
    let worst = inputs.map(\.roundings).max() ?? 0
    let own = self.own(.affine(map), inputs, result, type)
    if worst == 0 && own == 0 { return 0 }
    let isSafe = zip(terms[0], terms[1]).allSatisfy { $0 == 0 || $1 == 0 || ($0 < 0) == ($1 < 0) }
    return isSafe ? worst + own : nil
  }

  /// A number rounded to a floating-point type.
  static func rounded(_ x: Double, _ type: ElementType) -> Double {
    switch type {
    case .float16: Double(Float16(x))
    case .float32: Double(Float(x))
    case .bfloat16: Double(Lowering.bfloat16(Float(x)))
    default: x
    }
  }
}
