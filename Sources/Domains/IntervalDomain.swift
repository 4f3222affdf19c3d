import IR
import Rigor
import Tensors

/// Interval bounds in midpoint-radius form with all rounding included (Rump, "Fast and Parallel Interval Arithmetic",
/// 1999, for the form; the account of rounding is proven at each step).
public struct IntervalDomain: Domain, Sendable {
  public let arithmetic: Arithmetic
  /// Off only in benchmarks that measure the price of the account.
  let accountsForRounding: Bool

  public init(_ arithmetic: Arithmetic = .real) {
    self.arithmetic = arithmetic
    accountsForRounding = true
  }

  package init(_ arithmetic: Arithmetic, accountsForRounding: Bool) {
    self.arithmetic = arithmetic
    self.accountsForRounding = accountsForRounding
  }

  public func constant(_ weight: Weight, at node: Node) -> Interval {
    Interval(point: weight.values.reshaped([1] + weight.shape))
  }

  /// Let c = fl(sum W_i m_i + b) with at most k roundings per output. Then |c - (sum W_i m_i + b)| <=
  /// g(k) (sum |W_i| |m_i| + |b|), coefficient errors included in k. All points within r_i of m_i are mapped to within
  /// sum |W_i| r_i more. With t = fl(sum |W_i| (r_i + 2g|m_i|) + 2g|b|), a sum of non-negative terms,
  /// (1+4g) t is at least the exact value of the same expression, hence of the sum of both errors. For a deployed run, G =
  /// gd(k) (|W| (|m| + r) + |b|) bounds what the deployed evaluation may be off, and joins the same product.
  public func affine(_ map: Affine, _ x: [Interval], at node: Node) throws -> Interval {
    let roundings = map.roundings
    if roundings == 0, map.maps.allSatisfy(\.isNonnegative) {
      // Data movement is exact in every arithmetic.
      return Interval(lower: sum(map.maps, x.map(\.lower)), upper: sum(map.maps, x.map(\.upper)))
    }
    return exactWhereKnown(try rounded(map, x, at: node, roundings: roundings), map, x, at: node)
  }

  private func rounded(_ map: Affine, _ x: [Interval], at node: Node, roundings: Int) throws -> Interval {
    let g = accountsForRounding ? Rounding.gamma(roundings) : 0
    let deployed = roundings > 0 ? arithmetic.rounding(of: node.elementType) : nil
    let gd = deployed?.gamma(roundings) ?? 0
    if accountsForRounding, map.maps.allSatisfy({ $0.fanIn == 0 && ($0.isNonnegative || $0.isNonpositive) }) {
      return sumOfCopies(map, x, g + gd, deployed)
    }
    var mids: [Tensor<Double>] = []
    var spreads: [Tensor<Double>] = []
    for interval in x {
      let (mid, rad) = interval.midpointRadius
      mids.append(mid)
      spreads.append(
        Tensor(writing: mid.shape) { s in
          mid.withPointer { m in
            rad.withPointer { r in
              for i in 0..<mid.count { s[i] = r[i] + (2 * g + gd) * abs(m[i]) + gd * r[i] }
            }
          }
        })
    }
    var center = sum(map.maps, mids)
    var radius = sum(map.maps, spreads, magnitude: true)
    if let bias = map.bias {
      center.addToEveryExample(bias.values)
      radius.addToEveryExample(bias.magnitude.map { (2 * g + gd) * $0 })
    }
    let lost =
      g == 0 ? 0 : Double(roundings + 2) * (Rounding.underflow + 2 * (deployed?.underflow ?? 0))
    var result = Self.ball(center, radius, factor: 1 + 8 * g + 4 * Rounding.unit, plus: lost)
    // A sum of numbers that are not negative is none, however it is rounded.
    if map.maps.allSatisfy(\.isNonnegative), x.allSatisfy({ $0.lower.isNonnegative }),
      map.bias.map({ $0.values.isNonnegative }) ?? true
    {
      result.lower = result.lower.map { $0 < 0 && $0 > -.infinity ? 0 : $0 }
    }
    // The radius is at least gd times all magnitudes: where it stays below gd times the largest number, no partial sum
    // overflows.
    if let deployed { result = result.overflowed(deployed) { radius[flat: $0] < gd * deployed.largest } }
    return keepingZeros(result, map, x, center, radius)
  }

  /// A sum of products with factors that are exactly 0 is 0 in every arithmetic: nothing underflows in it.
  private func keepingZeros(
    _ result: Interval, _ map: Affine, _ x: [Interval], _ center: Tensor<Double>, _ radius: Tensor<Double>
  ) -> Interval {
    // Of longer sums it matters less, and would cost a second product.
    guard map.maps.allSatisfy({ $0.fanIn <= 1 }),
      (0..<center.count).contains(where: { center[flat: $0] == 0 && radius[flat: $0] == 0 })
    else { return result }
    // Which outputs have a term at all: products with 1 neither vanish nor round.
    let terms = sum(map.maps, x.map { $0.magnitude.map { $0 == 0 ? 0 : 1 } }, magnitude: true)
    var kept = result
    let n = terms.count / max(terms.batch, 1)
    for i in 0..<terms.count where terms[flat: i] == 0 && (map.bias?.values[flat: i % n] ?? 0) == 0 {
      kept.lower[flat: i] = 0
      kept.upper[flat: i] = 0
    }
    return kept
  }

  /// Sums of inputs, each moved or negated but not scaled (up to roundings of a stored 1), and a bias, so that ends are sums of ends and a bound that is
  /// infinite on one side only stays so.
  ///
  /// What is computed of terms t_i is at least sum t_i - gamma sum |t_i|, which increases with every t_i (gamma < 1), hence
  /// at least its value at the least t_i. `gamma` covers the run and the sums here.
  private func sumOfCopies(_ map: Affine, _ x: [Interval], _ gamma: Double, _ deployed: DeployedRounding?)
    -> Interval
  {
    let kept = map.maps.map(\.isNonnegative)
    var lower = sum(map.maps, zip(x, kept).map { $1 ? $0.lower : $0.upper })
    var upper = sum(map.maps, zip(x, kept).map { $1 ? $0.upper : $0.lower })
    // Infinite terms are summed exactly, so that only the finite ends count.
    var size = sum(
      map.maps, x.map { $0.lower.zipped($0.upper) { Self.finiteSize($0, $1) } }, magnitude: true)
    var isNonnegative = kept.allSatisfy { $0 } && x.allSatisfy(\.lower.isNonnegative)
    if let bias = map.bias {
      lower.addToEveryExample(bias.values)
      upper.addToEveryExample(bias.values)
      size.addToEveryExample(bias.magnitude.map { $0.isFinite ? $0 : 0 })
      isNonnegative = isNonnegative && bias.values.isNonnegative
    }
    lower.withMutablePointer { l in
      upper.withMutablePointer { u in
        size.withPointer { s in
          for i in 0..<size.count {
            // Where all terms are 0 or infinite, nothing is rounded.
            if s[i] == 0 { continue }
            let slack = gamma * s[i] * (1 + 8 * gamma)
            // Infinities of opposite signs give NaN, of which nothing is known (`Interval.init`).
            if l[i].isFinite {
              l[i] = isNonnegative ? max(0, (l[i] - slack).nextDown) : (l[i] - slack).nextDown
            }
            if u[i].isFinite { u[i] = (u[i] + slack).nextUp }
          }
        }
      }
    }
    let result = Interval(lower: lower, upper: upper)
    guard let deployed else { return result }
    // One addition gives a finite number below the point of overflow; several may be off before they get there.
    let isOne = map.maps.allSatisfy(\.isCopy) && map.maps.count + (map.bias == nil ? 0 : 1) <= 2
    let limit = isOne ? deployed.overflow * (1 - 0x1p-45) : deployed.largest * (1 - gamma)
    return result.overflowed(deployed, isClamped: isOne) { size[flat: $0] < limit }
  }

  private static func finiteSize(_ lower: Double, _ upper: Double) -> Double {
    max(lower.isFinite ? abs(lower) : 0, upper.isFinite ? abs(upper) : 0)
  }

  /// [center - r, center + r] for r = factor * radius + plus, rounded outward.
  static func ball(_ center: Tensor<Double>, _ radius: Tensor<Double>, factor: Double, plus: Double)
    -> Interval
  {
    var lower = center
    var upper = center
    lower.withMutablePointer { l in
      upper.withMutablePointer { u in
        radius.withPointer { r in
          for i in 0..<center.count {
            // A sum that overflowed on its way says nothing of the real one.
            guard l[i].isFinite else {
              l[i] = -.infinity
              u[i] = .infinity
              continue
            }
            let width = r[i] * factor + plus
            l[i] = (l[i] - width).nextDown
            u[i] = (u[i] + width).nextUp
          }
        }
      }
    }
    return Interval(lower: lower, upper: upper)
  }

  private func sum(_ maps: [any LinearMap], _ x: [Tensor<Double>], magnitude: Bool = false) -> Tensor<Double>
  {
    var total = magnitude ? maps[0].applyMagnitude(x[0]) : maps[0].apply(x[0])
    for (map, value) in zip(maps, x).dropFirst() {
      total = .addingBatches(total, magnitude ? map.applyMagnitude(value) : map.apply(value))
    }
    return total
  }

  public func elementwise(_ f: any ElementwiseFunction, _ x: Interval, at node: Node) throws -> Interval {
    var lower = x.lower
    var upper = x.upper
    let deployed = arithmetic.rounding(of: node.elementType)
    lower.withMutablePointer { l in
      upper.withMutablePointer { u in
        for i in 0..<x.lower.count { (l[i], u[i]) = f.enclose(l[i], u[i], deployed) }
      }
    }
    return integers(Interval(lower: lower, upper: upper), at: node)
  }

  /// Each output is a sum of products of independent factors' ranges; the products' bounds are attained at corners.
  public func product(_ form: any BilinearForm, _ a: Interval, _ b: Interval, at node: Node) throws
    -> Interval
  {
    if a.isPoint || b.isPoint {
      return exactWhereKnown(pointProduct(form, a, b, at: node), form, a, b, at: node)
    }
    let (batch, da, db) = batchRatio(a.batch, b.batch)
    let outputs = form.outputShape.count
    let sizeA = form.leftShape.count
    let sizeB = form.rightShape.count
    let k = form.fanIn
    let g = Rounding.gamma(k + 1)
    let deployed = arithmetic.rounding(of: node.elementType)
    let gd = deployed?.gamma(k + 1) ?? 0
    let lost = Double(k + 2) * (Rounding.underflow + 2 * (deployed?.underflow ?? 0))
    var lower = Tensor<Double>.zeros([batch] + form.outputShape)
    var upper = lower
    for o in 0..<outputs {
      let terms = form.terms(o)
      for r in 0..<batch {
        var low = 0.0
        var high = 0.0
        var lowSize = 0.0
        var highSize = 0.0
        for (i, j) in terms {
          let al = a.lower[flat: (r / da) * sizeA + i]
          let au = a.upper[flat: (r / da) * sizeA + i]
          let bl = b.lower[flat: (r / db) * sizeB + j]
          let bu = b.upper[flat: (r / db) * sizeB + j]
          let p = Self.corner(al, bl)
          let q = Self.corner(al, bu)
          let s = Self.corner(au, bl)
          let t = Self.corner(au, bu)
          let smallest = min(min(p, q), min(s, t))
          let largest = max(max(p, q), max(s, t))
          if (al == 0 && au == 0) || (bl == 0 && bu == 0) {
            // 0 times infinity is no number.
            if !(al.isFinite && au.isFinite && bl.isFinite && bu.isFinite) { low = .nan }
          } else if (al <= 0 && au >= 0 && !(bl.isFinite && bu.isFinite))
            || (bl <= 0 && bu >= 0 && !(al.isFinite && au.isFinite))
          {
            low = .nan
          }
          low += smallest
          high += largest
          lowSize += abs(smallest)
          highSize += abs(largest)
        }
        // g covers the k products and sums of either bound. A deployed sum of terms t is at least sum t - gd sum |t|,
        // which increases with every t.
        let factor = (2 * g + gd) * (1 + 4 * g)
        let isNonnegative = low >= 0 && low == lowSize
        var l = (low - factor * lowSize - lost).nextDown
        var u = (high + factor * highSize + lost).nextUp
        if isNonnegative { l = max(l, 0) }
        if low.isNaN || high.isNaN || l.isNaN || u.isNaN { (l, u) = (-.infinity, .infinity) }
        if let deployed {
          // With several terms a partial sum may overflow before others cancel it.
          if k > 1, !(max(lowSize, highSize) * (1 + gd) < deployed.largest), !isNonnegative {
            (l, u) = (-.infinity, .infinity)
          }
          (l, u) = deployed.overflowed(l, u)
        }
        lower[flat: r * outputs + o] = l
        upper[flat: r * outputs + o] = u
      }
    }
    return exactWhereKnown(Interval(lower: lower, upper: upper), form, a, b, at: node)
  }

  /// 0 times an infinite bound is settled apart.
  private static func corner(_ x: Double, _ y: Double) -> Double { x == 0 || y == 0 ? 0 : x * y }

  /// A product with a known factor is a linear map of the other one: midpoint-radius, one matrix product each.
  private func pointProduct(_ form: any BilinearForm, _ a: Interval, _ b: Interval, at node: Node) -> Interval
  {
    let g = Rounding.gamma(form.fanIn)
    let deployed = arithmetic.rounding(of: node.elementType)
    let gd = deployed?.gamma(form.fanIn) ?? 0
    let (midA, radA) = a.midpointRadius
    let (midB, radB) = b.midpointRadius
    let center = form.apply(midA, midB)
    // One of the radii is 0, so |A| rB + rA |B| is the exact spread; the relative terms cover rounding as in `affine`.
    let sizeA = midA.magnitude
    let sizeB = midB.magnitude
    let spread = { (m: Tensor<Double>, r: Tensor<Double>) in
      r + m.map { (2 * g + gd) * $0 } + r.map { gd * $0 }
    }
    let radius = a.isPoint ? form.apply(sizeA, spread(sizeB, radB)) : form.apply(spread(sizeA, radA), sizeB)
    let lost = Double(form.fanIn + 2) * (Rounding.underflow + 2 * (deployed?.underflow ?? 0))
    var result = Self.ball(center, radius, factor: 1 + 8 * g + 4 * Rounding.unit, plus: lost)
    if a.lower.isNonnegative && b.lower.isNonnegative {
      result.lower = result.lower.map { $0 < 0 && $0 > -.infinity ? 0 : $0 }
    }
    // As for affine nodes.
    if let deployed { result = result.overflowed(deployed) { radius[flat: $0] < gd * deployed.largest } }
    return result
  }

  public func selection(_ s: Selection, _ x: [Interval], at node: Node) throws -> Interval {
    var result = Interval(lower: s.apply(x.map(\.lower)), upper: s.apply(x.map(\.upper)))
    guard x.contains(where: \.mayBeNaN) else { return result }
    // The extremum of numbers and of what is no number is no number.
    var any = s
    any.extremum = .maximum
    let unknown = any.apply(
      x.map { $0.lower.zipped($0.upper) { $0 == -.infinity && $1 == .infinity ? 1 : 0 } })
    result.lower = result.lower.zipped(unknown) { $1 > 0 ? -.infinity : $0 }
    result.upper = result.upper.zipped(unknown) { $1 > 0 ? .infinity : $0 }
    return result
  }

  public func discrete(_ f: any DiscreteFunction, _ x: [Interval], at node: Node) throws -> Interval {
    let batch = x.map(\.batch).max() ?? 1
    let deployed = f.deployedRoundings > 0 ? arithmetic.rounding(of: node.elementType) : nil
    let gd = deployed?.gamma(f.deployedRoundings) ?? 0
    let lost = Double(f.deployedRoundings) * 2 * (deployed?.underflow ?? 0)
    var lowers: [Tensor<Double>] = []
    var uppers: [Tensor<Double>] = []
    for r in 0..<batch {
      let pick = { (t: Tensor<Double>) in t.example(t.batch == 1 ? 0 : r).reshaped(t.exampleShape) }
      do {
        let (least, greatest) = (x.map { pick($0.lower) }, x.map { pick($0.upper) })
        var (lower, upper) = try f.enclose(lower: least, upper: greatest)
        if let deployed {
          let sizes =
            f.deployedSizes(zip(least, greatest).map { $0.zipped($1) { max(abs($0), abs($1)) } })
            ?? lower.zipped(upper) { max(abs($0), abs($1)) }
          let widened = Interval(
            lower: lower.zipped(sizes) { ($0 - gd * $1 - lost).nextDown },
            upper: upper.zipped(sizes) { ($0 + gd * $1 + lost).nextUp }
          ).overflowed(deployed) {
            sizes[flat: $0] * (1 + gd) < deployed.largest || sizes[flat: $0] == .infinity
          }
          (lower, upper) = (widened.lower, widened.upper)
        }
        lowers.append(lower.reshaped([1] + f.outputShape))
        uppers.append(upper.reshaped([1] + f.outputShape))
      } catch let error as GraphError {
        throw GraphError(node: node.name, reason: error.reason)
      } catch var error as UnsupportedOperator {
        // The function does not know which node it stands in.
        if error.node.isEmpty { error.node = node.name }
        throw error
      }
    }
    return integers(
      Interval(lower: .concatenatingBatches(lowers), upper: .concatenatingBatches(uppers)), at: node)
  }
}

extension IntervalDomain {
  /// Composites that know their own enclosure use it. It speaks of real numbers: for float32, units that know what their
  /// kernels may be off by add this, all others take the expansion, whose steps carry the deployed rounding.
  public mutating func composite(_ c: any Composite, _ x: [Interval], at node: Node) throws -> Interval {
    if let whole = c as? any RelaxedComposite {
      guard let deployed = arithmetic.rounding(of: node.elementType) else { return whole.enclose(x) }
      if let enclosed = whole.enclose(x, deployed) { return enclosed }
    }
    return try c.expansion(typed: node.elementType).interpret(x, in: &self).outputs[0]
  }
}

extension RelaxedComposite {
  /// The enclosure of every example.
  public func enclose(_ x: [Interval]) -> Interval {
    let batch = x.map(\.batch).max() ?? 1
    let bounds = (0..<batch).map { b -> Interval in
      let pick = { (t: Tensor<Double>) in t.example(t.batch == 1 ? 0 : b).reshaped(t.exampleShape) }
      let (lower, upper) = enclose(lower: x.map { pick($0.lower) }, upper: x.map { pick($0.upper) })
      return Interval(lower: lower.reshaped([1] + outputShape), upper: upper.reshaped([1] + outputShape))
    }
    if batch == 1 { return bounds[0] }
    return Interval(
      lower: .concatenatingBatches(bounds.map(\.lower)), upper: .concatenatingBatches(bounds.map(\.upper)))
  }
}

extension RelaxedComposite {
  /// Bounds of what a deployed run computes of every example; nil if only the expansion tells.
  public func enclose(_ x: [Interval], _ rounding: DeployedRounding) -> Interval? {
    guard let unit = deployed else { return nil }
    let bounds = unit.enclose(x)
    let errors = bounds.lower.zipped(bounds.upper) {
      unit.deployedError(max(abs($0), abs($1)), unit: rounding.unit, underflow: rounding.underflow)
    }
    return Interval(
      lower: bounds.lower.zipped(errors) { $1.isFinite ? ($0 - $1).nextDown : -.infinity },
      upper: bounds.upper.zipped(errors) { $1.isFinite ? ($0 + $1).nextUp : .infinity }
    ).overflowed(rounding) { _ in true }
  }
}

extension Graph {
  /// Interval bounds of every node over a region, `[B] + shape` each.
  ///
  /// - Throws: `UnsupportedOperator` for what the account of a deployed run's rounding does not cover.
  public func intervals(over region: Region, _ arithmetic: Arithmetic = .real) throws -> Trace<Interval> {
    try checkRounding(arithmetic)
    var domain = IntervalDomain(arithmetic)
    return try interpret(region.inputs.map(\.hull), in: &domain, keepingAll: true)
  }
}
