import Rigor

/// Bounds of linear functions of a network over a box in rational arithmetic: the method of ``CheckerEvaluator`` without
/// its units.
///
/// Far slower, and only asked where integers with one exponent a block are too coarse: margins below 2^-30 of the values,
/// weights or inputs of extreme sizes. What is rounded, bounds of neurons and slopes of chords, is rounded outward.
final class ExactEvaluator {
  let network: CheckerNetwork
  /// By block and row: the entries with exact weights, divided by the block's denominator.
  private let rows: [[[(variable: Int, weight: Rational)]]]
  private let bias: [[Rational]]
  /// By variable: bounds of the value, and of a neuron's argument.
  private(set) var lower: [Rational]
  private(set) var upper: [Rational]
  private(set) var argumentLower: [Rational]
  private(set) var argumentUpper: [Rational]
  private var accumulator: [Rational]

  /// - Throws: `CheckerRangeError` for a network with a weight that is no number.
  init(_ network: CheckerNetwork) throws {
    self.network = network
    rows = try network.blocks.map { block in
      let divisor = Rational(block.denominator)
      return try block.rows.map { row in
        try row.map { entry in
          guard let weight = Rational(exactly: entry.weight) else { throw CheckerRangeError() }
          return (entry.variable, block.denominator == 1 ? weight : weight / divisor)
        }
      }
    }
    bias = try network.blocks.map { block in
      try block.bias.map { value in
        guard let exact = Rational(exactly: value) else { throw CheckerRangeError() }
        return exact
      }
    }
    let zeros = [Rational](repeating: .zero, count: network.variableCount)
    lower = zeros
    upper = zeros
    argumentLower = zeros
    argumentUpper = zeros
    accumulator = zeros
  }

  // MARK: Bounds of all variables

  /// Bounds everything over a box under phase decisions. False if they contradict each other.
  func bound(lower boxLower: [Rational], upper boxUpper: [Rational], phases: [Int: Bool]) -> Bool {
    for i in 0..<network.inputCount {
      if boxLower[i] > boxUpper[i] { return false }
      lower[i] = boxLower[i]
      upper[i] = boxUpper[i]
    }
    for (b, block) in network.blocks.enumerated() {
      for i in block.rows.indices {
        let v = block.first + i
        var low = bias[b][i]
        var high = low
        for (variable, weight) in rows[b][i] {
          low.addProduct(weight, weight.sign >= 0 ? lower[variable] : upper[variable])
          high.addProduct(weight, weight.sign >= 0 ? upper[variable] : lower[variable])
        }
        if block.kind == .affine {
          lower[v] = Self.shortened(low, up: false)
          upper[v] = Self.shortened(high, up: true)
          continue
        }
        if low.sign < 0, high.sign > 0 {
          low = max(low, substituted(b, i, negated: false))
          high = min(high, -substituted(b, i, negated: true))
        }
        if let active = phases[v] {
          if active { low = max(low, .zero) } else { high = min(high, .zero) }
        }
        if low > high { return false }
        argumentLower[v] = Self.shortened(low, up: false)
        argumentUpper[v] = Self.shortened(high, up: true)
        finish(v, block.kind)
      }
    }
    return true
  }

  private func finish(_ v: Int, _ kind: CheckerNetwork.Kind) {
    let l = argumentLower[v]
    let u = argumentUpper[v]
    if kind == .relu {
      lower[v] = max(l, .zero)
      upper[v] = max(u, .zero)
    } else {
      lower[v] = Rational(l.sign > 0 ? 1 : (l.isZero ? 0 : -1))
      upper[v] = Rational(u.sign < 0 ? -1 : (u.isZero ? 0 : 1))
    }
  }

  /// A number of many digits rounded outward to 160 significant bits, so that digits do not pile up layer by layer.
  private static func shortened(_ value: Rational, up: Bool) -> Rational {
    guard value.bitCount > 400 else { return value }
    let size = value.nearestDouble.magnitude
    // Beyond what a double holds all digits are kept.
    guard size.isNormal else { return value }
    let scaled = value.scaled(byTwoTo: 160 - Int(size.exponent))
    return (up ? scaled.ceiling : scaled.floor).scaled(byTwoTo: Int(size.exponent) - 160)
  }

  // MARK: One linear function

  /// A lower bound of a neuron's argument, or of its negative.
  private func substituted(_ b: Int, _ i: Int, negated: Bool) -> Rational {
    for v in 0..<network.blocks[b].first { accumulator[v] = .zero }
    let sign: Rational = negated ? -1 : 1
    for (variable, weight) in rows[b][i] { accumulator[variable].addProduct(sign, weight) }
    return sign * bias[b][i] + pull(from: b - 1, slopes: [:], multipliers: [:])
  }

  /// A lower bound of `sum of coefficient * variable` with given slopes of lower lines and multipliers of decided phases, by
  /// variable: positive for active neurons, negative for inactive ones.
  func lowerBound(
    _ coefficients: [(variable: Int, coefficient: Rational)], slopes: [Int: Rational],
    multipliers: [Int: Rational]
  ) -> Rational {
    for v in accumulator.indices { accumulator[v] = .zero }
    for (variable, coefficient) in coefficients { accumulator[variable] += coefficient }
    return pull(from: network.blocks.count - 1, slopes: slopes, multipliers: multipliers)
  }

  private func pull(from top: Int, slopes: [Int: Rational], multipliers: [Int: Rational]) -> Rational {
    var constant = Rational()
    for b in stride(from: top, through: 0, by: -1) {
      let block = network.blocks[b]
      for i in block.rows.indices {
        let v = block.first + i
        var a = accumulator[v]
        if block.kind != .affine {
          a = relaxed(v, a, block.kind, slopes[v], &constant)
          // -multiplier * argument <= 0 under the decision.
          if let multiplier = multipliers[v] { a -= multiplier }
        }
        if a.isZero { continue }
        constant.addProduct(a, bias[b][i])
        for (variable, weight) in rows[b][i] { accumulator[variable].addProduct(a, weight) }
      }
    }
    for i in 0..<network.inputCount where !accumulator[i].isZero {
      constant.addProduct(accumulator[i], accumulator[i].sign > 0 ? lower[i] : upper[i])
    }
    return constant
  }

  /// The covector on a neuron's argument for one on its value; the line's intercept goes to the constant.
  private func relaxed(
    _ v: Int, _ a: Rational, _ kind: CheckerNetwork.Kind, _ given: Rational?, _ constant: inout Rational
  ) -> Rational {
    if a.isZero { return a }
    if kind == .sign {
      constant.addProduct(a, a.sign > 0 ? lower[v] : upper[v])
      return .zero
    }
    let l = argumentLower[v]
    let u = argumentUpper[v]
    if l.sign >= 0 { return a }
    if u.sign <= 0 { return .zero }
    if a.sign > 0 { return a * (given ?? (u > -l ? 1 : 0)) }
    // Any slope in 0...1 with this intercept lies above the ReLU on [l, u]: it does so at both ends and the function is
    // convex. A short slope keeps the numbers short.
    let chord = min(1, max(0, (u / (u - l)).nearestDouble))
    let slope = Rational(chord)
    constant.addProduct(a, max(-(slope * l), (1 - slope) * u))
    return a * slope
  }
}
