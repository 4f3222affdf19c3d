import Domains
import FileFormats
import Foundation
import IR
import Language
import Operators
import Tensors

/// The weights of a transformer, read once; graphs for any sequence length share them.
public struct TransformerModel: Sendable {
  public let folder: ModelFolder
  /// The network of an ONNX file; the members below are then empty.
  let network: RecognisedTransformer?
  private let storedNames: WeightNames?
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
    /// The first position (BERT) or the last (GPT-2) of a sequence.
    case classes(Classifier)
    case hidden
  }

  /// A dense layer and its activation, if there is one, then the classes.
  struct Classifier: Sendable {
    var dense: Linear?
    var activation = ""
    var output: Linear
  }

  public var configuration: ModelConfiguration { folder.configuration }

  /// Reads a HuggingFace folder of the GPT-2 or BERT family.
  ///
  /// - Throws: `FileError` naming the tensor that is missing or has a wrong shape.
  ///
  /// A path that names a file is read as ONNX, and attention is looked for in its graph.
  public init(path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
      try self.init(ModelFolder(path: path))
      return
    }
    try self.init(RecognisedTransformer(path: path))
  }

  private init(_ network: RecognisedTransformer) throws {
    self.network = network
    var configuration = network.transformer.configuration
    if network.opensLength { configuration.positions = RecognisedTransformer.longest }
    folder = try ModelFolder(
      network: network.file, configuration: configuration,
      inputShape: network.vocabulary == nil ? network.input.shape.dims : nil)
    storedNames = nil
    blocks = []
    finalNorm = nil
    head = .hidden
  }

  public init(_ folder: ModelFolder) throws {
    self.folder = folder
    network = nil
    let names = try WeightNames(folder)
    storedNames = names
    let reader = WeightReader(folder: folder, names: names)
    switch folder.configuration.family {
    case .gpt2: (blocks, finalNorm, head) = try reader.gpt2()
    case .bert:
      (blocks, head) = try reader.bert()
      finalNorm = nil
    }
    if case .hidden = head { _ = try reader.pooler() }
    try reader.refuseUnused()
  }

  /// Names of tensors; of a folder only.
  private func weightNames() throws -> WeightNames {
    guard let storedNames else { throw FileError(file: folder.path, reason: "is no folder of weights") }
    return storedNames
  }

  /// What kind of output the graphs have.
  public var outputKind: Transformer.OutputKind {
    if let network { return network.transformer.outputKind }
    return switch head {
    case .tokens: .tokens
    case .classes: .classes
    case .hidden: .hidden
    }
  }

  /// The number of outputs per row: vocabulary, classes or width.
  public var outputCount: Int {
    if let network {
      let shape = network.transformer.graph[network.transformer.output].shape
      return outputKind == .classes ? shape.count : shape.dims.last ?? 1
    }
    return switch head {
    case .tokens(let linear): linear.weight.shape[1]
    case .classes(let classifier): classifier.output.weight.shape[1]
    case .hidden: configuration.width
    }
  }

  /// The only length of sequences that the model reads; nil if there are several.
  public var fixedLength: Int? {
    network.flatMap { $0.opensLength ? nil : $0.transformer.positions }
  }

  /// The network of an ONNX file for sequences of a length; files that leave it open are read anew for another.
  func sized(_ positions: Int?) throws -> RecognisedTransformer? {
    guard let network, network.opensLength, let positions,
      positions != network.transformer.positions
    else { return network }
    return try RecognisedTransformer(path: folder.path, positions: positions)
  }

  /// The number of parameters in the file.
  public var parameterCount: Int {
    if let network { return network.original.parameterCount }
    return folder.weights.files.flatMap(\.entries).filter(\.type.isFloatingPoint).reduce(0) { $0 + $1.count }
  }

  /// The graph's input for sequences of equal length: `[B, positions, width]`.
  ///
  /// - Throws: `FileError` if a token number is outside the vocabulary or the sequence is too long.
  ///
  /// - Parameter values: for models that read tensors: their elements, one array per sequence.
  public func embed(_ sequences: [[Int]], values: [[Double]?] = []) throws -> Tensor<Double> {
    if let network = try sized(sequences.first?.count) {
      let given = try sequences.enumerated().map { index, ids -> [Double] in
        if index < values.count, let own = values[index] { return own }
        guard network.vocabulary != nil else {
          throw FileError(
            file: folder.path,
            reason: "the model reads a tensor of shape \(network.input.shape); give --input")
        }
        _ = try folder.describe(ids)
        return ids.map(Double.init)
      }
      guard given.allSatisfy({ $0.count == network.input.shape.count }) else {
        throw FileError(
          file: folder.path, reason: "the network reads exactly \(network.input.shape.count) tokens")
      }
      return try network.embeddings(given)
    }
    let names = try weightNames()
    guard let length = sequences.first?.count, length > 0 else {
      return Tensor<Double>.zeros([0, 0, configuration.width])
    }
    let width = configuration.width
    var flat: [Int] = []
    for ids in sequences {
      precondition(ids.count == length, "sequences of a batch have equal lengths")
      _ = try folder.describe(ids)
      if case .classes = head, configuration.family == .gpt2, ids.last == configuration.paddingToken {
        throw FileError(
          file: folder.path, place: "the token numbers",
          reason: "the sequence ends in padding; its classes are those of its last token without")
      }
      flat += ids
    }
    let file = folder.weights.file(of: names.tokenTable)
    var x = try file.rows(names.tokenTable, flat)
    var places = [Double](repeating: 0, count: flat.count * width)
    if let table = names.positionTable {
      places = try folder.weights.file(of: table).rows(table, sequences.flatMap { positionRows($0) })
    }
    var type = [Double](repeating: 0, count: width)
    if let table = names.typeTable { type = try folder.weights.file(of: table).rows(table, [0]) }
    for row in 0..<flat.count {
      let place = row * width
      for i in 0..<width {
        x[row * width + i] = x[row * width + i] + places[place + i] + type[i]
      }
    }
    var sum = Tensor<Double>([sequences.count, length, width], x)
    let reader = WeightReader(folder: folder, names: names)
    if let name = names.embeddingMap {
      let linear = try reader.linear(name, width, width)
      sum = Dense(linear.weight, inputShape: [length, width]).apply(sum)
      if let bias = linear.bias { sum.addToEveryExample(bias.repeatedRows(length)) }
    }
    guard let norm = names.embeddingNorm else { return sum }
    let parameters = try reader.norm(norm)
    if configuration.centersOnly {
      var result = Dense(Centering.matrix(parameters.gain), inputShape: [length, width]).apply(sum)
      result.addToEveryExample(parameters.shift.values.repeatedRows(length))
      return result
    }
    let composite = try LayerNormalization(
      shape: [length, width], gain: parameters.gain, shift: parameters.shift, epsilon: configuration.epsilon)
    return composite.evaluate([sum]) ?? sum
  }

  /// The rows of the position table that belong to the tokens of a sequence.
  private func positionRows(_ ids: [Int]) -> [Int] {
    let first = configuration.firstPosition
    guard first > 0 else { return Array(0..<ids.count) }
    // RoBERTa counts the tokens that are no padding, from behind the padding token's number on; padding has that number.
    var last = first - 1
    return ids.map { id in
      if id == first - 1 { return first - 1 }
      last += 1
      return last
    }
  }

  /// The output of the model as it is deployed, with every value in single precision: `[1] + shape`.
  ///
  /// - Throws: as ``embed(_:values:)`` and ``lower(positions:rows:hidden:)``.
  public func deployed(_ ids: [Int], values: [Double]? = nil) throws -> Tensor<Double> {
    let graph = try lower(positions: ids.count).graph
    var domain = ConcreteDomain(.deployed)
    let embeddings = try embed([ids], values: [values])
    return try graph.interpret([.float(embeddings.float32)], in: &domain).outputs[0].float64
  }

  /// tanh of the pooler's map of a sequence's first hidden state; nil for models without a pooler.
  ///
  /// - Throws: `FileError` for a pooler of a wrong shape.
  public func pooled(_ hidden: Tensor<Double>) throws -> [Double]? {
    guard let names = storedNames, let pooler = try WeightReader(folder: folder, names: names).pooler() else {
      return nil
    }
    let first = Tensor<Double>(
      [1, 1, configuration.width], Array(hidden.elements.prefix(configuration.width)))
    var result = Dense(pooler.weight, inputShape: [1, configuration.width]).apply(first)
    if let bias = pooler.bias { result.addToEveryExample(bias.repeatedRows(1)) }
    return Tanh().apply(result).elements
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
