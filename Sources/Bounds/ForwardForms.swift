import Domains
import IR
import Rigor
import Tensors

/// Linear bounds of a node in the perturbed inputs, around the region's centre x0:
/// lowerCoefficients . (x - x0) + lowerConstant <= value <= upperCoefficients . (x - x0) + upperConstant.
///
/// Coefficients are `[B * columns] + shape`, one column per perturbed input element, grouped by example.
struct LinearForm: Sendable {
  var lowerCoefficients: Tensor<Double>
  /// nil: the same as the lower ones.
  var upperCoefficients: Tensor<Double>?
  var lowerConstant: Tensor<Double>
  var upperConstant: Tensor<Double>
}

/// Forward linear bounds (Wong and Kolter 2018; "forward mode" of Xu et al. 2020).
///
/// Rounding: centring at x0 lets every coefficient's error act on |x - x0| only. With `reach` the largest size of a
/// node's form over the region, a step of k roundings is wrong by at most g(k) |W| reach, which widens the constants.
struct ForwardForms: Sendable {
  let graph: Graph
  let arithmetic: Arithmetic
  let batch: Int
  /// Perturbed inputs and the first column of each.
  private let sources: [NodeID: Int]
  private let columns: Int
  /// |x - x0| at most, `[B, columns]`; for balls the radius in every column.
  private let radius: Tensor<Double>
  private let blocks: [Block]

  private struct Block: Sendable {
    var start: Int
    var count: Int
    var ball: (radius: Double, norm: BallNorm)?
  }

  init(graph: Graph, region: Region, varies: [Bool], arithmetic: Arithmetic) {
    self.graph = graph
    self.arithmetic = arithmetic
    batch = region.batch
    var sources: [NodeID: Int] = [:]
    var blocks: [Block] = []
    var radii: [[Double]] = Array(repeating: [], count: region.batch)
    var start = 0
    for (id, set) in zip(graph.inputs, region.inputs) where varies[id] {
      let count = graph[id].shape.count
      sources[id] = start
      let rad = set.hull.midpointRadius.rad
      for b in 0..<batch {
        let at = rad.batch == 1 ? 0 : b * count
        radii[b].append(contentsOf: rad.elements[at..<(at + count)])
      }
      if case .ball(_, let radius, let norm) = set {
        blocks.append(Block(start: start, count: count, ball: (radius, norm)))
      } else {
        blocks.append(Block(start: start, count: count, ball: nil))
      }
      start += count
    }
    self.sources = sources
    self.blocks = blocks
    columns = start
    radius = Tensor([region.batch, start], radii.flatMap { $0 })
  }

  func input(_ id: NodeID, _ set: InputSet) -> LinearForm? {
    guard let first = sources[id] else { return nil }
    let shape = graph[id].shape
    let n = shape.count
    var coefficients = Tensor<Double>.zeros([batch * columns] + shape)
    for b in 0..<batch {
      for i in 0..<n { coefficients[flat: (b * columns + first + i) * n + i] = 1 }
    }
    let center = set.hull.midpointRadius.mid.repeatedBatch(batch)
    return LinearForm(
      lowerCoefficients: coefficients, upperCoefficients: nil, lowerConstant: center, upperConstant: center)
  }

  /// sum over columns of |coefficient| * radius, `[B] + shape`; for balls radius times the dual norm.
  private func spread(_ coefficients: Tensor<Double>) -> Tensor<Double> {
    let shape = coefficients.exampleShape
    let n = shape.count
    var result = Tensor<Double>.zeros([batch] + shape)
    result.withMutablePointer { y in
      coefficients.withPointer { c in
        for b in 0..<batch {
          for block in blocks {
            let rows = block.start..<(block.start + block.count)
            switch block.ball {
            case nil:
              for k in rows {
                let r = radius[flat: b * columns + k]
                if r == 0 { continue }
                let row = c + (b * columns + k) * n
                for i in 0..<n { y[b * n + i] += abs(row[i]) * r }
              }
            case (let size, .l1)?:
              for i in 0..<n {
                var largest = 0.0
                for k in rows { largest = max(largest, abs(c[(b * columns + k) * n + i])) }
                y[b * n + i] += size * largest
              }
            case (let size, .l2)?:
              for i in 0..<n {
                var sum = 0.0
                for k in rows {
                  let v = c[(b * columns + k) * n + i]
                  sum += v * v
                }
                y[b * n + i] += size * sum.squareRoot()
              }
            }
          }
        }
      }
    }
    return result
  }

  /// Interval bounds of a form over the region.
  func concretize(_ form: LinearForm) -> Interval {
    let g = Rounding.gamma(columns + 6)
    let low = spread(form.lowerCoefficients)
    let high = form.upperCoefficients.map { spread($0) } ?? low
    var lower = form.lowerConstant
    var upper = form.upperConstant
    for i in 0..<lower.count {
      lower[flat: i] = (lower[flat: i] - low[flat: i] * (1 + 4 * g) - 0x1p-1000).nextDown
      upper[flat: i] = (upper[flat: i] + high[flat: i] * (1 + 4 * g) + 0x1p-1000).nextUp
    }
    return Interval(lower: lower, upper: upper)
  }

  /// The largest size of a form's partial sums over the region.
  private func reach(_ form: LinearForm) -> Tensor<Double> {
    let low = spread(form.lowerCoefficients)
    let high = form.upperCoefficients.map { spread($0) } ?? low
    var result = low
    for i in 0..<result.count {
      let size = max(abs(form.lowerConstant[flat: i]), abs(form.upperConstant[flat: i]))
      result[flat: i] = max(low[flat: i], high[flat: i]) + size
    }
    return result
  }

  private func widen(_ form: inout LinearForm, by error: Tensor<Double>) {
    for i in 0..<error.count {
      form.lowerConstant[flat: i] = (form.lowerConstant[flat: i] - error[flat: i]).nextDown
      form.upperConstant[flat: i] = (form.upperConstant[flat: i] + error[flat: i]).nextUp
    }
  }

  private func full(_ x: Tensor<Double>) -> Tensor<Double> { x.repeatedBatch(batch) }

  /// A value that does not vary, as a form without coefficients.
  private func constant(_ interval: Interval) -> LinearForm {
    let zeros = Tensor<Double>.zeros([batch * columns] + interval.lower.exampleShape)
    return LinearForm(
      lowerCoefficients: zeros, upperCoefficients: nil, lowerConstant: full(interval.lower),
      upperConstant: full(interval.upper))
  }

  // MARK: Kinds

  func affine(_ map: Affine, _ x: [LinearForm?], _ intervals: [Interval], at node: Node) -> LinearForm {
    var lower: Tensor<Double>?
    var upper: Tensor<Double>?
    var lowConstant = Tensor<Double>.zeros([batch] + node.shape)
    var highConstant = lowConstant
    var error = lowConstant
    func apply(_ linear: any LinearMap, _ a: Tensor<Double>, _ b: Tensor<Double>) -> (
      Tensor<Double>, Tensor<Double>
    ) {
      // W+ a + W- b and W+ b + W- a through the centre and half-difference: W c -+ |W| d.
      if linear.isNonnegative { return (linear.apply(a), linear.apply(b)) }
      let center = linear.apply(combine(a, b) { 0.5 * $0 + 0.5 * $1 })
      let half = linear.applyMagnitude(combine(a, b) { 0.5 * $1 - 0.5 * $0 })
      return (combine(center, half) { $0 - $1 }, combine(center, half) { $0 + $1 })
    }
    for (position, linear) in map.maps.enumerated() {
      let form = x[position] ?? constant(intervals[position])
      if let high = form.upperCoefficients {
        let (l, u) = apply(linear, form.lowerCoefficients, high)
        if let present = lower {
          upper = (upper ?? present) + u
          lower = present + l
        } else {
          lower = l
          upper = u
        }
      } else if x[position] != nil {
        let image = linear.apply(form.lowerCoefficients)
        if let present = lower {
          if let high = upper { upper = high + image }
          lower = present + image
        } else {
          lower = image
        }
      }
      let (l, u) = apply(linear, form.lowerConstant, form.upperConstant)
      lowConstant += l
      highConstant += u
      error += linear.applyMagnitude(reach(form))
    }
    if let bias = map.bias {
      lowConstant.addToEveryExample(bias.values)
      highConstant.addToEveryExample(bias.values)
      error.addToEveryExample(bias.magnitude)
    }
    // The deployed node is off by at most its own gamma times the same sizes.
    let deployed = map.roundings > 0 ? arithmetic.rounding(of: node.elementType) : nil
    let g = 4 * Rounding.gamma(map.roundings + 4) + 2 * (deployed?.gamma(map.roundings) ?? 0)
    let lost = 0x1p-1000 + Double(map.roundings + 2) * 2 * (deployed?.underflow ?? 0)
    let isExact = map.roundings == 0 && map.maps.allSatisfy(\.isNonnegative)
    var result = LinearForm(
      lowerCoefficients: lower ?? Tensor.zeros([batch * columns] + node.shape), upperCoefficients: upper,
      lowerConstant: lowConstant, upperConstant: highConstant)
    if !isExact { widen(&result, by: error.map { g * $0 + lost }) }
    return result
  }

  private func combine(_ a: Tensor<Double>, _ b: Tensor<Double>, _ f: (Double, Double) -> Double) -> Tensor<
    Double
  > {
    Tensor(writing: a.shape) { z in
      a.withPointer { x in b.withPointer { y in for i in 0..<a.count { z[i] = f(x[i], y[i]) } } }
    }
  }

  func elementwise(_ lines: Lines, _ x: LinearForm, at node: Node) -> LinearForm {
    let n = node.shape.count
    let size = reach(x)
    let high = x.upperCoefficients ?? x.lowerCoefficients
    var lower = x.lowerCoefficients
    var upper = high
    var result = LinearForm(
      lowerCoefficients: lower, upperCoefficients: upper, lowerConstant: x.lowerConstant,
      upperConstant: x.upperConstant)
    var error = size
    for b in 0..<batch {
      for i in 0..<n {
        let place = (lines.charge.batch == 1 ? 0 : b) * n + i
        let (s, t) = (lines.belowSlope[flat: place], lines.belowIntercept[flat: place])
        let (p, q) = (lines.aboveSlope[flat: place], lines.aboveIntercept[flat: place])
        for k in (b * columns)..<((b + 1) * columns) {
          let at = k * n + i
          lower[flat: at] = s == 0 ? 0 : s * (s > 0 ? x.lowerCoefficients[flat: at] : high[flat: at])
          upper[flat: at] = p == 0 ? 0 : p * (p > 0 ? high[flat: at] : x.lowerCoefficients[flat: at])
        }
        let at = b * n + i
        let (l, u) = (x.lowerConstant[flat: at], x.upperConstant[flat: at])
        result.lowerConstant[flat: at] = s == 0 ? t : s * (s > 0 ? l : u) + t
        result.upperConstant[flat: at] = p == 0 ? q : p * (p > 0 ? u : l) + q
        let slope = max(abs(s), abs(p))
        error[flat: at] =
          (slope == 0 ? 0 : 6 * Rounding.unit * slope * size[flat: at])
          + 6 * Rounding.unit * max(abs(t), abs(q)) + lines.charge[flat: place]
      }
    }
    result.lowerCoefficients = lower
    result.upperCoefficients = upper
    widen(&result, by: error)
    return result
  }

  func product(
    _ form: any BilinearForm, _ relaxation: Relaxation, _ a: LinearForm?, _ b: LinearForm?, at node: Node
  ) -> LinearForm? {
    switch relaxation {
    case .knownFactor(let known):
      guard let x = known.isLeft ? b : a else { return nil }
      let (positive, negative) = signParts(known.value)
      let apply = { (x: Tensor<Double>, y: Tensor<Double>) in
        known.isLeft ? form.apply(y, x) : form.apply(x, y)
      }
      let high = x.upperCoefficients ?? x.lowerCoefficients
      var result = LinearForm(
        lowerCoefficients: apply(x.lowerCoefficients, positive) + apply(high, negative),
        upperCoefficients: apply(high, positive) + apply(x.lowerCoefficients, negative),
        lowerConstant: apply(x.lowerConstant, positive) + apply(x.upperConstant, negative),
        upperConstant: apply(x.upperConstant, positive) + apply(x.lowerConstant, negative))
      let g = 4 * Rounding.gamma(form.fanIn + 4)
      let error = addBatches(apply(reach(x), known.value.magnitude).map { g * $0 }, known.charge)
      widen(&result, by: full(error))
      return result
    case .product(let planes):
      guard let a, let b else { return nil }
      let aL = planes.left.lower
      let (aP, aM) = signParts(aL)
      let (bLP, bLM) = signParts(planes.right.lower)
      let (bUP, bUM) = signParts(planes.right.upper)
      let aHigh = a.upperCoefficients ?? a.lowerCoefficients
      let bHigh = b.upperCoefficients ?? b.lowerCoefficients
      // The same planes as backward: below bL a + aL b - aL bL, above bU a + aL b - aL bU.
      func plane(
        _ x: (Tensor<Double>, Tensor<Double>), _ y: (Tensor<Double>, Tensor<Double>), _ p: Tensor<Double>,
        _ m: Tensor<Double>
      ) -> Tensor<Double> {
        let left = form.apply(x.0, p) + form.apply(x.1, m)
        let right = form.apply(aP, y.0) + form.apply(aM, y.1)
        return left + right
      }
      let cornerLow = form.apply(aL, planes.right.lower)
      let cornerHigh = form.apply(aL, planes.right.upper)
      var result = LinearForm(
        lowerCoefficients: plane((a.lowerCoefficients, aHigh), (b.lowerCoefficients, bHigh), bLP, bLM),
        upperCoefficients: plane((aHigh, a.lowerCoefficients), (bHigh, b.lowerCoefficients), bUP, bUM),
        lowerConstant: addBatches(
          plane((a.lowerConstant, a.upperConstant), (b.lowerConstant, b.upperConstant), bLP, bLM),
          cornerLow.map { -$0 }),
        upperConstant: addBatches(
          plane((a.upperConstant, a.lowerConstant), (b.upperConstant, b.lowerConstant), bUP, bUM),
          cornerHigh.map { -$0 }))
      let g = 8 * Rounding.gamma(form.fanIn + 6)
      let size = addBatches(
        form.apply(reach(a), planes.right.magnitude), form.apply(planes.left.magnitude, reach(b)))
      widen(&result, by: full(addBatches(size.map { g * $0 }, planes.charge)))
      return result
    default: return nil
    }
  }

  func selection(
    _ s: Selection, _ relaxation: Relaxation, _ x: [LinearForm?], _ intervals: [Interval], at node: Node
  ) -> LinearForm? {
    guard case .selection(let lines) = relaxation else { return nil }
    let forms = x.indices.map { x[$0] ?? constant(intervals[$0]) }
    return pick(s.inputShapes, node.shape, forms) { example, o in
      let place = (lines.batch == 1 ? 0 : example) * s.outputShape.count + o
      return (
        (Int(lines.belowIndex[place]), lines.belowSlope[place], lines.belowIntercept[place]),
        (Int(lines.aboveIndex[place]), lines.aboveSlope[place], lines.aboveIntercept[place])
      )
    }
  }

  func composite(
    _ lines: GroupLines, _ c: any Composite, _ x: [LinearForm?], _ intervals: [Interval], at node: Node
  ) -> LinearForm {
    let forms = x.indices.map { x[$0] ?? constant(intervals[$0]) }
    let n = node.shape.count
    let total = lines.offsets[lines.offsets.count - 1]
    func join(_ parts: [Tensor<Double>]) -> [Double] {
      if parts.count == 1 { return parts[0].elements }
      let rows = parts[0].batch
      return (0..<rows).flatMap { r in parts.flatMap { $0.examples(r..<(r + 1)).elements } }
    }
    let lowRows = join(forms.map(\.lowerCoefficients))
    let highRows = join(forms.map { $0.upperCoefficients ?? $0.lowerCoefficients })
    let lowConstants = join(forms.map(\.lowerConstant))
    let highConstants = join(forms.map(\.upperConstant))
    let sizes = join(forms.map { reach($0) })
    var result = LinearForm(
      lowerCoefficients: Tensor.zeros([batch * columns] + node.shape),
      upperCoefficients: Tensor.zeros([batch * columns] + node.shape),
      lowerConstant: Tensor.zeros([batch] + node.shape), upperConstant: Tensor.zeros([batch] + node.shape))
    var upper = Tensor<Double>.zeros([batch * columns] + node.shape)
    var error = Tensor<Double>.zeros([batch] + node.shape)
    for b in 0..<batch {
      for group in lines.examples[lines.examples.count == 1 ? 0 : b].groups {
        let g = 8 * Rounding.gamma(group.inputs.count + 4)
        func form(_ input: Int, _ rows: [Double], _ constants: [Double]) -> GroupTerms.Form {
          GroupTerms.Form(
            columns: (0..<columns).map { rows[(b * columns + $0) * total + input] },
            constant: constants[b * total + input], size: sizes[b * total + input])
        }
        let lows = group.inputs.map { form(Int($0), lowRows, lowConstants) }
        let highs = group.inputs.map { form(Int($0), highRows, highConstants) }
        let below = GroupTerms(group.below, lows, highs)
        let above = GroupTerms(group.above, highs, lows)
        for (j, output) in group.outputs.enumerated() {
          let o = Int(output)
          let low = below.row(j, intercept: group.belowIntercept[j])
          let high = above.row(j, intercept: group.aboveIntercept[j])
          result.lowerConstant[flat: b * n + o] = low.constant
          result.upperConstant[flat: b * n + o] = high.constant
          for k in 0..<columns {
            result.lowerCoefficients[flat: (b * columns + k) * n + o] = low.columns[k]
            upper[flat: (b * columns + k) * n + o] = high.columns[k]
          }
          // What a deployed run of the unit may be off by is part of the lines' charge.
          error[flat: b * n + o] =
            g * (low.size + high.size) + lines.charge[flat: (lines.charge.batch == 1 ? 0 : b) * n + o]
        }
      }
    }
    result.upperCoefficients = upper
    widen(&result, by: error)
    return result
  }

  func discrete(
    _ f: any DiscreteFunction, _ relaxation: Relaxation, _ x: [LinearForm?], _ intervals: [Interval],
    at node: Node
  ) -> LinearForm? {
    guard case .copies(let copies) = relaxation else { return nil }
    let forms = x.indices.map { x[$0] ?? constant(intervals[$0]) }
    var offsets = [0]
    for shape in f.inputShapes { offsets.append(offsets[offsets.count - 1] + shape.count) }
    let outputs = f.outputShape.count
    return pick(f.inputShapes, node.shape, forms) { example, o in
      for (input, table) in copies.tables[copies.tables.count == 1 ? 0 : example].enumerated() {
        if let table, table[o] >= 0 {
          let source = offsets[input] + Int(table[o])
          return ((source, 1, 0), (source, 1, 0))
        }
      }
      let place = (copies.bounds.batch == 1 ? 0 : example) * outputs + o
      return ((0, 0, copies.bounds.lower[flat: place]), (0, 0, copies.bounds.upper[flat: place]))
    }
  }

  private typealias Pick = (index: Int, slope: Double, intercept: Double)

  /// Every output is a non-negative multiple of one element of the concatenated inputs plus a constant, below and
  /// above.
  private func pick(
    _ inputShapes: [Shape], _ shape: Shape, _ forms: [LinearForm],
    _ choose: (Int, Int) -> (below: Pick, above: Pick)
  ) -> LinearForm {
    var offsets = [0]
    for input in inputShapes { offsets.append(offsets[offsets.count - 1] + input.count) }
    let n = shape.count
    var lower = Tensor<Double>.zeros([batch * columns] + shape)
    var upper = lower
    var lowConstant = Tensor<Double>.zeros([batch] + shape)
    var highConstant = lowConstant
    var error = lowConstant
    let sizes = forms.map { reach($0) }
    for b in 0..<batch {
      for o in 0..<n {
        let (below, above) = choose(b, o)
        let at = b * n + o
        for (pick, isBelow) in [(below, true), (above, false)] {
          // Offsets start at 0 and increase, so some input contains the index.
          let input = offsets.lastIndex { $0 <= pick.index } ?? 0
          let local = pick.index - offsets[min(input, forms.count - 1)]
          let form = forms[min(input, forms.count - 1)]
          let size = inputShapes[min(input, forms.count - 1)].count
          let source = isBelow ? form.lowerCoefficients : form.upperCoefficients ?? form.lowerCoefficients
          if pick.slope != 0 {
            for k in (b * columns)..<((b + 1) * columns) {
              let value = pick.slope * source[flat: k * size + local]
              if isBelow { lower[flat: k * n + o] = value } else { upper[flat: k * n + o] = value }
            }
          }
          let base =
            isBelow ? form.lowerConstant[flat: b * size + local] : form.upperConstant[flat: b * size + local]
          let value = (pick.slope == 0 ? 0 : pick.slope * base) + pick.intercept
          if isBelow { lowConstant[flat: at] = value } else { highConstant[flat: at] = value }
          let reachThere =
            pick.slope == 0 ? 0 : abs(pick.slope) * sizes[min(input, forms.count - 1)][flat: b * size + local]
          error[flat: at] = max(error[flat: at], 6 * Rounding.unit * (reachThere + abs(pick.intercept)))
        }
      }
    }
    var result = LinearForm(
      lowerCoefficients: lower, upperCoefficients: upper, lowerConstant: lowConstant,
      upperConstant: highConstant)
    widen(&result, by: error)
    return result
  }
}
