import Domains
import IR
import Rigor
import Tensors

/// Exact evaluation of the linear function that a network is where every ReLU is on a given side.
///
/// The function is continued linearly beyond that region, so that its coefficients can be read off from values at any
/// points.
struct PieceDomain: Domain {
  typealias Value = [Rational]

  let context: SplitContext
  /// By neuron: active ones pass their argument on, all others are 0.
  let sides: [NeuronState]
  /// By activation: the arguments of the last run.
  private(set) var arguments: [[Rational]]
  private var exact = ExactDomain()

  init(context: SplitContext, sides: [NeuronState]) {
    self.context = context
    self.sides = sides
    arguments = Array(repeating: [], count: context.activations.count)
  }

  func constant(_ weight: Weight, at node: Node) throws -> [Rational] {
    try exact.constant(weight, at: node)
  }

  func affine(_ map: Affine, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    try exact.affine(map, x, at: node)
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: [Rational], at node: Node) throws -> [Rational]
  {
    guard let index = context.activationIndex[node.id] else { return try exact.elementwise(f, x, at: node) }
    let activation = context.activations[index]
    guard activation.isRelu else {
      throw UnsupportedOperator(node, reason: "only networks of ReLUs are linear piece by piece here")
    }
    arguments[index] = x
    return x.indices.map { sides[activation.offset + $0] == .active ? x[$0] : .zero }
  }

  func product(_ form: any BilinearForm, _ a: [Rational], _ b: [Rational], at node: Node) throws -> [Rational]
  {
    throw UnsupportedOperator(node, reason: "products are not linear")
  }

  func selection(_ s: Selection, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    throw UnsupportedOperator(node, reason: "selections are not linear")
  }

  func discrete(_ f: any DiscreteFunction, _ x: [[Rational]], at node: Node) throws -> [Rational] {
    throw UnsupportedOperator(node, reason: "discrete functions are not linear")
  }
}

/// Which values depend on neurons whose side is not known.
struct DependenceDomain: Domain {
  typealias Value = [Bool]

  let context: SplitContext
  let sides: [NeuronState]
  /// By activation: whether the arguments depend on such neurons.
  private(set) var arguments: [[Bool]]

  init(context: SplitContext, sides: [NeuronState]) {
    self.context = context
    self.sides = sides
    arguments = Array(repeating: [], count: context.activations.count)
  }

  func constant(_ weight: Weight, at node: Node) -> [Bool] {
    [Bool](repeating: false, count: weight.shape.count)
  }

  func affine(_ map: Affine, _ x: [[Bool]], at node: Node) -> [Bool] {
    var result = [Bool](repeating: false, count: node.shape.count)
    for (linear, values) in zip(map.maps, x) where values.contains(true) {
      for o in result.indices where !result[o] {
        result[o] = linear.row(o).contains { $0.coefficient != 0 && values[$0.index] }
      }
    }
    return result
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: [Bool], at node: Node) -> [Bool] {
    guard let index = context.activationIndex[node.id] else { return x }
    arguments[index] = x
    let offset = context.activations[index].offset
    return x.indices.map { j in
      switch sides[offset + j] {
      case .inactive: false
      case .active: x[j]
      case .unstable: true
      }
    }
  }

  func product(_ form: any BilinearForm, _ a: [Bool], _ b: [Bool], at node: Node) -> [Bool] {
    [Bool](repeating: true, count: node.shape.count)
  }

  func selection(_ s: Selection, _ x: [[Bool]], at node: Node) -> [Bool] {
    [Bool](repeating: true, count: node.shape.count)
  }

  func discrete(_ f: any DiscreteFunction, _ x: [[Bool]], at node: Node) -> [Bool] {
    [Bool](repeating: true, count: node.shape.count)
  }
}
