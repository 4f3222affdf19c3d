import Domains
import IR
import Tensors

/// A graph with bounds of every node and the relaxations that follow from them: all that backward walks read.
struct RelaxedGraph: Sendable {
  let graph: Graph
  let region: Region
  let options: BoundOptions
  let varies: [Bool]
  var intervals: [Interval?]
  var relaxations: [Relaxation?]

  init(_ engine: BoundEngine) {
    graph = engine.graph
    region = engine.region
    options = engine.options
    varies = engine.varies
    intervals = engine.intervals
    relaxations = engine.relaxations
  }

  /// Relaxations made from given bounds of every node, for instance those of subproblems of a search: intervals are
  /// `[B] + shape` (or a batch of 1 for nodes that do not vary).
  init(graph: Graph, region: Region, intervals: [Interval], options: BoundOptions) throws {
    self.graph = graph
    self.region = region
    self.options = options
    varies = graph.varying(over: region, options.arithmetic)
    self.intervals = intervals
    relaxations = Array(repeating: nil, count: graph.nodes.count)
    for node in graph.nodes where varies[node.id] {
      relaxations[node.id] = try relaxation(of: node)
    }
  }

  /// The relaxation of one node from the current bounds of its inputs.
  func relaxation(of node: Node) throws -> Relaxation? {
    let x = try node.inputs.map { id -> Interval in
      guard let interval = intervals[id] else {
        throw GraphError(node: graph[id].name, reason: "its bounds are not available")
      }
      return interval
    }
    switch node.operation {
    case .input, .constant: return nil
    case .affine(let map): return .affine(map, inputs: x, node: node, arithmetic: options.arithmetic)
    case .elementwise(let f):
      return .lines(
        Lines(f, x[0], policy: options.slope, arithmetic: options.arithmetic, type: node.elementType))
    case .product(let form):
      return .product(
        form, x[0], x[1], leftVaries: varies[node.inputs[0]], rightVaries: varies[node.inputs[1]], node: node,
        arithmetic: options.arithmetic)
    case .selection(let s): return .selection(s, inputs: x)
    case .discrete(let f):
      let bounds = try IntervalDomain(options.arithmetic).discrete(f, x, at: node)
      return .copies(f, inputs: x, varies: node.inputs.map { varies[$0] }, bounds: bounds)
    case .composite(let c):
      guard let c = c as? any RelaxedComposite,
        let lines = GroupLines(c, inputs: x, rounding: options.arithmetic.rounding(of: node.elementType))
      else {
        throw GraphError(node: node.name, reason: "\(c.name) must be expanded before linear bounds")
      }
      return .matrices(lines)
    }
  }

  /// A backward walk of rigorous bounds for `rows` rows in all.
  func crownRule(rows: Int, keepsCoefficients: Bool = false) -> CrownRule {
    CrownRule(
      relaxations: relaxations, intervals: intervals, region: region, graph: graph, varies: varies, ends: [],
      rows: rows, accountsForRounding: options.accountsForRounding, keepsCoefficients: keepsCoefficients)
  }
}

extension Graph {
  /// By node: whether linear bounds treat it as a function of the inputs.
  ///
  /// That is what depends on a perturbed input. At a point, rounding alone makes the values of a deployed run uncertain;
  /// linear bounds follow it through the network better than intervals, so that all inputs count.
  func varying(over region: Region, _ arithmetic: Arithmetic) -> [Bool] {
    let perturbed = zip(inputs, region.inputs).filter { $0.1.isPerturbed }.map(\.0)
    guard perturbed.isEmpty, arithmetic != .real else { return dependents(of: Set(perturbed)) }
    return dependents(of: Set(inputs.filter { self[$0].elementType.isFloatingPoint }))
  }
}
