import FileFormats
import IR
import Language
import Operators
import Tensors

extension TransformerModel {
  /// Which rows of the last block and of the output a graph computes.
  public enum Rows: Sendable, Hashable {
    case all
    /// Only the last position of a language model: everything before it in the last block (z included) stays
    /// addressable, the MLP and the output are computed for one row.
    case last
  }

  /// The graph for sequences of one length.
  ///
  /// - Parameters:
  ///   - positions: tokens of the sequence.
  ///   - rows: ignored by models of the BERT family.
  ///   - hidden: padded positions that attention does not see (BERT family only).
  /// - Throws: `UnsupportedOperator` for an activation that is not known; `FileError` if the sequence is too long.
  public func lower(positions: Int, rows: Rows = .all, hidden: [Bool] = []) throws -> Transformer {
    guard positions > 0, positions <= configuration.longestSequence else {
      throw FileError(
        file: folder.path,
        reason: "the model reads 1 to \(configuration.longestSequence) tokens, not \(positions)")
    }
    if let network = try sized(positions) {
      if network.transformer.positions == positions { return network.transformer }
      return try RecognisedTransformer(path: folder.path, positions: positions).transformer
    }
    var lowering = Lowering(model: self, positions: positions, hidden: hidden)
    switch configuration.family {
    case .gpt2: return try lowering.gpt2(rows)
    case .bert: return try lowering.bert()
    }
  }

  /// One construction of a graph.
  private struct Lowering {
    let model: TransformerModel
    let positions: Int
    let hidden: [Bool]
    var builder = GraphBuilder()
    var cleaning: [NodeID: Transformer.Cleaning] = [:]
    var layers: [Transformer.Layer] = []

    init(model: TransformerModel, positions: Int, hidden: [Bool]) {
      self.model = model
      self.positions = positions
      self.hidden = hidden
    }

    var configuration: ModelConfiguration { model.configuration }
    var width: Int { configuration.width }

    mutating func linear(_ x: NodeID, _ linear: TransformerModel.Linear, _ name: String) throws -> NodeID {
      builder.origin = "Linear"
      let shape = builder[x].shape
      let map = Dense(linear.weight, inputShape: shape)
      // The graph wants a bias of the output's shape: one copy for every row.
      let bias = linear.bias.map { bias -> Weight in
        let rows = map.outputShape.count / bias.count
        return Weight(bias.reshaped([1, bias.count]).repeatedBatch(rows).reshaped(map.outputShape))
      }
      return try builder.linear(map, x, bias: bias, name: name)
    }

    mutating func norm(_ x: NodeID, _ norm: TransformerModel.Norm, _ name: String) throws -> NodeID {
      builder.origin = "LayerNormalization"
      if configuration.centersOnly {
        let shape = builder[x].shape
        let shift = Weight(norm.shift.values.repeatedRows(shape[0]))
        return try builder.linear(
          Dense(Centering.matrix(norm.gain), inputShape: shape), x, bias: shift, name: name)
      }
      let composite = try LayerNormalization(
        shape: builder[x].shape, gain: norm.gain, shift: norm.shift, epsilon: configuration.epsilon)
      return try builder.composite(composite, [x], name: name)
    }

    mutating func add(_ a: NodeID, _ b: NodeID, _ name: String) throws -> NodeID {
      builder.origin = "Add"
      let same = Reshape.identity(builder[a].shape)
      return try builder.affine([(a, same), (b, same)], name: name)
    }

    mutating func row(_ x: NodeID, _ row: Int, _ name: String) throws -> NodeID {
      let shape = builder[x].shape
      if shape[0] == 1 { return x }
      builder.origin = "Slice"
      let map = IndexMap.slice(shape, starts: [row, 0], counts: [1, shape[1]], steps: [1, 1])
      return try builder.linear(map, x, name: name)
    }

    mutating func activation(_ x: NodeID, _ activation: String, _ name: String) throws -> NodeID {
      builder.origin = activation
      return builder.elementwise(try Self.function(activation), x, name: name)
    }

    static func function(_ name: String) throws -> any ElementwiseFunction {
      switch name {
      case "relu": return Relu()
      case "silu", "swish": return Silu()
      // x sigmoid(1.702 x), Hendrycks and Gimpel's cheaper form.
      case "quick_gelu": return Silu(alpha: 1.702)
      case "mish": return Mish()
      case "sigmoid": return Sigmoid()
      case "leaky_relu": return Relu(negativeSlope: 0.01)
      case "relu6": return Clip(0, 6)
      case "gelu", "gelu_python": return Gelu()
      case "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate":
        return GeluTanh()
      case "tanh": return Tanh()
      default:
        throw UnsupportedOperator(
          node: "config.json", operatorName: name, reason: "the activation is not known")
      }
    }

    /// Queries, keys, values and z of a block.
    mutating func attention(_ x: NodeID, _ block: TransformerModel.Block, _ layer: Int, causal: Bool) throws
      -> (
        query: NodeID, key: NodeID, value: NodeID, z: NodeID
      )
    {
      let q = try linear(x, block.query, "layer\(layer).q")
      let k = try linear(x, block.key, "layer\(layer).k")
      let v = try linear(x, block.value, "layer\(layer).v")
      var scale = configuration.scalesAttention ? 1 / Double(configuration.headWidth).squareRoot() : 1
      if configuration.scalesByLayer { scale /= Double(layer + 1) }
      let composite = try Attention(
        positions: positions, heads: configuration.heads, headWidth: configuration.headWidth, scale: scale,
        isCausal: causal, hidden: causal ? [] : hidden)
      builder.origin = "Attention"
      return (q, k, v, try builder.composite(composite, [q, k, v], name: "layer\(layer).z"))
    }

    mutating func gpt2(_ rows: Rows) throws -> Transformer {
      // Hidden states are wanted of all positions.
      let rows = model.outputKind == .hidden ? .all : rows
      var x = builder.input("embeddings", [positions, width])
      for (layer, block) in model.blocks.enumerated() {
        let scope = "layer\(layer)"
        let input = x
        let n = try norm(x, block.norm1, "\(scope).norm1")
        let (q, k, v, z) = try attention(n, block, layer, causal: true)
        var mixed = z
        if rows == .last, layer == model.blocks.count - 1 {
          mixed = try row(z, positions - 1, "\(scope).z.last")
          x = try row(x, positions - 1, "\(scope).input.last")
        }
        let o = try linear(mixed, block.projection, "\(scope).attention")
        x = try add(x, o, "\(scope).middle")
        let m = try norm(x, block.norm2, "\(scope).norm2")
        let u = try linear(m, block.inner, "\(scope).inner")
        let a = try activation(u, configuration.activation, "\(scope).activation")
        let out = try linear(a, block.outer, "\(scope).mlp")
        x = try add(x, out, "\(scope).output")
        for node in [u, out, x] { cleaning[node] = .always }
        layers.append(
          Transformer.Layer(
            input: input, query: q, key: k, value: v, z: z, output: x, projection: block.projection.weight))
      }
      // Models of this family always have a final norm and an unembedding.
      if let finalNorm = model.finalNorm { x = try norm(x, finalNorm, "final") }
      var output = x
      var unembedding: Weight?
      if case .tokens(let head) = model.head {
        output = try linear(x, head, "logits")
        unembedding = head.bias == nil ? head.weight : nil
      }
      if case .classes(let classifier) = model.head {
        output = try classes(try row(x, builder[x].shape[0] - 1, "last"), classifier)
      }
      return finished(final: x, output: output, unembedding: unembedding)
    }

    mutating func bert() throws -> Transformer {
      var x = builder.input("embeddings", [positions, width])
      for (layer, block) in model.blocks.enumerated() {
        let scope = "layer\(layer)"
        let input = x
        let (q, k, v, z) = try attention(x, block, layer, causal: false)
        let o = try linear(z, block.projection, "\(scope).attention")
        let sum = try add(o, x, "\(scope).middle")
        let a = try norm(sum, block.norm1, "\(scope).norm1")
        for node in [z, o, sum, a] { cleaning[node] = .attentionBlock }
        let u = try linear(a, block.inner, "\(scope).inner")
        let f = try activation(u, configuration.activation, "\(scope).activation")
        let out = try linear(f, block.outer, "\(scope).mlp")
        let y = try add(out, a, "\(scope).sum")
        x = try norm(y, block.norm2, "\(scope).output")
        for node in [u, out, y, x] { cleaning[node] = .always }
        layers.append(
          Transformer.Layer(
            input: input, query: q, key: k, value: v, z: z, output: x, projection: block.projection.weight))
      }
      var output = x
      if case .classes(let classifier) = model.head {
        output = try classes(try row(x, 0, "first"), classifier)
      }
      return finished(final: x, output: output, unembedding: nil)
    }

    mutating func classes(_ x: NodeID, _ classifier: TransformerModel.Classifier) throws -> NodeID {
      guard let dense = classifier.dense else { return try linear(x, classifier.output, "logits") }
      let pooled = try activation(try linear(x, dense, "pooler"), classifier.activation, "pooled")
      return try linear(pooled, classifier.output, "logits")
    }

    mutating func finished(final: NodeID, output: NodeID, unembedding: Weight?) -> Transformer {
      builder.output(output, name: model.outputKind == .hidden ? "hidden" : "logits")
      return Transformer(
        configuration: configuration, graph: builder.build(), positions: positions, layers: layers,
        final: final,
        output: output, outputKind: model.outputKind, cleaning: cleaning, unembedding: unembedding)
    }
  }
}
