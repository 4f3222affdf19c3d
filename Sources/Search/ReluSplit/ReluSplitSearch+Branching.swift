import IR
import Rigor
import Tensors

/// The choice of the neuron to split.
extension ReluSplitSearch {
  /// Neurons worth splitting, by two scores: what the relaxation loses at the minimum (the gap between line and ReLU
  /// there), and BaBSR's estimate of what holding the neuron does to the bound (Bunel et al. 2020).
  func rankedNeurons(_ domain: NeuronDomain, row: Int, _ ascent: BoundAscent) -> [NeuronSplit] {
    let held = Set(domain.splits.map { Int($0.activation) << 32 | Int($0.neuron) })
    var gaps: [(Double, NeuronSplit)] = []
    var estimates: [(Double, NeuronSplit)] = []
    for (i, activation) in context.activations.enumerated() {
      guard let a = ascent.coefficients[activation.node], let z = ascent.arguments[i] else { continue }
      let n = activation.count
      guard activation.isRelu, let slopes = ascent.slopes[i] else {
        gaps += middleSplits(domain, i, activation, a, z, row)
        continue
      }
      for j in 0..<n {
        let l = activation.lower[j]
        let u = activation.upper[j]
        if l >= 0 || u <= 0 || held.contains(i << 32 | j) { continue }
        let coefficient = a[flat: row * n + j]
        if coefficient == 0 { continue }
        let value = z[flat: row * n + j]
        let chord = u / (u - l)
        let split = NeuronSplit(activation: Int32(i), neuron: Int32(j), isActive: true)
        let relu = max(value, 0)
        let gap =
          coefficient < 0
          ? -coefficient * (chord * (value - l) - relu) : coefficient * (relu - slopes[row * n + j] * value)
        gaps.append((gap, split))
        let estimate = max(-coefficient, 0) * -l * chord + max(coefficient, 0) * min(u, -l) * 0.5
        estimates.append((estimate, split))
      }
    }
    gaps.sort { $0.0 > $1.0 }
    estimates.sort { $0.0 > $1.0 }
    var chosen: [NeuronSplit] = []
    for k in 0..<3 {
      for list in [gaps, estimates] where k < list.count {
        if !chosen.contains(list[k].1) { chosen.append(list[k].1) }
      }
    }
    return chosen
  }

  /// Splits of an activation that is no ReLU, with what the relaxation loses at the minimum.
  private func middleSplits(
    _ domain: NeuronDomain, _ i: Int, _ activation: SplitContext.Activation, _ a: Tensor<Double>,
    _ z: Tensor<Double>, _ row: Int
  ) -> [(Double, NeuronSplit)] {
    let n = activation.count
    let f = activation.function
    var result: [(Double, NeuronSplit)] = []
    for j in 0..<n where a[flat: row * n + j] != 0 {
      var split = NeuronSplit(activation: Int32(i), neuron: Int32(j), isActive: true)
      let (l, u) = domain.range(of: split, activation)
      split.point = 0.5 * l + 0.5 * u
      guard l < split.point, split.point < u, f.linearPiece(l, u) == nil else { continue }
      let value = min(max(z[flat: row * n + j], l), u)
      let range = f.range(value, value)
      var lines = ActivationLines(count: 1)
      lines.set(0, f, l, u, neurons: n, extraCharge: 0)
      let coefficient = a[flat: row * n + j]
      let gap =
        coefficient > 0
        ? range.lower - (lines.belowSlope[0] * value + lines.belowIntercept[0])
        : lines.aboveSlope[0] * value + lines.aboveIntercept[0] - range.upper
      result.append((abs(coefficient) * gap, split))
    }
    return result
  }

  /// Filtered smart branching (De Palma et al. 2021): bounds both children of the best few neurons once and takes the
  /// neuron whose worse child is best.
  func choose(_ domains: inout [NeuronDomain], _ candidates: [[NeuronSplit]]) throws {
    var trials: [NeuronDomain] = []
    for (domain, list) in zip(domains, candidates) where list.count > 1 {
      for split in list {
        for isActive in [true, false] {
          var child = domain
          child.hold(split, isActive: isActive)
          trials.append(child)
        }
      }
    }
    var lower: [Double] = []
    let each = rows.count
    for start in stride(from: 0, to: trials.count, by: batchSize) {
      let part = Array(trials[start..<min(start + batchSize, trials.count)])
      var ascent = self.ascent(part)
      try ascent.run(iterations: 1, slopeRate: 0, multiplierRate: 0) { _ in true }
      for b in part.indices {
        lower.append(ascent.best?.lower[(b * each)..<((b + 1) * each)].max() ?? -.infinity)
      }
    }
    var place = 0
    for (k, list) in candidates.enumerated() {
      guard list.count > 1 else {
        domains[k].next = list.first
        continue
      }
      var best = (score: -Double.infinity, split: list[0])
      for split in list {
        // A refuted child counts as bound 0: more than that gains nothing.
        let a = min(lower[place], 0)
        let b = min(lower[place + 1], 0)
        place += 2
        let score = min(a, b) + 0.1 * max(a, b)
        if score > best.score { best = (score, split) }
      }
      domains[k].next = best.split
    }
  }
}
