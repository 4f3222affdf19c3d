import CKernels
import Domains
import IR
import Rigor
import Tensors

/// The backward walk of linear bounds (Zhang et al. 2018, CROWN; Xu et al. 2020 for general graphs).
///
/// Row r ends as lower[r] <= value <= upper[r] over the region; the constants and what rounding may have done are kept
/// here, once per node that produces them.
struct CrownRule: AdjointRule {
  let relaxations: [Relaxation?]
  let intervals: [Interval?]
  let region: Region
  let graph: Graph
  /// Whether a node depends on a perturbed input.
  let varies: [Bool]
  /// Nodes at which the walk ends on interval bounds, besides those that do not vary.
  let ends: [Bool]
  /// Examples of the region.
  let batch: Int
  let rows: Int

  /// Running constants of the lower and upper forms, and what rounding may add to either.
  var lowerConstant: [Double]
  var upperConstant: [Double]
  var lowerSlack: [Double]
  var upperSlack: [Double]
  /// The concretised part of perturbed inputs: to be subtracted from the lower and added to the upper constant.
  var coefficients: [NodeID: (lower: Tensor<Double>, upper: Tensor<Double>)] = [:]
  let keepsCoefficients: Bool
  let accountsForRounding: Bool
  /// Lines of its own for every row, `[R] + shape`, where slopes were optimised.
  var rowLines: [NodeID: Lines] = [:]
  /// Added to the lower form on the argument of an elementwise node: -s beta of split constraints s z >= 0. Upper
  /// bounds are not to be used then.
  var multipliers: [NodeID: Tensor<Double>] = [:]
  /// What the perturbed inputs contributed to the constants when they were concretised.
  var inputLower: [Double]
  var inputUpper: [Double]
  /// Coefficient arrivals per node, for branching scores and optimisation; recorded only if asked for.
  let recording: Bool
  var arrivals: [NodeID: Covector] = [:]

  init(
    relaxations: [Relaxation?], intervals: [Interval?], region: Region, graph: Graph, varies: [Bool],
    ends: [Bool],
    rows: Int, accountsForRounding: Bool = true, keepsCoefficients: Bool = false, recording: Bool = false
  ) {
    self.accountsForRounding = accountsForRounding
    self.relaxations = relaxations
    self.intervals = intervals
    self.region = region
    self.graph = graph
    self.varies = varies
    self.ends = ends
    batch = region.batch
    self.rows = rows
    self.keepsCoefficients = keepsCoefficients
    self.recording = recording
    lowerConstant = [Double](repeating: 0, count: rows)
    upperConstant = lowerConstant
    lowerSlack = lowerConstant
    upperSlack = lowerConstant
    inputLower = lowerConstant
    inputUpper = lowerConstant
  }

  func isLeaf(_ node: Node) -> Bool { !varies[node.id] || (!ends.isEmpty && ends[node.id]) }

  // MARK: Constants

  /// Adds to the constants; the sum may be off by one rounding, which goes to the slack.
  mutating func addConstants(lower: [Double], upper: [Double]?) {
    for r in 0..<rows {
      lowerConstant[r] += lower[r]
      lowerSlack[r] += Rounding.unit * abs(lowerConstant[r])
      upperConstant[r] += upper?[r] ?? lower[r]
      upperSlack[r] += Rounding.unit * abs(upperConstant[r])
    }
  }

  /// slack[r] += |A[r]| . charge, for both forms.
  mutating func charge(
    _ c: (lower: Tensor<Double>, upper: Tensor<Double>?), _ charge: Tensor<Double>?
  ) {
    guard let charge, accountsForRounding else { return }
    absoluteDot(c.lower, charge, into: &lowerSlack)
    if let upper = c.upper {
      absoluteDot(upper, charge, into: &upperSlack)
    } else {
      absoluteDot(c.lower, charge, into: &upperSlack)
    }
  }

  func absoluteDot(_ a: Tensor<Double>, _ v: Tensor<Double>, into result: inout [Double]) {
    forEachExample(a, v) { rows, n, a, v, first in
      result.withUnsafeMutableBufferPointer {
        ck_abs_dot_d(Int64(rows), Int64(n), a, v, $0.baseAddress! + first)
      }
    }
  }

  func dot(_ a: Tensor<Double>, _ v: Tensor<Double>) -> [Double] {
    var result = [Double](repeating: 0, count: rows)
    forEachExample(a, v) { rows, n, a, v, first in
      result.withUnsafeMutableBufferPointer { ck_dot_d(Int64(rows), Int64(n), a, v, $0.baseAddress! + first) }
    }
    return result
  }

  /// Calls `body` with the rows of each example and that example's part of `v`. There is at least one row.
  func forEachExample(
    _ a: Tensor<Double>, _ v: Tensor<Double>,
    _ body: (Int, Int, UnsafePointer<Double>, UnsafePointer<Double>, Int) -> Void
  ) {
    guard rows > 0, a.count > 0 else { return }
    let n = a.count / rows
    a.withPointer { a0 in
      v.withPointer { v0 in
        if v.batch == 1 {
          body(rows, n, a0, v0, 0)
        } else {
          let each = rows / batch
          for b in 0..<batch { body(each, n, a0 + b * each * n, v0 + b * n, b * each) }
        }
      }
    }
  }

  /// The forms in the perturbed inputs before they are concretised: constants with every rounding inside.
  struct Linear: Sendable {
    var coefficients: [NodeID: (lower: Tensor<Double>, upper: Tensor<Double>)]
    var lowerConstant: [Double]
    var upperConstant: [Double]
  }

  /// lower rows: constant - slack without the part that concretisation subtracted; rounding of the coefficients was
  /// charged on the values they multiply, so it is part of the slack.
  var linearBounds: Linear {
    let lower = (0..<rows).map { r in
      (lowerConstant[r] - inputLower[r]
        - (lowerSlack[r] * (1 + 0x1p-20) + 4 * Rounding.unit * abs(inputLower[r])))
        .nextDown
    }
    let upper = (0..<rows).map { r in
      (upperConstant[r] - inputUpper[r]
        + (upperSlack[r] * (1 + 0x1p-20) + 4 * Rounding.unit * abs(inputUpper[r])))
        .nextUp
    }
    return Linear(coefficients: coefficients, lowerConstant: lower, upperConstant: upper)
  }

  /// Bounds of every row. Slack is a sum of non-negative terms computed with far fewer than 2^30 roundings, so a
  /// factor 1 + 2^-20 covers its own rounding; a product that vanished below the normal range is covered by the last
  /// term.
  var bounds: (lower: [Double], upper: [Double]) {
    let tiny = 0x1p-1000
    let lower = (0..<rows).map { r -> Double in
      let value = (lowerConstant[r] - (lowerSlack[r] * (1 + 0x1p-20) + tiny)).nextDown
      return value.isNaN ? -.infinity : value
    }
    let upper = (0..<rows).map { r -> Double in
      let value = (upperConstant[r] + (upperSlack[r] * (1 + 0x1p-20) + tiny)).nextUp
      return value.isNaN ? .infinity : value
    }
    return (lower, upper)
  }
}
