import FileFormats
import IR
import Language
import Operators
import Tensors

/// The weights of a transformer, read once; graphs for any sequence length share them.
public struct TransformerModel: Sendable {
  public let folder: ModelFolder
  let names: WeightNames
  let blocks: [Block]
  let finalNorm: Norm?
  let head: Head

  /// A gain and a shift.
  struct Norm: Sendable {
    var gain: Weight
    var shift: Weight
  }

  /// x W + b with W `[in, out]`.
  struct Linear: Sendable {
    var weight: Weight
    var bias: Tensor<Double>?
  }

  struct Block: Sendable {
    var query: Linear
    var key: Linear
    var value: Linear
    var projection: Linear
    var norm1: Norm
    var inner: Linear
    var outer: Linear
    var norm2: Norm
  }

  enum Head: Sendable {
    case tokens(Linear)
    /// Position 0 through a dense layer and its activation, then the classes.
    case classes(dense: Linear, activation: String, output: Linear)
    case hidden
  }

  public var configuration: ModelConfiguration { folder.configuration }

  /// Reads a HuggingFace folder of the GPT-2 or BERT family.
  ///
  /// - Throws: `FileError` naming the tensor that is missing or has a wrong shape.
  public init(path: String) throws { try self.init(ModelFolder(path: path)) }

  public init(_ folder: ModelFolder) throws {
    self.folder = folder
    names = try WeightNames(folder)
    let reader = WeightReader(folder: folder, names: names)
    switch folder.configuration.family {
    case .gpt2: (blocks, finalNorm, head) = try reader.gpt2()
    case .bert:
      (blocks, head) = try reader.bert()
      finalNorm = nil
    }
  }

  /// What kind of output the graphs have.
  public var outputKind: Transformer.OutputKind {
    switch head {
    case .tokens: .tokens
    case .classes: .classes
    case .hidden: .hidden
    }
  }

  /// The number of outputs per row: vocabulary, classes or width.
  public var outputCount: Int {
    switch head {
    case .tokens(let linear): linear.weight.shape[1]
    case .classes(_, _, let output): output.weight.shape[1]
    case .hidden: configuration.width
    }
  }

  /// The number of parameters in the file.
  public var parameterCount: Int {
    folder.weights.files.flatMap(\.entries).filter(\.type.isFloatingPoint).reduce(0) { $0 + $1.count }
  }

  /// The graph's input for sequences of equal length: `[B, positions, width]`.
  ///
  /// - Throws: `FileError` if a token number is outside the vocabulary or the sequence is too long.
  public func embed(_ sequences: [[Int]]) throws -> Tensor<Double> {
    guard let length = sequences.first?.count, length > 0 else {
      return Tensor<Double>.zeros([0, 0, configuration.width])
    }
    let width = configuration.width
    var flat: [Int] = []
    for ids in sequences {
      precondition(ids.count == length, "sequences of a batch have equal lengths")
      _ = try folder.describe(ids)
      flat += ids
    }
    let file = folder.weights.file(of: names.tokenTable)
    var x = try file.rows(names.tokenTable, flat)
    let first = configuration.firstPosition
    let places = try folder.weights.file(of: names.positionTable)
      .rows(names.positionTable, Array(first..<(first + length)))
    var type = [Double](repeating: 0, count: width)
    if let table = names.typeTable { type = try folder.weights.file(of: table).rows(table, [0]) }
    for row in 0..<flat.count {
      let place = row % length * width
      for i in 0..<width {
        x[row * width + i] = x[row * width + i] + places[place + i] + type[i]
      }
    }
    let sum = Tensor<Double>([sequences.count, length, width], x)
    guard let norm = names.embeddingNorm else { return sum }
    let reader = WeightReader(folder: folder, names: names)
    let parameters = try reader.norm(norm)
    let composite = try LayerNormalization(
      shape: [length, width], gain: parameters.gain, shift: parameters.shift, epsilon: configuration.epsilon)
    return composite.evaluate([sum]) ?? sum
  }

  /// The columns of the unembedding, weighted: `sum over v of weights[v] * unembedding[:, v]`, `[width]`.
  public func readout(_ weights: [(token: Int, weight: Double)]) -> [Double]? {
    guard case .tokens(let linear) = head else { return nil }
    let width = configuration.width
    let count = linear.weight.shape[1]
    var result = [Double](repeating: 0, count: width)
    let values = linear.weight.values.elements
    for (token, weight) in weights {
      for i in 0..<width { result[i] += weight * values[i * count + token] }
    }
    return result
  }
}
