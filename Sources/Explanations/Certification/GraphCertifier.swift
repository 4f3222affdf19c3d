import Bounds
import Domains
import IR
import Importers
import SMT
import Tensors

/// Certifies the prediction of nodes (or of a graph) against perturbed features or deleted edges.
///
/// With fixed edges a graph network is a network like any other: aggregation is affine, so feature boxes go through
/// the shared bound engine on the receptive field of the node with the degrees of the full graph.
public struct GraphCertifier: Sendable {
  public let model: any GraphModel
  public let classCount: Int
  public var method: CertificationMethod
  /// Enumerations may evaluate this many deletions; branch and bound may bound this many subproblems per node.
  public var limit = 5_000_000
  public var nodeLimit = 20_000
  public var seed: UInt64 = 0
  /// What `bab` and `smt` may take for a node, in seconds; nil for no limit.
  public var seconds: Double?
  /// When all nodes have to be done; nil for no limit.
  public var deadline: ContinuousClock.Instant?
  /// The process that `smt` runs Z3 in, so that the limit holds whatever Z3 does; nil for this one.
  public var isolated: Z3Process?

  public init(model: any GraphModel, classCount: Int, method: CertificationMethod) {
    self.model = model
    self.classCount = classCount
    self.method = method
  }

  /// When a node that is begun now has to be done; nil for no limit.
  var nodeDeadline: ContinuousClock.Instant? {
    let own = seconds.map { ContinuousClock.now + .seconds($0) }
    guard let own, let deadline else { return own ?? deadline }
    return min(own, deadline)
  }

  /// Certifies nodes of a graph; `nodes` is nil for graph tasks.
  ///
  /// - Parameter finished: called with every certificate when it is known, from any thread.
  /// - Throws: `Stopped` when `Cancellation.current` says so; ``ExplanationError``.
  public func certify(
    _ graph: AttributedGraph, nodes: [Int]?, perturbation: GraphPerturbation,
    finished: (@Sendable (NodeCertificate) -> Void)? = nil
  ) throws -> GraphCertificate {
    let certificates: [NodeCertificate]
    switch perturbation {
    case .features(let eps, let ownRow):
      certificates = try certifyFeatures(graph, nodes: nodes, eps: eps, ownRow: ownRow, finished)
    case .edges(let budget):
      switch method {
      case .enumerate:
        certificates = try DeletionEnumerator(self, graph).certify(nodes: nodes, budget: budget, finished)
      case .bab, .crown, .ibp, .alpha, .smt:
        let targets: [Int?] = nodes.map { $0 } ?? [nil]
        certificates = try Parallel.map(targets.count) { index in
          let certificate = try DeletionSearch(self, graph, node: targets[index], budget: budget).certify(
            id: targets[index].map { .number($0) } ?? graph.id)
          finished?(certificate)
          return certificate
        }
      }
    }
    return GraphCertificate(perturbation: perturbation, method: method, nodes: certificates)
  }

  private func certifyFeatures(
    _ graph: AttributedGraph, nodes: [Int]?, eps: Double, ownRow: Bool,
    _ finished: (@Sendable (NodeCertificate) -> Void)?
  ) throws -> [NodeCertificate] {
    if method == .enumerate {
      throw ExplanationError.notApplicable("features are continuous: enumerate applies to edges:BUDGET")
    }
    let targets: [Int?] = nodes.map { $0 } ?? [nil]
    return try Parallel.map(targets.count) { index in
      let certificate = try FeatureBox(self, graph, node: targets[index], eps: eps, ownRow: ownRow).certify()
      finished?(certificate)
      return certificate
    }
  }
}

/// The feature box of one node.
struct FeatureBox {
  let certifier: GraphCertifier
  let network: MaskedNetwork
  let node: Int?
  let id: InstanceID
  let bound: Graph
  let center: Tensor<Double>
  let lower: Tensor<Double>
  let upper: Tensor<Double>
  /// Nodes of the running graph in the numbering of the file.
  let nodes: [Int]

  init(_ certifier: GraphCertifier, _ graph: AttributedGraph, node: Int?, eps: Double, ownRow: Bool) throws {
    self.certifier = certifier
    self.node = node
    id = node.map { .number($0) } ?? graph.id
    network = try MaskedNetwork(
      certifier.model, graph: graph, node: node, semantics: .edgeWeight, classCount: certifier.classCount)
    let sliced = network.graph
    nodes = network.nodeIndex
    bound = try certifier.model.bind(
      sliced.structure, features: .input, masking: .none, readout: network.node.map { .node($0) } ?? .all)
    let shape: Shape = [1, sliced.paddedNodeCount, sliced.featureCount]
    center = Tensor(shape, sliced.paddedFeatures)
    var low = center.elements
    var high = center.elements
    let own = network.node.map { $0 * sliced.featureCount..<($0 + 1) * sliced.featureCount }
    for i in 0..<(sliced.nodeCount * sliced.featureCount) where !ownRow || (own?.contains(i) ?? true) {
      // Outward: the box holds every real point within eps.
      low[i] = (low[i] - eps).nextDown
      high[i] = (high[i] + eps).nextUp
      if eps == 0 {
        low[i] = center.elements[i]
        high[i] = center.elements[i]
      }
    }
    lower = Tensor(shape, low)
    upper = Tensor(shape, high)
  }

  func certify() throws -> NodeCertificate {
    let logits = try bound.run([center])[0].float64.elements
    let target = Probability.argmax(logits)
    var attack = FeatureAttack(bound, lower: lower, upper: upper, center: center, target: target)
    let reached = try attack.run()
    var certificate = NodeCertificate(
      id: id, target: target, marginLower: -.infinity, marginReached: reached.margin, verdict: .unknown,
      witness: nil, evaluations: attack.evaluations)
    if certifier.classCount == 1 {
      throw ExplanationError.notApplicable("a network of one class has no prediction to change")
    }
    var options = BoundOptions()
    switch certifier.method {
    case .ibp: options.method = .ibp
    case .crown: options.method = isLarge ? .crownIBP : .crown
    case .alpha: options.method = isLarge ? .crownIBP : .alphaCrown
    default: options.method = isLarge ? .crownIBP : .best
    }
    let isPoint = lower == upper
    let region = Region([isPoint ? .fixed(center) : .box(lower: lower, upper: upper)])
    let rows = OutputRows.margins(label: target, count: logits.count)
    let result = try bound.bounds(over: region, rows: rows, options)
    certificate.marginLower = result.outputs[0].lower.elements.min() ?? -.infinity
    if certificate.marginLower > 0 {
      certificate.verdict = .robust
    } else if reached.margin <= 0, try isViolation(reached.point, target) {
      certificate.verdict = .vulnerable
      certificate.witness = witness(reached.point)
    } else if certifier.method == .smt || certifier.method == .bab {
      try decideExactly(&certificate, target)
    }
    return certificate
  }

  /// Whether a layer is too wide to bound each of its neurons backwards: intervals bound them then.
  private var isLarge: Bool {
    bound.nodes.contains { node in
      if case .elementwise = node.operation { return node.shape.count > 4096 }
      return false
    }
  }

  /// Whether intervals confirm that the prediction at a point is another class.
  private func isViolation(_ point: [Double], _ target: Int) throws -> Bool {
    let x = Tensor(center.shape, point)
    let outputs = try bound.intervals(over: Region([.fixed(x)])).outputs[0]
    let best = outputs.upper.elements[target]
    return outputs.lower.elements.enumerated().contains { $0.offset != target && $0.element >= best }
  }

  private func witness(_ point: [Double]) -> GraphWitness {
    let width = network.graph.featureCount
    return .features(nodes: nodes, values: Array(point[0..<(nodes.count * width)]), width: width)
  }
}

/// Projected sign gradients on the margin, from the centre and from random corners.
struct FeatureAttack {
  let bound: Graph
  let lower: Tensor<Double>
  let upper: Tensor<Double>
  let center: Tensor<Double>
  let target: Int
  private(set) var evaluations = 0

  init(_ bound: Graph, lower: Tensor<Double>, upper: Tensor<Double>, center: Tensor<Double>, target: Int) {
    self.bound = bound
    self.lower = lower
    self.upper = upper
    self.center = center
    self.target = target
  }

  /// The smallest margin found and where.
  mutating func run() throws -> (margin: Double, point: [Double]) {
    var best = (margin: Double.infinity, point: center.elements)
    for start in 0..<2 {
      var point = center.elements
      if start == 1 {
        var generator = CounterRandom(seed: 17).generator()
        for i in point.indices {
          point[i] = lower.elements[i] + (upper.elements[i] - lower.elements[i]) * generator.uniform()
        }
      }
      for step in 0..<12 {
        let x = Tensor(center.shape, point)
        var domain = ConcreteDomain(.float64)
        let trace = try bound.interpret([.double(x)], in: &domain, keepingAll: true)
        evaluations += 1
        let logits = trace.outputs[0].float64.elements
        var rival = target == 0 ? 1 : 0
        for c in logits.indices where c != target && logits[c] > logits[rival] { rival = c }
        let margin = logits[target] - logits[rival]
        if margin < best.margin { best = (margin, point) }
        var seed = [Double](repeating: 0, count: logits.count)
        seed[target] = 1
        seed[rival] = -1
        var rule = GradientRule<Double>(trace)
        try bound.pullBack([(bound.outputs[0].node, Tensor([1, logits.count], seed))], rule: &rule)
        guard let gradient = rule.inputGradients[bound.inputs[0]]?.elements else { break }
        for i in point.indices {
          let range = upper.elements[i] - lower.elements[i]
          if range == 0 || gradient[i] == 0 { continue }
          // The first step goes to a corner: for nearly linear networks that is the optimum.
          let size = step == 0 ? range : range * 0.5 / Double(step)
          point[i] = max(
            lower.elements[i], min(upper.elements[i], point[i] - (gradient[i] > 0 ? size : -size)))
        }
      }
    }
    return best
  }
}
