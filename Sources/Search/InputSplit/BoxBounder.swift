import Domains
import IR
import Operators
import Rigor
import Tensors

/// Bounds rows over many boxes at once: CROWN with every intermediate bound recomputed for each box, but only for
/// neurons that are not known to be stable from a larger box.
struct BoxBounder {
  let context: SplitContext
  let problem: VerificationProblem
  /// Steps of slope optimisation for the final rows.
  var iterations = 1

  /// What bounding one batch of boxes gives.
  struct Result {
    /// The rows of each box's condition: number, and the place of its bound.
    var rows: [[Int]]
    var groups: RowGroups
    var bounds: LinearBounds
    /// `rows * inputs`: how each row depends on each input, for branching.
    var influence: [Double]
    /// By box, updated.
    var states: [[Int8]]
  }

  /// - Parameter rowsOf: the numbers of the rows wanted for each case.
  ///   - usesIntervals: whether interval bounds go first; they pay where much is not yet known of the boxes.
  func bound(_ boxes: [InputBox], rowsOf: [[Int]], usesIntervals: Bool) throws -> Result {
    let n = context.inputCount
    let count = boxes.count
    var mid = [Double](repeating: 0, count: count * n)
    var rad = mid
    for (b, box) in boxes.enumerated() {
      for j in 0..<n {
        let l = box.lower[j]
        let u = box.upper[j]
        let center = 0.5 * l + 0.5 * u
        mid[b * n + j] = center
        rad[b * n + j] = l == u ? 0 : max(u - center, center - l).nextUp
      }
    }
    var states = boxes.map(\.states)
    let intervals = usesIntervals ? try stabilise(boxes, &states) : nil
    var walk = Relaxations()
    // In the order of the graph: a difference follows the activation of its first run.
    var open = context.differences[...]
    for activation in context.activations {
      while let next = open.first, next.node < activation.node {
        try relax(next, &states, mid, rad, &walk)
        open.removeFirst()
      }
      try relax(activation, intervals?.values[activation.pre] ?? nil, &states, mid, rad, &walk)
    }
    for difference in open { try relax(difference, &states, mid, rad, &walk) }
    let lines = walk.lines
    var groups = RowGroups()
    let rows = boxes.map { rowsOf[$0.problem] }
    for b in 0..<count { groups.append(owner: b, count: rows[b].count) }
    var ascent = BoundAscent(
      context: context, problem: problem, groups: groups, rowLists: rows, lines: lines, mid: mid, rad: rad)
    ascent.differences = walk.differences
    try ascent.run(iterations: iterations, slopeRate: 0.3, multiplierRate: 0, isDone: { _ in false })
    // The first evaluation always leaves bounds.
    let bounds = ascent.best ?? LinearBounds(coefficients: [], constant: [], lower: [])
    return Result(
      rows: rows, groups: groups, bounds: bounds,
      influence: try influence(rows, groups, walk), states: states)
  }

  /// The coefficients of rows when every unstable ReLU is replaced by its chord's slope on both sides. Measured on ACAS
  /// Xu this ranks inputs far better than the bounds' own coefficients.
  private func influence(_ rows: [[Int]], _ groups: RowGroups, _ walk: Relaxations) throws -> [Double] {
    var rule = LowerRule(context: context, groups: groups)
    rule.differences = walk.differences
    rule.lines = walk.lines.map { table in
      guard var table else { return nil }
      table.belowSlope = table.aboveSlope
      return table
    }
    try problem.pullBackRows(rows, rule: &rule)
    return rule.arrivals[context.inputNode]?.elements
      ?? [Double](repeating: 0, count: groups.rows * context.inputCount)
  }

  /// Interval bounds of all boxes, which are cheap and decide most neurons of small boxes; nil where no neuron is open.
  private func stabilise(_ boxes: [InputBox], _ states: inout [[Int8]]) throws -> Trace<Interval>? {
    guard states.contains(where: { $0.contains(0) }) else { return nil }
    let n = context.inputCount
    let shape = Shape([boxes.count, n])
    let set = InputSet.box(
      lower: Tensor(shape, boxes.flatMap(\.lower)), upper: Tensor(shape, boxes.flatMap(\.upper)))
    let trace = try context.graph.intervals(over: Domains.Region([set]), context.arithmetic)
    for activation in context.activations where activation.isRelu {
      guard let pre = trace.values[activation.pre], pre.batch == boxes.count else { continue }
      for b in boxes.indices {
        for j in 0..<activation.count where states[b][activation.offset + j] == 0 {
          let place = b * activation.count + j
          if pre.lower[flat: place] >= 0 {
            states[b][activation.offset + j] = 1
          } else if pre.upper[flat: place] <= 0 {
            states[b][activation.offset + j] = -1
          }
        }
      }
    }
    return trace
  }

  /// What is relaxed so far, in the order of the graph.
  private struct Relaxations {
    var lines: [ActivationLines?] = []
    var differences: [DifferencePlanes?] = []
    /// By activation: bounds of its unstable arguments, `boxes * count`; kept where a difference needs them.
    var arguments: [(lower: [Double], upper: [Double])] = []
  }

  /// Bounds the difference of the arguments of two runs where a neuron is open in either, and relaxes it.
  private func relax(
    _ node: SplitContext.DifferenceNode, _ states: inout [[Int8]], _ mid: [Double], _ rad: [Double],
    _ walk: inout Relaxations
  ) throws {
    let n = node.count
    let first = context.activations[node.activation]
    let known = walk.arguments[node.activation]
    var groups = RowGroups()
    var units: [Int] = []
    for b in states.indices {
      let start = units.count
      for j in 0..<n where states[b][first.offset + j] == 0 || states[b][node.offset + j] == 0 {
        units.append(j)
      }
      let open = units.count - start
      units.append(contentsOf: units[start...])
      groups.append(owner: b, count: 2 * open)
    }
    var bounds: LinearBounds?
    if !units.isEmpty {
      var rule = LowerRule(context: context, groups: groups)
      rule.lines = walk.lines
      rule.differences = walk.differences
      var seed = Tensor<Double>.zeros([units.count] + context.graph[node.pre].shape)
      for group in groups.groups {
        for r in 0..<group.count {
          let row = group.first + r
          seed[flat: row * n + units[row]] = r < group.count / 2 ? 1 : -1
        }
      }
      try context.graph.pullBack([(node.pre, seed)], rule: &rule)
      bounds = rule.linearBounds(mid: mid, rad: rad)
    }
    var planes = DifferencePlanes(owners: states.count, count: n)
    var group = groups.groups.makeIterator()
    var current = group.next()
    for b in states.indices {
      var row = 0
      let own = current?.owner == b ? current : nil
      for j in 0..<n {
        let side = NeuronState(rawValue: states[b][first.offset + j]) ?? .unstable
        var second = NeuronState(rawValue: states[b][node.offset + j]) ?? .unstable
        if side == .unstable || second == .unstable, let own, let bounds {
          let least = max(bounds.lower[own.first + row], node.least[j])
          let most = min(-bounds.lower[own.first + own.count / 2 + row], node.most[j])
          row += 1
          var box = DifferenceBox(
            known.lower[b * n + j], known.upper[b * n + j], by: min(least, most), max(least, most))
          if second == .unstable {
            if box.second.lower >= 0 { second = .active } else if box.second.upper <= 0 { second = .inactive }
            states[b][node.offset + j] = second.rawValue
          }
          if second == .active { box.second.lower = max(box.second.lower, 0) }
          if second == .inactive { box.second.upper = min(box.second.upper, 0) }
          if side == .unstable || second == .unstable {
            planes.set(b * n + j, box, node.relaxation)
            continue
          }
        }
        planes.set(b * n + j, first: side, second: second)
      }
      if own != nil { current = group.next() }
    }
    walk.differences.append(planes)
  }

  /// Bounds the unstable arguments of one activation and relaxes it.
  private func relax(
    _ activation: SplitContext.Activation, _ interval: Interval?, _ states: inout [[Int8]], _ mid: [Double],
    _ rad: [Double], _ walk: inout Relaxations
  ) throws {
    var arguments: (lower: [Double], upper: [Double]) = ([], [])
    if !context.differences.isEmpty {
      for b in states.indices {
        for j in 0..<activation.count {
          let state = states[b][activation.offset + j]
          arguments.lower.append(state > 0 ? max(0, activation.lower[j]) : activation.lower[j])
          arguments.upper.append(state < 0 ? min(0, activation.upper[j]) : activation.upper[j])
        }
      }
    }
    let table = try lines(activation, interval, &states, mid, rad, walk, &arguments)
    walk.lines.append(table)
    walk.arguments.append(arguments)
  }

  private func lines(
    _ activation: SplitContext.Activation, _ interval: Interval?, _ states: inout [[Int8]], _ mid: [Double],
    _ rad: [Double], _ walk: Relaxations, _ arguments: inout (lower: [Double], upper: [Double])
  ) throws -> ActivationLines {
    let count = states.count
    let n = activation.count
    var groups = RowGroups()
    var units: [Int32] = []
    for b in 0..<count {
      let first = units.count
      states[b].withUnsafeBufferPointer { state in
        for j in 0..<n where state[activation.offset + j] == 0 { units.append(Int32(j)) }
      }
      // The rows of the lower bounds, then those of the upper ones.
      let unstable = units.count - first
      units.append(contentsOf: units[first...])
      groups.append(owner: b, count: 2 * unstable)
    }
    var rule = LowerRule(context: context, groups: groups)
    rule.lines = walk.lines
    rule.differences = walk.differences
    var bounds: LinearBounds?
    if !units.isEmpty {
      let seed: (NodeID, Tensor<Double>)
      if let forms = activation.units {
        seed = (forms.source, start(&rule, forms, units))
      } else {
        var dense = Tensor<Double>.zeros([units.count] + context.graph[activation.pre].shape)
        for group in groups.groups {
          for r in 0..<group.count {
            let row = group.first + r
            dense[flat: row * n + Int(units[row])] = r < group.count / 2 ? 1 : -1
          }
        }
        seed = (activation.pre, dense)
      }
      try context.graph.pullBack([seed], rule: &rule)
      bounds = rule.linearBounds(mid: mid, rad: rad)
    }
    var lines = ActivationLines(count: count * n)
    var group = groups.groups.makeIterator()
    var current = group.next()
    for b in 0..<count {
      if activation.isRelu {
        states[b].withUnsafeBufferPointer { state in
          for j in 0..<n {
            // 1 is the identity, -1 is 0, 0 is overwritten below.
            lines.setState(b * n + j, NeuronState(rawValue: state[activation.offset + j]) ?? .unstable)
          }
        }
      }
      guard let here = current, here.owner == b, let bounds else { continue }
      let half = here.count / 2
      for r in 0..<half {
        let j = Int(units[here.first + r])
        // Bounds over the whole region stay valid.
        var l = max(bounds.lower[here.first + r], activation.lower[j])
        var u = min(-bounds.lower[here.first + half + r], activation.upper[j])
        if let interval, interval.batch == count {
          l = max(l, interval.lower[flat: b * n + j])
          u = min(u, interval.upper[flat: b * n + j])
        }
        if activation.isRelu {
          if l >= 0 {
            states[b][activation.offset + j] = 1
          } else if u <= 0 {
            states[b][activation.offset + j] = -1
          }
          lines.setRelu(b * n + j, l, u)
          if !arguments.lower.isEmpty {
            arguments.lower[b * n + j] = l
            arguments.upper[b * n + j] = u
          }
        } else {
          lines.set(
            b * n + j, activation.function, min(l, u), max(l, u), neurons: n,
            extraCharge: activation.charge[j])
        }
      }
      current = group.next()
    }
    return lines
  }

  /// The rows of unit vectors as forms over an earlier node: first the vectors, then their negatives.
  private func start(_ rule: inout LowerRule, _ forms: SplitContext.UnitRows, _ units: [Int32]) -> Tensor<
    Double
  > {
    let width = forms.width
    var constant = [Double](repeating: 0, count: units.count)
    var slack = constant
    let shape = context.graph[forms.source].shape
    let rows = Tensor<Double>(writing: [units.count] + shape) { out in
      forms.matrix.withUnsafeBufferPointer { matrix in
        guard let matrix = matrix.baseAddress else { return }
        for group in rule.groups.groups {
          let half = group.count / 2
          for r in 0..<group.count {
            let row = group.first + r
            let j = Int(units[row])
            let target = out + row * width
            if r < half {
              target.update(from: matrix + j * width, count: width)
              constant[row] = forms.constant[j]
            } else {
              for k in 0..<width { target[k] = -matrix[j * width + k] }
              constant[row] = -forms.constant[j]
            }
            slack[row] = forms.slack[j]
          }
        }
      }
    }
    rule.start(constant: constant, slack: slack)
    return rows
  }
}

extension VerificationProblem {
  /// Walks rows of the problem back to the input; row lists are by owner, in the order of the rule's groups.
  func pullBackRows(_ lists: [[Int]], rule: inout LowerRule) throws {
    let numbers = lists.flatMap { $0 }
    try rowSeeds(numbers, total: numbers.count, rule.context).run(&rule)
  }

  /// Where a backward walk starts.
  struct WalkSeeds {
    var seeds: [NodeID: Tensor<Double>]
    var constant: [Double]
    var slack: [Double]

    func run(_ rule: inout LowerRule) throws {
      rule.start(constant: constant, slack: slack)
      try rule.context.graph.pullBack(
        seeds.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, rule: &rule)
    }
  }

  /// The seeds of rows, as the first of `total` rows of a walk; the others are 0.
  func rowSeeds(_ numbers: [Int], total: Int, _ context: SplitContext) -> WalkSeeds {
    var walk = WalkSeeds(
      seeds: [:], constant: [Double](repeating: 0, count: total), slack: [Double](repeating: 0, count: total))
    for (r, number) in numbers.enumerated() {
      let row = context.isTwin ? twin?.rows[number] ?? rows[number] : rows[number]
      walk.constant[r] = row.constant
      for (term, error) in zip(row.terms, row.coefficientErrors) {
        let node: NodeID
        let place: Int
        switch term.source {
        case .input(let j): (node, place) = (context.inputNode, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        let shape = context.graph[node].shape
        walk.seeds[node, default: .zeros([total] + shape)][flat: r * shape.count + place] += term.coefficient
        if error > 0, let interval = context.intervals[node] {
          walk.slack[r] += error * max(abs(interval.lower[flat: place]), abs(interval.upper[flat: place]))
        }
      }
    }
    return walk
  }
}
