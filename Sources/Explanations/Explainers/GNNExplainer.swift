/// Learns a soft mask per instance that keeps the prediction with few edges.
///
/// Ying et al., "GNNExplainer: Generating Explanations for Graph Neural Networks" (NeurIPS 2019); constants and the
/// handling of edges without influence as in the common graph library.
public struct GNNExplainer: Sendable {
  public struct Settings: Sendable {
    public var epochs = 100
    public var learningRate = 0.01
    /// Weight of the sum of the mask.
    public var size = 0.005
    /// Weight of the mean entropy of the mask.
    public var entropy = 1.0

    public init() {}
  }

  public let settings: Settings

  public init(settings: Settings) { self.settings = settings }

  /// One score per edge: the mean of its directions.
  func train(
    _ network: MaskedNetwork, target: Int, random: CounterRandom
  ) throws -> (scores: [Double], steps: Int) {
    let directed = try trainArcs(network, target: target, random: random)
    let per = network.arcsPerEdge
    let scores = (0..<network.edgeCount).map { edge in
      (0..<per).reduce(0.0) { $0 + directed[edge * per + $1] } / Double(per)
    }
    return (scores, settings.epochs)
  }

  /// One score per arc.
  func trainArcs(_ network: MaskedNetwork, target: Int, random: CounterRandom) throws -> [Double] {
    let arcs = network.arcCount
    var generator = random.generator()
    let spread = (2.0).squareRoot() * (2 / (2 * Double(network.graph.nodeCount))).squareRoot()
    var parameters = (0..<arcs).map { _ in spread * generator.normal() }
    var adam = Adam(count: arcs, learningRate: settings.learningRate)
    var influences = [Bool](repeating: true, count: arcs)
    for epoch in 0..<settings.epochs {
      let mask = parameters.map(sigmoid)
      let (_, gradient) = try network.gradients(arcFactors: mask, rows: 1) { logits in
        crossEntropyGradient(logits, target: target)
      }
      if epoch == 0 {
        // Edges beyond the receptive field have gradients of exactly zero and stay out of the explanation.
        influences = gradient.map { $0 != 0 }
      }
      let active = Double(max(1, influences.reduce(0) { $0 + ($1 ? 1 : 0) }))
      var total = [Double](repeating: 0, count: arcs)
      for e in 0..<arcs {
        let m = mask[e]
        var slope = gradient[e]
        if influences[e] { slope += settings.size + settings.entropy / active * entropySlope(m) }
        total[e] = slope * m * (1 - m)
      }
      adam.step(&parameters, total)
    }
    return parameters.indices.map { influences[$0] ? sigmoid(parameters[$0]) : 0 }
  }
}

/// 1 / (1 + exp(-x)).
func sigmoid(_ x: Double) -> Double { 1 / (1 + exponential(-x)) }

/// The derivative of -log softmax(z)_y in z.
func crossEntropyGradient(_ logits: [Double], target: Int) -> [Double] {
  var result = Probability.softmax(logits)
  result[target] -= 1
  return result
}

/// The derivative of -m log m - (1 - m) log(1 - m), with the small constant that keeps logarithms finite.
func entropySlope(_ m: Double) -> Double {
  let eps = 1e-15
  return logarithm(1 - m + eps) - logarithm(m + eps)
}

/// Adam (Kingma and Ba 2015) with the usual constants.
struct Adam {
  let learningRate: Double
  private var first: [Double]
  private var second: [Double]
  private var step = 0

  init(count: Int, learningRate: Double) {
    self.learningRate = learningRate
    first = [Double](repeating: 0, count: count)
    second = first
  }

  mutating func step(_ parameters: inout [Double], _ gradient: [Double]) {
    step += 1
    let b1 = 1 - power(0.9, Double(step))
    let b2 = 1 - power(0.999, Double(step))
    for i in parameters.indices {
      first[i] = 0.9 * first[i] + 0.1 * gradient[i]
      second[i] = 0.999 * second[i] + 0.001 * gradient[i] * gradient[i]
      parameters[i] -= learningRate * (first[i] / b1) / ((second[i] / b2).squareRoot() + 1e-8)
    }
  }
}
