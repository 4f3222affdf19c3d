import IR
import Operators
import Tensors

extension GraphNetwork {
  /// Which rows of logits the bound graph answers.
  public enum Readout: Sendable, Hashable {
    /// Graph networks: `[classes]`. Node networks: `[nodes, classes]`.
    case all
    /// One node of a node network: `[classes]`.
    case node(Int)
  }

  /// The value that the network reads at its first layer.
  public enum Features: Sendable {
    /// Row-major `[nodes, featureCount]`, built in.
    case constant([Double])
    /// An input `x` of shape `[nodes, featureCount]`.
    case input
  }

  /// Specialises the network to a graph.
  ///
  /// The result has the inputs `x` (unless features are built in) and `mask`, one factor per arc (unless `masking` is
  /// `.none`), in this order, and one output `logits`. Masks are the batch axis: one pass runs many masked graphs.
  ///
  /// - Throws: `GraphError` if the features do not fit, `UnsupportedOperator` for a combination that is not
  ///   supported.
  public func bind(
    _ structure: GraphStructure, features: Features, masking: ArcMasking, readout: Readout = .all
  ) throws -> Graph {
    var binder = GraphNetworkBinder(network: self, structure: structure, masking: masking, readout: readout)
    return try binder.bind(features)
  }
}

/// Lowers one layer after the other.
struct GraphNetworkBinder {
  let network: GraphNetwork
  let structure: GraphStructure
  let masking: ArcMasking
  let readout: GraphNetwork.Readout
  var builder = GraphBuilder(origin: "graph network")
  /// The mask input, if any.
  var mask: NodeID?
  /// Coefficients by kind, shared by all layers.
  var coefficients: [CoefficientKind: Coefficients] = [:]
  /// Arcs of the whole graph followed by one self-loop per node: what coefficients are made for.
  let allLooped: ArcList
  /// The nodes that values have rows for at present.
  var scope: NetworkNeighbourhood
  /// For every layer the nodes whose rows it has to read for the node that is read out; nil where all are needed.
  var needed: [[Int]?]
  /// Values that are never negative: a ReLU of them changes nothing and is left out.
  private var nonNegative: Set<NodeID> = []
  /// Coefficients of the present neighbourhood.
  var localCoefficients: [CoefficientKind: Coefficients] = [:]

  /// What weighs messages.
  enum CoefficientKind: Hashable {
    case gcn
    case sum(selfFactor: Double)
    case mean
    /// Mask factors alone; self-loops 1.
    case presence
    /// Mask factors times arc weights; self-loops 1.
    case factors
  }

  /// Coefficients of an aggregation: built in, or a node `[arcs]`.
  enum Coefficients {
    case fixed([Double], roundings: Int)
    case variable(NodeID)
  }

  init(
    network: GraphNetwork, structure: GraphStructure, masking: ArcMasking, readout: GraphNetwork.Readout
  ) {
    self.network = network
    self.structure = structure
    self.masking = masking
    self.readout = readout
    allLooped = structure.arcs.withSelfLoops()
    scope = NetworkNeighbourhood(whole: structure.arcs)
    needed = Self.needed(network, structure.arcs, readout)
  }

  /// Rows of the values that are computed at present.
  var nodes: Int { scope.nodes.count }
  /// The arcs between these rows, followed by one self-loop per row.
  var looped: ArcList { scope.looped }
  /// Whether values were narrowed to the node that is read out.
  private var isNarrow: Bool {
    if case .node(let node) = readout { return scope.nodes == [node] }
    return false
  }

  private static func needed(
    _ network: GraphNetwork, _ arcs: ArcList, _ readout: GraphNetwork.Readout
  ) -> [[Int]?] {
    var result = [[Int]?](repeating: nil, count: network.layers.count + 1)
    guard case .node(let node) = readout else { return result }
    var reached: Set<Int> = [node]
    result[network.layers.count] = [node]
    for index in network.layers.indices.reversed() {
      let layer = network.layers[index]
      if layer.aggregates {
        for target in reached {
          for place in Int(arcs.incoming.start[target])..<Int(arcs.incoming.start[target + 1]) {
            reached.insert(Int(arcs.incoming.other[place]))
          }
        }
      } else if layer.needsAllNodes {
        break
      }
      result[index] = reached.sorted()
    }
    return result
  }

  func shape(_ id: NodeID) -> Shape { builder[id].shape }

  func width(_ id: NodeID) -> Int { builder[id].shape[1] }

  mutating func bind(_ features: GraphNetwork.Features) throws -> Graph {
    let matrix: Shape = [nodes, network.featureCount]
    var value: NodeID
    switch features {
    case .constant(let values):
      guard values.count == matrix.count else {
        throw GraphError(
          node: network.name,
          reason: "\(values.count) feature entries for \(nodes) nodes of \(network.featureCount) features")
      }
      value = builder.constant(Weight(Tensor(matrix, values)), name: "features")
    case .input: value = builder.input("x", matrix)
    }
    if masking != .none { mask = builder.input("mask", [structure.arcs.count]) }
    var stacked: [NodeID] = []
    for (index, layer) in network.layers.enumerated() {
      builder.scope = "layer\(index)/"
      if let rows = needed[index], rows.count < nodes {
        let all = try narrow([value] + stacked, to: rows)
        (value, stacked) = (all[0], Array(all.dropFirst()))
      }
      switch layer {
      case .stack: stacked.append(value)
      case .concatenateStacked: value = try concatenate(stacked)
      case .gin(let factor, let mlp):
        builder.origin = "gin_conv"
        value = try aggregate(value, .sum(selfFactor: factor), bias: nil)
        // The perceptron runs on the rows that are read afterwards alone.
        if let rows = needed[index + 1], rows.count < nodes {
          let all = try narrow([value] + stacked, to: rows)
          (value, stacked) = (all[0], Array(all.dropFirst()))
        }
        for inner in mlp { value = try lower(inner, value) }
      default: value = try lower(layer, value)
      }
    }
    builder.scope = "readout/"
    if case .node(let node) = readout, !isNarrow { value = try narrow([value], to: [node])[0] }
    let flat: Shape =
      isNarrow || network.task == .graph ? [network.classCount] : [structure.nodeCount, network.classCount]
    guard shape(value).count == flat.count else {
      throw GraphError(
        node: network.name, reason: "the last layer yields \(shape(value)) where \(flat) logits are expected")
    }
    let logits = try builder.linear(Reshape(shape(value), to: flat), value, name: "logits")
    builder.output(logits, name: "logits")
    return builder.build()
  }

  /// Values reduced to the rows of some of the present nodes.
  private mutating func narrow(_ values: [NodeID], to rows: [Int]) throws -> [NodeID] {
    let place = Dictionary(
      uniqueKeysWithValues: scope.nodes.enumerated().map { ($0.element, Int32($0.offset)) })
    let index = rows.compactMap { place[$0] }
    guard index.count == rows.count else {
      throw GraphError(node: network.name, reason: "rows that were dropped are read again")
    }
    let origin = builder.origin
    builder.origin = "neighbourhood"
    let result = try values.map { value in
      try builder.linear(
        IndexMap(shape(value), to: [rows.count, width(value)], index: rowIndex(index, width(value))), value)
    }
    builder.origin = origin
    for (before, after) in zip(values, result) where nonNegative.contains(before) {
      nonNegative.insert(after)
    }
    scope = NetworkNeighbourhood(rows, of: structure.arcs)
    localCoefficients = [:]
    return result
  }

  private mutating func concatenate(_ parts: [NodeID]) throws -> NodeID {
    guard let first = parts.first else { throw GraphError(node: network.name, reason: "nothing was stacked") }
    let rows = shape(first)[0]
    let target: Shape = [rows, parts.reduce(0) { $0 + width($1) }]
    var offset = 0
    var terms: [(node: NodeID, map: any LinearMap)] = []
    for part in parts {
      terms.append((part, IndexMap.embed(shape(part), into: target, axis: 1, offset: offset)))
      offset += width(part)
    }
    return try builder.affine(terms, disjoint: true)
  }

  mutating func lower(_ layer: GraphNetwork.Layer, _ x: NodeID) throws -> NodeID {
    switch layer {
    case .gcn(let linear):
      builder.origin = "gcn_conv"
      let product = try dense(x, linear, withBias: false)
      return try aggregate(product, .gcn, bias: linear.bias)
    case .gin:
      // Handled by the caller, which knows the rows that are read afterwards.
      throw UnsupportedOperator(
        node: network.name, operatorName: "gin_conv", reason: "a convolution inside a layer is not supported")
    case .sage(let aggregator, let neighbours, let own):
      builder.origin = "sage_conv"
      return try sage(x, aggregator, neighbours, own)
    case .gat(let attention):
      builder.origin = "gat_conv"
      return try attend(x, attention)
    case .linear(let linear):
      builder.origin = "linear"
      return try dense(x, linear, withBias: true)
    case .activation(let f):
      builder.origin = f.name
      guard let relu = f as? Relu, relu.negativeSlope == 0 else { return builder.elementwise(f, x) }
      if nonNegative.contains(x) { return x }
      let result = builder.elementwise(f, x)
      nonNegative.insert(result)
      return result
    case .normalizeRows(let eps):
      builder.origin = "l2_normalize"
      let result = try builder.composite(RowNormalization(shape(x), eps: eps), [x])
      if nonNegative.contains(x) { nonNegative.insert(result) }
      return result
    case .batchNorm(let norm):
      builder.origin = "batch_norm"
      return try batchNorm(x, norm)
    case .pool(let pools):
      builder.origin = "pool"
      return try concatenate(try pools.map { try pool(x, $0) })
    case .stack, .concatenateStacked:
      // Handled by the caller, which owns the stack; inside an MLP they have no meaning.
      throw UnsupportedOperator(
        node: network.name, operatorName: "stack", reason: "stacking inside a layer is not supported")
    }
  }

  /// x W + b on every row.
  mutating func dense(_ x: NodeID, _ linear: GraphNetwork.Linear, withBias: Bool) throws -> NodeID {
    guard linear.inputWidth == width(x) else {
      throw GraphError(
        node: builder.scope, reason: "a layer of \(linear.inputWidth) inputs gets rows of \(width(x))")
    }
    let map = Dense(linear.weight, inputShape: shape(x), transposed: !linear.isInputMajor)
    return try builder.linear(map, x, bias: withBias ? spread(linear.bias, map.outputShape) : nil)
  }

  /// A bias repeated for every row.
  func spread(_ bias: Weight?, _ target: Shape) -> Weight? {
    guard let bias else { return nil }
    if bias.shape == target { return bias }
    var values: [Double] = []
    values.reserveCapacity(target.count)
    for _ in 0..<target[0] { values += bias.values.elements }
    return Weight(Tensor(target, values))
  }

  /// Messages along arcs and self-loops, weighed by `kind`, plus a bias.
  mutating func aggregate(_ x: NodeID, _ kind: CoefficientKind, bias: Weight?) throws -> NodeID {
    let form = Aggregation(looped, width: width(x))
    let constantBias = spread(bias, form.outputShape)
    switch try local(kind) {
    case .fixed(let values, let roundings):
      let weight = Weight(Tensor([values.count], values))
      return try builder.linear(FixedAggregation(form, weight, roundings: roundings), x, bias: constantBias)
    case .variable(let node):
      let sum = try builder.product(form, node, x)
      guard let constantBias else { return sum }
      return try builder.linear(Reshape.identity(form.outputShape), sum, bias: constantBias)
    }
  }

  private mutating func batchNorm(_ x: NodeID, _ norm: GraphNetwork.Normalization) throws -> NodeID {
    let full = shape(x)
    var centred: NodeID
    var scaled: NodeID
    if let running = norm.running {
      let mean = spread(running.mean, full)
      let negated = mean.map { Weight(Tensor($0.shape, $0.values.elements.map { -$0 })) }
      centred = try builder.linear(Reshape.identity(full), x, bias: negated)
      // Square root, division and the product with the scale: three roundings, one more for the sum with eps.
      let scales = running.variance.values.elements.enumerated().map { index, variance in
        (norm.scale?.values.elements[index] ?? 1) / (variance + norm.eps).squareRoot()
      }
      let diagonal = spread(Weight(Tensor([scales.count], scales)), full)
      // `spread` of a weight is a weight.
      scaled = try builder.linear(Diagonal(diagonal ?? running.variance, shape: full, roundings: 4), centred)
    } else {
      let row: Shape = [1, full[1]]
      let average = meanMap(full)
      let mean = try builder.linear(average, x, name: nil)
      let negated = try builder.linear(Diagonal.scale(-1, row), mean)
      centred = try builder.affine([
        (x, Reshape.identity(full)), (negated, IndexMap.broadcast(row, to: full)),
      ])
      guard let scale = Multiply(full, row) else {
        throw GraphError(node: builder.scope, reason: "shapes of a batch norm do not fit")
      }
      let squares = builder.elementwise(Square(), centred)
      let eps = Weight(Tensor(repeating: norm.eps, row))
      let variance = try builder.linear(average, squares, bias: eps)
      let inverse = builder.elementwise(NegativePower(.half), variance)
      scaled = try builder.product(scale, centred, inverse)
      if let gamma = spread(norm.scale, full) {
        scaled = try builder.linear(Diagonal(gamma, shape: full), scaled)
      }
    }
    guard let shift = spread(norm.shift, full) else { return scaled }
    return try builder.linear(Reshape.identity(full), scaled, bias: shift)
  }

  /// The mean over nodes with their multiplicities, `[nodes, width]` to `[1, width]`.
  private func meanMap(_ full: Shape) -> any LinearMap {
    let total = structure.multiplicity.reduce(0, +)
    if total == full[0] { return SumMap.reduce(full, axes: [0], mean: true) }
    return SparseMap(full, to: [1, full[1]], rows: weightedRows(full), denominator: total)
  }

  private func weightedRows(_ full: Shape) -> [[SparseEntry]] {
    (0..<full[1]).map { j in
      (0..<full[0]).map { SparseEntry($0 * full[1] + j, Double(structure.multiplicity[$0])) }
    }
  }

  private mutating func pool(_ x: NodeID, _ pool: GraphNetwork.Pool) throws -> NodeID {
    let full = shape(x)
    let row: Shape = [1, full[1]]
    switch pool {
    case .mean: return try builder.linear(meanMap(full), x)
    case .sum: return try builder.linear(SparseMap(full, to: row, rows: weightedRows(full)), x)
    case .max:
      var candidates = [Int32](repeating: 0, count: full.count)
      for j in 0..<full[1] {
        for i in 0..<full[0] { candidates[j * full[0] + i] = Int32(i * full[1] + j) }
      }
      let selection = Selection(
        .maximum, inputShapes: [full], outputShape: row, width: full[0], candidates: candidates)
      return try builder.selection(selection, [x])
    }
  }
}
