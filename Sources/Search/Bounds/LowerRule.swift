import CKernels
import IR
import Rigor
import Tensors

/// Which rows of a walk belong to which subproblem: consecutive rows, possibly none.
struct RowGroups: Sendable {
  struct Group: Sendable {
    var owner: Int
    var first: Int
    var count: Int
  }

  private(set) var groups: [Group] = []
  private(set) var rows = 0

  init() {}

  /// All rows belong to subproblem 0.
  init(single count: Int) {
    groups = [Group(owner: 0, first: 0, count: count)]
    rows = count
  }

  /// Appends rows of a subproblem.
  mutating func append(owner: Int, count: Int) {
    guard count > 0 else { return }
    groups.append(Group(owner: owner, first: rows, count: count))
    rows += count
  }
}

/// The lines below and above one activation: for every subproblem, or for every row, one slope and intercept each.
struct ActivationLines: Sendable {
  var belowSlope: [Double]
  var belowIntercept: [Double]
  var aboveSlope: [Double]
  var aboveIntercept: [Double]
  /// Cost per unit of coefficient; one example for all, or as many as there are slopes.
  var charge: [Double]

  init(count: Int) {
    belowSlope = [Double](repeating: 0, count: count)
    belowIntercept = belowSlope
    aboveSlope = belowSlope
    aboveIntercept = belowSlope
    charge = []
  }

  /// Calls a body with pointers to the four tables, or to slopes below that belong to rows.
  @inline(__always)
  func withPointers(
    rowSlopes: [Double]?,
    _ body: (
      _ ps: UnsafePointer<Double>, _ pt: UnsafePointer<Double>, _ ns: UnsafePointer<Double>,
      _ nt: UnsafePointer<Double>
    ) -> Void
  ) {
    (rowSlopes ?? belowSlope).withUnsafeBufferPointer { ps in
      belowIntercept.withUnsafeBufferPointer { pt in
        aboveSlope.withUnsafeBufferPointer { ns in
          aboveIntercept.withUnsafeBufferPointer { nt in
            guard let ps = ps.baseAddress, let pt = pt.baseAddress, let ns = ns.baseAddress,
              let nt = nt.baseAddress
            else { return }
            body(ps, pt, ns, nt)
          }
        }
      }
    }
  }
}

/// The backward walk for lower bounds only, with rows of many subproblems side by side.
///
/// Row r stands for a linear form whose value is at least `A_r x + constant_r - slack_r` over its subproblem's box once
/// the walk has arrived at the input; slack collects what rounding may have done (see ``SplitContext``). Split
/// constraints enter as multipliers: with beta >= 0 and s (z - p) >= 0, subtracting beta s (z - p) lowers the form.
struct LowerRule: AdjointRule {
  typealias Covector = Tensor<Double>

  let context: SplitContext
  let groups: RowGroups
  /// By activation.
  var lines: [ActivationLines?] = []
  /// By difference node of the context.
  var differences: [DifferencePlanes?] = []
  /// By activation: slopes below that belong to rows instead of subproblems, `rows * count`.
  var rowSlopes: [[Double]?] = []
  /// By activation: what is subtracted from every row's covector on the argument, `rows * count`.
  var multipliers: [[Double]?] = []
  /// By activation: the points of the constraints, `owners * count`; nil where all are 0.
  var points: [[Double]?] = []
  let stopsAtActivations: Bool
  private(set) var constant: [Double]
  private(set) var slack: [Double]
  /// Covectors on the input node, and on activations where the walk stops at them.
  private(set) var arrivals: [NodeID: Tensor<Double>] = [:]
  /// Record the covectors on the activations' values.
  var recording = false
  private(set) var recorded: [NodeID: Tensor<Double>] = [:]

  init(context: SplitContext, groups: RowGroups, stopsAtActivations: Bool = false) {
    self.context = context
    self.groups = groups
    self.stopsAtActivations = stopsAtActivations
    constant = [Double](repeating: 0, count: groups.rows)
    slack = constant
  }

  /// Starts rows with a constant and what it may be off by.
  mutating func start(constant: [Double], slack: [Double]) {
    self.constant = constant
    self.slack = slack
  }

  var rows: Int { groups.rows }

  /// Every change of a constant rounds once.
  private mutating func chargeConstants() {
    for r in 0..<rows { slack[r] += Rounding.unit * abs(constant[r]) }
  }

  func isLeaf(_ node: Node) -> Bool {
    if !context.varies[node.id] { return true }
    return stopsAtActivations && context.activationIndex[node.id] != nil
  }

  mutating func leaf(_ node: Node, _ c: Tensor<Double>) throws {
    if context.varies[node.id] {
      arrivals[node.id] = c
      return
    }
    // A constant, or a value computed from constants only: bounded by its interval.
    guard let interval = context.intervals[node.id] else {
      throw GraphError(node: node.name, reason: "its bounds are not available")
    }
    let (mid, rad) = interval.midpointRadius
    let n = node.shape.count
    let g = Rounding.gamma(n + 3)
    let cost = zip(mid.elements, rad.elements).map { g * abs($0) + $1 * (1 + g) }
    add(dot: mid.elements, cost: cost, c, n)
  }

  /// constant += A v; slack += |A| cost.
  private mutating func add(dot v: [Double]?, cost: [Double]?, _ c: Tensor<Double>, _ n: Int) {
    let rows = Int64(rows)
    c.withPointer { a in
      if let v {
        constant.withUnsafeMutableBufferPointer { out in
          if let base = out.baseAddress { ck_dot_d(rows, Int64(n), a, v, base) }
        }
      }
      if let cost {
        slack.withUnsafeMutableBufferPointer { out in
          if let base = out.baseAddress { ck_abs_dot_d(rows, Int64(n), a, cost, base) }
        }
      }
    }
    if v != nil { chargeConstants() }
  }

  mutating func affine(_ map: Affine, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    if recording, context.activationIndex[node.id] == nil, seeds.contains(node.id) { recorded[node.id] = c }
    add(dot: context.biases[node.id], cost: context.charges[node.id], c, node.shape.count)
    return map.maps.map { $0.adjoint(c) }
  }

  /// Nodes whose covectors are recorded besides activations.
  var seeds: Set<NodeID> = []

  mutating func elementwise(_ f: any ElementwiseFunction, _ c: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>?
  {
    guard let index = context.activationIndex[node.id], index < lines.count, let lines = lines[index] else {
      throw GraphError(node: node.name, reason: "it has no relaxation")
    }
    if recording { recorded[node.id] = c }
    let n = node.shape.count
    let chargeAll = context.activations[index].charge
    let ownCharge = !lines.charge.isEmpty
    let groups = groups.groups
    let slopes = index < rowSlopes.count ? rowSlopes[index] : nil
    var sums = constant
    var slacks = slack
    var result = Tensor<Double>(writing: c.shape) { out in
      c.withPointer { a in
        lines.withPointers(rowSlopes: slopes) { ps, pt, ns, nt in
          (ownCharge ? lines.charge : chargeAll).withUnsafeBufferPointer { e in
            sums.withUnsafeMutableBufferPointer { sums in
              slacks.withUnsafeMutableBufferPointer { slacks in
                guard let e = e.baseAddress, let s = sums.baseAddress, let k = slacks.baseAddress else {
                  return
                }
                for group in groups {
                  let o = group.owner * n
                  let charge = ownCharge ? e + o : e
                  if slopes == nil {
                    let f = group.first * n
                    ck_relax_d(
                      Int64(group.count), Int64(n), a + f, ps + o, pt + o, ns + o, nt + o, charge, out + f,
                      s + group.first, k + group.first)
                  } else {
                    for r in group.first..<(group.first + group.count) {
                      let f = r * n
                      ck_relax_d(
                        1, Int64(n), a + f, ps + f, pt + o, ns + o, nt + o, charge, out + f, s + r, k + r)
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    constant = sums
    slack = slacks
    chargeConstants()
    if index < multipliers.count, let multipliers = multipliers[index] {
      subtract(multipliers, at: index < points.count ? points[index] : nil, from: &result, n)
    }
    return result
  }

  /// a - m stands for the multiplier a - fl(a - m), whose sign rounding cannot change; the constant that goes with it is
  /// off by the rounding of that difference, of its product with the point and of the sum.
  private mutating func subtract(
    _ multipliers: [Double], at points: [Double]?, from result: inout Tensor<Double>, _ n: Int
  ) {
    let groups = groups.groups
    result.withMutablePointer { a in
      for group in groups {
        for r in group.first..<(group.first + group.count) {
          for j in 0..<n {
            let before = a[r * n + j]
            a[r * n + j] = before - multipliers[r * n + j]
            guard let points, multipliers[r * n + j] != 0 else { continue }
            let term = (before - a[r * n + j]) * points[group.owner * n + j]
            constant[r] += term
            slack[r] += Rounding.unit * (4 * abs(term) + abs(constant[r]))
          }
        }
      }
    }
  }

  mutating func product(_ form: any BilinearForm, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    throw UnsupportedOperator(node, reason: "branching over it is not supported")
  }

  mutating func selection(_ s: Selection, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<Double>?] {
    throw UnsupportedOperator(node, reason: "branching over it is not supported")
  }

  mutating func discrete(_ f: any DiscreteFunction, _ c: Tensor<Double>, at node: Node) throws -> [Tensor<
    Double
  >?] {
    throw UnsupportedOperator(node, reason: "branching over it is not supported")
  }

  mutating func composite(_ composite: any Composite, _ c: Tensor<Double>, at node: Node) throws
    -> [Tensor<Double>?]
  {
    guard let index = context.differenceIndex[node.id] else {
      throw UnsupportedOperator(node, reason: "branching over it is not supported")
    }
    guard index < differences.count, let planes = differences[index] else {
      throw GraphError(node: node.name, reason: "it has no relaxation")
    }
    let (value, difference) = planes.pull(c, groups: groups, constant: &constant, slack: &slack)
    chargeConstants()
    return [value, difference]
  }

  mutating func merge(_ a: Tensor<Double>, _ b: Tensor<Double>, at node: Node) throws -> Tensor<Double> {
    // Adding covectors rounds: |fl(a + b) - (a + b)| <= u |a + b|, applied to the node's value.
    var sum = a
    sum += b
    if let interval = context.intervals[node.id] {
      let cost = interval.magnitude.elements.map { $0 * 2 * Rounding.unit }
      add(dot: nil, cost: cost, sum, node.shape.count)
    }
    return sum
  }
}
