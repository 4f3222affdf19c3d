import Domains
import IR
import Rigor
import Tensors

/// Maximises lower bounds of rows over the slopes of the relaxation lines (Xu et al. 2021, alpha-CROWN) and over the
/// multipliers of split constraints (Wang et al. 2021, beta-CROWN), each row with slopes of its own.
///
/// The bounds of intermediate values stay fixed, so the derivative needs no tape: one backward walk gives the
/// coefficients, one forward walk of the minimiser gives the values they meet. Adam takes the steps; the best slopes of
/// every row are kept and proven once at the end with all rounding counted.
struct SlopeOptimizer {
  let relaxed: RelaxedGraph
  let target: NodeID
  /// `[R] + target shape`, grouped by example.
  let seeds: Tensor<Double>
  let rows: Int
  private(set) var lines: [NodeID: RowLines] = [:]
  private var moments: [Key: Moments] = [:]
  /// By elementwise node: the signs s of split constraints s z >= 0 on its argument, `[B] + shape`, 0 where there is
  /// none, and the multipliers, `[R] + shape`.
  let splits: [NodeID: Tensor<Double>]
  private(set) var multipliers: [NodeID: Tensor<Double>]

  private struct Key: Hashable {
    var node: NodeID
    var part: Int
  }

  private struct Moments {
    var first: [Double]
    var second: [Double]
  }

  init(
    _ relaxed: RelaxedGraph, target: NodeID, seeds: Tensor<Double>, splits: [NodeID: Tensor<Double>] = [:],
    warm: [NodeID: Tensor<Double>] = [:]
  ) {
    self.relaxed = relaxed
    self.target = target
    self.seeds = seeds
    rows = seeds.batch
    self.splits = splits
    multipliers = [:]
    for (id, signs) in splits {
      multipliers[id] = warm[id] ?? Tensor.zeros([seeds.batch] + signs.exampleShape)
    }
    let needed = relaxed.graph.ancestors(of: [target])
    for node in relaxed.graph.nodes where needed[node.id] {
      guard case .elementwise(let f) = node.operation,
        case .lines(let shared)? = relaxed.relaxations[node.id],
        let x = relaxed.intervals[node.inputs[0]],
        var own = RowLines(f, lines: shared, lower: x.lower, upper: x.upper, rows: seeds.batch)
      else { continue }
      let n = node.shape.count
      let collect = { (free: RowLines.Free?, t: Tensor<Double>) -> [Double] in
        guard let free else { return [] }
        return (0..<shared.charge.batch).flatMap { b in free.elements.map { t[flat: b * n + $0] } }
      }
      own.sharedBelow = collect(own.below, shared.belowIntercept)
      own.sharedAbove = collect(own.above, shared.aboveIntercept)
      lines[node.id] = own
    }
  }

  /// Whether bounds of a node depend on any slope that is free.
  static func hasChoice(_ relaxed: RelaxedGraph, target: NodeID) -> Bool {
    let needed = relaxed.graph.ancestors(of: [target])
    return relaxed.graph.nodes.contains { node in
      guard needed[node.id], case .elementwise(let f) = node.operation,
        case .lines? = relaxed.relaxations[node.id], let x = relaxed.intervals[node.inputs[0]]
      else { return false }
      return RowLines.hasChoice(f, x.lower, x.upper)
    }
  }

  /// Whether there is anything to optimise.
  var isFree: Bool { !lines.isEmpty || !splits.isEmpty }

  /// The bounds of all rows at the current slopes, without rounding, and the walk that gave them.
  private func evaluate() throws -> (bounds: [Double], rule: SlopeRule, minimizers: [NodeID: Tensor<Double>])
  {
    let scaled = splits.isEmpty ? [:] : scaledMultipliers()
    var rule = SlopeRule(relaxed, rows: rows, rowLines: lines, multipliers: scaled)
    try relaxed.graph.pullBack([(target, seeds)], rule: &rule)
    var bounds = rule.constant
    var minimizers: [NodeID: Tensor<Double>] = [:]
    for (id, set) in zip(relaxed.graph.inputs, relaxed.region.inputs) {
      guard relaxed.varies[id] else {
        minimizers[id] = set.center
        continue
      }
      let n = relaxed.graph[id].shape.count
      guard let a = rule.arrivals[id] else {
        minimizers[id] = set.center.repeatedRows(rows)
        continue
      }
      let (point, values) = set.minimizers(of: a, rows: rows, n: n)
      minimizers[id] = point
      for r in 0..<rows { bounds[r] += values[r] }
    }
    return (bounds, rule, minimizers)
  }

  private func scaledMultipliers() -> [NodeID: Tensor<Double>] {
    var result: [NodeID: Tensor<Double>] = [:]
    for (id, beta) in multipliers {
      guard let signs = splits[id] else { continue }
      let n = signs.count / max(signs.batch, 1)
      let each = max(1, rows / max(signs.batch, 1))
      result[id] = Tensor(writing: beta.shape) { y in
        for r in 0..<rows {
          for j in 0..<n { y[r * n + j] = -signs[flat: (r / each) * n + j] * beta[flat: r * n + j] }
        }
      }
    }
    return result
  }

  /// Takes `iterations` steps and leaves the best slopes of every row in place.
  ///
  /// - Parameter stop: called with the best bounds so far; true ends the search.
  /// - Returns: the best bounds, not rigorous.
  @discardableResult
  mutating func optimize(
    iterations: Int, learningRate: Double, decay: Double, multiplierRate: Double = 0.05,
    stop: ([Double]) -> Bool = { _ in false }
  ) throws -> [Double] {
    var best = [Double](repeating: -.infinity, count: rows)
    var bestLines = lines
    var bestMultipliers = multipliers
    var rate = learningRate
    var betaRate = multiplierRate
    for step in 0...max(0, iterations) {
      let (bounds, rule, minimizers) = try evaluate()
      var improved = [Bool](repeating: false, count: rows)
      for r in 0..<rows where bounds[r] > best[r] {
        best[r] = bounds[r]
        improved[r] = true
      }
      for (id, own) in lines { bestLines[id]?.copyRows(from: own, where: improved) }
      for (id, beta) in multipliers { bestMultipliers[id]?.copyRows(from: beta, where: improved) }
      if step == iterations || stop(best) { break }
      var domain = ChosenLines(relaxed: relaxed, rows: rows, rowLines: lines, arrivals: rule.arrivals)
      let inputs = relaxed.graph.inputs.map {
        minimizers[$0] ?? Tensor.zeros([rows] + relaxed.graph[$0].shape)
      }
      let sub = relaxed.graph.withOutputs([Graph.Output(name: "target", node: target)])
      let trace = try sub.interpret(inputs, in: &domain, keepingAll: true)
      for id in Set(lines.keys).union(splits.keys).sorted() {
        guard let a = rule.arrivals[id], let z = trace.values[relaxed.graph[id].inputs[0]] else { continue }
        if var own = lines[id] {
          if var free = own.below {
            ascend(&free, Key(node: id, part: 0), a, z, step + 1, rate)
            own.below = free
          }
          if var free = own.above {
            ascend(&free, Key(node: id, part: 1), a, z, step + 1, rate)
            own.above = free
          }
          own.update()
          lines[id] = own
        }
        if splits[id] != nil { ascendMultipliers(id, z, step + 1, betaRate) }
      }
      rate *= decay
      betaRate *= decay
    }
    lines = bestLines
    multipliers = bestMultipliers
    return best
  }

  /// d(bound)/d(slope) = coefficient * (value - touching point), where the coefficient has the line's sign.
  private mutating func ascend(
    _ free: inout RowLines.Free, _ key: Key, _ a: Tensor<Double>, _ z: Tensor<Double>, _ step: Int,
    _ rate: Double
  ) {
    let m = free.elements.count
    let n = a.count / max(rows, 1)
    let examples = max(1, free.low.count / max(m, 1))
    let each = max(1, rows / examples)
    var state =
      moments[key]
      ?? Moments(first: Array(repeating: 0, count: rows * m), second: Array(repeating: 0, count: rows * m))
    let correction1 = 1 - power(0.9, step)
    let correction2 = 1 - power(0.999, step)
    let isBelow = free.side == .below
    a.withPointer { c in
      z.withPointer { v in
        for r in 0..<rows {
          for i in 0..<m {
            let at = r * n + free.elements[i]
            let place = r * m + i
            let o = (r / each) * m + i
            let x = c[at]
            var gradient = 0.0
            if (x > 0) == isBelow && x != 0 {
              gradient = x * (v[at] - free.touch[place]) * (free.high[o] - free.low[o])
            }
            if !gradient.isFinite { gradient = 0 }
            state.first[place] = 0.9 * state.first[place] + 0.1 * gradient
            state.second[place] = 0.999 * state.second[place] + 0.001 * gradient * gradient
            let root = (state.second[place] / correction2).squareRoot()
            if root > 0 {
              let moved =
                free.position[place] + rate * (state.first[place] / correction1)
                / (root + 1e-8 * root + 1e-300)
              free.position[place] = min(1, max(0, moved))
            }
          }
        }
      }
    }
    moments[key] = state
  }

  /// d(bound)/d(beta) = -s z; beta stays non-negative.
  private mutating func ascendMultipliers(_ id: NodeID, _ z: Tensor<Double>, _ step: Int, _ rate: Double) {
    guard let signs = splits[id], var beta = multipliers[id] else { return }
    let n = signs.count / max(signs.batch, 1)
    let each = max(1, rows / max(signs.batch, 1))
    let key = Key(node: id, part: 2)
    var state =
      moments[key]
      ?? Moments(first: Array(repeating: 0, count: rows * n), second: Array(repeating: 0, count: rows * n))
    let correction1 = 1 - power(0.9, step)
    let correction2 = 1 - power(0.999, step)
    for r in 0..<rows {
      for j in 0..<n {
        let s = signs[flat: (r / each) * n + j]
        if s == 0 { continue }
        let place = r * n + j
        let gradient = -s * z[flat: place]
        guard gradient.isFinite else { continue }
        state.first[place] = 0.9 * state.first[place] + 0.1 * gradient
        state.second[place] = 0.999 * state.second[place] + 0.001 * gradient * gradient
        let root = (state.second[place] / correction2).squareRoot()
        if root > 0 {
          beta[flat: place] = max(
            0, beta[flat: place] + rate * (state.first[place] / correction1) / (root + 1e-300))
        }
      }
    }
    multipliers[id] = beta
    moments[key] = state
  }

  /// Rigorous lower bounds of all rows at the current slopes and multipliers.
  func prove(keepsCoefficients: Bool = false) throws -> CrownRule {
    var rule = relaxed.crownRule(rows: rows, keepsCoefficients: keepsCoefficients)
    for (id, own) in lines {
      guard case .lines(let shared)? = relaxed.relaxations[id] else { continue }
      let n = relaxed.graph[id].shape.count
      let sumError = Rounding.gamma(n + 3)
      rule.rowLines[id] = own.lines(shared, n: n) { slope, intercept, size, _ in
        sumError * abs(intercept) + 2 * Rounding.unit * abs(slope) * size
      }
    }
    if !splits.isEmpty { rule.multipliers = scaledMultipliers() }
    try relaxed.graph.pullBack([(target, .same(seeds))], rule: &rule)
    return rule
  }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
  var result = 1.0
  for _ in 0..<exponent { result *= base }
  return result
}

extension Tensor where Scalar == Double {
  /// Every example repeated so that there is one per row.
  func repeatedRows(_ rows: Int) -> Tensor {
    let each = max(1, rows / max(batch, 1))
    if each == 1 { return self }
    return .concatenatingBatches((0..<rows).map { example($0 / each) })
  }

  mutating func copyRows(from other: Tensor, where chosen: [Bool]) {
    let n = count / max(chosen.count, 1)
    for (r, isChosen) in chosen.enumerated() where isChosen {
      for j in 0..<n { self[flat: r * n + j] = other[flat: r * n + j] }
    }
  }
}

extension RowLines {
  mutating func copyRows(from other: RowLines, where chosen: [Bool]) {
    below?.copyRows(from: other.below, where: chosen)
    above?.copyRows(from: other.above, where: chosen)
  }
}

extension RowLines.Free {
  mutating func copyRows(from other: RowLines.Free?, where chosen: [Bool]) {
    guard let other else { return }
    let m = elements.count
    for (r, isChosen) in chosen.enumerated() where isChosen {
      for i in (r * m)..<((r + 1) * m) {
        position[i] = other.position[i]
        slope[i] = other.slope[i]
        intercept[i] = other.intercept[i]
        touch[i] = other.touch[i]
      }
    }
  }
}

extension InputSet {
  /// For every row the point of its example's set that minimises a . x, and the minimum.
  func minimizers(of a: Tensor<Double>, rows: Int, n: Int) -> (points: Tensor<Double>, values: [Double]) {
    var values = [Double](repeating: 0, count: rows)
    let center = self.center
    let hull = self.hull
    let each = max(1, rows / max(center.batch, 1))
    let points = Tensor<Double>(writing: a.shape) { p in
      a.withPointer { x in
        for r in 0..<rows {
          let o = (center.batch == 1 ? 0 : r / each) * n
          let row = x + r * n
          let point = p + r * n
          switch self {
          case .fixed:
            for i in 0..<n { point[i] = center[flat: o + i] }
          case .box:
            for i in 0..<n { point[i] = row[i] > 0 ? hull.lower[flat: o + i] : hull.upper[flat: o + i] }
          case .ball(_, let radius, .l2):
            var norm = 0.0
            for i in 0..<n { norm += row[i] * row[i] }
            norm = norm.squareRoot()
            for i in 0..<n { point[i] = center[flat: o + i] - (norm > 0 ? radius * row[i] / norm : 0) }
          case .ball(_, let radius, .l1):
            var largest = 0
            for i in 0..<n where abs(row[i]) > abs(row[largest]) { largest = i }
            for i in 0..<n { point[i] = center[flat: o + i] }
            point[largest] -= row[largest] > 0 ? radius : row[largest] < 0 ? -radius : 0
          }
          var sum = 0.0
          for i in 0..<n { sum += row[i] * point[i] }
          values[r] = sum
        }
      }
    }
    return (points, values)
  }
}
