import IR
import Rigor
import Tensors

/// Runs the network on exact rationals: one example, flat row-major.
///
/// Weights are dyadic rationals, so affine maps, products and piecewise linear functions have exact values. Where a
/// value is irrational or a stored coefficient is itself rounded, the domain throws `UnsupportedOperator` rather than
/// approximate.
public struct ExactDomain: Domain {
  public typealias Value = [Rational]

  public init() {}

  public func constant(_ weight: Weight, at node: Node) throws -> [Rational] {
    try weight.values.elements.map { value in
      guard let exact = Rational(exactly: value) else {
        throw GraphError(node: node.name, reason: "a constant is not finite")
      }
      return exact
    }
  }

  public func affine(_ map: Affine, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    var result = [Rational](repeating: .zero, count: node.shape.count)
    for (linear, values) in zip(map.maps, x) {
      guard linear.coefficientRoundings == 0 else {
        throw UnsupportedOperator(node, reason: "its coefficients are not rational numbers")
      }
      let divisor = Rational(linear.denominator)
      for o in result.indices {
        var sum = Rational.zero
        for entry in linear.row(o) where entry.coefficient != 0 {
          guard let coefficient = Rational(exactly: entry.coefficient) else {
            throw GraphError(node: node.name, reason: "a weight is not finite")
          }
          sum.addProduct(coefficient, values[entry.index])
        }
        result[o] += linear.denominator == 1 ? sum : sum / divisor
      }
    }
    if let bias = map.bias {
      for o in result.indices {
        guard let shift = Rational(exactly: bias.values[flat: o]) else {
          throw GraphError(node: node.name, reason: "a bias is not finite")
        }
        result[o] += shift
      }
    }
    return result
  }

  public func elementwise(_ f: any ElementwiseFunction, _ x: [Rational], at node: Node) throws -> [Rational] {
    guard let pieces = f.pieces else {
      throw UnsupportedOperator(node, reason: "\(f.name) has no exact rational value")
    }
    let breakpoints = pieces.breakpoints.map { Rational($0) }
    let lines = pieces.lines.map { (slope: Rational($0.slope), intercept: Rational($0.intercept)) }
    return x.map { value in
      let line = lines[breakpoints.firstIndex { value < $0 } ?? breakpoints.count]
      return line.slope * value + line.intercept
    }
  }

  public func product(_ form: any BilinearForm, _ a: [Rational], _ b: [Rational], at node: Node) throws
    -> [Rational]
  {
    (0..<node.shape.count).map { o in
      var sum = Rational.zero
      for (i, j) in form.terms(o) { sum.addProduct(a[i], b[j]) }
      return sum
    }
  }

  public func selection(_ s: Selection, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    let values = x.flatMap { $0 }
    return (0..<node.shape.count).map { o in
      var best = values[Int(s.candidates[o * s.width])]
      for c in 1..<max(s.width, 1) {
        let index = s.candidates[o * s.width + c]
        if index < 0 { break }
        let value = values[Int(index)]
        if s.extremum == .maximum ? best < value : value < best { best = value }
      }
      return best
    }
  }

  public func discrete(_ f: any DiscreteFunction, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    // Decided on Doubles that enclose the arguments: if the enclosure leaves no doubt the value is exact.
    let lower = zip(f.inputShapes, x).map { Tensor($0, $1.map(\.roundedDown)) }
    let upper = zip(f.inputShapes, x).map { Tensor($0, $1.map(\.roundedUp)) }
    let bounds = try f.enclose(lower: lower, upper: upper)
    let tables = f.copies(lower: lower, upper: upper)
    return try (0..<node.shape.count).map { o in
      for (input, table) in tables.enumerated() {
        if let table, table[o] >= 0 { return x[input][Int(table[o])] }
      }
      guard bounds.lower[flat: o] == bounds.upper[flat: o],
        let value = Rational(exactly: bounds.lower[flat: o])
      else {
        throw UnsupportedOperator(node, reason: "\(f.name) is undecided at this point")
      }
      return value
    }
  }
}
