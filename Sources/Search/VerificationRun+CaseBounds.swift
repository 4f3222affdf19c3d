import Bounds
import Domains
import IR
import Rigor
import Specifications
import Tensors

/// Bounds of one case before any search.
extension VerificationRun {
  /// What is known of a case before any search.
  struct CaseBounds {
    var context: SplitContext?
    /// Lower bounds of all rows.
    var lower: [Double]
    /// What is left of the condition; nil if it is refuted.
    var open: RowFormula?
    var method = "CROWN"
    /// How near the condition is to being refuted: refuted above 0.
    var margin = Double.infinity
    /// Seconds that the bounds took.
    var seconds = 0.0
    /// The input that most of the critical row's spread comes from, and its share.
    var dominantInput: (index: Int, share: Double)?
  }

  func bound(_ index: Int, by boundMethod: BoundMethod = .crown) throws -> CaseBounds {
    let start = control.elapsed
    let part = problem.cases[index]
    let (context, intervals) = try context(part.lower, part.upper, boundMethod)
    var result = CaseBounds(context: context, lower: problem.intervalLowerBounds(intervals))
    guard let condition = reduced(part.condition, result.lower) else { return result }
    var spread: [Int: [Double]] = [:]
    if let context { spread = try raise(&result.lower, condition.rows.sorted(), context, index) }
    if context == nil || context?.activations.contains(where: { !$0.isRelu }) == true {
      try optimise(&result.lower, condition.rows.sorted(), index)
    }
    result.method = "alpha-CROWN"
    result.open = reduced(condition, result.lower)
    result.seconds = control.elapsed - start
    if let open = result.open {
      let critical = result.lower.withUnsafeBufferPointer { buffer -> (row: Int?, margin: Double) in
        guard let base = buffer.baseAddress else { return (nil, -.infinity) }
        return (open.criticalRow(base), open.violation(base))
      }
      result.margin = critical.margin
      if let widths = critical.row.flatMap({ spread[$0] }), let largest = widths.max(), largest > 0 {
        result.dominantInput = (widths.firstIndex(of: largest) ?? 0, largest / widths.reduce(0, +))
      }
    }
    return result
  }

  private func reduced(_ condition: RowFormula, _ lower: [Double]) -> RowFormula? {
    lower.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { condition.reduced($0) } ?? condition }
  }

  /// Lower bounds of rows by optimised slopes, intermediate bounds fixed. Returns for every row how much of its spread
  /// comes from each input.
  private func raise(_ lower: inout [Double], _ rows: [Int], _ context: SplitContext, _ index: Int) throws
    -> [Int: [Double]]
  {
    let part = problem.cases[index]
    let (mid, rad) = ReluSplitSearch.midpointRadius(part.lower, part.upper)
    var groups = RowGroups()
    groups.append(owner: 0, count: rows.count)
    var ascent = BoundAscent(
      context: context, problem: problem, groups: groups, rowLists: [rows], lines: context.rootLines,
      mid: mid,
      rad: rad)
    let control = control
    try ascent.run(iterations: 40, slopeRate: 0.25, multiplierRate: 0, decay: 0.96) { bounds in
      control.stop != nil || bounds.allSatisfy { $0 > 0 }
    }
    guard let best = ascent.best else { return [:] }
    for (r, row) in rows.enumerated() { lower[row] = max(lower[row], best.lower[r]) }
    // With the chord's slope on both sides, as for boxes: it ranks inputs better than the bounds' own coefficients.
    var rule = LowerRule(context: context, groups: groups)
    rule.lines = context.rootLines.map { table in
      guard var table else { return nil }
      table.belowSlope = table.aboveSlope
      return table
    }
    try problem.pullBackRows([rows], rule: &rule)
    guard let influence = rule.arrivals[context.inputNode] else { return [:] }
    var spread: [Int: [Double]] = [:]
    for (r, row) in rows.enumerated() {
      spread[row] = rad.indices.map { abs(influence[flat: r * rad.count + $0]) * rad[$0] }
    }
    return spread
  }

  /// Lower bounds of rows by the general method with all slopes optimised, where rows are forms of one output.
  private func optimise(_ lower: inout [Double], _ rows: [Int], _ index: Int) throws {
    let part = problem.cases[index]
    let n = part.lower.count
    for (output, node) in problem.graph.outputs.enumerated() {
      let own = rows.filter { row in
        problem.rows[row].terms.allSatisfy { term in
          if case .value(node.node, _) = term.source { return true }
          return false
        }
      }
      guard !own.isEmpty else { continue }
      let size = problem.graph[node.node].shape.count
      var matrix = Tensor<Double>.zeros([own.count, size])
      for (r, row) in own.enumerated() {
        for term in problem.rows[row].terms {
          if case .value(_, let place) = term.source { matrix[flat: r * size + place] = term.coefficient }
        }
      }
      var options = BoundOptions(method: .best)
      options.arithmetic = arithmetic
      options.threads = control.threads
      let region = Domains.Region([
        .box(lower: Tensor([1, n], part.lower), upper: Tensor([1, n], part.upper))
      ])
      let result = try problem.graph.bounds(
        over: region, rows: OutputRows(output: output, rows: matrix), options)
      guard let bounds = result.outputs.first else { continue }
      for (r, row) in own.enumerated() {
        guard problem.rows[row].coefficientErrors.allSatisfy({ $0 == 0 }) else { continue }
        lower[row] = max(lower[row], (bounds.lower[flat: r] + problem.rows[row].constant).nextDown)
      }
    }
  }
}

extension VerificationProblem {
  /// Multiplications of one evaluation of the networks.
  var multiplications: Double {
    graph.nodes.reduce(0) { sum, node in
      guard case .affine(let map) = node.operation else { return sum }
      return sum + map.maps.reduce(0) { $0 + Double(node.shape.count) * Double($1.fanIn) }
    }
  }

  /// Starts and steps of the long attack: 30 and 100, less for networks where that would take minutes.
  var attackEffort: (starts: Int, steps: Int) {
    // An evaluation with its gradient is about three times as dear as the evaluation.
    let passes = max(200, min(3000, Int(2e10 / max(1, 3 * multiplications))))
    let starts = max(5, min(30, passes / 40))
    return (starts, max(20, min(100, passes / starts)))
  }

  /// Lower bounds of all rows from bounds of nodes alone.
  func intervalLowerBounds(_ intervals: [Interval?]) -> [Double] {
    rows.map { row in
      var sum = row.constant
      var size = abs(sum)
      for (term, error) in zip(row.terms, row.coefficientErrors) {
        let (node, place): (NodeID, Int)
        switch term.source {
        case .input(let j): (node, place) = (inputNode, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        guard let interval = intervals[node] else { return -.infinity }
        let l = interval.lower[flat: place]
        let u = interval.upper[flat: place]
        sum += term.coefficient * (term.coefficient > 0 ? l : u) - error * max(abs(l), abs(u))
        size += (abs(term.coefficient) + error) * max(abs(l), abs(u))
      }
      // Two products and two sums per term.
      let bound = sum - Rounding.gamma(4 * row.terms.count + 2) * size
      return bound.isNaN ? -.infinity : bound.nextDown
    }
  }
}
