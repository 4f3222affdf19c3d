import IR
import Operators
import Tensors

/// How exact a constant is that was computed when the model was read.
///
/// Analyses take the constants of a graph for exact. A constant that is a rounded result therefore carries its relative
/// error along, or, where none is known, is not folded at all: its computation stays in the graph.
enum FoldingCertificate {
  /// The relative error of every element of `result` in units of 2^-53; 0 if it is exact, nil if none is known.
  ///
  /// - Parameters:
  ///   - inputs: the operands with their own relative errors.
  static func roundings(
    of operation: Operation, _ inputs: [(weight: Weight, roundings: Int)], result: Tensor<Double>,
    type: ElementType
  ) -> Int? {
    // Integers are exact up to 2^53, beyond which evaluation throws.
    if !type.isFloatingPoint && inputs.allSatisfy({ $0.roundings == 0 }) { return 0 }
    let worst = inputs.map(\.roundings).max() ?? 0
    switch operation {
    case .affine(let affine): return self.affine(affine, inputs, result)
    case .elementwise(let f): return elementwise(f, inputs[0], result)
    case .product(let form):
      guard form is Multiply else { return nil }
      let inRange = (0..<result.count).allSatisfy { o in
        form.terms(o).allSatisfy { term in
          isInRange(
            result[flat: o], inputs[0].weight.values[flat: term.left],
            inputs[1].weight.values[flat: term.right])
        }
      }
      guard inRange else { return nil }
      let exact = (0..<result.count).allSatisfy { o in
        // An elementwise product has one term per output.
        form.terms(o).allSatisfy { term in
          let (a, b) = (inputs[0].weight.values[flat: term.left], inputs[1].weight.values[flat: term.right])
          return isExactProduct(a, b, result[flat: o])
        }
      }
      return inputs[0].roundings + inputs[1].roundings + (exact ? 0 : 1)
    case .selection: return worst
    case .discrete(let f):
      // Choices and look-ups copy; what decides must be exact.
      if f is Choice { return inputs[0].roundings == 0 ? worst : nil }
      if f is RuntimeGather { return inputs[1].roundings == 0 ? worst : nil }
      if worst == 0 { return isInexact(f, result) ? nil : 0 }
      return isSure(f, inputs, result) ? 0 : nil
    case .composite(let composite):
      guard composite is Quotient else { return nil }
      let (a, b) = (inputs[0].weight, inputs[1].weight)
      let left = a.shape.broadcastIndices(to: result.shape)
      let right = b.shape.broadcastIndices(to: result.shape)
      let inRange = (0..<result.count).allSatisfy { o in
        let (x, y) = (a.values[flat: Int(left[o])], b.values[flat: Int(right[o])])
        return y != 0 && isInRange(result[flat: o], x, x == 0 || y.isFinite ? 1 : y)
      }
      guard inRange else { return nil }
      let exact = (0..<result.count).allSatisfy { o in
        isExactProduct(result[flat: o], b.values[flat: Int(right[o])], a.values[flat: Int(left[o])])
      }
      return inputs[0].roundings + inputs[1].roundings + (exact ? 0 : 1)
    case .input, .constant: return nil
    }
  }

  /// Whether a comparison gives the same answers wherever within their errors the operands lie.
  private static func isSure(
    _ f: any DiscreteFunction, _ inputs: [(weight: Weight, roundings: Int)], _ result: Tensor<Double>
  ) -> Bool {
    guard let comparison = f as? PointwiseDiscrete, comparison.isComparison else { return false }
    func moved(_ input: (weight: Weight, roundings: Int), _ sign: Double) -> Tensor<Double> {
      let factor = 1 + sign * Double(input.roundings) * 0x1.1p-53
      return input.weight.values.map { $0 * factor }
    }
    for a in [-1.0, 1] {
      for b in [-1.0, 1] {
        let corner = try? f.evaluate([moved(inputs[0], a), moved(inputs[1], b)])
        if corner?.elements != result.elements { return false }
      }
    }
    return true
  }

  private static func isInexact(_ f: any DiscreteFunction, _ result: Tensor<Double>) -> Bool {
    switch (f as? PointwiseDiscrete)?.function {
    case .power: return true
    // The divisor is added to some remainders, which rounds unless all are integers.
    case .modulo: return result.elements.contains { $0 != $0.rounded() }
    default: return f is RuntimeScatter
    }
  }

  /// Whether a relative error says how good a computed result is: it is a normal number, a 0 that a factor makes, or
  /// infinite as an operand is. Neither what became 0 or lost digits near the end of the range nor what overflowed is.
  private static func isInRange(_ result: Double, _ a: Double, _ b: Double = 1) -> Bool {
    if result == 0 { return a == 0 || b == 0 || !a.isFinite || !b.isFinite }
    if !result.isFinite { return !result.isNaN && (!a.isFinite || !b.isFinite) }
    return result.magnitude > 0x1p-900
  }

  /// Whether a * b is `product` without rounding: fma gives the rounding error (exact unless it underflows).
  private static func isExactProduct(_ a: Double, _ b: Double, _ product: Double) -> Bool {
    if a == 0 || b == 0 { return product == 0 }
    guard product.isFinite, product.magnitude > 0x1p-900 else { return false }
    return (-product).addingProduct(a, b) == 0
  }

  private static func affine(
    _ affine: Affine, _ inputs: [(weight: Weight, roundings: Int)], _ result: Tensor<Double>
  ) -> Int? {
    let worst = inputs.map(\.roundings).max() ?? 0
    let images = zip(affine.maps, inputs).map { map, input in
      map.apply(input.weight.values.reshaped([1] + input.weight.shape)).elements
    }
    if affine.maps.count == 1, affine.bias == nil, affine.maps[0].isCopy { return worst }
    if affine.maps.count == 1, affine.bias == nil, let diagonal = affine.maps[0] as? Diagonal,
      let scale = diagonal.weights.first
    {
      let map = affine.maps[0]
      let x = inputs[0].weight.values
      guard
        (0..<result.count).allSatisfy({ isInRange(result[flat: $0], x[flat: $0], scale.values[flat: $0]) })
      else { return nil }
      let exact = (0..<result.count).allSatisfy {
        isExactProduct(scale.values[flat: $0], x[flat: $0], result[flat: $0])
      }
      return worst + map.coefficientRoundings + (exact ? 0 : 1)
    }
    if worst == 0, isExactSum(affine, inputs) { return 0 }
    guard affine.maps.allSatisfy(\.isCopy) else { return nil }
    var terms = images
    if let bias = affine.bias { terms.append(bias.values.elements) }
    if affine.disjoint && affine.bias == nil { return worst }
    guard terms.count == 2 else { return nil }
    // Knuth's TwoSum: the error of a sum of two numbers.
    var exact = true
    var sameSign = true
    for (i, (a, b)) in zip(terms[0], terms[1]).enumerated() {
      let sum = result[flat: i]
      if a == 0 || b == 0 { continue }
      guard sum.isFinite || (!sum.isNaN && (!a.isFinite || !b.isFinite)) else { return nil }
      if !sum.isFinite { continue }
      let t = sum - a
      if (a - (sum - t)) + (b - t) != 0 { exact = false }
      if (a < 0) != (b < 0) { sameSign = false }
    }
    if worst == 0 && exact { return 0 }
    // Without cancellation relative errors do not grow.
    return sameSign ? worst + (exact ? 0 : 1) : nil
  }

  /// Whether sums of exact numbers cannot round: all are multiples of one power of two, and even the sum of all
  /// magnitudes is less than 2^53 of these.
  private static func isExactSum(_ affine: Affine, _ inputs: [(weight: Weight, roundings: Int)]) -> Bool {
    guard affine.maps.allSatisfy({ $0.isCopy || ($0 as? SumMap)?.denominator == 1 }) else { return false }
    var lowest = Int.max
    var total = 0.0
    for values in inputs.map(\.weight.values) + (affine.bias.map { [$0.values] } ?? []) {
      for value in values.elements where value != 0 {
        guard value.isFinite else { return false }
        lowest = min(lowest, Int(value.exponent) - value.significandWidth)
        total += value.magnitude
      }
    }
    // Copies may repeat an element; each output still sums at most all elements once per map.
    return total == 0
      || total * Double(affine.maps.count + 1) < Double(sign: .plus, exponent: lowest + 52, significand: 1)
  }

  private static func elementwise(
    _ f: any ElementwiseFunction, _ input: (weight: Weight, roundings: Int), _ result: Tensor<Double>
  ) -> Int? {
    let x = input.weight.values
    let r = input.roundings
    // Functions that reach every number: what becomes 0, tiny or infinite has no relative error.
    if f is Square || f is Reciprocal || f is Exp || f is Log || f is Sqrt {
      let inRange = (0..<result.count).allSatisfy { o in
        let value = x[flat: o]
        if f is Exp { return value.isInfinite || isInRange(result[flat: o], 1) }
        // log 1 is 0.
        if f is Log { return value == 1 || isInRange(result[flat: o], 1) }
        return isInRange(result[flat: o], value)
      }
      guard inRange else { return nil }
    }
    switch f {
    case is Operators.Abs: return r
    case let relu as Relu where relu.negativeSlope == 0: return r
    case is Sqrt:
      let exact = (0..<result.count).allSatisfy {
        isExactProduct(result[flat: $0], result[flat: $0], x[flat: $0])
      }
      return (r + 1) / 2 + (exact ? 0 : 1)
    case is Square:
      let exact = (0..<result.count).allSatisfy { isExactProduct(x[flat: $0], x[flat: $0], result[flat: $0]) }
      return 2 * r + (exact ? 0 : 1)
    case is Reciprocal:
      return r + (x.elements.allSatisfy { $0.significand == 1 } ? 0 : 1)
    // Their results are among a few exact numbers.
    case is Floor, is Ceil, is Round, is Truncate, is Sign, is NonZero, is Not, is IsNaN, is IsInf:
      // Steps are sure where the argument's error does not reach the next one.
      let slack = Double(r) * 0x1.1p-53
      let sure = x.elements.allSatisfy { value in
        let (low, high): (Double, Double) = (f.value(value * (1 - slack)), f.value(value * (1 + slack)))
        return low == high
      }
      return r == 0 || sure ? 0 : nil
    case is Operators.Clip: return r == 0 ? 0 : nil
    // glibc documents at most 1 unit in the last place for these (2 for tanh): 2^-52 each, relatively.
    case is Exp, is Log, is Sin, is Cos, is Tanh, is Erf: return r == 0 ? 4 : nil
    default: return nil
    }
  }
}
