import Foundation
import IR
import Rigor
import LinearPrograms

/// Maps values of an inner layer back to inputs.
///
/// The exact inverse asks one question about the whole prefix of the network, so that its `unreachable` is a proof. The layer-wise
/// inverse chooses one preimage a layer; where it fails, nothing is proven.
final class InverseMap {
  enum Answer {
    case found([Rational])
    case unreachable
    case unknown
  }

  let graph: Graph
  let chain: LayerChain
  let layer: Int
  let prefix: PiecewiseLinearNetwork
  let region: RegionRecord.Box
  let bounds: NeuronBounds
  let isExact: Bool
  let deadline: ContinuousClock.Instant?
  /// Where Z3 runs when a deadline must hold.
  let isolated: Z3Process?
  private let query: CondensedQuery
  /// Composed at the first target that search leaves open: for a large prefix that takes longer than everything else.
  private lazy var session = CondensedQuery.Session(query)

  init(
    graph: Graph, chain: LayerChain, layer: Int, prefix: PiecewiseLinearNetwork, region: RegionRecord.Box,
    bounds: NeuronBounds, isExact: Bool, deadline: ContinuousClock.Instant?, isolated: Z3Process?
  ) {
    self.graph = graph
    self.chain = chain
    self.layer = layer
    self.prefix = prefix
    self.region = region
    self.bounds = bounds
    self.isExact = isExact
    self.deadline = deadline
    self.isolated = isolated
    query = CondensedQuery(
      network: prefix, lower: region.lower, upper: region.upper, phases: bounds.phases, decided: [:])
  }

  /// An input of the region whose layer takes the given values, up to the tolerance.
  func preimage(of targets: [Int: Rational], tolerance: Rational) throws -> Answer {
    if isExact { return try exactly(targets, tolerance) }
    return try layerByLayer(targets)
  }

  /// Steps of Z3 for a first and a last attempt; the first is about half a second.
  private static let resources = (first: 2_000_000, last: 50_000_000)
  /// Beyond this many open neurons and moving inputs the composed query is too large for Z3 to be of any use.
  private static let sizeLimit = 400

  private func exactly(_ targets: [Int: Rational], _ tolerance: Rational) throws -> Answer {
    // Bounds and linear programs refute most targets, and find inputs where there is room, long before Z3 does.
    if let answer = try bySearch(targets, tolerance, nodes: 60) { return answer }
    let wanted = targets.sorted { $0.key < $1.key }.map {
      (variable: prefix.outputs[$0.key], value: $0.value)
    }
    let moving = region.lower.indices.count { region.lower[$0] < region.upper[$0] }
    let isSmall = moving + bounds.undecided(of: prefix).count <= Self.sizeLimit
    if isSmall, !isLate, let answer = ask(wanted, tolerance, Self.resources.first) { return answer }
    if !isSmall, !isLate, let answer = try bySearch(targets, tolerance, nodes: 1000) { return answer }
    if isSmall, !isLate, let answer = ask(wanted, tolerance, Self.resources.last) { return answer }
    return .unknown
  }

  private var isLate: Bool { TimeLimit(deadline: deadline).isOver }

  /// Z3's answer, nil if it gives up.
  private func ask(_ wanted: [(variable: Int, value: Rational)], _ tolerance: Rational, _ resources: Int)
    -> Answer?
  {
    let answer: CondensedQuery.Answer
    if let isolated, deadline != nil, resources > Self.resources.first {
      answer = query.check(targets: wanted, tolerance: tolerance, deadline: deadline, isolated: isolated)
    } else {
      answer = session.check(wanted, tolerance: tolerance, resources: resources, deadline: deadline)
    }
    switch answer.result {
    case .unsatisfiable: return .unreachable
    case .unknown: return nil
    case .satisfiable: return answer.point.map { .found($0) }
    }
  }

  /// The answer of branch and bound, nil where it has none: the targets as a clause that the region must not satisfy.
  private func bySearch(_ targets: [Int: Rational], _ tolerance: Rational, nodes: Int) throws -> Answer? {
    var clause: [OutputConstraint] = []
    for (output, value) in targets.sorted(by: { $0.key < $1.key }) {
      clause.append(
        OutputConstraint(terms: [.init(output: output, coefficient: 1)], rhs: value + tolerance))
      clause.append(
        OutputConstraint(terms: [.init(output: output, coefficient: -1)], rhs: tolerance - value))
    }
    var options = SolverOptions()
    options.method = .bab
    options.nodeLimit = nodes
    options.deadline = deadline
    let query = SafetyQuery(lower: region.lower, upper: region.upper, violation: [clause])
    let result = try SafetySolver(prefix, query, options: options).solve()
    switch result.verdict {
    case .holds: return .unreachable
    case .violated: return result.witness.map { .found($0.point) }
    case .unknown: return nil
    }
  }

  // MARK: Layer by layer

  private func layerByLayer(_ targets: [Int: Rational]) throws -> Answer {
    var current = targets
    for k in stride(from: layer, to: 0, by: -1) {
      guard let previous = try invert(k, current) else { return .unknown }
      current = previous
    }
    var x = region.lower
    for (i, value) in current {
      guard value >= region.lower[i], value <= region.upper[i] else { return .unknown }
      x[i] = value
    }
    return .found(x)
  }

  /// Values of layer k-1 that give the values of layer k, nil if the layer has none.
  private func invert(_ k: Int, _ targets: [Int: Rational]) throws -> [Int: Rational]? {
    let node = graph[chain.layers[k].node]
    switch node.operation {
    case .affine: return try invertAffine(k, targets)
    case .elementwise(let f) where f.name == "Relu":
      let (_, upper) = try reach(k - 1)
      var result: [Int: Rational] = [:]
      for (i, target) in targets {
        if target.sign < 0 { return nil }
        // At 0 every non-positive argument does; 0 itself or the largest reachable one is taken.
        result[i] = target.sign > 0 ? target : min(0, upper[i])
      }
      return result
    case .selection(let s) where s.extremum == .maximum && s.inputShapes.count == 1:
      let (lower, _) = try reach(k - 1)
      var result: [Int: Rational] = [:]
      for (o, target) in targets {
        let candidates = s.candidates[(o * s.width)..<((o + 1) * s.width)].prefix { $0 >= 0 }.map { Int($0) }
        // The first candidate takes the value, the others their least one.
        for (position, c) in candidates.enumerated() {
          let value = position == 0 ? target : min(target, lower[c])
          if let known = result[c], known != value { return nil }
          result[c] = value
        }
      }
      return result
    default: return nil
    }
  }

  /// What the region reaches at a layer.
  private func reach(_ k: Int) throws -> (lower: [Rational], upper: [Rational]) {
    if k == 0 { return (region.lower, region.upper) }
    let part = try PiecewiseLinearNetwork(graph, to: chain.layers[k].node)
    guard
      let b = LinearRelaxation(part, limit: TimeLimit(deadline: deadline)).bounds(
        lower: region.lower.map(\.roundedDown), upper: region.upper.map(\.roundedUp), splits: [:])
    else { throw GraphError(node: chain.layers[k].name, reason: "the region is empty") }
    return (part.outputs.map { Rational(b.lower[$0]) }, part.outputs.map { Rational(b.upper[$0]) })
  }

  private func invertAffine(_ k: Int, _ targets: [Int: Rational]) throws -> [Int: Rational]? {
    let step = try PiecewiseLinearNetwork(graph, to: chain.layers[k].node, from: chain.layers[k - 1].node)
    let (lower, upper) = try reach(k - 1)
    let query = CondensedQuery(
      network: step, lower: lower, upper: upper,
      phases: [Phase](repeating: .active, count: step.variableCount), decided: [:])
    let equalities = targets.sorted { $0.key < $1.key }.map {
      (row: VariableRow(variables: [step.outputs[$0.key]], coefficients: [1]), value: $0.value)
    }
    let answer = query.check([], equalities: equalities, resources: 50_000_000, deadline: deadline)
    guard case .satisfiable = answer.result, let point = answer.point else { return nil }
    var result: [Int: Rational] = [:]
    for i in point.indices where lower[i] < upper[i] { result[i] = point[i] }
    return result
  }
}
