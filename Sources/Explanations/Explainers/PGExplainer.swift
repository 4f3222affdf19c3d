import Domains
import IR
import Importers
import Operators
import Tensors

/// Learns one network that scores edges from the embeddings of their ends, for all instances together.
///
/// Luo et al., "Parameterized Explainer for Graph Neural Network" (NeurIPS 2020). Edge logits are
/// MLP([z_u, z_v]) or, for node tasks, MLP([z_u, z_v, z_node]); masks are drawn from the concrete distribution while
/// training and are sigmoid(logit) afterwards.
public struct PGExplainer: Sendable {
  public struct Settings: Sendable {
    public var epochs = 20
    public var learningRate = 0.003
    public var size = 0.003
    public var entropy = 0.3
    /// Temperature of the concrete distribution in the first and last epoch.
    public var temperatures = (first: 5.0, last: 1.0)
    /// Uniform noise is drawn from [bias, 1 - bias].
    public var bias = 0.01
    public var hidden = 64
    /// Independent trainings; the one with the lowest final loss is kept.
    public var restarts = 1

    public init() {}
  }

  let model: any GraphModel
  let settings: Settings

  public init(model: any GraphModel, settings: Settings) {
    self.model = model
    self.settings = settings
  }

  /// An instance with the input of the scoring network: one row per arc.
  private struct Item: Sendable {
    var prepared: Explainer.Prepared
    var rows: Tensor<Double>
  }

  func explain(
    _ prepared: [Explainer.Prepared], random: CounterRandom, progress: (@Sendable (Int, Int) -> Void)?
  ) throws -> [ExplainedInstance] {
    let items = try prepared.map { Item(prepared: $0, rows: try rows($0)) }
    guard let width = items.first?.rows.shape[2] else { return [] }
    var best: (network: ScoringNetwork, loss: Double)?
    for restart in 0..<max(1, settings.restarts) {
      let trained = try train(
        items, width: width, random: random.stream(UInt64(restart)), progress: progress)
      if best == nil || trained.loss < best?.loss ?? .infinity { best = trained }
    }
    // At least one training ran.
    guard let network = best?.network else { return [] }
    return try items.map { item in
      let logits = try network.logits(item.rows)
      let per = item.prepared.network.arcsPerEdge
      let local = (0..<item.prepared.network.edgeCount).map { edge in
        sigmoid((0..<per).reduce(0.0) { $0 + logits[edge * per + $1] } / Double(per))
      }
      let inside = Set(item.prepared.candidates)
      return ExplainedInstance(
        id: item.prepared.instance.id,
        scores: item.prepared.spread(local.enumerated().map { inside.contains($0.offset) ? $0.element : 0 }),
        target: item.prepared.target, evaluations: settings.epochs * max(1, settings.restarts) + 1,
        method: "trained")
    }
  }

  /// Embeddings of the ends of every arc, `[1, arcs, width]`.
  private func rows(_ item: Explainer.Prepared) throws -> Tensor<Double> {
    let network = item.network
    let structure = network.graph.structure
    guard let embedding = try model.bindEmbeddings(structure, features: network.graph.paddedFeatures) else {
      throw ExplanationError.notApplicable("PGExplainer needs a model whose node embeddings are known")
    }
    let z = try embedding.run([])[0].float64
    let width = z.shape.dims[z.shape.rank - 1]
    let parts = network.node == nil ? 2 : 3
    var values: [Double] = []
    values.reserveCapacity(network.arcCount * width * parts)
    for arc in 0..<network.arcCount {
      var ends = [Int(structure.arcs.source[arc]), Int(structure.arcs.target[arc])]
      if let node = network.node { ends.append(node) }
      for end in ends { values += z.elements[(end * width)..<((end + 1) * width)] }
    }
    return Tensor([1, network.arcCount, width * parts], values)
  }

  private func train(
    _ items: [Item], width: Int, random: CounterRandom, progress: (@Sendable (Int, Int) -> Void)?
  ) throws -> (network: ScoringNetwork, loss: Double) {
    var generator = random.generator()
    var network = ScoringNetwork(width: width, hidden: settings.hidden, &generator)
    var adam = Adam(count: network.parameters.count, learningRate: settings.learningRate)
    let total = settings.epochs * items.count
    var lossOfEpoch = 0.0
    for epoch in 0..<settings.epochs {
      let ratio = settings.temperatures.last / settings.temperatures.first
      let temperature = settings.temperatures.first * power(ratio, Double(epoch) / Double(settings.epochs))
      lossOfEpoch = 0
      for (index, item) in items.enumerated() {
        let step = try network.step(
          item.rows, item.prepared.network, target: item.prepared.target, temperature: temperature,
          settings: settings, &generator)
        adam.step(&network.parameters, step.gradient)
        lossOfEpoch += step.loss / Double(items.count)
        if index % 16 == 15 { progress?(epoch * items.count + index + 1, total) }
      }
    }
    progress?(total, total)
    return (network, lossOfEpoch)
  }
}

/// The two-layer scoring network; it is an IR graph, trained by the shared backward walk.
private struct ScoringNetwork {
  let width: Int
  let hidden: Int
  /// First weight [width, hidden], first bias, second weight [hidden, 1], second bias.
  var parameters: [Double]

  init(width: Int, hidden: Int, _ generator: inout CounterGenerator) {
    self.width = width
    self.hidden = hidden
    let first = 1 / Double(width).squareRoot()
    let second = 1 / Double(hidden).squareRoot()
    parameters = []
    func draw(_ count: Int, _ limit: Double, _ generator: inout CounterGenerator) -> [Double] {
      (0..<count).map { _ in limit * (2 * generator.uniform() - 1) }
    }
    parameters += draw(width * hidden + hidden, first, &generator)
    parameters += draw(hidden + 1, second, &generator)
  }

  private func graph(_ arcs: Int) throws -> (graph: Graph, weights: [Weight]) {
    let cut1 = width * hidden
    let cut2 = cut1 + hidden
    let cut3 = cut2 + hidden
    let w1 = Weight(Tensor([width, hidden], Array(parameters[0..<cut1])))
    let b1 = Weight(Tensor([1, hidden], Array(parameters[cut1..<cut2])))
    let w2 = Weight(Tensor([hidden, 1], Array(parameters[cut2..<cut3])))
    let b2 = Weight(Tensor([1, 1], Array(parameters[cut3...])))
    var b = GraphBuilder(origin: "PGExplainer", scope: "score/")
    let x = b.input("ends", [arcs, width])
    // Biases are nodes of their own, so that their gradients arrive in their own shape.
    let bias1 = b.constant(b1)
    let bias2 = b.constant(b2)
    let first = Dense(w1, inputShape: [arcs, width])
    let h = try b.affine([(x, first), (bias1, IndexMap.broadcast([1, hidden], to: [arcs, hidden]))])
    let active = b.elementwise(Relu(), h)
    let second = Dense(w2, inputShape: [arcs, hidden])
    b.output(try b.affine([(active, second), (bias2, IndexMap.broadcast([1, 1], to: [arcs, 1]))]))
    return (b.build(), [w1, b1, w2, b2])
  }

  func logits(_ rows: Tensor<Double>) throws -> [Double] {
    if rows.shape[1] == 0 { return [] }
    return try graph(rows.shape[1]).graph.run([rows])[0].float64.elements
  }

  func step(
    _ rows: Tensor<Double>, _ network: MaskedNetwork, target: Int, temperature: Double,
    settings: PGExplainer.Settings, _ generator: inout CounterGenerator
  ) throws -> (gradient: [Double], loss: Double) {
    let arcs = rows.shape[1]
    if arcs == 0 { return ([Double](repeating: 0, count: parameters.count), 0) }
    let (graph, weights) = try graph(arcs)
    var domain = ConcreteDomain(.float64)
    let trace = try graph.interpret([.double(rows)], in: &domain, keepingAll: true)
    let logits = trace.outputs[0].float64.elements
    let mask = logits.map { logit -> Double in
      let u = settings.bias + (1 - 2 * settings.bias) * generator.uniform()
      return sigmoid((logarithm(u) - logarithm(1 - u) + logit) / temperature)
    }
    let (answer, gradient) = try network.gradients(arcFactors: mask, rows: 1) {
      crossEntropyGradient($0, target: target)
    }
    var loss = -Probability.logSoftmax(answer)[target]
    var seed = [Double](repeating: 0, count: arcs)
    for e in 0..<arcs {
      let m = mask[e]
      // The entropy is taken of a mask that is kept away from 0 and 1.
      let soft = 0.99 * m + 0.005
      let entropy = -soft * logarithm(soft) - (1 - soft) * logarithm(1 - soft)
      loss += settings.size * m + settings.entropy * entropy / Double(arcs)
      let slope = logarithm(1 - soft) - logarithm(soft)
      let total = gradient[e] + settings.size + settings.entropy * 0.99 * slope / Double(arcs)
      seed[e] = total * m * (1 - m) / temperature
    }
    var rule = GradientRule<Double>(trace, collectsWeights: true)
    try graph.pullBack([(graph.outputs[0].node, Tensor([1, arcs, 1], seed))], rule: &rule)
    var result: [Double] = []
    for weight in weights {
      if let found = rule.weightGradients[ObjectIdentifier(weight)] {
        result += found.gradient.elements
      } else {
        result += [Double](repeating: 0, count: weight.values.count)
      }
    }
    return (result, loss)
  }
}
