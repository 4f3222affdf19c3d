import IR
import Rigor
import Tensors

/// Raises lower bounds by gradient ascent on what may be chosen freely: the slopes of the lines below unstable ReLUs
/// (alpha) and the multipliers of split constraints (beta), together, with Adam (Xu et al. 2021; Wang et al.,
/// "Beta-CROWN", 2021).
///
/// Every iterate is a rigorous bound; the best one of each row is kept.
struct BoundAscent {
  let context: SplitContext
  let problem: VerificationProblem
  let groups: RowGroups
  /// The rows of the problem, by group.
  let rowLists: [[Int]]
  let lines: [ActivationLines?]
  /// By difference node of the context.
  var differences: [DifferencePlanes?] = []
  let mid: [Double]
  let rad: [Double]
  /// By activation: the slopes below, `rows * count`.
  var slopes: [[Double]?]
  /// By activation: +1 where a neuron is held at z >= p, -1 at z <= p, 0 elsewhere, `owners * count`; nil without splits.
  var signs: [[Int8]?]
  /// By activation: the points p, `owners * count`; nil where all are 0.
  var points: [[Double]?]
  /// By activation: multipliers of the constraints, `rows * count`.
  var multipliers: [[Double]?]

  /// The bounds of the best iterates.
  private(set) var best: LinearBounds?
  /// The last iterate's coefficients on activation values and arguments at the minimum, for branching scores.
  private(set) var coefficients: [NodeID: Tensor<Double>] = [:]
  private(set) var arguments: [Tensor<Double>?] = []

  init(
    context: SplitContext, problem: VerificationProblem, groups: RowGroups, rowLists: [[Int]],
    lines: [ActivationLines?], mid: [Double], rad: [Double]
  ) {
    self.context = context
    self.problem = problem
    self.groups = groups
    self.rowLists = rowLists
    self.lines = lines
    self.mid = mid
    self.rad = rad
    slopes = []
    signs = []
    points = []
    multipliers = []
    for (activation, table) in zip(context.activations, lines) {
      signs.append(nil)
      points.append(nil)
      multipliers.append(nil)
      guard activation.isRelu, let table else {
        slopes.append(nil)
        continue
      }
      let n = activation.count
      var own = [Double](repeating: 0, count: groups.rows * n)
      for group in groups.groups {
        for r in group.first..<(group.first + group.count) {
          for j in 0..<n { own[r * n + j] = table.belowSlope[group.owner * n + j] }
        }
      }
      slopes.append(own)
    }
  }

  /// Bounds at the current choice.
  private mutating func evaluate(recording: Bool) throws -> LinearBounds {
    var rule = LowerRule(context: context, groups: groups)
    rule.lines = lines
    rule.differences = differences
    rule.rowSlopes = slopes
    rule.recording = recording
    rule.multipliers = signedMultipliers()
    rule.points = points
    try problem.pullBackRows(rowLists, rule: &rule)
    if recording { coefficients = rule.recorded }
    return rule.linearBounds(mid: mid, rad: rad)
  }

  private func signedMultipliers() -> [[Double]?] {
    multipliers.indices.map { i in
      guard let beta = multipliers[i], let sign = signs[i] else { return nil }
      let n = context.activations[i].count
      var result = beta
      for group in groups.groups {
        for r in group.first..<(group.first + group.count) {
          for j in 0..<n { result[r * n + j] *= Double(sign[group.owner * n + j]) }
        }
      }
      return result
    }
  }

  /// Runs the ascent.
  ///
  /// - Parameters:
  ///   - iterations: evaluations in all, at least 1.
  ///   - isDone: asked after each evaluation with the best lower bounds so far.
  mutating func run(
    iterations: Int, slopeRate: Double, multiplierRate: Double, decay: Double = 0.9,
    isDone: ([Double]) -> Bool
  ) throws {
    var slopeMoments = slopes.map { $0.map { Moments(count: $0.count) } }
    var multiplierMoments = multipliers.map { $0.map { Moments(count: $0.count) } }
    var rate = 1.0
    for iteration in 1...max(1, iterations) {
      let isLast = iteration == max(1, iterations)
      let bounds = try evaluate(recording: iterations > 1)
      keepBest(bounds)
      if let best, isDone(best.lower) { return }
      if isLast { return }
      try findArguments(bounds)
      for (i, activation) in context.activations.enumerated() {
        guard let a = coefficients[activation.node], let z = arguments[i] else { continue }
        if slopes[i] != nil {
          ascendSlopes(i, activation, a, z, rate * slopeRate, iteration, &slopeMoments[i])
        }
        if multipliers[i] != nil {
          ascendMultipliers(i, activation, z, rate * multiplierRate, iteration, &multiplierMoments[i])
        }
      }
      rate *= decay
    }
  }

  /// Runs the relaxed network at every row's minimising corner.
  mutating func findArguments(_ bounds: LinearBounds) throws {
    let n = context.inputCount
    var corner = Tensor<Double>.zeros([groups.rows, n])
    corner.withMutablePointer { x in
      for group in groups.groups {
        for r in group.first..<(group.first + group.count) {
          for j in 0..<n {
            let m = mid[group.owner * n + j]
            let d = rad[group.owner * n + j]
            let a = bounds.coefficients[r * n + j]
            x[r * n + j] = a > 0 ? m - d : a < 0 ? m + d : m
          }
        }
      }
    }
    var forward = RelaxedForward(
      context: context, groups: groups, lines: lines, rowSlopes: slopes, coefficients: coefficients)
    _ = try context.graph.interpret([corner], in: &forward)
    arguments = forward.arguments
  }

  private mutating func keepBest(_ bounds: LinearBounds) {
    guard var best else {
      self.best = bounds
      return
    }
    let n = context.inputCount
    for r in 0..<groups.rows where bounds.lower[r] > best.lower[r] {
      best.lower[r] = bounds.lower[r]
      best.constant[r] = bounds.constant[r]
      for j in 0..<n { best.coefficients[r * n + j] = bounds.coefficients[r * n + j] }
    }
    self.best = best
  }

  private mutating func ascendSlopes(
    _ i: Int, _ activation: SplitContext.Activation, _ a: Tensor<Double>, _ z: Tensor<Double>, _ rate: Double,
    _ step: Int, _ moments: inout Moments?
  ) {
    guard var values = slopes[i], var m = moments, let table = lines[i] else { return }
    slopes[i] = nil
    moments = nil
    let n = activation.count
    let (correction1, correction2) = Moments.corrections(step)
    values.withUnsafeMutableBufferPointer { values in
      m.withPointers { first, second in
        a.withPointer { a in
          z.withPointer { z in
            table.belowSlope.withUnsafeBufferPointer { below in
              table.aboveSlope.withUnsafeBufferPointer { above in
                for group in groups.groups {
                  let o = group.owner * n
                  for r in group.first..<(group.first + group.count) {
                    for j in 0..<n {
                      // Only unstable neurons have a chord steeper than 0 and flatter than 1.
                      let chord = above[o + j]
                      if chord <= 0 || chord >= 1 { continue }
                      let p = r * n + j
                      let g = a[p] > 0 ? a[p] * z[p] : 0
                      first[p] = 0.9 * first[p] + 0.1 * g
                      second[p] = 0.999 * second[p] + 0.001 * g * g
                      let move = first[p] * correction1 / ((second[p] * correction2).squareRoot() + 1e-12)
                      values[p] = min(1, max(0, values[p] + rate * move))
                    }
                  }
                }
                _ = below
              }
            }
          }
        }
      }
    }
    slopes[i] = values
    moments = m
  }

  private mutating func ascendMultipliers(
    _ i: Int, _ activation: SplitContext.Activation, _ z: Tensor<Double>, _ rate: Double, _ step: Int,
    _ moments: inout Moments?
  ) {
    guard var values = multipliers[i], var m = moments, let sign = signs[i] else { return }
    multipliers[i] = nil
    moments = nil
    let own = points[i]
    let n = activation.count
    let (correction1, correction2) = Moments.corrections(step)
    values.withUnsafeMutableBufferPointer { values in
      m.withPointers { first, second in
        z.withPointer { z in
          for group in groups.groups {
            for r in group.first..<(group.first + group.count) {
              for j in 0..<n {
                let s = sign[group.owner * n + j]
                if s == 0 { continue }
                let p = r * n + j
                let g = -Double(s) * (z[p] - (own?[group.owner * n + j] ?? 0))
                first[p] = 0.9 * first[p] + 0.1 * g
                second[p] = 0.999 * second[p] + 0.001 * g * g
                let move = first[p] * correction1 / ((second[p] * correction2).squareRoot() + 1e-12)
                values[p] = max(0, values[p] + rate * move)
              }
            }
          }
        }
      }
    }
    multipliers[i] = values
    moments = m
  }
}

/// First and second moments of Adam (Kingma and Ba 2015).
private struct Moments {
  var first: [Double]
  var second: [Double]

  init(count: Int) {
    first = [Double](repeating: 0, count: count)
    second = first
  }

  static func corrections(_ step: Int) -> (Double, Double) {
    var p1 = 1.0
    var p2 = 1.0
    for _ in 0..<step {
      p1 *= 0.9
      p2 *= 0.999
    }
    return (1 / (1 - p1), 1 / (1 - p2))
  }

  mutating func withPointers(_ body: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) -> Void) {
    first.withUnsafeMutableBufferPointer { a in
      second.withUnsafeMutableBufferPointer { b in
        guard let a = a.baseAddress, let b = b.baseAddress else { return }
        body(a, b)
      }
    }
  }
}
