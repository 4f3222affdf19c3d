import IR
import Operators
import Tensors

extension GraphNetworkBinder {
  /// The coefficients of arcs and self-loops, computed once per kind.
  mutating func coefficients(_ kind: CoefficientKind) throws -> Coefficients {
    if let known = coefficients[kind] { return known }
    let outer = (builder.scope, builder.origin)
    builder.scope = "coefficients/"
    builder.origin = "graph normalisation"
    let made = try makeCoefficients(kind)
    (builder.scope, builder.origin) = outer
    coefficients[kind] = made
    return made
  }

  /// The same for the arcs (then self-loops) of the present neighbourhood.
  mutating func local(_ kind: CoefficientKind) throws -> Coefficients {
    let whole = try coefficients(kind)
    if scope.isWhole { return whole }
    if let known = localCoefficients[kind] { return known }
    let made: Coefficients
    switch whole {
    case .fixed(let values, let roundings):
      made = .fixed(scope.loopedIndex.map { values[Int($0)] }, roundings: roundings)
    case .variable(let node):
      made = .variable(
        try builder.linear(IndexMap([allLooped.count], to: [looped.count], index: scope.loopedIndex), node))
    }
    localCoefficients[kind] = made
    return made
  }

  private mutating func makeCoefficients(_ kind: CoefficientKind) throws -> Coefficients {
    switch kind {
    case .gcn:
      let loops = structure.selfLoops.map { $0 ?? 1 }
      guard loops.allSatisfy({ $0 > 0 }) else {
        throw GraphError(node: network.name, reason: "a graph convolution needs positive self-loops")
      }
      let norm = try GCNNormalization(structure.arcs, selfWeights: loops)
      if masking == .weight || masking == .removal, let mask {
        return .variable(try builder.composite(norm, [try weights(mask)]))
      }
      // Three roundings of degree, root and quotient each for two degrees, and two products.
      return try scaledByMask(fullGraph(norm), roundings: 8 + 2 * structure.arcs.incoming.width)
    case .sum(let selfFactor):
      let loops = structure.selfLoops.map { selfFactor + ($0 ?? 0) }
      return try scaledByMask(structure.weights + loops, roundings: 0)
    case .mean:
      try refuseSelfLoops()
      let zeros = [Double](repeating: 0, count: structure.nodeCount)
      if masking == .removal, let mask { return .variable(try presentMean(mask)) }
      let coefficients = structure.arcs.target.enumerated().map { arc, target -> Double in
        let place = Int(target)
        let group = structure.arcs.incoming
        return structure.weights[arc] / Double(group.start[place + 1] - group.start[place])
      }
      return try scaledByMask(coefficients + zeros, roundings: 1)
    case .presence:
      return try scaledByMask([Double](repeating: 1, count: allLooped.count), roundings: 0)
    case .factors:
      let ones = [Double](repeating: 1, count: structure.nodeCount)
      return try scaledByMask(structure.weights + ones, roundings: 0)
    }
  }

  /// Graph convolution coefficients of the whole graph.
  private func fullGraph(_ norm: GCNNormalization) -> [Double] {
    let weights = Tensor([1, structure.arcs.count], structure.weights)
    // `evaluate` answers for both precisions of the engine.
    return norm.evaluate([weights])?.elements ?? []
  }

  /// Coefficients of arcs (then self-loops) times the mask on the arcs.
  private mutating func scaledByMask(_ values: [Double], roundings: Int) throws -> Coefficients {
    guard let mask else { return .fixed(values, roundings: roundings) }
    let arcs = structure.arcs.count
    let all: Shape = [allLooped.count]
    let scaled = try builder.linear(
      Diagonal(Weight(Tensor([arcs], Array(values[0..<arcs]))), shape: [arcs], roundings: roundings), mask)
    let loops = [Double](repeating: 0, count: arcs) + values[arcs...]
    return .variable(
      try builder.linear(
        IndexMap.embed([arcs], into: all, axis: 0, offset: 0), scaled, bias: Weight(Tensor(all, loops))))
  }

  /// Arc weights times the mask.
  private mutating func weights(_ mask: NodeID) throws -> NodeID {
    if structure.weights.allSatisfy({ $0 == 1 }) { return mask }
    let shape: Shape = [structure.arcs.count]
    return try builder.linear(Diagonal(Weight(Tensor(shape, structure.weights)), shape: shape), mask)
  }

  /// Mean over the arcs that are present: m_e / max(1, sum of m).
  private mutating func presentMean(_ mask: NodeID) throws -> NodeID {
    let arcs: Shape = [structure.arcs.count]
    let perNode: Shape = [structure.nodeCount]
    let all: Shape = [allLooped.count]
    let minusOne = Weight(Tensor(repeating: -1, perNode))
    let one = Weight(Tensor(repeating: 1, perNode))
    let excess = try builder.linear(
      SumMap(arcs, to: perNode, target: structure.arcs.target), mask, bias: minusOne)
    let positive = builder.elementwise(Relu(), excess)
    let count = try builder.linear(Reshape.identity(perNode), positive, bias: one)
    let inverse = builder.elementwise(NegativePower(.one), count)
    let atArc = try builder.linear(IndexMap(perNode, to: arcs, index: structure.arcs.target), inverse)
    guard let form = Multiply(arcs, arcs) else {
      throw GraphError(node: network.name, reason: "shapes differ")
    }
    let coefficient = try builder.product(form, try weights(mask), atArc)
    return try builder.linear(IndexMap.embed(arcs, into: all, axis: 0, offset: 0), coefficient)
  }

  private func refuseSelfLoops() throws {
    if structure.selfLoops.contains(where: { $0 != nil }) {
      throw UnsupportedOperator(
        node: network.name, operatorName: builder.origin,
        reason: "explicit self-loops are not supported for mean, maximum and attention")
    }
  }

  mutating func sage(
    _ x: NodeID, _ aggregator: GraphNetwork.Aggregator, _ neighbours: GraphNetwork.Linear,
    _ own: GraphNetwork.Linear?
  ) throws -> NodeID {
    try refuseSelfLoops()
    let pooled: NodeID
    switch aggregator {
    case .mean: pooled = try aggregate(x, .mean, bias: nil)
    case .maximum: pooled = try maximum(x)
    }
    let left = Dense(neighbours.weight, inputShape: shape(pooled), transposed: !neighbours.isInputMajor)
    var terms: [(node: NodeID, map: any LinearMap)] = [(pooled, left)]
    if let own {
      guard own.inputWidth == width(x) else {
        throw GraphError(node: builder.scope, reason: "a layer of \(own.inputWidth) inputs gets \(width(x))")
      }
      terms.append((x, Dense(own.weight, inputShape: shape(x), transposed: !own.isInputMajor)))
    }
    return try builder.affine(terms, bias: spread(neighbours.bias, left.outputShape))
  }

  /// Values of all arcs, reduced to those of the present neighbourhood.
  private mutating func localArcs(_ value: NodeID) throws -> NodeID {
    if scope.isWhole { return value }
    return try builder.linear(
      IndexMap([structure.arcs.count], to: [scope.arcs.count], index: scope.arcIndex), value)
  }

  private mutating func maximum(_ x: NodeID) throws -> NodeID {
    let arcs = scope.arcs
    let zero = builder.constant(Weight(Tensor([1], [0])), name: nil)
    let isWeighted = !structure.weights.allSatisfy { $0 == 1 }
    if !isWeighted {
      if masking == .removal, let mask {
        return try builder.discrete(
          MaskedMaximum(arcs, width: width(x)), [try localArcs(mask), x], type: builder[x].elementType)
      }
      if mask == nil {
        return try builder.selection(SegmentMaximum.ofNeighbours(arcs, width: width(x)), [x, zero])
      }
    }
    // Messages c_e x_j, one row per arc, then the maximum over the rows of a node.
    let rows: Shape = [arcs.count, width(x)]
    let gather = IndexMap(shape(x), to: rows, index: rowIndex(arcs.source, width(x)))
    var messages = try builder.linear(gather, x)
    if let mask, masking != .removal {
      guard let form = Multiply([arcs.count, 1], rows) else {
        throw GraphError(node: builder.scope, reason: "shapes of messages do not fit")
      }
      let column = try builder.linear(
        Reshape([arcs.count], to: [arcs.count, 1]), try localArcs(weights(mask)))
      messages = try builder.product(form, column, messages)
    } else {
      let factors = scope.arcIndex.map { structure.weights[Int($0)] }.flatMap {
        [Double](repeating: $0, count: width(x))
      }
      messages = try builder.linear(Diagonal(Weight(Tensor(rows, factors)), shape: rows), messages)
    }
    if masking == .removal, let mask {
      return try builder.discrete(
        MaskedMaximum(arcs, width: width(x), ofMessages: true), [try localArcs(mask), messages],
        type: builder[x].elementType)
    }
    return try builder.selection(SegmentMaximum.ofMessages(arcs, width: width(x)), [messages, zero])
  }

  func rowIndex(_ rows: [Int32], _ width: Int) -> [Int32] {
    rows.flatMap { row in (0..<width).map { row * Int32(width) + Int32($0) } }
  }

  mutating func attend(_ x: NodeID, _ attention: GraphNetwork.Attention) throws -> NodeID {
    try refuseSelfLoops()
    let heads = attention.heads
    let channels = attention.channels
    let z = try dense(x, attention.projection, withBias: false)
    let scoreShape: Shape = [nodes, heads]
    let perArc: Shape = [looped.count, heads]
    // a . z per head: a block-diagonal matrix [heads * channels, heads].
    func block(_ vector: Weight) -> Weight {
      var values = [Double](repeating: 0, count: heads * channels * heads)
      for h in 0..<heads {
        for c in 0..<channels {
          values[(h * channels + c) * heads + h] = vector.values.elements[h * channels + c]
        }
      }
      return Weight(Tensor([heads * channels, heads], values))
    }
    let source = try builder.linear(Dense(block(attention.source), inputShape: shape(z)), z)
    let target = try builder.linear(Dense(block(attention.target), inputShape: shape(z)), z)
    let sum = try builder.affine([
      (source, IndexMap(scoreShape, to: perArc, index: rowIndex(looped.source, heads))),
      (target, IndexMap(scoreShape, to: perArc, index: rowIndex(looped.target, heads))),
    ])
    let scores = builder.elementwise(Relu(negativeSlope: attention.negativeSlope), sum)
    let removal = masking == .removal && mask != nil
    let softmax = try EdgeSoftmax(looped, heads: heads, isMasked: removal)
    var arguments = [scores]
    if removal { arguments.append(try node(.presence)) }
    var alpha = try builder.composite(softmax, arguments)
    // Attention is paid to whoever is there; arc weights and masks scale what is said.
    if removal && structure.weights.contains(where: { $0 != 1 }) {
      let values = scope.loopedIndex.flatMap { index -> [Double] in
        let arc = Int(index)
        return [Double](repeating: arc < structure.arcs.count ? structure.weights[arc] : 1, count: heads)
      }
      alpha = try builder.linear(Diagonal(Weight(Tensor(perArc, values)), shape: perArc), alpha)
    } else if !removal && (mask != nil || structure.weights.contains { $0 != 1 }) {
      guard let form = Multiply(perArc, [looped.count, 1]) else {
        throw GraphError(node: builder.scope, reason: "shapes of attention do not fit")
      }
      let column = try builder.linear(Reshape([looped.count], to: [looped.count, 1]), try node(.factors))
      alpha = try builder.product(form, alpha, column)
    }
    if heads == 1 { alpha = try builder.linear(Reshape(perArc, to: [looped.count]), alpha) }
    let mixed = try builder.product(Aggregation(looped, width: heads * channels, heads: heads), alpha, z)
    if attention.concatenates || heads == 1 {
      guard let bias = spread(attention.bias, shape(mixed)) else { return mixed }
      return try builder.linear(Reshape.identity(shape(mixed)), mixed, bias: bias)
    }
    let narrow: Shape = [nodes, channels]
    let average = SumMap(
      shape(mixed), to: narrow,
      target: (0..<shape(mixed).count).map { flat in
        let (node, column) = flat.quotientAndRemainder(dividingBy: heads * channels)
        return Int32(node * channels + column % channels)
      }, denominator: heads)
    return try builder.linear(average, mixed, bias: spread(attention.bias, narrow))
  }

  /// Coefficients as a node.
  private mutating func node(_ kind: CoefficientKind) throws -> NodeID {
    switch try local(kind) {
    case .variable(let node): return node
    case .fixed(let values, _): return builder.constant(Weight(Tensor([values.count], values)))
    }
  }
}
