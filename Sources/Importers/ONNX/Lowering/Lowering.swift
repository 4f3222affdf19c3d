import Domains
import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

/// What an importer builds a graph with: arrays in the manner of numpy whose operations append nodes, or compute at
/// once where all operands are constants.
///
/// The methods take values of the shapes and types that ONNX allows, broadcasting included, so that the lowering of
/// an operator reads like its definition.
final class Lowering {
  let file: String
  var builder = GraphBuilder()
  /// Largest number of elements that a value which is not in the file may have as a constant.
  let foldingLimit: Int
  /// Largest number of elements of any value.
  static let sizeLimit = 1 << 25
  /// Largest number of nodes.
  static let nodeLimit = 1 << 20

  /// What the network is read for.
  let arithmetic: Arithmetic
  var literals: Literals { Literals(arithmetic) }

  /// Outputs of Constant nodes that are added under a square root.
  var epsilons: Set<String> = []

  private var folder = ConcreteDomain(.float64)
  private var constantNodes: [ObjectIdentifier: NodeID] = [:]
  /// Keeps the weights alive whose identity is a key above.
  private var keptWeights: [Weight] = []

  init(file: String, storedElements: Int, arithmetic: Arithmetic = .real) {
    self.arithmetic = arithmetic
    self.file = file
    foldingLimit = max(1 << 24, 4 * storedElements)
  }

  // MARK: Nodes

  /// The graph node of a value; constants get one when they are first used as an operand.
  func node(_ value: Value) throws -> NodeID {
    switch value.content {
    case .node(let id): return id
    case .constant(let weight) where value.roundings > 0:
      let exact = try node(Value(weight, value.type))
      let map = RoundedCoefficients(Reshape.identity(value.shape), roundings: value.roundings)
      return builder.append(.affine(Affine([map])), inputs: [exact], shape: value.shape, type: value.type)
    case .constant(let weight):
      // A weight may stand for values of several types; its node must carry the right one.
      if let id = constantNodes[ObjectIdentifier(weight)], builder[id].elementType == value.type { return id }
      let id = builder.constant(weight, type: value.type)
      constantNodes[ObjectIdentifier(weight)] = id
      keptWeights.append(weight)
      return id
    case .text:
      throw UnsupportedOperator(node: "", operatorName: builder.origin, reason: "strings are not supported")
    case .sequence:
      throw GraphError(node: builder.scope, reason: "a sequence stands where a tensor is needed")
    case .nothing:
      throw GraphError(node: builder.scope, reason: "an empty optional stands where a tensor is needed")
    }
  }

  /// Refuses extents that no memory holds.
  func checkSize(_ shape: Shape, limit: Int = Lowering.sizeLimit) throws {
    guard shape.checkedCount(limit: limit) != nil else {
      throw GraphError(
        node: builder.scope, reason: "a tensor of shape \(shape) is larger than \(limit) elements")
    }
  }

  /// Appends a node, or computes its value when all inputs are constants and the result's error is known.
  func emit(_ operation: Operation, _ inputs: [Value], _ shape: Shape, _ type: ElementType) throws -> Value {
    try checkSize(shape)
    var estimate: Weight?
    let known = inputs.compactMap { $0.constant ?? $0.estimate }
    if known.count == inputs.count {
      try checkSize(shape, limit: foldingLimit)
      let node = Node(
        id: 0, name: builder.scope, origin: builder.origin, operation: operation, inputs: [], shape: shape,
        elementType: type)
      let arguments = known.map { AnyTensor.double($0.values.reshaped([1] + $0.shape)) }
      let result = try folder.evaluate(node, arguments).float64.reshaped(shape)
      let operands = inputs.compactMap { input in
        input.constant.map { (weight: $0, roundings: input.roundings) }
      }
      if operands.count == inputs.count,
        let roundings = arithmetic == .real
          ? FoldingCertificate.roundings(of: operation, operands, result: result, type: type)
          : DeployedFolding.roundings(of: operation, operands, result: result, type: type)
      {
        return Value(Weight(result), type, roundings: roundings)
      }
      estimate = Weight(result)
    }
    guard builder.nodes.count < Self.nodeLimit else {
      throw GraphError(node: builder.scope, reason: "the network has more than \(Self.nodeLimit) operations")
    }
    let ids = try inputs.map { try node($0) }
    var value = Value(builder.append(operation, inputs: ids, shape: shape, type: type), shape, type)
    value.estimate = estimate
    return value
  }

  // MARK: Kinds

  /// The sum of maps of values plus a bias. Constant terms join the bias.
  func affine(
    _ terms: [(value: Value, map: any LinearMap)], bias: Weight? = nil, disjoint: Bool = false,
    type: ElementType? = nil
  ) throws -> Value {
    let type = type ?? terms[0].value.type
    let shape = terms[0].map.outputShape
    let variable = terms.filter { !$0.value.isConstant }
    if variable.isEmpty {
      var affine = Affine(terms.map(\.map), bias: bias)
      affine.disjoint = disjoint
      return try emit(.affine(affine), terms.map(\.value), shape, type)
    }
    if arithmetic != .real { return try deployedAffine(terms, bias: bias, disjoint: disjoint, type, shape) }
    var offset = bias
    for (value, map) in terms {
      guard let weight = value.weight else { continue }
      try checkSize(shape, limit: foldingLimit)
      let image = map.apply(weight.values.reshaped([1] + weight.shape)).reshaped(shape)
      offset = Weight(offset.map { $0.values + image } ?? image)
    }
    var affine = Affine(variable.map(\.map), bias: offset)
    affine.disjoint = disjoint
    return try emit(.affine(affine), variable.map(\.value), shape, type)
  }

  /// A sum as a run computes it: constants are terms like others, but for one that is added as it is.
  private func deployedAffine(
    _ terms: [(value: Value, map: any LinearMap)], bias: Weight?, disjoint: Bool, _ type: ElementType,
    _ shape: Shape
  ) throws -> Value {
    var offset = bias
    var variable: [(value: Value, map: any LinearMap)] = []
    for (value, map) in terms {
      guard let weight = value.weight, offset == nil, !disjoint, map.isCopy else {
        variable.append((value, map))
        continue
      }
      try checkSize(shape, limit: foldingLimit)
      offset = Weight(map.apply(weight.values.reshaped([1] + weight.shape)).reshaped(shape))
    }
    var affine = Affine(variable.map(\.map), bias: offset)
    affine.disjoint = disjoint
    return try emit(.affine(affine), variable.map(\.value), shape, type)
  }

  func linear(_ map: any LinearMap, _ x: Value, bias: Weight? = nil, type: ElementType? = nil) throws -> Value
  {
    try affine([(x, map)], bias: bias, type: type)
  }

  func elementwise(_ f: any ElementwiseFunction, _ x: Value, type: ElementType? = nil) throws -> Value {
    try emit(.elementwise(f), [x], x.shape, type ?? x.type)
  }

  func discrete(_ f: any DiscreteFunction, _ x: [Value], type: ElementType) throws -> Value {
    try emit(.discrete(f), x, f.outputShape, type)
  }

  func composite(_ c: any Composite, _ x: [Value]) throws -> Value {
    try emit(.composite(c), x, c.outputShape, x[0].type)
  }

  func selection(_ s: Selection, _ x: [Value]) throws -> Value {
    try emit(.selection(s), x, s.outputShape, x[0].type)
  }

  // MARK: Checks

  /// Refuses what does not hold of the operands.
  func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws {
    if !condition { throw GraphError(node: builder.scope, reason: reason()) }
  }

  /// Refuses axes that a value does not have.
  func requireAxis(_ axis: Int, _ x: Value) throws {
    try require(axis >= 0 && axis < x.rank, "a tensor of shape \(x.shape) has no axis \(axis)")
  }

  // MARK: Constants

  /// The names of the graph inputs that a value depends on.
  func inputs(of value: Value) -> [String] {
    guard case .node(let id) = value.content else { return [] }
    var seen: Set<NodeID> = [id]
    var pending = [id]
    var names: [String] = []
    while let next = pending.popLast() {
      let node = builder[next]
      if case .input = node.operation { names.append(node.name) }
      for input in node.inputs where seen.insert(input).inserted { pending.append(input) }
    }
    return names.sorted()
  }

  /// The elements of a value that must be known at import.
  func doubles(_ value: Value, _ what: String) throws -> [Double] {
    if let weight = value.constant ?? value.estimate { return weight.values.elements }
    guard case .node = value.content else {
      throw GraphError(node: builder.scope, reason: "\(what) should be a tensor of numbers")
    }
    throw StaticValueNeeded(what: what, inputs: inputs(of: value))
  }

  func ints(_ value: Value, _ what: String) throws -> [Int] {
    try doubles(value, what).map { number in
      guard number.rounded() == number || number.isInfinite else {
        throw GraphError(node: builder.scope, reason: "\(what) holds \(number), which is no integer")
      }
      // Sentinels near the ends of int64 are meant as 'to the end', which any number beyond all extents says.
      let limit = Double(OnnxNode.integerLimit)
      return Int(max(-limit, min(limit, number)))
    }
  }

  func scalar(_ value: Value, _ what: String) throws -> Double {
    let elements = try doubles(value, what)
    guard elements.count == 1 else {
      throw GraphError(node: builder.scope, reason: "\(what) should be one number, not \(elements.count)")
    }
    return elements[0]
  }

  func int(_ value: Value, _ what: String) throws -> Int {
    let elements = try ints(value, what)
    guard elements.count == 1 else {
      throw GraphError(node: builder.scope, reason: "\(what) should be one number, not \(elements.count)")
    }
    return elements[0]
  }

  /// A constant of one repeated element.
  func filled(_ number: Double, _ shape: Shape, _ type: ElementType) throws -> Value {
    try checkSize(shape, limit: foldingLimit)
    return Value(Weight(Tensor(repeating: number, shape)), type)
  }
}

/// A value that shapes depend on is not known at import. Giving values for `inputs` makes it known.
struct StaticValueNeeded: Error {
  var what: String
  var inputs: [String]
}
