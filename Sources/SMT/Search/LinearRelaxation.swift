import Tensors
import LinearPrograms

/// Linear bounds of a ``PiecewiseLinearNetwork`` by backward substitution (CROWN), with every rounding error accounted for.
///
/// A covector is carried backward from a row to the inputs; at an undecided ReLU the chord bounds it from above and a
/// line of slope 0...1 from below (Zhang et al., NeurIPS 2018). Decided phases make a ReLU a straight line.
/// Rounding: replacing exact sums by floating-point ones changes the bound by at most
/// `g * sum |covector| * (|W| max|z| + |b|)` at every layer, with `g = (terms + 8) * 2^-53`; this is subtracted
/// (see `slack`). One instance belongs to one thread.
package final class LinearRelaxation {
  package let network: PiecewiseLinearNetwork
  /// Rows handled at once.
  static let chunk = 64
  /// Covectors, by variable then row.
  let covectors: UnsafeMutablePointer<Double>
  var touched: [Bool]
  let blocks: [RawBlock]
  private let owners: [Int]
  /// In passes with one row: the covector on every neuron before its relaxation.
  let recorded: UnsafeMutablePointer<Double>
  /// Relative error of a layer step, see above.
  private let gamma: Double
  static let unit = 0x1p-53
  /// Below every product that underflows.
  private let tiny: Double
  /// After it, neurons keep their interval bounds, which are as sound and cost next to nothing.
  var limit = TimeLimit.never
  /// Passes over the network, for statistics.
  private(set) var passes = 0

  package convenience init(_ network: PiecewiseLinearNetwork) { self.init(network, limit: .never) }

  init(_ network: PiecewiseLinearNetwork, limit: TimeLimit) {
    self.network = network
    self.limit = limit
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
  package func bounds(lower: [Double], upper: [Double], splits: [Int: Phase]) -> NeuronBounds? {
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
          if limit.isOver { break }
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

  func beginPass() {
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

  /// The position of a variable's block in `touched`.
  func owner(of variable: Int) -> Int { owners[variable] }

  /// The covectors on a variable.
  func row(of variable: Int, _ rows: Int) -> UnsafeMutablePointer<Double> {
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
  func finishPass(
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
}
