import IR
import Operators
import Rigor
import Tensors

/// Recognises activation functions that exporters write out in parts, such as `0.5 x (1 + erf(x / sqrt 2))`.
///
/// One function of every element has its own relaxation; its parts multiply, and products of the same variable relax
/// loosely. The constants must be those of the function: each the number itself or, as literals are stored, the float32
/// (in a float64 network the float64) nearest to it. Anything else is a function of its own and keeps its parts.
public struct ActivationFusion {
  private let graph: Graph

  private init(_ graph: Graph) { self.graph = graph }

  /// The graph with written-out Gelu, Silu, Mish, HardSwish, Softplus and cubes replaced by the functions.
  public static func apply(to graph: Graph) -> Graph {
    let fusion = ActivationFusion(graph)
    var nodes = graph.nodes
    var changed = false
    for node in graph.nodes {
      guard node.elementType.isFloatingPoint, let (f, x) = fusion.function(at: node),
        graph[x].shape == node.shape, graph[x].elementType == node.elementType
      else { continue }
      nodes[node.id] = Node(
        id: node.id, name: node.name, origin: node.origin, operation: .elementwise(f), inputs: [x],
        shape: node.shape, elementType: node.elementType)
      changed = true
    }
    if !changed { return graph }
    return Graph(nodes: nodes, inputs: graph.inputs, outputs: graph.outputs).prunedToOutputs()
  }

  /// The function that a node computes of one earlier node.
  private func function(at node: Node) -> (any ElementwiseFunction, NodeID)? {
    if case .elementwise(let f) = node.operation, f is Log { return softplus(node.inputs[0]) }
    let isScaled = scaled(node.id) != nil
    guard isScaled || isProduct(node) else { return nil }
    let (scale, factors) = self.factors(node.id, depth: 4)
    let type = node.elementType
    if scale == .one, let x = base(factors, degree: 3) { return (Pow(3), x) }
    guard factors.count == 2 else { return nil }
    for (x, other) in [(factors[0], factors[1]), (factors[1], factors[0])] {
      if scale == Rational(1, 2), let f = gelu(x, other) { return (f, x) }
      if scale == .one, let f = gated(x, other) { return (f, x) }
      if isLiteral(scale, 1.0 / 6, inverse: 6, type), isClippedShift(other, of: x) { return (HardSwish(), x) }
    }
    return nil
  }

  // MARK: Functions

  /// For `other` = 1 + erf(x / sqrt 2), or the same with tanh.
  private func gelu(_ x: NodeID, _ other: NodeID) -> (any ElementwiseFunction)? {
    guard let (inner, one) = shifted(other), one == 1, case .elementwise(let f) = graph[inner].operation
    else {
      return nil
    }
    let argument = graph[inner].inputs[0]
    if f is Erf, let (base, factor) = scaled(argument), base == x,
      isLiteral(factor, 0.5.squareRoot(), inverse: 2.0.squareRoot(), graph[x].elementType)
    {
      return Gelu()
    }
    if f is Tanh, isTanhPolynomial(argument, of: x) { return GeluTanh() }
    return nil
  }

  /// sqrt(2 / pi) (x + 0.044715 x^3).
  private func isTanhPolynomial(_ id: NodeID, of x: NodeID) -> Bool {
    let type = graph[x].elementType
    guard let (sum, factor) = scaled(id),
      isLiteral(factor, (2 / Double.pi).squareRoot(), inverse: (Double.pi / 2).squareRoot(), type),
      case .affine(let affine) = graph[sum].operation, affine.bias == nil, affine.maps.count == 2,
      affine.maps.allSatisfy({ isIdentity($0) })
    else { return false }
    let terms = graph[sum].inputs
    guard let place = terms.firstIndex(of: x) else { return false }
    let (coefficient, powers) = factors(terms[1 - place], depth: 6)
    return isLiteral(coefficient, 0.044715, inverse: nil, type) && base(powers, degree: 3) == x
  }

  private func gated(_ x: NodeID, _ other: NodeID) -> (any ElementwiseFunction)? {
    guard case .elementwise(let f) = graph[other].operation else { return nil }
    let argument = graph[other].inputs[0]
    if f is Sigmoid {
      if argument == x { return Silu() }
      if let (base, factor) = scaled(argument), base == x, factor > 0,
        Rational(factor.nearestDouble) == factor
      {
        return Silu(alpha: factor.nearestDouble)
      }
    }
    if f is Tanh, case .elementwise(let inner) = graph[argument].operation, inner is Softplus,
      graph[argument].inputs[0] == x
    {
      return Mish()
    }
    // An attribute is a decimal of the stored float32.
    if let hard = f as? HardSigmoid, argument == x, hard.offset == 0.5,
      hard.slope == 1.0 / 6 || Float(hard.slope) == 1 / 6
    {
      return HardSwish()
    }
    return nil
  }

  /// clip(x + 3, 0, 6).
  private func isClippedShift(_ id: NodeID, of x: NodeID) -> Bool {
    guard case .elementwise(let f) = graph[id].operation, let clip = f as? Clip, clip.minimum == 0,
      clip.maximum == 6, let (base, amount) = shifted(graph[id].inputs[0])
    else { return false }
    return base == x && amount == 3
  }

  /// log(exp(x) + 1).
  private func softplus(_ id: NodeID) -> (any ElementwiseFunction, NodeID)? {
    guard let (inner, one) = shifted(id), one == 1, case .elementwise(let f) = graph[inner].operation,
      f is Exp
    else { return nil }
    return (Softplus(), graph[inner].inputs[0])
  }

  /// The value whose power the factors make: x * x * x, x^2 * x or x^3.
  private func base(_ factors: [NodeID], degree: Int) -> NodeID? {
    var bases: Set<NodeID> = []
    var total = 0
    for factor in factors {
      guard case .elementwise(let f) = graph[factor].operation else {
        bases.insert(factor)
        total += 1
        continue
      }
      switch f {
      case is Square: total += 2
      case let power as Pow where power.exponent == 3: total += 3
      default:
        bases.insert(factor)
        total += 1
        continue
      }
      bases.insert(graph[factor].inputs[0])
    }
    return total == degree && bases.count == 1 ? bases.first : nil
  }

  // MARK: Parts

  /// Whether a factor stands for the literal `number`, given as a factor or as the divisor `inverse`.
  private func isLiteral(_ factor: Rational, _ number: Double, inverse: Double?, _ type: ElementType) -> Bool
  {
    func stands(_ stored: Rational, for literal: Double) -> Bool {
      stored == Rational(literal) || (type == .float32 && stored == Rational(Float(literal)))
    }
    if stands(factor, for: number) { return true }
    guard let inverse, !factor.isZero else { return false }
    return stands(factor.reciprocal, for: inverse)
  }

  private func isProduct(_ node: Node) -> Bool {
    if case .product(let form) = node.operation, form is Multiply { return true }
    return false
  }

  /// A node as a number times elementwise factors.
  private func factors(_ id: NodeID, depth: Int) -> (scale: Rational, factors: [NodeID]) {
    if depth > 0, let (base, factor) = scaled(id) {
      let inner = factors(base, depth: depth - 1)
      return (factor * inner.scale, inner.factors)
    }
    if depth > 0, isProduct(graph[id]) {
      let left = factors(graph[id].inputs[0], depth: depth - 1)
      let right = factors(graph[id].inputs[1], depth: depth - 1)
      return (left.scale * right.scale, left.factors + right.factors)
    }
    return (.one, [id])
  }

  private func isIdentity(_ map: any LinearMap) -> Bool {
    map is Reshape && map.inputShape == map.outputShape
  }

  /// A node that is one number times another node: a stored factor, or one over a stored divisor.
  private func scaled(_ id: NodeID) -> (base: NodeID, factor: Rational)? {
    guard case .affine(let affine) = graph[id].operation, affine.bias == nil, affine.maps.count == 1,
      let diagonal = affine.maps[0] as? Diagonal, let factor = diagonal.weights.first.flatMap(uniform)
    else { return nil }
    if let divisor = diagonal.divisor.flatMap({ Rational(exactly: $0) }), !divisor.isZero {
      return (graph[id].inputs[0], divisor.reciprocal)
    }
    guard diagonal.coefficientRoundings == 0, let exact = Rational(exactly: factor) else { return nil }
    return (graph[id].inputs[0], exact)
  }

  /// A node that is another node plus one number.
  private func shifted(_ id: NodeID) -> (base: NodeID, amount: Double)? {
    guard case .affine(let affine) = graph[id].operation, affine.maps.count == 1, isIdentity(affine.maps[0]),
      let amount = affine.bias.flatMap(uniform)
    else { return nil }
    return (graph[id].inputs[0], amount)
  }

  /// The one value that all elements of a constant have.
  private func uniform(_ weight: Weight) -> Double? {
    guard let first = weight.values.elements.first else { return nil }
    return weight.values.elements.allSatisfy { $0 == first } ? first : nil
  }
}
