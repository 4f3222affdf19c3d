import Rigor

/// A place in a text file; both numbers count from 1, columns count Unicode scalars.
public struct SourcePosition: Sendable, Hashable, CustomStringConvertible {
  public var line: Int32
  public var column: Int32

  public init(line: Int32, column: Int32) {
    self.line = line
    self.column = column
  }

  public var description: String { "line \(line), column \(column)" }
}

/// A VNN-LIB query: tensors of one or several networks and a formula over their elements.
///
/// The question is whether an assignment of the inputs exists for which the formula holds (`sat`) or not
/// (`unsat`). Every scalar element of every declared tensor is a *variable* with a number: tensors follow one
/// another in the order of declaration, elements in row-major order.
public struct Query: Sendable {
  /// The path as the user gave it; errors carry it.
  public var file: String
  /// 1 for a VNN-LIB 1.0 file, 2 for 2.x.
  public var majorVersion: Int
  public var minorVersion: Int
  public var networks: [NetworkDeclaration]
  /// The conjunction of all assertions.
  public var formula: Formula

  public init(
    file: String, majorVersion: Int, minorVersion: Int, networks: [NetworkDeclaration], formula: Formula
  ) {
    self.file = file
    self.majorVersion = majorVersion
    self.minorVersion = minorVersion
    self.networks = networks
    self.formula = formula
  }

  /// All tensors in the order of declaration.
  public var tensors: [TensorDeclaration] { networks.flatMap(\.tensors) }

  /// How many scalar variables the query has.
  public var variableCount: Int { tensors.last.map { $0.firstVariable + $0.count } ?? 0 }

  /// The tensor that a variable is an element of.
  public func tensor(ofVariable variable: Int) -> TensorDeclaration? {
    tensors.first { $0.firstVariable <= variable && variable < $0.firstVariable + $0.count }
  }

  /// A variable as it is written in the query: `X[0,3]`, `X_3` in version 1.
  public func name(ofVariable variable: Int) -> String {
    guard let tensor = tensor(ofVariable: variable) else { return "variable \(variable)" }
    var rest = variable - tensor.firstVariable
    if majorVersion == 1 { return "\(tensor.name)_\(rest)" }
    if tensor.shape.isEmpty { return tensor.name }
    var indices: [Int] = []
    for size in tensor.shape.reversed() {
      indices.append(rest % size)
      rest /= size
    }
    return tensor.name + "[" + indices.reversed().map(String.init).joined(separator: ",") + "]"
  }
}

/// A declared network: its tensors and how it relates to another network.
public struct NetworkDeclaration: Sendable {
  /// How a network relates to an earlier one.
  public enum Equivalence: Sendable, Hashable {
    /// The same model, applied again.
    case equalTo(String)
    /// The same architecture with other weights.
    case isomorphicTo(String)
  }

  /// The name; empty in VNN-LIB 1.0.
  public var name: String
  public var equivalence: Equivalence?
  public var inputs: [TensorDeclaration]
  public var hidden: [TensorDeclaration]
  public var outputs: [TensorDeclaration]
  public var position: SourcePosition

  public init(
    name: String, equivalence: Equivalence? = nil, inputs: [TensorDeclaration],
    hidden: [TensorDeclaration] = [],
    outputs: [TensorDeclaration], position: SourcePosition = SourcePosition(line: 1, column: 1)
  ) {
    self.name = name
    self.equivalence = equivalence
    self.inputs = inputs
    self.hidden = hidden
    self.outputs = outputs
    self.position = position
  }

  /// Inputs, hidden values and outputs in the order of declaration.
  public var tensors: [TensorDeclaration] { inputs + hidden + outputs }

  /// Whether every input and output names its ONNX value, so that they are matched by name and not by order.
  public var isNamed: Bool { (inputs + outputs).allSatisfy { $0.onnxName != nil } }
}

/// A declared tensor.
public struct TensorDeclaration: Sendable {
  /// What a tensor is to its network.
  public enum Kind: String, Sendable { case input, hidden, output }

  public var name: String
  public var kind: Kind
  public var type: DeclaredType
  /// The sizes; empty for a scalar. Version 1.0 knows flat vectors only.
  public var shape: [Int]
  /// The name of the value in the ONNX graph, where the query gives one.
  public var onnxName: String?
  /// The variable number of the first element.
  public var firstVariable: Int
  public var position: SourcePosition

  public init(
    name: String, kind: Kind, type: DeclaredType, shape: [Int], onnxName: String? = nil, firstVariable: Int,
    position: SourcePosition = SourcePosition(line: 1, column: 1)
  ) {
    self.name = name
    self.kind = kind
    self.type = type
    self.shape = shape
    self.onnxName = onnxName
    self.firstVariable = firstVariable
    self.position = position
  }

  /// How many elements the tensor has.
  public var count: Int { shape.reduce(1, *) }
  /// The variable numbers of the elements.
  public var variables: Range<Int> { firstVariable..<(firstVariable + count) }
}

/// The element type of a declared tensor: `real` or the name of an ONNX type.
public enum DeclaredType: Sendable, Hashable, CustomStringConvertible {
  /// Exact real arithmetic on the stored weights.
  case real
  /// An ONNX floating-point type: `float32`, `float64`, `float16`, `bfloat16` and the eight-bit ones.
  case float(String)
  case integer(String, signed: Bool)
  case bool
  case complex(String)
  /// A name that the standard does not know. It parses, as in the official parser; no model has it.
  case unknown(String)

  /// The type that a name denotes; `real` may also be spelled `Real`.
  public init(name: String) {
    switch name {
    case "real", "Real": self = .real
    case "float16", "float32", "float64", "bfloat16", "float8e4m3fn", "float8e5m2", "float8e4m3fnuz",
      "float8e5m2fnuz", "float4e2m1":
      self = .float(name)
    case "int8", "int16", "int32", "int64": self = .integer(name, signed: true)
    case "uint8", "uint16", "uint32", "uint64": self = .integer(name, signed: false)
    case "bool": self = .bool
    case "complex64", "complex128": self = .complex(name)
    default: self = .unknown(name)
    }
  }

  public static let float32 = DeclaredType.float("float32")
  public static let float64 = DeclaredType.float("float64")

  public var description: String {
    switch self {
    case .real: return "real"
    case .bool: return "bool"
    case .float(let name), .integer(let name, _), .complex(let name), .unknown(let name): return name
    }
  }
}
