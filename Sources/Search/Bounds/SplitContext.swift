import Domains
import IR
import Operators
import Rigor
import Tensors

/// What all subproblems of one search share: the graph, its activations, bounds over the whole region and the charges
/// for rounding that follow from them.
///
/// Graphs of affine and elementwise nodes are supported; for others ``init(graph:inputNode:intervals:arithmetic:)``
/// gives nil and the search falls back to general bounds.
struct SplitContext: Sendable {
  /// An elementwise node that varies over the region.
  struct Activation: Sendable {
    var node: NodeID
    /// The node whose value it is applied to.
    var pre: NodeID
    var function: any ElementwiseFunction
    var count: Int
    /// The place of its first neuron in the numbering of all neurons.
    var offset: Int
    /// max(x, 0).
    var isRelu: Bool
    /// Bounds of the argument over the region.
    var lower: [Double]
    var upper: [Double]
    /// What rounding in one relaxation step may cost per unit of coefficient.
    var charge: [Double]
    /// Rows of the arguments as linear forms of one earlier node, where there is only one such node.
    var units: UnitRows?
  }

  /// The difference of two runs of a ReLU (`Difference`), whose first run is one of the activations.
  struct DifferenceNode: Sendable {
    var node: NodeID
    /// The activation of the first run.
    var activation: Int
    /// The node of the argument's difference.
    var pre: NodeID
    var relaxation: DifferenceRelaxation
    var count: Int
    /// The place of the first state of the second run's neurons.
    var offset: Int
    /// Bounds of the argument's difference over the region.
    var least: [Double]
    var most: [Double]
  }

  /// Linear forms of every argument of an activation over the value of an earlier node.
  struct UnitRows: Sendable {
    var source: NodeID
    /// `count * width`.
    var matrix: [Double]
    var width: Int
    var constant: [Double]
    var slack: [Double]
  }

  let graph: Graph
  let inputNode: NodeID
  let arithmetic: Arithmetic
  let isTwin: Bool
  let varies: [Bool]
  /// By node; nil for nodes that do not vary.
  private(set) var activations: [Activation]
  private(set) var activationIndex: [Int?]
  /// By affine node: the cost of rounding per unit of coefficient on its value.
  let charges: [[Double]?]
  let biases: [[Double]?]
  /// Bounds of every node over the region.
  let intervals: [Interval?]
  /// The number of all neurons, those of second runs included.
  let neuronCount: Int
  /// Where two runs of a network are related; empty for all other graphs.
  let differences: [DifferenceNode]
  let differenceIndex: [Int?]

  var inputCount: Int { graph[inputNode].shape.count }

  /// - Parameters:
  ///   - intervals: sound bounds of every node over the region, in the arithmetic in question.
  ///   - isTwin: whether the graph is that of the problem's twin form, whose rows then apply.
  init?(
    graph: Graph, inputNode: NodeID, intervals: [Interval?], arithmetic: Arithmetic, isTwin: Bool = false
  ) {
    self.isTwin = isTwin
    self.graph = graph
    self.inputNode = inputNode
    self.intervals = intervals
    self.arithmetic = arithmetic
    varies = graph.dependents(of: [inputNode])
    var activations: [Activation] = []
    var charges = [[Double]?](repeating: nil, count: graph.nodes.count)
    var biases = charges
    var index = [Int?](repeating: nil, count: graph.nodes.count)
    var offset = 0
    var differences: [DifferenceNode] = []
    var differenceIndex = index
    let needed = graph.ancestors(of: graph.outputs.map(\.node))
    for node in graph.nodes where varies[node.id] && needed[node.id] {
      switch node.operation {
      case .input: continue
      case .affine(let map):
        guard let charge = Self.charge(map, node, intervals, arithmetic) else { return nil }
        // Linear bounds know nothing of overflow.
        if arithmetic != .real, intervals[node.id]?.isFinite != true { return nil }
        charges[node.id] = charge.contains { $0 != 0 } ? charge : nil
        biases[node.id] = map.bias?.values.elements
      case .elementwise(let function):
        guard let pre = intervals[node.inputs[0]], pre.batch == 1,
          pre.lower.elements.allSatisfy(\.isFinite), pre.upper.elements.allSatisfy(\.isFinite)
        else { return nil }
        let pieces = function.pieces
        let isRelu = pieces == Self.relu
        index[node.id] = activations.count
        let n = node.shape.count
        activations.append(
          Activation(
            node: node.id, pre: node.inputs[0], function: function, count: n, offset: offset, isRelu: isRelu,
            lower: pre.lower.elements, upper: pre.upper.elements,
            charge: Self.lineCharge(function, pre, node, arithmetic, isRelu: isRelu), units: nil))
        offset += n
      case .composite(let composite):
        // Known sides stand for the slopes of a ReLU: other functions of the same argument are not taken for one.
        guard let difference = composite as? Difference, difference.function.pieces == Self.relu,
          let d = intervals[node.inputs[1]], d.batch == 1,
          d.lower.elements.allSatisfy(\.isFinite), d.upper.elements.allSatisfy(\.isFinite),
          let relaxation = DifferenceRelaxation(difference.function),
          let first = activations.firstIndex(where: { $0.pre == node.inputs[0] && $0.isRelu })
        else { return nil }
        differenceIndex[node.id] = differences.count
        let n = node.shape.count
        differences.append(
          DifferenceNode(
            node: node.id, activation: first, pre: node.inputs[1], relaxation: relaxation, count: n,
            offset: offset, least: d.lower.elements, most: d.upper.elements))
        offset += n
      default: return nil
      }
    }
    self.differences = differences
    self.differenceIndex = differenceIndex
    self.activations = activations
    self.charges = charges
    self.biases = biases
    activationIndex = index
    neuronCount = offset
    for i in activations.indices { self.activations[i].units = unitRows(activations[i]) }
  }

  /// The pieces of max(x, 0).
  private static var relu: PiecewiseLinear {
    PiecewiseLinear(breakpoints: [0], lines: [(0, 0), (1, 0)])
  }

  /// As in CROWN with rounding (see `Relaxation.affine` in module Bounds): A W is formed with at most fanOut products
  /// per element, A b with as many as there are outputs, so what is applied to the value is off by at most
  /// g |A| (sum |W| max|z| + |b|); the deployed node itself is off by gd (sum |W| max|z| + |b|).
  private static func charge(
    _ map: Affine, _ node: Node, _ intervals: [Interval?], _ arithmetic: Arithmetic
  ) -> [Double]? {
    let n = node.shape.count
    let deployed = map.roundings > 0 ? arithmetic.rounding(of: node.elementType) : nil
    let gd = deployed?.gamma(map.roundings) ?? 0
    var total = [Double](repeating: 0, count: n)
    for (linear, input) in zip(map.maps, node.inputs) {
      guard let interval = intervals[input] else { return nil }
      let isExact = linear.fanOut == 0 && linear.coefficientRoundings == 0 && linear.denominator == 1
      let g = isExact ? 0 : Rounding.gamma(linear.fanOut + linear.coefficientRoundings + 3)
      if g == 0 && gd == 0 { continue }
      let reach = linear.applyMagnitude(interval.magnitude)
      guard reach.count == n else { return nil }
      // The factor covers the roundings of the reach itself.
      for j in 0..<n { total[j] += (g + gd) * reach[flat: j] * (1 + 8 * Rounding.gamma(linear.fanIn + 3)) }
    }
    if let bias = map.bias {
      let g = Rounding.gamma(n + 3) + gd
      for j in 0..<n { total[j] += g * abs(bias.values[flat: j]) }
    }
    if let deployed {
      let lost = Double(map.roundings + 2) * 2 * deployed.underflow
      for j in 0..<n { total[j] += lost }
    }
    return total.map { $0 * (1 + 8 * Rounding.unit) }
  }

  /// A relaxation step forms a * slope (one rounding, none for slopes 0 and 1) and adds up a * intercept over all
  /// neurons.
  private static func lineCharge(
    _ function: any ElementwiseFunction, _ pre: Interval, _ node: Node, _ arithmetic: Arithmetic, isRelu: Bool
  ) -> [Double] {
    let n = node.shape.count
    let g = Rounding.gamma(n + 3)
    let deployed = arithmetic.rounding(of: node.elementType)
    return (0..<n).map { j in
      let l = pre.lower[flat: j]
      let u = pre.upper[flat: j]
      if isRelu { return l >= 0 || u <= 0 ? 0 : (g + 4 * Rounding.unit) * max(abs(l), abs(u)) }
      // Slopes of lines that touch a function are bounded by its own slopes; the range and the argument bound the rest.
      // Lines are checked against this when they are made (`ActivationLines`).
      return deployed.map { function.deployedError(l, u, $0) } ?? 0
    }
  }

  /// The linear forms of all arguments over the one node they depend on, nil if there are several.
  private func unitRows(_ activation: Activation) -> UnitRows? {
    let n = activation.count
    var rule = LowerRule(context: self, groups: RowGroups(single: n), stopsAtActivations: true)
    var seed = Tensor<Double>.zeros([n] + graph[activation.pre].shape)
    guard n <= 4096 else { return nil }
    for j in 0..<n { seed[flat: j * n + j] = 1 }
    guard (try? graph.pullBack([(activation.pre, seed)], rule: &rule)) != nil, rule.arrivals.count == 1,
      let (source, rows) = rule.arrivals.first
    else { return nil }
    let width = rows.count / max(n, 1)
    guard n * width <= 8_000_000 else { return nil }
    return UnitRows(
      source: source, matrix: rows.elements, width: width, constant: rule.constant, slack: rule.slack)
  }
}
