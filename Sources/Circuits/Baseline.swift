import Importers
import Tensors

/// What stands for "this head does nothing in particular": the z that replaces a node's own.
public struct Baseline: Sendable {
  /// How the values came about.
  public enum Kind: String, Sendable, Hashable {
    /// The mean z over corrupted prompts.
    case mean
    case zero
    /// The z of every prompt's own corrupted counterpart.
    case resample
  }

  public var kind: Kind
  public var positions: Int
  public var heads: Int
  public var headWidth: Int
  /// One per layer: `[1, positions, width]`, or `[prompts, positions, width]` when resampled.
  public var layers: [Tensor<Double>]

  public init(kind: Kind, positions: Int, heads: Int, headWidth: Int, layers: [Tensor<Double>]) {
    self.kind = kind
    self.positions = positions
    self.heads = heads
    self.headWidth = headWidth
    self.layers = layers
  }

  /// All zeros.
  public static func zero(_ transformer: Transformer) -> Baseline {
    let zeros = Tensor<Double>.zeros([1, transformer.positions, transformer.width])
    return Baseline(
      kind: .zero, positions: transformer.positions, heads: transformer.heads,
      headWidth: transformer.headWidth,
      layers: transformer.layers.map { _ in zeros })
  }

  /// The mean of z over the prompts of a run.
  public static func mean(of run: PlainRun) -> Baseline {
    let transformer = run.transformer
    let layers = transformer.layers.map { layer -> Tensor<Double> in
      let z = run.value(layer.z)
      var sum = Tensor<Double>.zeros([1, transformer.positions, transformer.width])
      for r in 0..<z.batch { sum += z.example(r) }
      let count = Double(z.batch)
      return sum.map { $0 / count }
    }
    return Baseline(
      kind: .mean, positions: transformer.positions, heads: transformer.heads,
      headWidth: transformer.headWidth,
      layers: layers)
  }

  /// The z of every prompt of a run.
  public static func resample(of run: PlainRun) -> Baseline {
    let transformer = run.transformer
    return Baseline(
      kind: .resample, positions: transformer.positions, heads: transformer.heads,
      headWidth: transformer.headWidth, layers: transformer.layers.map { run.value($0.z) })
  }

  /// The first element of a node's vector for a prompt.
  package func offset(_ node: HeadNode, prompt: Int) -> Int {
    let width = heads * headWidth
    let example = layers[node.layer].batch == 1 ? 0 : prompt
    return (example * positions + node.position) * width + node.head * headWidth
  }

  /// Prompts `range` of a resampled baseline; others stay as they are.
  func prompts(_ range: Range<Int>) -> Baseline {
    guard kind == .resample else { return self }
    var result = self
    result.layers = layers.map { $0.examples(range) }
    return result
  }
}
