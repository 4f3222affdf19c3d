import IR
import Tensors

extension Diagonal {
  /// x to -x.
  public static func negation(_ shape: Shape) -> Diagonal { scale(-1, shape) }
}

/// How one linear map differs from another, as maps to be summed: none if they are equal.
///
/// Weights of nearly equal networks differ by numbers that Double holds exactly (b - a for a/2 <= b <= 2a, and for all float32 of
/// similar size); where they do not, both maps are kept, the first negated.
public func mapDifference(_ second: any LinearMap, from first: any LinearMap) -> [any LinearMap]? {
  guard second.inputShape == first.inputShape, second.outputShape == first.outputShape else { return nil }
  switch (first, second) {
  case (let a as Dense, let b as Dense) where a.isTransposed == b.isTransposed:
    return weightDifferences(b.weight, from: a.weight).map {
      Dense($0, inputShape: a.inputShape, transposed: a.isTransposed)
    }
  case (let a as Convolution, let b as Convolution) where a.geometry == b.geometry:
    return weightDifferences(b.weight, from: a.weight).map { Convolution($0, a.geometry) }
  default: return rowDifferences(second, from: first)
  }
}

/// The weights to be summed to second - first, exactly.
private func weightDifferences(_ second: Weight, from first: Weight) -> [Weight] {
  if second === first { return [] }
  var isExact = true
  var isZero = true
  let values = zip(second.values.elements, first.values.elements).map { b, a -> Double in
    let difference = b - a
    // Fast tests of exactness: each operand must come back.
    if difference + a != b || b - difference != a { isExact = false }
    if difference != 0 { isZero = false }
    return difference
  }
  if isExact { return isZero ? [] : [Weight(Tensor(first.shape, values))] }
  return [second, Weight(first.values.map { -$0 })]
}

/// The difference of maps of any type by their rows; nil where coefficients are not exact or the maps are large.
private func rowDifferences(_ second: any LinearMap, from first: any LinearMap) -> [any LinearMap]? {
  let outputs = first.outputShape.count
  // Rounded coefficients that look equal may stand for different numbers.
  guard outputs <= 1 << 20, first.denominator == second.denominator, first.coefficientRoundings == 0,
    second.coefficientRoundings == 0
  else { return nil }
  var rows: [[SparseEntry]] = []
  var differs = false
  for output in 0..<outputs {
    let a = first.row(output)
    let b = second.row(output)
    if a == b {
      rows.append([])
      continue
    }
    differs = true
    rows.append(b + a.map { SparseEntry($0.index, -$0.coefficient) })
  }
  if !differs { return [] }
  return [
    SparseMap(first.inputShape, to: first.outputShape, rows: rows, denominator: first.denominator)
  ]
}
