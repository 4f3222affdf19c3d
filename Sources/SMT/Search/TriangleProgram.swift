import LinearPrograms

/// The linear relaxation of a part as one small linear program: every undecided ReLU is the triangle between its two
/// lines and its chord, all decided neurons are composed away, and decisions enter as rows.
///
/// Its dual is the best bound that slopes and phase multipliers can give for these neuron bounds (Salman et al., "A
/// Convex Relaxation Barrier", NeurIPS 2019), so the multipliers of the simplex method are turned into exactly those:
/// ``LinearRelaxation/dualBound(_:rhs:_:_:)`` then evaluates them with all rounding counted, and a certificate carries
/// them. Nothing here is trusted.
struct TriangleProgram {
  /// What one program says.
  struct Answer {
    /// Slopes and multipliers; nil if the program is useless numerically.
    var duals: LinearRelaxation.Duals?
    /// The minimising input.
    var point: [Double]
    /// By undecided neuron: how far its value lies from the ReLU at the minimising point.
    var gaps: [Int: Double]
    /// The minimum, not to be trusted.
    var objective: Double
  }

  /// The largest program worth solving at every node: columns, and multiplications to compose it.
  static let columnLimit = 160
  static let workLimit = 20_000_000

  private let network: PiecewiseLinearNetwork
  private let bounds: NeuronBounds
  private let splits: [Int: Phase]
  /// Moving inputs, then undecided neurons: the variables of the program.
  private let columns: [Int]
  /// Forms of all variables over the columns and a constant, row-major.
  private var forms: [Double]
  private var width: Int { columns.count + 1 }
  /// The arguments of undecided and of split neurons, by variable.
  private var arguments: [Int: [Double]] = [:]

  /// Composes the network; nil if the program is too large to pay.
  init?(_ network: PiecewiseLinearNetwork, _ bounds: NeuronBounds, splits: [Int: Phase]) {
    self.network = network
    self.bounds = bounds
    self.splits = splits
    var columns = (0..<network.inputCount).filter { bounds.boxLower[$0] < bounds.boxUpper[$0] }
    columns += bounds.undecided(of: network)
    let entries = network.blocks.reduce(0) { $0 + $1.value.count }
    guard columns.count <= Self.columnLimit, entries * (columns.count + 1) <= Self.workLimit else {
      return nil
    }
    self.columns = columns
    let width = columns.count + 1
    forms = [Double](repeating: 0, count: network.variableCount * width)
    var columnOf = [Int](repeating: -1, count: network.variableCount)
    for (j, v) in columns.enumerated() { columnOf[v] = j }
    for i in 0..<network.inputCount {
      if columnOf[i] >= 0 {
        forms[i * width + columnOf[i]] = 1
      } else {
        forms[i * width + width - 1] = bounds.boxLower[i]
      }
    }
    var isZero = [Bool](repeating: false, count: network.variableCount)
    for block in network.raw {
      for i in 0..<block.count {
        let v = block.first + i
        let isNeuron = block.kind != .affine
        let phase = bounds.phases[v]
        let isOpen = isNeuron && phase == .undecided
        if isOpen { forms[v * width + columnOf[v]] = 1 }
        let keepsArgument = block.kind == .relu && (isOpen || splits[v] != nil)
        if block.kind == .sign && !isOpen { forms[v * width + width - 1] = bounds.lower[v] }
        if block.kind == .sign { continue }
        if block.kind == .relu && phase == .inactive { isZero[v] = true }
        if isZero[v] && !keepsArgument { continue }
        var row = [Double](repeating: 0, count: width)
        row.withUnsafeMutableBufferPointer { r in
          forms.withUnsafeBufferPointer { f in
            guard let target = r.baseAddress, let base = f.baseAddress else { return }
            for k in block.entries(i) where !isZero[Int(block.column[k])] {
              Double.axpy(
                width, block.value[k] / block.denominator, base + Int(block.column[k]) * width, into: target)
            }
          }
        }
        row[width - 1] += block.bias[i]
        if keepsArgument { arguments[v] = row }
        if !isOpen && !isZero[v] {
          for j in 0..<width { forms[v * width + j] = row[j] }
        }
      }
    }
  }

  /// Minimises the largest excess `row - rhs` of a clause over the relaxation.
  ///
  /// - Parameters:
  ///   - limit: Where to stop: a minimum beyond it needs no better bound.
  ///   - suffices: Whether multipliers refute the clause when rounding is counted; if not, the iteration goes on.
  func minimise(
    _ rows: [VariableRow], rhs: [Double], limit: Double, suffices: (LinearRelaxation.Duals) -> Bool
  )
    -> Answer
  {
    let n = columns.count + (rows.count > 1 ? 1 : 0)
    var matrix: [Double] = []
    var limits: [Double] = []
    var origins: [(variable: Int, kind: Kind)] = []
    func add(_ coefficients: [Double], _ bound: Double, _ variable: Int, _ kind: Kind) {
      matrix += coefficients
      if coefficients.count < n { matrix.append(0) }
      limits.append(bound)
      origins.append((variable, kind))
    }
    let last = columns.count
    for (j, v) in columns.enumerated() where v >= network.inputCount && network.isReLU(v) {
      guard let p = arguments[v] else { continue }
      // a >= p.
      var row = Array(p[0..<last])
      row[j] -= 1
      add(row, -p[last], v, .line)
      // a <= slope * p + intercept.
      let (slope, intercept) = LinearRelaxation.chord(bounds.preLower[v], bounds.preUpper[v])
      row = (0..<last).map { -slope * p[$0] }
      row[j] += 1
      add(row, intercept + slope * p[last], v, .chord)
    }
    for (v, phase) in splits.sorted(by: { $0.key < $1.key }) {
      guard let p = arguments[v] else { continue }
      let sign: Double = phase == .active ? -1 : 1
      add((0..<last).map { sign * p[$0] }, -sign * p[last], v, .decision)
    }
    var lower = columns.map { $0 < network.inputCount ? bounds.boxLower[$0] : bounds.lower[$0] }
    var upper = columns.map { $0 < network.inputCount ? bounds.boxUpper[$0] : bounds.upper[$0] }
    var cost = [Double](repeating: 0, count: n)
    let combined = rows.enumerated().map { combine($0.element, rhs[$0.offset]) }
    if rows.count == 1 {
      for j in 0..<last { cost[j] = combined[0][j] }
    } else {
      // One more variable lies above all excesses.
      cost[last] = 1
      var least = 0.0
      var most = 0.0
      for row in combined {
        var (a, b) = (row[last], row[last])
        for j in 0..<last {
          a += min(row[j] * lower[j], row[j] * upper[j])
          b += max(row[j] * lower[j], row[j] * upper[j])
        }
        least = min(least, a)
        most = max(most, b)
      }
      lower.append(least)
      upper.append(most)
      for (r, row) in combined.enumerated() { add(Array(row[0..<last]) + [-1], -row[last], r, .clause) }
    }
    var program = BoundedSimplex(cost: cost, rows: matrix, bounds: limits, lower: lower, upper: upper)
    var solution = program.solve(limit: limit)
    var duals = self.duals(solution, origins, clauses: rows.count)
    if solution.ending == .aboveLimit, !(duals.map { suffices($0) } ?? false) {
      solution = program.solve()
      duals = self.duals(solution, origins, clauses: rows.count)
    }
    var point = bounds.boxLower
    for (j, v) in columns.enumerated() where v < network.inputCount {
      point[v] = min(bounds.boxUpper[v], max(bounds.boxLower[v], solution.point[j]))
    }
    var gaps: [Int: Double] = [:]
    for (j, v) in columns.enumerated() where v >= network.inputCount {
      guard let p = arguments[v] else { continue }
      var argument = p[last]
      for i in 0..<last { argument += p[i] * solution.point[i] }
      gaps[v] = abs(solution.point[j] - max(argument, 0))
    }
    return Answer(duals: duals, point: point, gaps: gaps, objective: solution.objective)
  }

  private enum Kind { case line, chord, decision, clause }

  private func combine(_ row: VariableRow, _ rhs: Double) -> [Double] {
    var result = [Double](repeating: 0, count: width)
    for (v, c) in zip(row.variables, row.coefficients) {
      for j in 0..<width { result[j] += c * forms[v * width + j] }
    }
    result[width - 1] -= rhs
    return result
  }

  /// The multipliers of the program as slopes and multipliers of a bound.
  private func duals(
    _ solution: BoundedSimplex.Solution, _ origins: [(variable: Int, kind: Kind)], clauses: Int
  ) -> LinearRelaxation.Duals? {
    let n = network.variableCount
    let isRay = solution.ending == .infeasible
    var result = LinearRelaxation.Duals(
      rows: [Double](repeating: isRay ? 0 : 1, count: clauses), alpha: [Double](repeating: 0, count: n),
      beta: [Double](repeating: 0, count: n))
    var line = [Double](repeating: 0, count: n)
    if clauses > 1 { for r in 0..<clauses { result.rows[r] = 0 } }
    for (origin, multiplier) in zip(origins, solution.rows) {
      guard multiplier.isFinite else { return nil }
      switch origin.kind {
      case .line: line[origin.variable] = multiplier
      case .chord: break
      case .decision:
        result.beta[origin.variable] = splits[origin.variable] == .active ? multiplier : -multiplier
      case .clause: result.rows[origin.variable] = multiplier
      }
    }
    for (j, v) in columns.enumerated() where v >= network.inputCount {
      let below = solution.lower[j]
      let whole = line[v] + below
      result.alpha[v] =
        whole > 0 ? min(1, max(0, line[v] / whole)) : (bounds.preUpper[v] > -bounds.preLower[v] ? 1 : 0)
    }
    // Any positive factor gives the same statement; keep numbers of the order of 1. In a contradiction of decisions the
    // clause's own rows may hardly take part.
    let sum = result.rows.reduce(0, +)
    let decided = splits.keys.reduce(0) { max($0, abs(result.beta[$1])) }
    let scale = sum > 1e-3 * decided ? 1 / sum : (decided > 0 ? 1 / decided : 1)
    guard scale.isFinite else { return nil }
    for r in result.rows.indices { result.rows[r] *= scale }
    for v in splits.keys { result.beta[v] *= scale }
    return result
  }
}
