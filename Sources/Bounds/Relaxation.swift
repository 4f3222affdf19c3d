import Domains
import IR
import Operators
import Rigor
import Tensors

/// What a node becomes in a linear bound: made once from the bounds of its inputs, read by every backward walk.
///
/// Each carries a charge per element of the node's output, `[B] + shape`: if the walk arrives with coefficient a,
/// everything that rounding (ours and, for float32, the deployed network's) can do at this node is at most |a| times
/// the charge.
enum Relaxation: Sendable {
  case affine(charge: Tensor<Double>?, unitCharge: Tensor<Double>?)
  case lines(Lines)
  case product(ProductPlanes)
  case knownFactor(KnownFactor)
  case selection(SelectionLines)
  case copies(CopyTables)
  case matrices(GroupLines)
}

/// Lines below and above an elementwise function, `[B] + shape` each.
struct Lines: Sendable {
  var belowSlope: Tensor<Double>
  var belowIntercept: Tensor<Double>
  var aboveSlope: Tensor<Double>
  var aboveIntercept: Tensor<Double>
  var charge: Tensor<Double>
  /// Whether every line is finite; otherwise a walk must skip zero coefficients.
  var isFinite: Bool
}

/// Both factors vary: their bounds, from which McCormick's planes follow.
struct ProductPlanes: Sendable {
  var left: Interval
  var right: Interval
  var charge: Tensor<Double>
}

/// One factor does not depend on the perturbation: the product is linear in the other, up to the factor's own radius.
struct KnownFactor: Sendable {
  /// Which side is known.
  var isLeft: Bool
  var value: Tensor<Double>
  var charge: Tensor<Double>
}

/// For every output one candidate, a slope and an intercept, below and above.
struct SelectionLines: Sendable {
  var belowIndex: [Int32]
  var belowSlope: [Double]
  var belowIntercept: [Double]
  var aboveIndex: [Int32]
  var aboveSlope: [Double]
  var aboveIntercept: [Double]
  /// Elements of one example of the concatenated inputs.
  var batch: Int
}

/// For a discrete function: per example and input the element that each output copies (or -1), and constant bounds
/// for the outputs that copy nothing.
struct CopyTables: Sendable {
  var tables: [[[Int32]?]]
  var bounds: Interval
}

extension Lines {
  /// Precondition: `x` encloses the function's argument.
  init(
    _ f: any ElementwiseFunction, _ x: Interval, policy: SlopePolicy, arithmetic: Arithmetic,
    type: ElementType
  ) {
    let n = x.lower.count
    let perExample = n / max(x.batch, 1)
    var belowSlope = Tensor<Double>.zeros(x.shape)
    var belowIntercept = belowSlope
    var aboveSlope = belowSlope
    var aboveIntercept = belowSlope
    var charge = belowSlope
    var finite = true
    // An intercept enters a sum of up to `perExample` products; a slope multiplies once.
    let sumError = Rounding.gamma(perExample + 3)
    let deployed = arithmetic.rounding(of: type)
    x.lower.withPointer { lower in
      x.upper.withPointer { upper in
        for i in 0..<n {
          let line = Self.line(f, lower[i], upper[i], policy)
          belowSlope[flat: i] = line.belowSlope
          belowIntercept[flat: i] = line.belowIntercept
          aboveSlope[flat: i] = line.aboveSlope
          aboveIntercept[flat: i] = line.aboveIntercept
          let size = max(abs(lower[i]), abs(upper[i]))
          let slope = max(abs(line.belowSlope), abs(line.aboveSlope))
          let intercept = max(abs(line.belowIntercept), abs(line.aboveIntercept))
          var error = sumError * intercept
          // Slopes 0 and 1 do not round.
          if slope != 0, !(line.belowSlope.isZeroOrOne && line.aboveSlope.isZeroOrOne) {
            error += 2 * Rounding.unit * slope * size
          }
          if let deployed {
            error += f.deployedError(lower[i], upper[i], deployed)
          }
          charge[flat: i] = error
          if !(error.isFinite) { finite = false }
        }
      }
    }
    self.init(
      belowSlope: belowSlope, belowIntercept: belowIntercept, aboveSlope: aboveSlope,
      aboveIntercept: aboveIntercept, charge: charge, isFinite: finite)
  }

  typealias Pair = (belowSlope: Double, belowIntercept: Double, aboveSlope: Double, aboveIntercept: Double)

  /// The default relaxation of one element.
  static func line(_ f: any ElementwiseFunction, _ lower: Double, _ upper: Double, _ policy: SlopePolicy)
    -> Pair
  {
    if let piece = f.linearPiece(lower, upper) {
      return (piece.slope, piece.intercept, piece.slope, piece.intercept)
    }
    guard lower < upper, lower.isFinite, upper.isFinite else {
      let range = f.range(lower, upper)
      return (0, range.lower, 0, range.upper)
    }
    let slopes = f.slopes(lower, upper, policy)
    var below = (
      slope: slopes.below, intercept: f.support(slope: slopes.below, side: .below, lower, upper).intercept
    )
    var above = (
      slope: slopes.above, intercept: f.support(slope: slopes.above, side: .above, lower, upper).intercept
    )
    // Where no line of that slope exists (a pole at an end), a constant still may.
    if !below.intercept.isFinite || !below.slope.isFinite { below = (0, f.range(lower, upper).lower) }
    if !above.intercept.isFinite || !above.slope.isFinite { above = (0, f.range(lower, upper).upper) }
    return (below.slope, below.intercept, above.slope, above.intercept)
  }
}

extension Double {
  fileprivate var isZeroOrOne: Bool { self == 0 || self == 1 }
}

extension Relaxation {
  /// The charge of an affine node: the walk forms A W_i for every input, a sum of at most `fanOut` products per
  /// element, and A . b. The error applied to the values is at most g(fanOut) |A| |W_i| |z_i|, so the charge is
  /// g (sum |W_i| max|z_i|) plus the bias's part; a deployed node itself adds
  /// gd(roundings) (sum |W_i| max|z_i| + |b|).
  static func affine(_ map: Affine, inputs: [Interval], node: Node, arithmetic: Arithmetic) -> Relaxation {
    let roundings = map.roundings
    let deployed = roundings > 0 ? arithmetic.rounding(of: node.elementType) : nil
    let gd = deployed?.gamma(roundings) ?? 0
    let rounds = map.maps.contains { $0.fanOut > 0 || $0.coefficientRoundings > 0 || $0.denominator != 1 }
    guard rounds || map.bias != nil || deployed != nil else { return .affine(charge: nil, unitCharge: nil) }
    var size: Tensor<Double>?
    var unitSize: Tensor<Double>?
    for (linear, input) in zip(map.maps, inputs) {
      let reach = linear.applyMagnitude(input.magnitude)
      let g = Rounding.gamma(linear.fanOut + linear.coefficientRoundings + 1)
      let isRounding = linear.fanOut > 0 || linear.coefficientRoundings > 0 || linear.denominator != 1
      // A unit covector copies one row of the matrix: only inexact coefficients and divisions count.
      let isInexact = linear.coefficientRoundings > 0 || linear.denominator != 1
      let unitG = isInexact ? Rounding.gamma(linear.coefficientRoundings + 2) : 0
      let own = (isRounding ? g : 0) + gd
      size = accumulate(size, reach, own)
      unitSize = accumulate(unitSize, reach, unitG + gd)
    }
    guard var charge = size, var unitCharge = unitSize else { return .affine(charge: nil, unitCharge: nil) }
    let lost = Double(roundings + 2) * 2 * (deployed?.underflow ?? 0)
    let n = node.shape.count
    // Computing the charge itself rounds; every term is non-negative, so a factor covers it.
    let factor = 1 + 8 * Rounding.gamma(roundings + 4)
    charge = charge.map { $0 * factor + lost }
    unitCharge = unitCharge.map { $0 * factor + lost }
    if let bias = map.bias {
      let g = (Rounding.gamma(n + 3) + gd) * factor
      charge.addToEveryExample(bias.magnitude.map { g * $0 })
      if deployed != nil { unitCharge.addToEveryExample(bias.magnitude.map { gd * factor * $0 }) }
    }
    let unitNeeded = unitCharge.elements.contains { $0 != 0 }
    return .affine(charge: charge, unitCharge: unitNeeded ? unitCharge : nil)
  }

  private static func accumulate(_ sum: Tensor<Double>?, _ x: Tensor<Double>, _ factor: Double) -> Tensor<
    Double
  > {
    let scaled = factor == 0 ? Tensor<Double>.zeros(x.shape) : x.map { factor * $0 }
    guard let sum else { return scaled }
    return addBatches(sum, scaled)
  }

  static func product(
    _ form: any BilinearForm, _ left: Interval, _ right: Interval, leftVaries: Bool, rightVaries: Bool,
    node: Node,
    arithmetic: Arithmetic
  ) -> Relaxation {
    let deployed = arithmetic.rounding(of: node.elementType)
    let reach = form.apply(left.magnitude, right.magnitude)
    let n = node.shape.count
    let gd = deployed?.gamma(form.fanIn + 1) ?? 0
    // Both adjoints and the constant are sums of at most max(fanOut, fanIn * n) products of a coefficient with a
    // corner; each corner product is at most the reach. Four of them meet in one bound.
    let g = Rounding.gamma(form.fanOut + form.fanIn + n + 4)
    let factor = (4 * g + gd) * (1 + 8 * g)
    let lost = Double(form.fanIn + 2) * 2 * (deployed?.underflow ?? 0)
    var charge = reach.map { $0 * factor + lost }
    if leftVaries && rightVaries {
      return .product(ProductPlanes(left: left, right: right, charge: charge))
    }
    let isLeft = !leftVaries
    let (mid, rad) = (isLeft ? left : right).midpointRadius
    if !(isLeft ? left : right).isPoint {
      let other = (isLeft ? right : left).magnitude
      let spread = isLeft ? form.apply(rad, other) : form.apply(other, rad)
      charge += spread.map { $0 * (1 + 8 * g) }
    }
    return .knownFactor(KnownFactor(isLeft: isLeft, value: mid, charge: charge))
  }

  /// Below a maximum: the candidate with the largest lower bound. Above: if one candidate beats all others, itself;
  /// otherwise, with m the second largest upper bound (at least the largest lower bound),
  /// max x_i <= m + sum (x_i - m)+, in which only the candidate with the largest upper bound can exceed m, and its
  /// ReLU is below its chord. This is nowhere above the constant max u_i that is commonly used.
  static func selection(_ s: Selection, inputs: [Interval]) -> Relaxation {
    let batch = inputs.map(\.batch).max() ?? 1
    let isMaximum = s.extremum == .maximum
    // A minimum is the negated maximum of negated candidates.
    let low = inputs.map { isMaximum ? $0.lower : $0.upper.map { -$0 } }
    let high = inputs.map { isMaximum ? $0.upper : $0.lower.map { -$0 } }
    let lows = joined(low, batch)
    let highs = joined(high, batch)
    let total = s.inputShapes.reduce(0) { $0 + $1.count }
    let outputs = s.outputShape.count
    var bottomIndex = [Int32](repeating: 0, count: batch * outputs)
    var topIndex = bottomIndex
    var topSlope = [Double](repeating: 1, count: batch * outputs)
    var topIntercept = [Double](repeating: 0, count: batch * outputs)
    for b in 0..<batch {
      for o in 0..<outputs {
        var best = s.candidates[o * s.width]
        var top = best
        for c in 1..<max(s.width, 1) {
          let index = s.candidates[o * s.width + c]
          if index < 0 { break }
          if lows[b * total + Int(index)] > lows[b * total + Int(best)] { best = index }
          if highs[b * total + Int(index)] > highs[b * total + Int(top)] { top = index }
        }
        let place = b * outputs + o
        bottomIndex[place] = best
        topIndex[place] = top
        var second = -Double.infinity
        for c in 0..<s.width {
          let index = s.candidates[o * s.width + c]
          if index < 0 { break }
          if index != top { second = max(second, highs[b * total + Int(index)]) }
        }
        let l = lows[b * total + Int(top)]
        let u = highs[b * total + Int(top)]
        if l >= second { continue }
        let m = max(second, lows[b * total + Int(best)])
        var slope = u > m && l.isFinite && u.isFinite ? (u - m) / (u - l) : 0
        if !slope.isFinite { slope = 0 }
        // m + slope (x - l) must reach u at u and m at l. Rounding of slope and of the intercept is covered by taking
        // the larger of both requirements and a few ulps of the sizes involved.
        let needed = max(m - slope * l, u - slope * u)
        let error = 4 * Rounding.unit * (abs(m) + abs(u) + abs(slope * l) + abs(slope * u))
        topSlope[place] = slope
        topIntercept[place] = slope == 0 ? max(m, u) : (needed + error).nextUp
      }
    }
    let ones = [Double](repeating: 1, count: batch * outputs)
    let zeros = [Double](repeating: 0, count: batch * outputs)
    if isMaximum {
      return .selection(
        SelectionLines(
          belowIndex: bottomIndex, belowSlope: ones, belowIntercept: zeros, aboveIndex: topIndex,
          aboveSlope: topSlope, aboveIntercept: topIntercept, batch: batch))
    }
    return .selection(
      SelectionLines(
        belowIndex: topIndex, belowSlope: topSlope, belowIntercept: topIntercept.map { -$0 },
        aboveIndex: bottomIndex, aboveSlope: ones, aboveIntercept: zeros, batch: batch))
  }

  private static func joined(_ x: [Tensor<Double>], _ batch: Int) -> [Double] {
    var result: [Double] = []
    for b in 0..<batch {
      for tensor in x {
        let size = tensor.count / max(tensor.batch, 1)
        let start = tensor.batch == 1 ? 0 : b * size
        result.append(contentsOf: tensor.elements[start..<(start + size)])
      }
    }
    return result
  }
}

/// a + b where either batch may be 1.
func addBatches(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Tensor<Double> {
  if a.batch == b.batch { return a + b }
  let (batch, da, db) = batchRatio(a.batch, b.batch)
  let wideA = da == 1 ? a : a.repeatedBatch(batch)
  let wideB = db == 1 ? b : b.repeatedBatch(batch)
  return wideA + wideB
}
