import Bounds
import Domains
import IR
import Importers
import SMT
import Tensors

/// Branch and bound over edge deletions within a budget.
///
/// A subproblem fixes some edges as kept or deleted. Its bound comes from the shared bound engine with the mask as a
/// perturbed input (products of mask and message are relaxed by McCormick's planes): a linear function of the mask
/// below the margin, which is minimised over at most as many deletions as the budget leaves. Parts with few deletions
/// left are enumerated. `ibp`, `crown` and `alpha` stop at the root.
struct DeletionSearch {
  let certifier: GraphCertifier
  let network: MaskedNetwork
  let candidates: [Int]
  let budget: Int

  init(_ certifier: GraphCertifier, _ graph: AttributedGraph, node: Int?, budget: Int) throws {
    self.certifier = certifier
    network = try MaskedNetwork(
      certifier.model, graph: graph, node: node, semantics: .remove, classCount: certifier.classCount)
    candidates = Explanation.candidates(network, depth: certifier.model.depth)
    self.budget = min(budget, candidates.count)
  }

  /// A part with at most this many deletions is enumerated rather than split.
  private static let enumerated = 4096

  private var sweep: DeletionSweep {
    DeletionSweep(
      bound: network.bound, arcsPerEdge: network.arcsPerEdge, edgeCount: network.edgeCount,
      classCount: certifier.classCount, readouts: 1)
  }

  /// A subproblem: edges that stay, edges that are gone.
  private struct Part {
    var kept: Set<Int>
    var deleted: [Int]
    var bound: Double
    /// The edge to branch on: the one whose deletion the bound fears most.
    var branch: Int?
  }

  func certify(id: InstanceID) throws -> NodeCertificate {
    let full = try network.fullLogits()
    let target = Probability.argmax(full)
    var reached = Self.margin(full, target)
    var worst: [Int] = []
    var evaluations = 1

    func probe(_ deleted: [Int]) throws {
      let value = Self.margin(try network.logits(edgeFactors: mask(deleted), rows: 1), target)
      evaluations += 1
      if value < reached {
        reached = value
        worst = deleted
      }
    }
    try greedy(target) { try probe($0) }
    if certifier.method == .smt {
      return try decideExactly(id, target, reached: reached, worst: worst, evaluations: evaluations)
    }

    var root = Part(kept: [], deleted: [], bound: -.infinity, branch: nil)
    root = try bound(root, target)
    evaluations += 1
    var open = [root]
    var proven = Double.infinity
    var bounded = 0
    let deadline = certifier.nodeDeadline
    func isLate() -> Bool { deadline.map { ContinuousClock.now > $0 } ?? false }
    let searches = certifier.method == .bab
    while let position = open.indices.min(by: { open[$0].bound < open[$1].bound }) {
      // The least bound of all open parts bounds the margin; nothing open can beat what was reached.
      if open[position].bound > 0 && !searches { break }
      if open[position].bound >= reached - 1e-9
        || (open[position].bound > 0 && reached > 0 && evaluations > 64)
      {
        break
      }
      if !searches || evaluations > certifier.limit || bounded > certifier.nodeLimit || isLate()
        || reached <= 0
      {
        break
      }
      let part = open.remove(at: position)
      let free = candidates.filter { !part.kept.contains($0) && !part.deleted.contains($0) }
      let left = budget - part.deleted.count
      if DeletionEnumerator.count(edges: free.count, budget: left) <= Double(Self.enumerated) {
        let sets = DeletionSweep.subsets(of: free, upTo: left).map { part.deleted + $0 }
        let found = try sweep.least(sets[...], targets: [target])
        evaluations += sets.count
        proven = min(proven, found.lower[0])
        try probe(sets[found.deletion[0]])
        continue
      }
      guard part.deleted.count < budget, let edge = part.branch else {
        proven = min(proven, try leaf(part.deleted, target))
        evaluations += 1
        continue
      }
      var without = part
      without.deleted.append(edge)
      try probe(without.deleted)
      var with = part
      with.kept.insert(edge)
      for child in [without, with] {
        let next = try bound(child, target)
        evaluations += 1
        bounded += 1
        open.append(
          Part(
            kept: child.kept, deleted: child.deleted, bound: max(part.bound, next.bound), branch: next.branch)
        )
      }
    }
    let lower = min(proven, open.map(\.bound).min() ?? .infinity)
    var verdict = RobustnessVerdict.unknown
    if lower > 0 {
      verdict = .robust
    } else if reached <= 0, try isViolation(worst, target) {
      verdict = .vulnerable
    }
    return NodeCertificate(
      id: id, target: target, marginLower: lower, marginReached: reached, verdict: verdict,
      witness: verdict == .vulnerable ? .deletedEdges(worst.map { network.edgeIndex[$0] }.sorted()) : nil,
      evaluations: evaluations)
  }

  /// Z3 decides; its deletion is evaluated like any other.
  private func decideExactly(
    _ id: InstanceID, _ target: Int, reached: Double, worst: [Int], evaluations: Int
  ) throws -> NodeCertificate {
    let lower = try bound(Part(kept: [], deleted: [], bound: -.infinity, branch: nil), target).bound
    var certificate = NodeCertificate(
      id: id, target: target, marginLower: lower, marginReached: reached, verdict: .unknown, witness: nil,
      evaluations: evaluations + 1)
    let query = DeletionQuery(
      network.bound, arcsPerEdge: network.arcsPerEdge, candidates: candidates, budget: budget, target: target)
    let answer = try query.decide(
      deadline: certifier.nodeDeadline, isolated: certifier.isolated)
    var deletion = worst
    switch answer {
    case .robust:
      certificate.verdict = .robust
      // Exactly decided: no deletion within the budget reaches a tie.
      certificate.marginLower = max(lower, 0)
      return certificate
    case .changed(let edges):
      let value = Self.margin(try network.logits(edgeFactors: mask(edges), rows: 1), target)
      certificate.evaluations += 1
      if value < reached {
        certificate.marginReached = value
        deletion = edges
      }
    case .unknown: break
    }
    if certificate.marginReached <= 0, try isViolation(deletion, target) {
      certificate.verdict = .vulnerable
      certificate.witness = .deletedEdges(deletion.map { network.edgeIndex[$0] }.sorted())
    }
    return certificate
  }

  private static func margin(_ logits: [Double], _ target: Int) -> Double {
    var rival = -Double.infinity
    for c in logits.indices where c != target { rival = max(rival, logits[c]) }
    return logits[target] - rival
  }

  private func mask(_ deleted: [Int]) -> [Double] {
    var factors = [Double](repeating: 1, count: network.edgeCount)
    for edge in deleted { factors[edge] = 0 }
    return factors
  }

  /// Deletes the edge that hurts most, again and again.
  private func greedy(_ target: Int, _ probe: ([Int]) throws -> Void) throws {
    var deleted: [Int] = []
    for _ in 0..<budget {
      let rest = candidates.filter { !deleted.contains($0) }
      if rest.isEmpty { return }
      var factors: [Double] = []
      for edge in rest { factors += mask(deleted + [edge]) }
      let logits = try network.logits(edgeFactors: factors, rows: rest.count)
      let classes = certifier.classCount
      let margins = rest.indices.map {
        Self.margin(Array(logits[($0 * classes)..<(($0 + 1) * classes)]), target)
      }
      // `rest` is not empty.
      let best = margins.indices.min { margins[$0] < margins[$1] } ?? 0
      deleted.append(rest[best])
      try probe(deleted)
    }
  }

  private func arcTensor(_ edges: [Double]) -> Tensor<Double> {
    let per = network.arcsPerEdge
    return Tensor([1, edges.count * per], edges.flatMap { [Double](repeating: $0, count: per) })
  }

  /// The margin of one deletion, by intervals.
  private func leaf(_ deleted: [Int], _ target: Int) throws -> Double {
    let rows = OutputRows.margins(label: target, count: certifier.classCount)
    let region = Region([.fixed(arcTensor(mask(deleted)))])
    return try network.bound.bounds(over: region, rows: rows, BoundOptions(method: .ibp)).outputs[0].lower
      .elements
      .min() ?? -.infinity
  }

  private func isViolation(_ deleted: [Int], _ target: Int) throws -> Bool {
    let outputs = try network.bound.intervals(over: Region([.fixed(arcTensor(mask(deleted)))])).outputs[0]
    let top = outputs.upper.elements[target]
    return outputs.lower.elements.enumerated().contains { $0.offset != target && $0.element >= top }
  }

  private func bound(_ part: Part, _ target: Int) throws -> Part {
    var part = part
    let left = budget - part.deleted.count
    let free = candidates.filter { !part.kept.contains($0) && !part.deleted.contains($0) }
    if left == 0 || free.isEmpty {
      part.bound = try leaf(part.deleted, target)
      part.branch = nil
      return part
    }
    var low = mask(part.deleted)
    let high = low
    for edge in free { low[edge] = 0 }
    let region = Region([.box(lower: arcTensor(low), upper: arcTensor(high))])
    let rows = OutputRows.margins(label: target, count: certifier.classCount)
    var options = BoundOptions()
    switch certifier.method {
    case .ibp: options.method = .ibp
    case .alpha: options.method = .alphaCrown
    case .crown: options.method = .crown
    default: options.method = .crownIBP
    }
    options.keepsCoefficients = options.method != .ibp
    let result = try network.bound.bounds(over: region, rows: rows, options)
    let interval = result.outputs[0].lower.elements
    var bound = Double.infinity
    var branch: Int?
    for r in interval.indices {
      var value = interval[r]
      var order = free
      if let linear = result.coefficients.first, let coefficients = linear.lowerCoefficients.first ?? nil {
        let (own, effects) = budgeted(linear, coefficients, row: r, free: free, high: high, left: left)
        value = max(value, own)
        order.sort { effects[$0, default: 0] > effects[$1, default: 0] }
      }
      if value < bound {
        bound = value
        branch = order.first
      }
    }
    part.bound = bound
    part.branch = branch ?? free.first
    return part
  }

  /// The minimum of a linear lower bound over masks with at most `left` deletions of free edges: all kept, minus the
  /// largest losses.
  private func budgeted(
    _ linear: BoundResult.LinearBounds, _ coefficients: Tensor<Double>, row: Int, free: [Int], high: [Double],
    left: Int
  ) -> (bound: Double, losses: [Int: Double]) {
    let per = network.arcsPerEdge
    let arcs = network.arcCount
    var value = linear.lowerConstant[flat: row]
    var magnitude = value.magnitude
    for edge in high.indices where high[edge] != 0 {
      for k in 0..<per {
        let c = coefficients[flat: row * arcs + edge * per + k]
        value += c
        magnitude += c.magnitude
      }
    }
    var losses: [Int: Double] = [:]
    for edge in free {
      losses[edge] = (0..<per).reduce(0.0) { $0 + coefficients[flat: row * arcs + edge * per + $1] }
    }
    for loss in losses.values.sorted(by: >).prefix(left) where loss > 0 { value -= loss }
    // Sums of fewer than 2^20 terms: their rounding is below 2^-32 of the sum of magnitudes.
    return (value - magnitude * 0x1p-32, losses)
  }
}
