import IR
import Rigor
import Tensors

/// Bounds of subproblems.
extension ReluSplitSearch {
  func lines(_ domains: [NeuronDomain]) -> [ActivationLines?] {
    var tables = context.activations.indices.map { i -> ActivationLines? in
      guard let root = rootLines[i] else { return nil }
      return root.repeated(domains.count)
    }
    for (b, domain) in domains.enumerated() {
      for split in domain.splits {
        let i = Int(split.activation)
        let activation = context.activations[i]
        let j = Int(split.neuron)
        if activation.isRelu {
          tables[i]?.setState(b * activation.count + j, split.isActive ? .active : .inactive)
        } else {
          let (l, u) = domain.range(of: split, activation)
          tables[i]?.set(
            b * activation.count + j, activation.function, l, u, neurons: activation.count,
            extraCharge: activation.charge[j])
        }
      }
    }
    return tables
  }

  func ascent(_ domains: [NeuronDomain]) -> BoundAscent {
    var groups = RowGroups()
    let each = rows.count
    for b in domains.indices { groups.append(owner: b, count: each) }
    let count = domains.count
    let mids = Array((0..<count).map { _ in mid }.joined())
    let rads = Array((0..<count).map { _ in rad }.joined())
    var ascent = BoundAscent(
      context: context, problem: problem, groups: groups, rowLists: domains.map { _ in rows },
      lines: lines(domains), mid: mids, rad: rads)
    for (i, activation) in context.activations.enumerated() {
      let n = activation.count
      var signs: [Int8]?
      var points: [Double]?
      for (b, domain) in domains.enumerated() {
        // Of several splits of one neuron the last is the tightest on its side.
        for split in domain.splits where Int(split.activation) == i {
          if signs == nil { signs = [Int8](repeating: 0, count: count * n) }
          signs?[b * n + Int(split.neuron)] = split.isActive ? 1 : -1
          if activation.isRelu { continue }
          if points == nil { points = [Double](repeating: 0, count: count * n) }
          points?[b * n + Int(split.neuron)] = split.point
        }
      }
      if signs != nil {
        ascent.signs[i] = signs
        ascent.points[i] = points
        ascent.multipliers[i] = [Double](repeating: 0, count: count * each * n)
      }
      for (b, domain) in domains.enumerated() {
        let start = b * each * n
        if let known = domain.slopes[i] {
          for k in 0..<(each * n) { ascent.slopes[i]?[start + k] = Double(known[k]) }
        }
        if let known = domain.multipliers[i], signs != nil {
          for k in 0..<(each * n) { ascent.multipliers[i]?[start + k] = Double(known[k]) }
        }
        for split in domain.splits where Int(split.activation) == i && activation.isRelu {
          // A held neuron has one line on both sides.
          for r in 0..<each {
            ascent.slopes[i]?[start + r * n + Int(split.neuron)] = split.isActive ? 1 : 0
          }
        }
      }
    }
    return ascent
  }

  /// Bounds subproblems; those that stay open get the neuron to split next.
  func bound(_ domains: [NeuronDomain], iterations: Int) throws -> BatchResult {
    var result = BatchResult()
    guard !domains.isEmpty else { return result }
    result.bounded = domains.count
    let each = rows.count
    var ascent = self.ascent(domains)
    let control = control
    try ascent.run(iterations: iterations, slopeRate: 0.25, multiplierRate: 0.1, decay: 0.96) { lower in
      control.stop != nil
        || domains.indices.allSatisfy { isRefuted(lower[($0 * each)..<(($0 + 1) * each)]) }
    }
    guard let best = ascent.best else { return result }
    let open = domains.indices.filter { !isRefuted(best.lower[($0 * each)..<(($0 + 1) * each)]) }
    result.refuted = domains.count - open.count
    if open.isEmpty { return result }
    try ascent.findArguments(best)
    let n = context.inputCount
    var left: [NeuronDomain] = []
    var criticals: [Int] = []
    for b in open {
      var domain = domains[b]
      let lower = best.lower[(b * each)..<((b + 1) * each)]
      domain.bound = max(domain.bound, lower.max() ?? -.infinity)
      let critical =
        b * each + (lower.indices.max { lower[$0] < lower[$1] } ?? lower.startIndex) - lower.startIndex
      for (i, activation) in context.activations.enumerated() {
        let range = (b * each * activation.count)..<((b + 1) * each * activation.count)
        domain.slopes[i] = ascent.slopes[i].map { $0[range].map { Float($0) } }
        domain.multipliers[i] = ascent.multipliers[i].map { $0[range].map { Float($0) } }
      }
      result.corners.append(
        (0..<n).map { j in
          let a = best.coefficients[critical * n + j]
          return a > 0 ? mid[j] - rad[j] : a < 0 ? mid[j] + rad[j] : mid[j]
        })
      left.append(domain)
      criticals.append(critical)
    }
    let scored = left.indices.map { k -> [NeuronSplit] in
      rankedNeurons(left[k], row: criticals[k], ascent)
    }
    try choose(&left, scored)
    for domain in left {
      if domain.next == nil { try settle(domain, into: &result) } else { result.open.append(domain) }
    }
    return result
  }
}

extension ActivationLines {
  /// The tables of one example, several times.
  func repeated(_ count: Int) -> ActivationLines {
    var result = self
    let times = { (x: [Double]) in Array((0..<count).map { _ in x }.joined()) }
    result.belowSlope = times(belowSlope)
    result.belowIntercept = times(belowIntercept)
    result.aboveSlope = times(aboveSlope)
    result.aboveIntercept = times(aboveIntercept)
    if !charge.isEmpty { result.charge = times(charge) }
    return result
  }
}

extension SplitContext {
  /// The relaxation over the whole region.
  var rootLines: [ActivationLines?] {
    activations.map { activation in
      var lines = ActivationLines(count: activation.count)
      for j in 0..<activation.count {
        let l = activation.lower[j]
        let u = activation.upper[j]
        if activation.isRelu {
          lines.setRelu(j, l, u)
        } else {
          lines.set(
            j, activation.function, l, u, neurons: activation.count, extraCharge: activation.charge[j])
        }
      }
      return lines
    }
  }
}
