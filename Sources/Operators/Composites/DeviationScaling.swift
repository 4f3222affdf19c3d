import Foundation
import IR
import Rigor
import Tensors

/// y_k = c_k / sqrt(v + epsilon), where v is the mean square of the block of c that k lies in: the last step of every
/// normalisation, with v given by a node of its own, so that bounds of v can be tightened like any other.
///
/// As a product of c with an inverse root its lines have no limit when v may be small, whereas |y_k| <= sqrt(n): of the
/// lines that the product offers and the constants of the joint enclosure the better is taken for every output, so that a
/// normalisation never lets a bound grow beyond what it can return.
public struct DeviationScaling: RelaxedComposite {
  public let name: String
  /// `[blocks, n]`; the second input is `[blocks, 1]`.
  public let shape: Shape
  public let epsilon: Double
  /// Whether every block of c sums to 0, which sharpens sqrt(n) to sqrt(n - 1).
  public let isCentered: Bool
  public let expansion: Graph

  private let inverseRoot = Pow(-0.5)

  public init(name: String, blocks: Int, length: Int, epsilon: Double, isCentered: Bool) throws {
    self.name = name
    shape = [blocks, length]
    self.epsilon = epsilon
    self.isCentered = isCentered
    var b = GraphBuilder(origin: name)
    let perBlock: Shape = [blocks, 1]
    let c = b.input("c", shape)
    let v = b.input("v", perBlock)
    let raised = try b.linear(
      Reshape.identity(perBlock), v, bias: Weight(Tensor(repeating: epsilon, perBlock)), name: "variance")
    let inverse = b.elementwise(inverseRoot, raised, name: "inverse deviation")
    guard let form = Multiply(shape, perBlock) else {
      throw GraphError(node: name, reason: "shapes \(shape) and \(perBlock) do not broadcast")
    }
    b.output(try b.product(form, c, inverse, name: "normalized"))
    expansion = b.build()
  }

  /// The same for blocks that need not sum to 0 exactly.
  private init(uncentred scaling: DeviationScaling) {
    name = scaling.name
    shape = scaling.shape
    epsilon = scaling.epsilon
    isCentered = false
    expansion = scaling.expansion
  }

  public var inputShapes: [Shape] { [shape, [shape[0], 1]] }
  public var outputShape: Shape { shape }
  public var offersLines: Bool { true }

  /// Centred values do not sum to 0 where the mean was rounded.
  public var deployed: (any RelaxedComposite)? { DeviationScaling(uncentred: self) }

  /// v, a mean of n squares of numbers as they are stored, is off by u (n + 3) of itself, which changes the value by half of
  /// that relatively; the sum with epsilon, the root, the reciprocal or quotient and the product by at most 12 u more.
  public func deployedError(_ magnitude: Double, unit: Double, underflow: Double) -> Double {
    let roundings = Double(shape[1]) + 32
    guard roundings * unit < 0x1p-4 else { return .infinity }
    return unit * roundings * magnitude + 4 * underflow
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    let joint = BlockEnclosure(
      length: shape[1], epsilon: epsilon, isCentered: isCentered, lower[0].elements, upper[0].elements)
    var low = joint.lower
    var high = joint.upper
    for block in 0..<shape[0] {
      if BlockEnclosure.mayBeNaN(
        length: shape[1], epsilon: epsilon, block, lower[0].elements, upper[0].elements,
        leastSquare: lower[1][flat: block])
      {
        for k in (block * shape[1])..<((block + 1) * shape[1]) {
          (low[k], high[k]) = (-.infinity, .infinity)
        }
        continue
      }
      let (r, s) = roots(lower[1][flat: block], upper[1][flat: block])
      for k in (block * shape[1])..<((block + 1) * shape[1]) {
        let l = lower[0][flat: k]
        let u = upper[0][flat: k]
        // c times a positive factor in [r, s]; the product rounds once. NaN (0 times infinity) says nothing.
        let a = (l < 0 ? l * s : l * r).nextDown
        let b = (u < 0 ? u * r : u * s).nextUp
        if a > low[k] { low[k] = min(a, high[k]) }
        if b < high[k] { high[k] = max(b, low[k]) }
      }
    }
    return (Tensor(shape, low), Tensor(shape, high))
  }

  /// The shifted interval of v + epsilon, rounded outward; v is a mean square, so never below 0.
  private func raised(_ lower: Double, _ upper: Double) -> (Double, Double) {
    (max(lower, 0) + epsilon).nextDown >= 0
      ? ((max(lower, 0) + epsilon).nextDown, (max(upper, 0) + epsilon).nextUp)
      : (0, (max(upper, 0) + epsilon).nextUp)
  }

  /// Bounds of (v + epsilon)^(-1/2).
  private func roots(_ lower: Double, _ upper: Double) -> (Double, Double) {
    let (l, u) = raised(lower, upper)
    if l <= 0 { return (u.isFinite ? inverseRoot.range(u, u).lower : 0, .infinity) }
    let range = inverseRoot.range(l, u)
    return (max(0, range.lower), range.upper)
  }

  /// Lines in c_k and v for every output, one group each.
  public func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation? {
    let constants = enclose(lower: lower, upper: upper)
    let n = shape[1]
    var groups: [CompositeRelaxation.Group] = []
    groups.reserveCapacity(shape.count)
    for k in 0..<shape.count {
      let block = k / n
      var group = CompositeRelaxation.Group(
        outputs: [Int32(k)], inputs: [Int32(k), Int32(shape.count + block)],
        below: .dense([0, 0], columns: 2), above: .dense([0, 0], columns: 2),
        belowIntercept: [constants.lower[flat: k]], aboveIntercept: [constants.upper[flat: k]])
      let box = Box(
        c: (lower[0][flat: k], upper[0][flat: k]),
        v: (max(lower[1][flat: block], 0), max(upper[1][flat: block], 0)))
      if let plane = plane(box, side: .below, constant: constants.lower[flat: k]) {
        (group.below, group.belowIntercept) = (.dense([plane.c, plane.v], columns: 2), [plane.intercept])
      }
      if let plane = plane(box, side: .above, constant: constants.upper[flat: k]) {
        (group.above, group.aboveIntercept) = (.dense([plane.c, plane.v], columns: 2), [plane.intercept])
      }
      groups.append(group)
    }
    return CompositeRelaxation(groups: groups)
  }

  private struct Box {
    var c: (lower: Double, upper: Double)
    var v: (lower: Double, upper: Double)
  }
  private typealias Plane = (c: Double, v: Double, intercept: Double)

  /// The plane with the best value in the middle of the box, or nil if the constant is better.
  ///
  /// With r = (v + epsilon)^(-1/2) in [r1, r2]: for any t in [0, 1], c r is at least m r + (t r1 + (1 - t) r2) c - ... with
  /// m = t c1 + (1 - t) c2 (a mixture of McCormick's two planes), and r has a tangent below and a chord above in v. Only the
  /// slopes are taken from this; `intercept` proves the plane.
  private func plane(_ box: Box, side: Side, constant: Double) -> Plane? {
    let (c1, c2) = box.c
    let (w1, w2) = raised(box.v.lower, box.v.upper)
    guard c1.isFinite, c2.isFinite, w2.isFinite, w1 > 0, c1 <= c2 else { return nil }
    let sign: Double = side == .below ? 1 : -1
    let r2 = 1 / w1.squareRoot()
    let r1 = 1 / w2.squareRoot()
    let middle = (c: c1 / 2 + c2 / 2, v: box.v.lower / 2 + box.v.upper / 2)
    let slopes = inverseRoot.slopes(w1, w2, .adaptive)
    // Below: corners (c1, r1) and (c2, r2); above: (c1, r2) and (c2, r1).
    let (atLower, atUpper) = side == .below ? (r1, r2) : (r2, r1)
    var mixtures = [0, 0.5, 1]
    if c1 < 0 && c2 > 0 { mixtures.append(c2 / (c2 - c1)) }
    var best: Plane?
    var bestValue = sign * constant
    for t in mixtures {
      let m = t * c1 + (1 - t) * c2
      let a = t * atLower + (1 - t) * atUpper
      // m r lies above a tangent (m > 0) or a chord (m < 0) times m, and the other way round.
      let b = m * (sign * m > 0 ? slopes.below : slopes.above)
      guard a.isFinite, b.isFinite else { continue }
      let intercept = intercept(a, b, box, side)
      let value = sign * (a * middle.c + b * middle.v + intercept)
      if value > bestValue {
        bestValue = value
        best = (a, b, intercept)
      }
    }
    return best
  }

  /// The proven intercept of a plane a c + b v: the extremum of c r(v) - a c - b v over the box.
  ///
  /// The difference is linear in c, so the extremum is at c1 or c2. There, c (r(w) - (b / c) w) with w = v + epsilon is c
  /// times the conjugate of the inverse root; b / c is rounded to a number q, and the difference (b - q c) v is bounded by
  /// its size, as are the roundings of the remaining sum.
  private func intercept(_ a: Double, _ b: Double, _ box: Box, _ side: Side) -> Double {
    let sign: Double = side == .below ? 1 : -1
    let (w1, w2) = raised(box.v.lower, box.v.upper)
    var worst = Double.infinity
    for c in [box.c.lower, box.c.upper] {
      var bound: Double
      var size = (a * c).magnitude + (b * epsilon).magnitude
      if c == 0 {
        bound = min(-sign * b * box.v.lower, -sign * b * box.v.upper)
        size += (b * w2).magnitude
      } else {
        let q = b / c
        let support = inverseRoot.support(slope: q, side: c > 0 ? side : side.opposite, w1, w2)
        // c r(w) >= c (q w + t) for the right side; q c differs from b by at most 2^-53 |b| (and underflow).
        bound = sign * (c * support.intercept) - sign * (a * c) + sign * (b * epsilon)
        size += (c * support.intercept).magnitude + (b * w2).magnitude
      }
      // At most eight roundings of terms whose magnitudes `size` sums; |q c - b| w is one of them.
      bound -= 0x1p-49 * size + 0x1p-1000 * (1 + w2)
      worst = bound.isNaN ? -.infinity : min(worst, bound)
    }
    return sign * worst
  }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? { nil }
}

extension Side {
  var opposite: Side { self == .below ? .above : .below }
}
