import Tensors

/// The position of a node in its graph; inputs of a node come before it.
public typealias NodeID = Int

/// One value of the graph and how it is computed.
public struct Node: Sendable {
  public let id: NodeID
  /// The value's name in the file, or one made from it.
  public let name: String
  /// The operator's name in the file's vocabulary (`Conv`, `Gemm`, ...), for messages and statistics.
  public let origin: String
  public let operation: Operation
  public let inputs: [NodeID]
  /// The static shape, without the engine's batch axis.
  public let shape: Shape
  public let elementType: ElementType

  public init(
    id: NodeID, name: String, origin: String, operation: Operation, inputs: [NodeID], shape: Shape,
    elementType: ElementType
  ) {
    self.id = id
    self.name = name
    self.origin = origin
    self.operation = operation
    self.inputs = inputs
    self.shape = shape
    self.elementType = elementType
  }
}

/// What a node does: its kind of operation, or where its value comes from.
///
/// Analyses give a meaning to the kinds and never look at operators.
public enum Operation: Sendable {
  /// The value is given by the caller.
  case input
  /// The value is part of the network; shape as the node's.
  case constant(Weight)
  /// A sum of linear maps of the inputs plus a bias.
  case affine(Affine)
  /// One scalar function of every element.
  case elementwise(any ElementwiseFunction)
  /// A bilinear form of two inputs.
  case product(any BilinearForm)
  /// A maximum or minimum over candidates.
  case selection(Selection)
  /// A piecewise constant or index-driven function: comparisons, ArgMax, look-ups with run-time indices.
  case discrete(any DiscreteFunction)
  /// A unit that analyses may treat whole and that expands into the other kinds.
  case composite(any Composite)

  /// The kind's name.
  public var kind: String {
    switch self {
    case .input: "input"
    case .constant: "constant"
    case .affine: "affine"
    case .elementwise: "elementwise"
    case .product: "product"
    case .selection: "selection"
    case .discrete: "discrete"
    case .composite: "composite"
    }
  }
}
