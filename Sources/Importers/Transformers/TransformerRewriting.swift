import FileFormats
import IR
import Language
import Operators
import Tensors

/// Turns the graph of an ONNX file into that of a ``Transformer``: values of shape `[1, positions, width]` lose the
/// leading 1, written-out attention becomes ``Attention``, normalisations become ``LayerNormalization``.
struct TransformerRewriting {
  private let graph: Graph
  private let file: String
  private let recognition: AttentionRecognition
  private let attentions: [RecognisedAttention]
  /// By attention: the residual stream it reads from.
  private let residuals: [NodeID]
  private var builder = GraphBuilder()
  /// By node of the file's graph: the node that stands for it.
  private var image: [NodeID: NodeID] = [:]
  private var layers: [Transformer.Layer] = []
  private var cleaning: [NodeID: Transformer.Cleaning] = [:]

  /// The first residual stream.
  var root: NodeID { residuals[0] }

  /// - Throws: `FileError` if there is no attention; `UnsupportedOperator` if it is of an unknown kind.
  init(_ graph: Graph, file: String) throws {
    self.graph = graph
    self.file = file
    recognition = AttentionRecognition(graph)
    attentions = try recognition.all()
    guard let first = attentions.first else {
      throw FileError(file: file, reason: "no attention was recognised in the network")
    }
    guard
      attentions.allSatisfy({
        $0.positions == first.positions && $0.heads == first.heads && $0.headWidth == first.headWidth
      })
    else { throw FileError(file: file, reason: "attention of different sizes is not supported") }
    let finder = recognition
    residuals = try attentions.map { attention in
      guard let node = Self.residual(graph, finder, attention) else {
        throw FileError(
          file: file, place: "node \(graph[attention.result].name)",
          reason: "the residual stream around this attention was not found")
      }
      return node
    }
    let width = first.heads * first.headWidth
    guard graph[residuals[0]].shape.count == first.positions * width else {
      throw FileError(
        file: file, reason: "a model width unlike the heads' joint width \(width) is not supported")
    }
  }

  /// The stream that the attention's result is added to; without such a sum what the queries are computed from.
  private static func residual(
    _ graph: Graph, _ recognition: AttentionRecognition, _ attention: RecognisedAttention
  ) -> NodeID? {
    var node = attention.result
    while recognition.consumers(of: node).count == 1, let next = recognition.consumers(of: node).first,
      case .affine(let affine) = graph[next].operation
    {
      if affine.maps.count == 2, let other = graph[next].inputs.first(where: { $0 != node }) { return other }
      if affine.maps.count != 1 { break }
      node = next
    }
    var source = attention.query.node
    while case .affine(let affine) = graph[source].operation, affine.maps.count == 1 {
      source = graph[source].inputs[0]
    }
    if case .composite = graph[source].operation { source = graph[source].inputs[0] }
    return source
  }

  /// `[1, a, b]` becomes `[a, b]`.
  private func squeezed(_ shape: Shape) -> Shape {
    shape.rank == 3 && shape[0] == 1 ? Shape(Array(shape.dims.dropFirst())) : shape
  }

  /// The rewritten graph.
  ///
  /// - Throws: `FileError` if the network cannot be cut at its first residual stream.
  mutating func transformer(vocabulary: Int?) throws -> Transformer {
    let first = attentions[0]
    let width = first.heads * first.headWidth
    image[root] = builder.input("embeddings", [first.positions, width])
    guard let output = graph.outputs.first?.node else {
      throw FileError(file: file, reason: "there is no output")
    }
    let needed = neededNodes(output)
    let byResult = Dictionary(
      uniqueKeysWithValues: attentions.enumerated().map { ($0.element.result, $0.offset) })
    let dependent = graph.dependents(of: [root])
    for node in graph.nodes where needed.contains(node.id) && node.id != root {
      builder.origin = node.origin
      if let place = byResult[node.id] {
        try append(attentions[place], place, node)
      } else if dependent[node.id] {
        // Part of a norm that stands at its last node.
        if let (unit, x) = writtenOutNorm(endingAt: node) {
          let x = try argument(x, unit.shape)
          image[node.id] = try builder.composite(unit, [x], name: node.name)
        } else {
          image[node.id] = try rewritten(node)
        }
      } else if case .constant(let weight) = node.operation {
        image[node.id] = builder.constant(weight, type: node.elementType, name: node.name)
      } else {
        throw FileError(
          file: file, place: "node \(node.name)",
          reason: "it reaches the blocks past the embeddings, so that the network has no one residual stream")
      }
    }
    // Every output that depends on the stream has an image; `needed` ends at the output.
    guard dependent[output], let final = image[output] else {
      throw FileError(file: file, reason: "the output does not depend on the recognised attention")
    }
    markMLPs()
    for (place, residual) in residuals.enumerated() where place < layers.count {
      layers[place].input = image[residual] ?? layers[place].input
      layers[place].output = place + 1 < residuals.count ? image[residuals[place + 1]] ?? final : final
    }
    builder.output(final, name: "logits")
    return finished(final, first, width, vocabulary)
  }

  /// What the output needs, not looking behind the root or into the parts that attention units replace.
  private func neededNodes(_ output: NodeID) -> Set<NodeID> {
    var needed: Set<NodeID> = []
    var open = [output]
    let byResult = Dictionary(uniqueKeysWithValues: attentions.map { ($0.result, $0) })
    while let id = open.popLast() {
      guard needed.insert(id).inserted, id != root else { continue }
      if let attention = byResult[id] {
        open += [attention.query.node, attention.key.node, attention.value.node]
      } else {
        open += graph[id].inputs
      }
    }
    return needed
  }

  private mutating func append(_ attention: RecognisedAttention, _ place: Int, _ node: Node) throws {
    let shape: Shape = [attention.positions, attention.heads * attention.headWidth]
    var parts: [NodeID] = []
    for (name, part) in [("q", attention.query), ("k", attention.key), ("v", attention.value)] {
      // Inputs precede their users, so there is an image.
      guard let source = image[part.node] else {
        throw GraphError(node: node.name, reason: "is not in order")
      }
      let from = builder[source].shape
      let isPlain = from == shape && part.index.indices.allSatisfy { Int(part.index[$0]) == $0 }
      let map: any LinearMap =
        isPlain ? Reshape.identity(shape) : IndexMap(from, to: shape, index: part.index)
      parts.append(try builder.linear(map, source, name: "layer\(place).\(name)"))
    }
    let unit = try Attention(
      positions: attention.positions, heads: attention.heads, headWidth: attention.headWidth,
      scale: attention.scale, isCausal: attention.isCausal, hidden: attention.hidden)
    let z = try builder.composite(unit, parts, name: "layer\(place).z")
    // Back to [.., heads, positions, headWidth], as the rest of the graph reads it.
    let (n, h, d) = (attention.positions, attention.heads, attention.headWidth)
    let index = (0..<node.shape.count).map { i -> Int32 in
      let (head, rest) = i.quotientAndRemainder(dividingBy: n * d)
      let (position, c) = rest.quotientAndRemainder(dividingBy: d)
      return Int32((position * h + head) * d + c)
    }
    image[node.id] = try builder.linear(IndexMap(shape, to: squeezed(node.shape), index: index), z)
    layers.append(
      Transformer.Layer(
        input: z, query: parts[0], key: parts[1], value: parts[2], z: z, output: z,
        projection: Weight(Tensor<Double>([0], []))))
  }

  /// A node's image under the shape that its operation wants.
  private mutating func argument(_ id: NodeID, _ shape: Shape) throws -> NodeID {
    guard let own = image[id] else { throw GraphError(node: graph[id].name, reason: "is not in order") }
    let have = builder[own].shape
    return have == shape ? own : try builder.linear(Reshape(have, to: shape), own)
  }

  private mutating func rewritten(_ node: Node) throws -> NodeID {
    let shape = squeezed(node.shape)
    switch node.operation {
    case .affine(let affine):
      var terms: [(node: NodeID, map: any LinearMap)] = []
      for (input, map) in zip(node.inputs, affine.maps) {
        guard let source = image[input] else { throw GraphError(node: node.name, reason: "is not in order") }
        terms.append((source, adapted(map, from: builder[source].shape, to: shape)))
      }
      let bias = affine.bias.map { Weight($0.values.reshaped(shape)) }
      return try builder.affine(terms, bias: bias, disjoint: affine.disjoint, name: node.name)
    case .elementwise(let f):
      let x = try argument(node.inputs[0], shape)
      return builder.elementwise(f, x, name: node.name)
    case .composite(let composite):
      if let norm = composite as? Normalization, let unit = layerNormalization(norm, shape) {
        return try builder.composite(unit, [try argument(node.inputs[0], shape)], name: node.name)
      }
    default: break
    }
    let inputs = try node.inputs.map { try argument($0, graph[$0].shape) }
    let own = builder.append(
      node.operation, inputs: inputs, shape: node.shape, type: node.elementType, name: node.name)
    return shape == node.shape ? own : try builder.linear(Reshape(node.shape, to: shape), own)
  }

  private func adapted(_ map: any LinearMap, from input: Shape, to output: Shape) -> any LinearMap {
    if map.inputShape == input, map.outputShape == output { return map }
    if let dense = map as? Dense, input.rank == 2 {
      return Dense(dense.weight, inputShape: input, transposed: dense.isTransposed)
    }
    if map is Reshape { return Reshape(input, to: output) }
    return ReshapedMap(map, from: input, to: output)
  }

  /// A normalisation, the multiplication by its gain and the addition of its shift as nodes of their own: the unit of
  /// all three, and what it normalises.
  private func writtenOutNorm(endingAt last: Node) -> (LayerNormalization, NodeID)? {
    guard case .affine(let sum) = last.operation, sum.maps.count == 1, let shift = sum.bias else {
      return nil
    }
    var node = last
    var scale = Tensor<Double>(repeating: 1, [1] + last.shape)
    // The gain is in the same node or in the one before.
    for _ in 0..<2 {
      guard case .affine(let affine) = node.operation, affine.maps.count == 1,
        node.id == last.id || affine.bias == nil && onlyConsumer(node.id) == last.id
      else { break }
      guard scales(affine.maps[0]) else { return nil }
      scale = affine.maps[0].apply(scale)
      node = graph[node.inputs[0]]
    }
    guard case .composite(let unit) = node.operation, let norm = unit as? Normalization, norm.scale == nil,
      norm.bias == nil, recognition.consumers(of: node.id).count == 1,
      let whole = try? Normalization(
        name: norm.name, shape: norm.shape, blockLength: norm.blockLength, epsilon: norm.epsilon,
        isCentered: norm.isCentered, scale: Weight(scale.reshaped(norm.shape)),
        bias: Weight(shift.values.reshaped(norm.shape))),
      let result = layerNormalization(whole, squeezed(norm.shape))
    else { return nil }
    return (result, node.inputs[0])
  }

  /// Whether a map multiplies every element by a number of its own.
  private func scales(_ map: any LinearMap) -> Bool {
    if let rounded = map as? RoundedCoefficients { return scales(rounded.base) }
    return map is Diagonal || (map as? Reshape).map { $0.inputShape == $0.outputShape } ?? false
  }

  /// A normalisation of rows with one gain and shift per feature.
  private func layerNormalization(_ norm: Normalization, _ shape: Shape) -> LayerNormalization? {
    guard norm.isCentered, norm.blockLength == shape.dims.last else { return nil }
    let n = norm.blockLength
    func perFeature(_ weight: Weight?, _ fallback: Double) -> Weight? {
      guard let values = weight?.values.elements else { return Weight(Tensor(repeating: fallback, [n])) }
      guard values.indices.allSatisfy({ values[$0] == values[$0 % n] }) else { return nil }
      return Weight(Tensor([n], Array(values.prefix(n))))
    }
    guard let gain = perFeature(norm.scale, 1), let shift = perFeature(norm.bias, 0) else { return nil }
    return try? LayerNormalization(shape: shape, gain: gain, shift: shift, epsilon: norm.epsilon)
  }

  // MARK: Places of sign cleaning

  private func onlyConsumer(_ node: NodeID) -> NodeID? {
    let all = recognition.consumers(of: node)
    return all.count == 1 ? all[0] : nil
  }

  /// Follows a node through maps of one input to the sum that adds it to the residual stream.
  private func sum(after node: NodeID) -> (map: NodeID, sum: NodeID)? {
    var last = node
    while let next = onlyConsumer(last), case .affine(let affine) = graph[next].operation {
      if affine.maps.count == 2 { return (last, next) }
      if affine.maps.count != 1 { return nil }
      last = next
    }
    return nil
  }

  /// A norm that is all that reads a node, as in blocks that end in one.
  private func norm(after node: NodeID) -> NodeID? {
    guard let next = onlyConsumer(node), case .composite(let unit) = graph[next].operation,
      unit is Normalization
    else { return nil }
    return next
  }

  private mutating func mark(_ node: NodeID, _ kind: Transformer.Cleaning) {
    if let own = image[node], cleaning[own] == nil { cleaning[own] = kind }
  }

  /// MLPs are activations between two maps whose result is added to the stream.
  private mutating func markMLPs() {
    for node in graph.nodes where image[node.id] != nil && node.id != root {
      guard case .elementwise = node.operation, node.shape.count % attentions[0].positions == 0,
        let (map, sum) = sum(after: node.id)
      else { continue }
      mark(node.inputs[0], .always)
      mark(map, .always)
      mark(sum, .always)
      if let norm = norm(after: sum) { mark(norm, .always) }
    }
    // Blocks that end in norms are cleaned throughout, if that is wanted.
    for (place, attention) in attentions.enumerated() where place < layers.count {
      guard let (map, sum) = sum(after: attention.result), let norm = norm(after: sum) else { continue }
      cleaning[layers[place].z] = .attentionBlock
      for node in [map, sum, norm] { mark(node, .attentionBlock) }
    }
  }

  private func finished(_ output: NodeID, _ first: RecognisedAttention, _ width: Int, _ vocabulary: Int?)
    -> Transformer
  {
    let shape = builder[output].shape
    let count = shape.dims.last ?? 1
    let isRowwise = shape.rank == 2 && shape[0] == first.positions && first.positions > 1
    let kind: Transformer.OutputKind
    if let vocabulary, count == vocabulary {
      kind = .tokens
    } else if isRowwise {
      kind = count == width ? .hidden : .tokens
    } else {
      kind = .classes
    }
    let inner = cleaning.keys.map { builder[$0].shape.dims.last ?? 0 }.max() ?? width
    return Transformer(
      configuration: ModelConfiguration(
        recognised: attentions.contains { $0.isCausal } ? .gpt2 : .bert, layers: attentions.count,
        heads: first.heads, width: width, innerWidth: max(1, inner), vocabulary: vocabulary,
        positions: first.positions),
      graph: builder.build(), positions: first.positions, layers: layers, final: output, output: output,
      outputKind: kind, cleaning: cleaning, unembedding: nil, isRecognised: true)
  }
}
