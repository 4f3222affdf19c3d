import Tensors

/// Linear bounds of a ``PiecewiseLinearNetwork`` by backward substitution (CROWN), with every rounding error accounted for.
///
/// A covector is carried backward from a row to the inputs; at an undecided ReLU the chord bounds it from above and a
/// line of slope 0...1 from below (Zhang et al., NeurIPS 2018). Decided phases make a ReLU a straight line.
/// Rounding: replacing exact sums by floating-point ones changes the bound by at most
/// `g * sum |covector| * (|W| max|z| + |b|)` at every layer, with `g = (terms + 8) * 2^-53`; this is subtracted
/// (see `slack`). One instance belongs to one thread.
final class LinearRelaxation {
  let network: PiecewiseLinearNetwork
  /// Rows handled at once.
  private static let chunk = 64
  /// Covectors, by variable then row.
  private let covectors: UnsafeMutablePointer<Double>
  private var touched: [Bool]
  private let blocks: [RawBlock]
  private let owners: [Int]
  /// In passes with one row: the covector on every neuron before its relaxation.
  private let recorded: UnsafeMutablePointer<Double>
  /// Relative error of a layer step, see above.
  private let gamma: Double
  private static let unit = 0x1p-53
  /// Below every product that underflows.
  private let tiny: Double
  /// Passes over the network, for statistics.
  private(set) var passes = 0

  init(_ network: PiecewiseLinearNetwork) {
    self.network = network
    covectors = .allocate(capacity: max(1, network.variableCount * Self.chunk))
    touched = [Bool](repeating: false, count: network.blocks.count + 1)
    blocks = network.raw
    owners = network.blockOfVariable.map { Int($0) + 1 }
    recorded = .allocate(capacity: max(1, network.variableCount))
    recorded.initialize(repeating: 0, count: max(1, network.variableCount))
    // Terms: the fan-out into one covector entry, the constant's accumulation over all variables, and a few
    // operations a neuron. 1.01 covers the quadratic term of gamma = n u / (1 - n u).
    let terms = Double(network.fanOut + network.variableCount + 16)
    gamma = 1.01 * terms * Self.unit
    tiny = Double(network.variableCount + 16) * 0x1p-1000
  }

  deinit {
    covectors.deallocate()
    recorded.deallocate()
  }

  // MARK: Bounds of all neurons

  /// Bounds all variables; nil if the box and the decisions contradict each other.
  ///
  /// - Parameters:
  ///   - lower: The box, rounded outward.
  ///   - upper: The box, rounded outward.
  ///   - splits: Phase decisions by variable.
  func bounds(lower: [Double], upper: [Double], splits: [Int: Phase]) -> NeuronBounds? {
    let n = network.variableCount
    var b = NeuronBounds(
      boxLower: lower, boxUpper: upper, lower: [Double](repeating: 0, count: n),
      upper: [Double](repeating: 0, count: n), preLower: [Double](repeating: 0, count: n),
      preUpper: [Double](repeating: 0, count: n), phases: [Phase](repeating: .active, count: n),
      size: [Double](repeating: 0, count: n))
    for i in 0..<network.inputCount {
      b.lower[i] = lower[i]
      b.upper[i] = upper[i]
    }
    for (index, block) in blocks.enumerated() {
      let overInputs = intervals(block, &b)
      if block.kind == .affine { continue }
      apply(splits, block, &b)
      if !overInputs {
        let open = block.range.filter { b.preLower[$0] < 0 && b.preUpper[$0] > 0 }
        for part in stride(from: 0, to: open.count, by: Self.chunk / 2) {
          let group = Array(open[part..<min(open.count, part + Self.chunk / 2)])
          tighten(group, block: index, &b)
        }
        apply(splits, block, &b)
      }
      for v in block.range {
        if b.preLower[v] > b.preUpper[v] {
          // Contradictory beyond doubt, or only by rounding: then the wider reading is kept.
          if b.preLower[v] > b.preUpper[v] + 1e-9 * (1 + b.size[v]) { return nil }
          swap(&b.preLower[v], &b.preUpper[v])
        }
        finish(v, block.kind, &b)
      }
    }
    passes += 1
    return b
  }

  private func apply(_ splits: [Int: Phase], _ block: RawBlock, _ b: inout NeuronBounds) {
    if splits.isEmpty { return }
    for v in block.range {
      switch splits[v] {
      case .active: b.preLower[v] = max(b.preLower[v], 0)
      case .inactive: b.preUpper[v] = min(b.preUpper[v], 0)
      default: break
      }
    }
  }

  private func finish(_ v: Int, _ kind: PiecewiseLinearNetwork.Kind, _ b: inout NeuronBounds) {
    let l = b.preLower[v]
    let u = b.preUpper[v]
    if kind == .relu {
      b.phases[v] = l >= 0 ? .active : (u <= 0 ? .inactive : .undecided)
      b.lower[v] = max(l, 0)
      b.upper[v] = max(u, 0)
    } else {
      b.phases[v] = l > 0 ? .active : (u < 0 ? .inactive : .undecided)
      b.lower[v] = l > 0 ? 1 : (l == 0 ? 0 : -1)
      b.upper[v] = u < 0 ? -1 : (u == 0 ? 0 : 1)
    }
  }

  /// Interval bounds of a block's rows. Returns whether the block reads inputs only, so that they are the best possible.
  private func intervals(_ block: RawBlock, _ b: inout NeuronBounds) -> Bool {
    var overInputs = true
    let inputs = Int32(network.inputCount)
    let scale = block.denominator
    for i in 0..<block.count {
      var low = 0.0
      var high = 0.0
      var size = 0.0
      let range = block.entries(i)
      for k in range {
        let c = block.column[k]
        if c >= inputs { overInputs = false }
        let w = block.value[k]
        let l = b.lower[Int(c)]
        let u = b.upper[Int(c)]
        if w >= 0 {
          low += w * l
          high += w * u
        } else {
          low += w * u
          high += w * l
        }
        size += abs(w) * max(abs(l), abs(u))
      }
      let bias = block.bias[i]
      if block.denominator != 1 {
        low /= scale
        high /= scale
        size /= scale
      }
      size += abs(bias)
      let error = 1.01 * Double(range.count + 6) * Self.unit * size + tiny
      let v = block.first + i
      low = range.isEmpty ? bias : low + bias - error
      high = range.isEmpty ? bias : high + bias + error
      b.size[v] = size * (1 + 1e-9)
      if block.kind == .affine {
        b.lower[v] = low
        b.upper[v] = high
      } else {
        b.preLower[v] = low
        b.preUpper[v] = high
      }
    }
    return overInputs
  }

  private func tighten(_ group: [Int], block index: Int, _ b: inout NeuronBounds) {
    let rows = group.count * 2
    if rows == 0 { return }
    let block = blocks[index]
    beginPass()
    for source in block.sources { touch(source, rows) }
    var constant = [Double](repeating: 0, count: rows)
    var slack = [Double](repeating: 0, count: rows)
    let scale = block.denominator
    for (j, v) in group.enumerated() {
      let i = v - block.first
      for k in block.entries(i) {
        let c = Int(block.column[k])
        let w = scale == 1 ? block.value[k] : block.value[k] / scale
        let at = covectors + c * rows
        at[2 * j] += w
        at[2 * j + 1] -= w
      }
      constant[2 * j] = block.bias[i]
      constant[2 * j + 1] = -block.bias[i]
      slack[2 * j] = gamma * b.size[v]
      slack[2 * j + 1] = slack[2 * j]
    }
    let low = finishPass(rows, below: index, b, alpha: nil, beta: nil, &constant, &slack)
    for (j, v) in group.enumerated() {
      b.preLower[v] = max(b.preLower[v], low[2 * j])
      b.preUpper[v] = min(b.preUpper[v], -low[2 * j + 1])
    }
  }

  // MARK: The backward pass

  private func beginPass() {
    for i in touched.indices { touched[i] = false }
  }

  /// Makes a block's covectors zero the first time that a pass meets it (0 for the inputs).
  @inline(__always)
  private func touch(_ block: Int, _ rows: Int) {
    if touched[block] { return }
    touched[block] = true
    let range = block == 0 ? 0..<network.inputCount : blocks[block - 1].range
    (covectors + range.lowerBound * rows).update(repeating: 0, count: range.count * rows)
    if rows == 1 { (recorded + range.lowerBound).update(repeating: 0, count: range.count) }
  }

  /// The covectors on a variable.
  private func row(of variable: Int, _ rows: Int) -> UnsafeMutablePointer<Double> {
    touch(owners[variable], rows)
    return covectors + variable * rows
  }

  /// The upper line of an undecided ReLU: `slope * x + intercept >= max(x, 0)` on [l, u].
  @inline(__always)
  static func chord(_ l: Double, _ u: Double) -> (slope: Double, intercept: Double) {
    let slope = min(1, u / (u - l))
    let intercept = max(-slope * l, u * (1 - slope))
    return (slope, intercept * (1 + 8 * unit) + 0x1p-1000)
  }

  /// Carries the covectors of all blocks below `top` to the inputs and returns the lower bounds.
  private func finishPass(
    _ rows: Int, below top: Int, _ b: NeuronBounds, alpha: [Double]?, beta: [Double]?,
    _ constant: inout [Double],
    _ slack: inout [Double]
  ) -> [Double] {
    for index in stride(from: top - 1, through: 0, by: -1) where touched[index + 1] {
      let block = blocks[index]
      let scale = 1 / block.denominator
      for source in block.sources { touch(source, rows) }
      for i in 0..<block.count {
        let v = block.first + i
        let a = covectors + v * rows
        var any = false
        for r in 0..<rows where a[r] != 0 { any = true }
        let push = beta?[v] ?? 0
        if !any && push == 0 { continue }
        if rows == 1 { recorded[v] = a[0] }
        switch block.kind {
        case .affine: break
        case .relu:
          switch b.phases[v] {
          case .active: break
          case .inactive: for r in 0..<rows { a[r] = 0 }
          case .undecided:
            let l = b.preLower[v]
            let u = b.preUpper[v]
            let (slope, intercept) = Self.chord(l, u)
            let below = alpha.map { $0[v] } ?? (u > -l ? 1 : 0)
            for r in 0..<rows {
              let value = a[r]
              if value >= 0 {
                a[r] = value * below
              } else {
                a[r] = value * slope
                constant[r] += value * intercept
              }
            }
          }
        case .sign:
          for r in 0..<rows {
            let value = a[r]
            constant[r] += value >= 0 ? value * b.lower[v] : value * b.upper[v]
            slack[r] += abs(value) * gamma
            a[r] = 0
          }
        }
        // A decided phase enters with its own multiplier: for p >= 0 the term -beta p is at most 0.
        if push != 0 { for r in 0..<rows { a[r] -= push } }
        let error = gamma * b.size[v]
        let bias = block.bias[i]
        any = false
        for r in 0..<rows {
          let value = a[r]
          if value != 0 { any = true }
          slack[r] += abs(value) * error
          constant[r] += value * bias
        }
        if !any { continue }
        if scale != 1 { for r in 0..<rows { a[r] *= scale } }
        if rows == 1 {
          let value = a[0]
          for k in block.entries(i) { covectors[Int(block.column[k])] += block.value[k] * value }
        } else {
          for k in block.entries(i) {
            Double.axpy(rows, block.value[k], a, into: covectors + Int(block.column[k]) * rows)
          }
        }
      }
    }
    return concretise(rows, b, constant, slack)
  }

  private func concretise(_ rows: Int, _ b: NeuronBounds, _ constant: [Double], _ slack: [Double]) -> [Double]
  {
    var low = constant
    var size = [Double](repeating: 0, count: rows)
    if touched[0] {
      for i in 0..<network.inputCount {
        let a = covectors + i * rows
        let l = b.boxLower[i]
        let u = b.boxUpper[i]
        let m = max(abs(l), abs(u))
        for r in 0..<rows {
          let value = a[r]
          low[r] += value >= 0 ? value * l : value * u
          size[r] += abs(value) * m
        }
      }
    }
    let g = 1.01 * Double(network.inputCount + 8) * Self.unit
    for r in 0..<rows {
      let error =
        slack[r] * (1 + 1e-6) + g * (size[r] + abs(constant[r])) + 8 * Self.unit * abs(low[r]) + tiny
      low[r] -= error
    }
    return low
  }

  // MARK: Bounds of rows

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
  struct Duals: Sendable {
    /// One non-negative multiplier per row.
    var rows: [Double]
    /// By variable: the slope of the lower line of an undecided ReLU.
    var alpha: [Double]
    /// By variable: the signed multiplier of a decided phase (positive for active).
    var beta: [Double]
  }

  /// A sound lower bound of `sum of multiplier * (row - rhs)` for given multipliers; also leaves the covectors for
  /// a gradient step.
  func dualBound(_ rows: [VariableRow], rhs: [Double], _ b: NeuronBounds, _ duals: Duals) -> Double {
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
