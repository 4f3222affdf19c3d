import IR

/// One side of a group's lines applied to linear forms of the group's inputs: positive coefficients take one form of an
/// input, negative ones the other.
struct GroupTerms {
  /// A linear form and a bound of what rounding in it is relative to.
  struct Form {
    var columns: [Double]
    var constant: Double
    var size: Double

    mutating func add(_ factor: Double, _ other: Form) {
      if factor == 0 { return }
      for k in columns.indices { columns[k] += factor * other.columns[k] }
      constant += factor * other.constant
      size += abs(factor) * other.size
    }
  }

  private let lines: LineCoefficients
  private let positive: [Form]
  private let negative: [Form]
  /// For an outer product: its vector times the inputs' forms, for rows with a positive and with a negative scale.
  private var shared: [Bool: Form] = [:]

  init(_ lines: LineCoefficients, _ positive: [Form], _ negative: [Form]) {
    self.lines = lines
    self.positive = positive
    self.negative = negative
    guard case .outer(_, let vector, _) = lines else { return }
    for sign in [true, false] {
      var sum = empty(0)
      for (i, v) in vector.enumerated() { sum.add(v, form(i, (v > 0) == sign)) }
      shared[sign] = sum
    }
  }

  private func form(_ input: Int, _ isPositive: Bool) -> Form {
    isPositive ? positive[input] : negative[input]
  }

  private func empty(_ constant: Double) -> Form {
    Form(
      columns: [Double](repeating: 0, count: positive.first?.columns.count ?? 0), constant: constant,
      size: abs(constant))
  }

  /// The line of output j. Its terms are at most two more than there are inputs, and `size` sums their magnitudes.
  func row(_ j: Int, intercept: Double) -> Form {
    var result = empty(intercept)
    switch lines {
    case .dense(let elements, let count):
      for i in 0..<count {
        let s = elements[j * count + i]
        result.add(s, form(i, s > 0))
      }
    case .outer(let scale, let vector, let diagonal):
      let factor = scale[j]
      if let shared = shared[factor > 0] { result.add(factor, shared) }
      // The shared sum holds input j with the sign of its part; both parts of the coefficient take one form.
      let part = factor * vector[j]
      result.add(-part, form(j, part > 0))
      result.add(part + diagonal[j], form(j, part + diagonal[j] > 0))
      result.size += abs(diagonal[j]) * positive[j].size
    }
    return result
  }
}
