import Domains
import IR
import Tensors

/// A small generator of reproducible random numbers (SplitMix64, Steele et al. 2014).
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Projected gradient descent on the violation of a case (Madry et al. 2018), batched over starts, in float32.
///
/// The violation is the maximum over conjunctions and the minimum over disjunctions of row values; each start descends
/// its own critical row, by the sign of the gradient in units of the box's width, with step sizes that decay. Starts
/// are random points, corners, and points that bounding suggests.
struct ProjectedGradient {
  let problem: VerificationProblem
  let control: SearchControl

  /// A point and its violation, in float32 arithmetic.
  struct Candidate: Sendable {
    var point: [Double]
    var violation: Double
  }

  /// Descends from the given starts; stops early once a point satisfies the case.
  ///
  /// - Returns: the best point of every start, most violating first.
  func run(case index: Int, starts: [[Double]], steps: Int) throws -> [Candidate] {
    let part = problem.cases[index]
    let n = problem.inputCount
    let count = starts.count
    let numbers = part.condition.rows.sorted()
    guard count > 0, n > 0, !numbers.isEmpty else { return [] }
    let condition = part.condition.renumbered { number in numbers.firstIndex(of: number) ?? 0 }
    let width = zip(part.lower, part.upper).map { Float($1 - $0) }
    let low = part.lower.map { Float($0) }
    let high = part.upper.map { Float($0) }
    var points = Tensor<Float>([count, n], starts.flatMap { $0.map { Float($0) } })
    var best = starts.map { Candidate(point: $0, violation: .infinity) }
    var rate: Float = 0.25
    for step in 0...steps {
      if control.stop != nil { break }
      var domain = ConcreteDomain(.deployed)
      let trace = try problem.graph.interpret([.float(points)], in: &domain, keepingAll: true)
      let values = rowValues(trace, points, numbers)
      var critical = [Int](repeating: 0, count: count)
      var satisfied = false
      values.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        for b in 0..<count {
          let here = base + b * numbers.count
          let violation = condition.violation(here)
          critical[b] = condition.criticalRow(here) ?? 0
          if violation < best[b].violation {
            best[b] = Candidate(
              point: (0..<n).map { Double(points[flat: b * n + $0]) }, violation: violation)
          }
          if violation <= 0 { satisfied = true }
        }
      }
      if satisfied || step == steps { break }
      let gradient = try gradients(trace, critical.map { numbers[$0] })
      for b in 0..<count {
        for j in 0..<n {
          let place = b * n + j
          let g = gradient[flat: place]
          if g == 0 { continue }
          let moved = points[flat: place] - (g > 0 ? rate : -rate) * width[j]
          points[flat: place] = min(max(moved, low[j]), high[j])
        }
      }
      rate *= step < steps / 2 ? 0.93 : 0.85
    }
    return best.sorted { $0.violation < $1.violation }
  }

  /// Random points and corners of a case's box.
  func randomStarts(case index: Int, count: Int, seed: UInt64) -> [[Double]] {
    let part = problem.cases[index]
    var random = SplitMix64(seed: seed &+ UInt64(index))
    return (0..<count).map { k in
      zip(part.lower, part.upper).map { l, u in
        if k == 0 { return 0.5 * l + 0.5 * u }
        if k % 4 == 3 { return Bool.random(using: &random) ? l : u }
        return l + (u - l) * Double.random(in: 0...1, using: &random)
      }
    }
  }

  private func rowValues(_ trace: Trace<AnyTensor>, _ points: Tensor<Float>, _ numbers: [Int]) -> [Double] {
    let count = points.batch
    let n = problem.inputCount
    var result = [Double](repeating: 0, count: count * numbers.count)
    for (r, number) in numbers.enumerated() {
      let row = problem.rows[number]
      for b in 0..<count { result[b * numbers.count + r] = row.nearestConstant }
      for term in row.terms {
        switch term.source {
        case .input(let j):
          for b in 0..<count {
            result[b * numbers.count + r] += term.coefficient * Double(points[flat: b * n + j])
          }
        case .value(let node, let j):
          guard let value = trace.values[node] else { continue }
          let size = problem.graph[node].shape.count
          switch value {
          case .float(let tensor):
            for b in 0..<count {
              result[b * numbers.count + r] +=
                term.coefficient * Double(tensor[flat: (tensor.batch == 1 ? 0 : b) * size + j])
            }
          case .double(let tensor):
            for b in 0..<count {
              result[b * numbers.count + r] +=
                term.coefficient * tensor[flat: (tensor.batch == 1 ? 0 : b) * size + j]
            }
          }
        }
      }
    }
    return result
  }

  /// The gradient of one row per point in the input, `[points, inputs]`.
  private func gradients(_ trace: Trace<AnyTensor>, _ rows: [Int]) throws -> Tensor<Float> {
    var rule = GradientRule<Float>(trace)
    var seeds: [NodeID: Tensor<Float>] = [:]
    for (b, number) in rows.enumerated() {
      for term in problem.rows[number].terms {
        let (node, place): (NodeID, Int)
        switch term.source {
        case .input(let j): (node, place) = (problem.inputNode, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        let shape = problem.graph[node].shape
        seeds[node, default: .zeros([rows.count] + shape)][flat: b * shape.count + place] += Float(
          term.coefficient)
      }
    }
    try problem.graph.pullBack(seeds.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, rule: &rule)
    return rule.inputGradients[problem.inputNode] ?? .zeros([rows.count, problem.inputCount])
  }
}
