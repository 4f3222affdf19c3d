import IR
import Rigor
import Tensors

/// A value while a file is imported: a constant, or a node of the graph that is being built.
struct Value: Sendable {
  enum Content: Sendable {
    /// Known at import. The weight's shape is the value's.
    case constant(Weight)
    case node(NodeID)
    case text([String])
    /// A list of values of statically known length; it exists at import only.
    case sequence([Value])
    /// An optional that holds nothing.
    case nothing
  }

  var content: Content
  var shape: Shape
  var type: ElementType
  /// Relative error of a constant's elements in units of 2^-53; 0 if they are exact.
  var roundings = 0
  /// What a node computes from constants alone, where its error is not known: good enough for shapes only.
  var estimate: Weight?
  /// The exact elements of what is computed from constants alone, where they are rational and few but no Float64
  /// numbers: places and weights are derived from these.
  var rationals: [Rational]?
  /// How a scalar of the file is read by the uses that read literals; all others take the stored value.
  var literal: Literals.Readings?

  init(_ weight: Weight, _ type: ElementType, roundings: Int = 0) {
    self.roundings = roundings
    content = .constant(weight)
    shape = weight.shape
    self.type = type
  }

  init(_ node: NodeID, _ shape: Shape, _ type: ElementType) {
    content = .node(node)
    self.shape = shape
    self.type = type
  }

  init(sequence: [Value], type: ElementType) {
    content = .sequence(sequence)
    shape = [sequence.count]
    self.type = type
  }

  static let nothing = Value(content: .nothing, shape: [0], type: .bool)

  init(text: [String], shape: Shape) {
    content = .text(text)
    self.shape = shape
    type = .uint8
  }

  private init(content: Content, shape: Shape, type: ElementType) {
    self.content = content
    self.shape = shape
    self.type = type
  }

  /// A constant from its elements.
  init(_ elements: [Double], _ shape: Shape, _ type: ElementType) {
    self.init(Weight(Tensor(shape, elements)), type)
  }

  /// A vector of integers.
  init(integers: [Int]) { self.init(integers.map { Double($0) }, [integers.count], .int64) }

  /// A constant scalar.
  init(scalar: Double, _ type: ElementType) { self.init(Weight(Tensor(scalar: scalar)), type) }

  /// The exact constant, nil for everything else.
  var weight: Weight? { roundings == 0 ? constant : nil }

  /// The constant, exact or with a known error.
  var constant: Weight? {
    if case .constant(let weight) = content { return weight }
    return nil
  }

  /// The elements as exact numbers, where these are known and finite.
  var exactElements: [Rational]? {
    if let rationals { return rationals }
    guard let elements, elements.allSatisfy(\.isFinite) else { return nil }
    return elements.map { Rational($0) }
  }

  /// The elements of an exact constant.
  var elements: [Double]? { weight?.values.elements }

  var isConstant: Bool { weight != nil }

  /// Whether the value does not depend on inputs.
  var isKnown: Bool { constant != nil || estimate != nil }

  var isTensor: Bool {
    switch content {
    case .constant, .node: true
    case .text, .sequence, .nothing: false
    }
  }

  var rank: Int { shape.rank }
}
