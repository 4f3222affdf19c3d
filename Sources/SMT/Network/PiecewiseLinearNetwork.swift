import IR
import Tensors

/// A network made of affine rows and ReLUs only, scalar by scalar: the form on which exact methods work.
///
/// LeakyReLU, Abs, Clip, Max, Min and MaxPool are written exactly in ReLUs when the graph is lowered (see
/// ``PiecewiseLinearDomain``), so bounds, search, encodings and proofs know two shapes of neuron: ReLU and Sign.
/// Variables are numbered: first the inputs, then every block's. A row refers to variables of earlier blocks only.
public struct PiecewiseLinearNetwork: Sendable {
  /// What a block does to the rows' values.
  public enum Kind: String, Sendable {
    /// The variable is the row's value.
    case affine
    /// The variable is the positive part of the row's value.
    case relu
    /// The variable is -1, 0 or 1 as the row's value is negative, zero or positive.
    case sign
  }

  /// Variables `first ..< first + count`, given by rows over earlier variables:
  /// `row value = (sum of coefficient * variable) / denominator + bias`.
  public struct Block: Sendable {
    public var kind: Kind
    public var first: Int
    /// Compressed rows: the entries of row `i` are `start[i] ..< start[i + 1]`. A variable may occur twice in a row.
    public var start: [Int32]
    public var column: [Int32]
    public var value: [Double]
    public var bias: [Double]
    public var denominator: Int
    /// The node of the graph that the block comes from.
    public var name: String

    public var count: Int { bias.count }
    public var range: Range<Int> { first..<(first + count) }
  }

  public let inputCount: Int
  public private(set) var blocks: [Block]
  /// The variable of every output element.
  public let outputs: [Int]
  public private(set) var variableCount: Int
  /// For every variable that is not an input, its block; -1 for inputs.
  public private(set) var blockOfVariable: [Int32]
  /// The blocks at fixed addresses.
  let raw: [RawBlock]
  /// The most rows that one variable occurs in: the number of terms in any sum of a backward pass.
  public let fanOut: Int

  init(inputCount: Int, blocks: [Block], outputs: [Int]) {
    self.inputCount = inputCount
    self.blocks = blocks
    self.outputs = outputs
    variableCount = inputCount + blocks.reduce(0) { $0 + $1.count }
    var owner = [Int32](repeating: -1, count: variableCount)
    var uses = [Int32](repeating: 0, count: variableCount)
    for (b, block) in blocks.enumerated() {
      for v in block.range { owner[v] = Int32(b) }
      for c in block.column { uses[Int(c)] += 1 }
    }
    for v in outputs { uses[v] += 1 }
    blockOfVariable = owner
    raw = blocks.map { RawBlock($0, owners: owner) }
    fanOut = Int(uses.max() ?? 1)
  }

  /// The number of ReLU and Sign neurons.
  public var neuronCount: Int { blocks.reduce(0) { $0 + ($1.kind == .affine ? 0 : $1.count) } }

  /// The variables of the neurons, in the order of the graph.
  var neuronVariables: [Int] { blocks.flatMap { $0.kind == .affine ? [] : Array($0.range) } }

  /// Whether a variable is a ReLU.
  public func isReLU(_ variable: Int) -> Bool {
    let block = blockOfVariable[variable]
    return block >= 0 && blocks[Int(block)].kind == .relu
  }

  /// The values of all variables at an input, in ordinary double arithmetic (for search, not for claims).
  public func evaluate(_ x: [Double]) -> [Double] {
    precondition(x.count == inputCount)
    var values = [Double](repeating: 0, count: variableCount)
    values.withUnsafeMutableBufferPointer { v in
      for i in 0..<inputCount { v[i] = x[i] }
      for block in raw {
        for i in 0..<block.count {
          var sum = 0.0
          for k in block.entries(i) { sum += block.value[k] * v[Int(block.column[k])] }
          if block.denominator != 1 { sum /= block.denominator }
          sum += block.bias[i]
          switch block.kind {
          case .affine: break
          case .relu: sum = max(sum, 0)
          case .sign: sum = sum > 0 ? 1 : (sum < 0 ? -1 : 0)
          }
          v[block.first + i] = sum
        }
      }
    }
    return values
  }

  /// The gradient of a row in the inputs at a point whose variables have the given values.
  func inputGradient(of row: VariableRow, at values: [Double]) -> [Double] {
    var covector = [Double](repeating: 0, count: variableCount)
    covector.withUnsafeMutableBufferPointer { c in
      for (v, coefficient) in zip(row.variables, row.coefficients) { c[v] += coefficient }
      for block in raw.reversed() {
        for i in 0..<block.count {
          let v = block.first + i
          var a = c[v]
          if a == 0 || block.kind == .sign || (block.kind == .relu && values[v] <= 0) { continue }
          if block.denominator != 1 { a /= block.denominator }
          for k in block.entries(i) { c[Int(block.column[k])] += block.value[k] * a }
        }
      }
    }
    return Array(covector[0..<inputCount])
  }
}
