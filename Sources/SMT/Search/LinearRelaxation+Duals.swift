/// Bounds of rows: with the default lines, with given slopes and multipliers, and with improved ones.
extension LinearRelaxation {
  /// The result of bounding rows.
  struct RowBounds {
    /// Sound lower bounds of the rows over the box and the decisions.
    var lower: [Double]
    /// The covectors that arrive at the inputs, by row.
    var inputCovectors: [[Double]]
  }

  /// Sound lower bounds of rows over output variables, with the default slopes.
  func lowerBounds(_ rows: [VariableRow], _ b: NeuronBounds) -> RowBounds {
    var result = RowBounds(lower: [], inputCovectors: [])
    for part in stride(from: 0, to: rows.count, by: Self.chunk) {
      let group = Array(rows[part..<min(rows.count, part + Self.chunk)])
      beginPass()
      var constant = [Double](repeating: 0, count: group.count)
      var slack = [Double](repeating: 0, count: group.count)
      for (r, row) in group.enumerated() {
        for (v, c) in zip(row.variables, row.coefficients) { self.row(of: v, group.count)[r] += c }
      }
      result.lower += finishPass(
        group.count, below: network.blocks.count, b, alpha: nil, beta: nil, &constant, &slack)
      for r in group.indices {
        result.inputCovectors.append(
          (0..<network.inputCount).map { touched[0] ? covectors[$0 * group.count + r] : 0 })
      }
    }
    return result
  }

  /// Multipliers and slopes of one dual bound.
  package struct Duals: Sendable {
    /// One non-negative multiplier per row.
    package var rows: [Double]
    /// By variable: the slope of the lower line of an undecided ReLU.
    package var alpha: [Double]
    /// By variable: the signed multiplier of a decided phase (positive for active).
    package var beta: [Double]

    package init(rows: [Double], alpha: [Double], beta: [Double]) {
      self.rows = rows
      self.alpha = alpha
      self.beta = beta
    }
  }

  /// One row alone with the default slopes.
  func defaultDuals(_ b: NeuronBounds, rows: Int, only row: Int) -> Duals {
    let n = network.variableCount
    var duals = Duals(
      rows: [Double](repeating: 0, count: rows), alpha: [Double](repeating: 0, count: n),
      beta: [Double](repeating: 0, count: n))
    duals.rows[row] = 1
    for v in b.undecided(of: network) { duals.alpha[v] = b.preUpper[v] > -b.preLower[v] ? 1 : 0 }
    return duals
  }

  /// Whether the last dual bound put a neuron's value below an upper line: with the neuron open instead of decided, the
  /// bound would be weaker.
  func needsUpperLine(_ v: Int) -> Bool { touched[owner(of: v)] && recorded[v] < 0 }

  /// A sound lower bound of `sum of multiplier * (row - rhs)` for given multipliers; also leaves the covectors for
  /// a gradient step.
  package func dualBound(_ rows: [VariableRow], rhs: [Double], _ b: NeuronBounds, _ duals: Duals) -> Double {
    beginPass()
    var constant = [0.0]
    var slack = [0.0]
    for (r, row) in rows.enumerated() where duals.rows[r] != 0 {
      for (v, c) in zip(row.variables, row.coefficients) {
        self.row(of: v, 1)[0] += duals.rows[r] * c
        slack[0] += 4 * Self.unit * abs(duals.rows[r] * c) * max(abs(b.lower[v]), abs(b.upper[v]))
      }
      constant[0] -= duals.rows[r] * rhs[r]
      slack[0] += 4 * Self.unit * abs(duals.rows[r] * rhs[r])
    }
    // A pushed neuron needs its block visited even when no covector reaches it.
    for (v, push) in duals.beta.enumerated() where push != 0 { _ = row(of: v, 1) }
    return finishPass(
      1, below: network.blocks.count, b, alpha: duals.alpha, beta: duals.beta, &constant, &slack)[0]
  }

  /// Improves the multipliers of a bound by projected gradient ascent and returns the best bound met.
  ///
  /// For fixed neuron bounds the bound is a concave function of the slopes and multipliers; its gradient needs one forward
  /// pass of the minimising input through the chosen lines (Wang et al., "Beta-CROWN", NeurIPS 2021).
  /// Stops as soon as the bound is positive.
  func optimise(
    _ rows: [VariableRow], rhs: [Double], _ b: NeuronBounds, splits: [Int: Phase], start: Duals?,
    iterations: Int
  ) -> (bound: Double, duals: Duals, minimiser: [Double], scores: [Int: Double]) {
    let n = network.variableCount
    let open = b.undecided(of: network).filter { network.isReLU($0) }
    let pushed = splits.keys.sorted().filter { network.isReLU($0) }
    var duals =
      start
      ?? Duals(
        rows: [Double](repeating: 1 / Double(rows.count), count: rows.count),
        alpha: [Double](repeating: 0, count: n), beta: [Double](repeating: 0, count: n))
    if start == nil { for v in open { duals.alpha[v] = b.preUpper[v] > -b.preLower[v] ? 1 : 0 } }
    var best = -Double.infinity
    var bestDuals = duals
    var minimiser: [Double] = []
    var scores: [Int: Double] = [:]
    let count = open.count + pushed.count + (rows.count > 1 ? rows.count : 0)
    var first = [Double](repeating: 0, count: count)
    var second = [Double](repeating: 0, count: count)
    // Multipliers of phases scale with the bound's own covectors; start with a step of their order.
    for step in 1...max(1, iterations) {
      let bound = dualBound(rows, rhs: rhs, b, duals)
      let forward = chosenValues(b, duals)
      if bound > best {
        best = bound
        bestDuals = duals
        minimiser = forward.x
        scores = [:]
        for v in open {
          let l = b.preLower[v]
          let u = b.preUpper[v]
          scores[v] = abs(forward.covector[v]) * u * -l / (u - l)
        }
      }
      if best > 0 || step == iterations || count == 0 { break }
      let rate = pow098(step)
      var gradient = [Double](repeating: 0, count: count)
      for (i, v) in open.enumerated() { gradient[i] = max(forward.covector[v], 0) * forward.pre[v] }
      for (i, v) in pushed.enumerated() {
        let sign: Double = splits[v] == .active ? 1 : -1
        gradient[open.count + i] = -sign * forward.pre[v]
      }
      if rows.count > 1 {
        for (r, row) in rows.enumerated() {
          var value = -rhs[r]
          for (v, c) in zip(row.variables, row.coefficients) { value += c * forward.value[v] }
          gradient[open.count + pushed.count + r] = value
        }
      }
      for i in 0..<count {
        first[i] = 0.9 * first[i] + 0.1 * gradient[i]
        second[i] = 0.999 * second[i] + 0.001 * gradient[i] * gradient[i]
      }
      let c1 = 1 - power(0.9, step)
      let c2 = 1 - power(0.999, step)
      func move(_ i: Int) -> Double { first[i] / c1 / ((second[i] / c2).squareRoot() + 1e-12) }
      for (i, v) in open.enumerated() {
        duals.alpha[v] = min(1, max(0, duals.alpha[v] + 0.25 * rate * move(i)))
      }
      for (i, v) in pushed.enumerated() {
        let sign: Double = splits[v] == .active ? 1 : -1
        let scale = max(1e-3, forward.typicalCovector)
        let value = max(0, sign * duals.beta[v] + 0.2 * scale * rate * move(open.count + i))
        duals.beta[v] = sign * value
      }
      if rows.count > 1 {
        var total = 0.0
        for r in rows.indices {
          let value = max(0, duals.rows[r] + 0.1 * rate * move(open.count + pushed.count + r))
          duals.rows[r] = value
          total += value
        }
        if total <= 0 { total = 1; duals.rows[0] = 1 }
        for r in rows.indices { duals.rows[r] /= total }
      }
    }
    return (best, bestDuals, minimiser, scores)
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    for _ in 0..<exponent { result *= base }
    return result
  }

  private func pow098(_ step: Int) -> Double { power(0.98, step) }

  private struct Chosen {
    var x: [Double]
    var pre: [Double]
    var value: [Double]
    /// The covector on every neuron, before its relaxation.
    var covector: [Double]
    var typicalCovector: Double
  }

  /// The minimising input of the last dual bound, pushed forward through the lines that the pass chose.
  private func chosenValues(_ b: NeuronBounds, _ duals: Duals) -> Chosen {
    let n = network.variableCount
    var result = Chosen(
      x: [Double](repeating: 0, count: network.inputCount), pre: [Double](repeating: 0, count: n),
      value: [Double](repeating: 0, count: n), covector: [Double](repeating: 0, count: n), typicalCovector: 0)
    for i in 0..<network.inputCount {
      let a = touched[0] ? covectors[i] : 0
      result.x[i] = a >= 0 ? b.boxLower[i] : b.boxUpper[i]
      result.value[i] = result.x[i]
    }
    var neurons = 0
    for (index, block) in blocks.enumerated() {
      let scale = block.denominator
      let isTouched = touched[index + 1]
      for i in 0..<block.count {
        let v = block.first + i
        var sum = 0.0
        for k in block.entries(i) { sum += block.value[k] * result.value[Int(block.column[k])] }
        sum = sum / scale + block.bias[i]
        result.pre[v] = sum
        switch (block.kind, b.phases[v]) {
        case (.affine, _): result.value[v] = sum
        case (.relu, .active): result.value[v] = sum
        case (.relu, .inactive): result.value[v] = 0
        case (.relu, .undecided):
          let a = isTouched ? recorded[v] : 0
          result.covector[v] = a
          if a < 0 {
            let (slope, intercept) = Self.chord(b.preLower[v], b.preUpper[v])
            result.value[v] = slope * sum + intercept
          } else {
            result.value[v] = duals.alpha[v] * sum
          }
        case (.sign, _): result.value[v] = b.lower[v]
        }
        if isTouched, block.kind == .relu {
          neurons += 1
          result.typicalCovector += abs(covectors[v])
        }
      }
    }
    if neurons > 0 { result.typicalCovector /= Double(neurons) }
    return result
  }
}
