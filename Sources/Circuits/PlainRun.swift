import CKernels
import Domains
import IR
import Importers
import Operators
import Tensors

/// The plain forward pass on some prompts with every value kept: what decompositions and ablations start from, so that
/// nothing before their first change is computed twice.
public struct PlainRun: Sendable {
  public let transformer: Transformer
  /// Prompts of the batch.
  public let prompts: Int
  private let values: [Tensor<Double>?]
  /// By LayerNorm node: 1 / sqrt(var + epsilon) of every row.
  private let scales: [NodeID: [Double]]
  /// By z node: the attention patterns `[prompts, heads, positions, positions]`.
  private let patterns: [NodeID: Tensor<Double>]

  /// - Parameter embeddings: `[prompts, positions, width]`.
  /// - Throws: what the interpreter throws.
  public init(_ transformer: Transformer, embeddings: Tensor<Double>, patterns wanted: Bool = true) throws {
    var domain = ConcreteDomain(.float64)
    let trace = try transformer.graph.interpret([.double(embeddings)], in: &domain, keepingAll: true)
    let values = trace.values.map { $0?.float64 }
    var scales: [NodeID: [Double]] = [:]
    var patterns: [NodeID: Tensor<Double>] = [:]
    for node in transformer.graph.nodes {
      guard case .composite(let composite) = node.operation else { continue }
      if let norm = composite as? LayerNormalization, let x = values[node.inputs[0]] {
        let rows = x.count / norm.width
        scales[node.id] = [Double](unsafeUninitializedCapacity: rows) { out, count in
          if let base = out.baseAddress {
            x.withPointer { ck_norm_scale(Int64(rows), Int64(norm.width), $0, norm.epsilon, base) }
          }
          count = rows
        }
      } else if wanted, let attention = composite as? Attention {
        patterns[node.id] = attention.values(node.inputs.compactMap { values[$0] }, patterns: true).patterns
      }
    }
    self.init(transformer, prompts: embeddings.batch, values: values, scales: scales, patterns: patterns)
  }

  private init(
    _ transformer: Transformer, prompts: Int, values: [Tensor<Double>?], scales: [NodeID: [Double]],
    patterns: [NodeID: Tensor<Double>]
  ) {
    self.transformer = transformer
    self.prompts = prompts
    self.values = values
    self.scales = scales
    self.patterns = patterns
  }

  /// Some of the prompts.
  public func prompts(_ range: Range<Int>) -> PlainRun {
    if range == 0..<prompts { return self }
    func part(_ tensor: Tensor<Double>) -> Tensor<Double> {
      tensor.batch == prompts ? tensor.examples(range) : tensor
    }
    let scales = scales.mapValues { scale -> [Double] in
      let rows = scale.count / prompts
      return Array(scale[range.lowerBound * rows..<range.upperBound * rows])
    }
    return PlainRun(
      transformer, prompts: range.count, values: values.map { $0.map(part) }, scales: scales,
      patterns: patterns.mapValues(part))
  }

  /// The value of a node, `[prompts] + shape`. Precondition: the output needs the node.
  public func value(_ node: NodeID) -> Tensor<Double> {
    // Everything a decomposition or an ablation visits is an ancestor of the output, and the walk keeps all of those;
    // what a user picks by name is filtered with `has` first.
    guard let value = values[node] else { preconditionFailure("node \(node) was not computed") }
    return value
  }

  func scale(_ node: NodeID) -> [Double]? { scales[node] }
  func pattern(_ node: NodeID) -> Tensor<Double>? { patterns[node] }

  /// Whether the walk computed the node.
  public func has(_ node: NodeID) -> Bool { values[node] != nil }
}
