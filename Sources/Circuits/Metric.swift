import FileFormats
import Importers
import IR
import Language
import Tensors

/// A number per prompt that says how well the model does its task.
public struct Metric: Sendable {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Logits of right minus logits of wrong answers, each side averaged.
    case logitDifference = "logit-diff"
    /// The same with probabilities.
    case probabilityDifference = "prob-diff"
    /// Minus the Kullback-Leibler divergence from the clean model's next-token distribution.
    case divergence = "kl"
    /// The logit of the class (the labelled, else the predicted one) minus the mean of the others.
    case classLogit = "class"
  }

  public var kind: Kind
  /// The node the metric reads.
  public let readout: NodeID
  /// For the linear metrics: the functional on the readout node, `[prompts] + shape`. Decompositions and gradients of
  /// the others use the logit difference.
  public let directions: Tensor<Double>
  /// For the other metrics: signed weights of tokens, per prompt.
  let weights: [[(token: Int, weight: Double)]]
  /// The clean model's logits of the rows read, for the divergence.
  var reference: Tensor<Double>?

  /// Whether the metric is a linear functional of the logits.
  public var isLinear: Bool { kind == .logitDifference || kind == .classLogit }

  /// The metric of a group of prompts.
  ///
  /// - Throws: `FileError` naming the line of a prompt that lacks what the metric needs.
  public init(
    _ kind: Kind, _ prompts: [Prompt], file: String, model: TransformerModel, transformer: Transformer
  ) throws {
    self.kind = kind
    func wrong(_ prompt: Prompt, _ reason: String) -> FileError {
      FileError(file: file, place: "line \(prompt.line)", reason: reason)
    }
    switch model.outputKind {
    case .tokens:
      guard kind != .classLogit else {
        throw FileError(
          file: model.folder.path, reason: "is a language model; the metric class is for classifiers")
      }
      weights = try prompts.map { prompt in
        if kind != .divergence || !prompt.right.isEmpty {
          guard !prompt.right.isEmpty else {
            throw wrong(prompt, "there is no \"answer\" nor \"correct_tokens\"")
          }
        }
        let right = prompt.right.map { (token: $0, weight: 1 / Double(prompt.right.count)) }
        let wrong = prompt.wrong.map { (token: $0, weight: -1 / Double(prompt.wrong.count)) }
        return right + wrong
      }
      // The functional on the final hidden state of the last position, the unembedding being linear.
      readout = transformer.final
      let shape = transformer.graph[transformer.final].shape
      var directions = Tensor<Double>.zeros([prompts.count] + shape)
      let last = shape.count - transformer.width
      for (index, weight) in weights.enumerated() {
        let direction = model.readout(weight) ?? []
        for (i, value) in direction.enumerated() { directions[flat: index * shape.count + last + i] = value }
      }
      self.directions = directions
    case .classes:
      guard kind == .classLogit || kind == .logitDifference else {
        throw FileError(
          file: model.folder.path,
          reason: "is a classifier; the metric \(kind.rawValue) is for language models")
      }
      let classes = model.outputCount
      weights = try prompts.map { prompt in
        guard let label = prompt.label ?? prompt.right.first else {
          throw wrong(prompt, "there is no \"label\"")
        }
        guard label >= 0, label < classes else {
          throw wrong(prompt, "the class \(label) is outside 0..<\(classes)")
        }
        return Self.classWeights(label, classes)
      }
      readout = transformer.output
      directions = Self.spread(weights, [1, classes])
    case .hidden:
      throw FileError(
        file: model.folder.path, reason: "has no output to measure; give a direction (cdt attribute) instead")
    }
  }

  /// A linear functional of one's own.
  public init(readout: NodeID, directions: Tensor<Double>) {
    kind = .logitDifference
    self.readout = readout
    self.directions = directions
    weights = []
  }

  static func classWeights(_ label: Int, _ classes: Int) -> [(token: Int, weight: Double)] {
    (0..<classes).map { (token: $0, weight: $0 == label ? 1 : -1 / Double(max(1, classes - 1))) }
  }

  private static func spread(_ weights: [[(token: Int, weight: Double)]], _ shape: Shape) -> Tensor<Double> {
    var result = Tensor<Double>.zeros([weights.count] + shape)
    for (index, list) in weights.enumerated() {
      for (token, weight) in list { result[flat: index * shape.count + token] += weight }
    }
    return result
  }

  /// The node whose values ``values(_:prompts:)`` takes.
  public func node(_ transformer: Transformer) -> NodeID { isLinear ? readout : transformer.output }

  /// The linear functional of every example of a prompt-major batch: `[prompts * sources] -> prompts * sources`.
  func linear(_ value: Tensor<Double>) -> [Double] {
    let size = directions.count / directions.batch
    let ratio = max(1, value.batch / directions.batch)
    return value.withPointer { x in
      directions.withPointer { d in
        (0..<value.batch).map { r in
          var sum = 0.0
          let a = x + r * size
          let b = d + r / ratio * size
          for i in 0..<size { sum += a[i] * b[i] }
          return sum
        }
      }
    }
  }

  /// The metric of every example of a prompt-major batch of values of ``node(_:)``.
  func values(_ value: Tensor<Double>) -> [Double] {
    if isLinear { return linear(value) }
    let prompts = weights.count
    let ratio = max(1, value.batch / prompts)
    let shape = value.exampleShape
    let count = shape.dims.last ?? 1
    let last = shape.count - count
    return (0..<value.batch).map { r in
      let start = r * shape.count + last
      let p = Self.softmax(value.elements[start..<(start + count)])
      let prompt = r / ratio
      if kind == .probabilityDifference {
        // A difference of mean probabilities; for many right answers the sums are meant (greater-than).
        let right = weights[prompt].filter { $0.weight > 0 }.reduce(0.0) { $0 + p[$1.token] }
        let wrong = weights[prompt].filter { $0.weight < 0 }.reduce(0.0) { $0 + p[$1.token] }
        return right - wrong
      }
      guard let reference else { return 0 }
      let base = prompt * shape.count + last
      let q = Self.softmax(reference.elements[base..<(base + count)])
      var sum = 0.0
      for i in 0..<count where q[i] > 0 { sum += q[i] * (logarithm(q[i]) - logarithm(max(p[i], 1e-300))) }
      return -sum
    }
  }

  static func softmax(_ x: ArraySlice<Double>) -> [Double] {
    let largest = x.max() ?? 0
    let e = x.map { exponential($0 - largest) }
    let sum = e.reduce(0, +)
    return e.map { $0 / sum }
  }

  /// The metric of some of the prompts.
  func prompts(_ range: Range<Int>) -> Metric {
    var result = Metric(
      readout: readout, directions: directions.examples(range), weights: Array(weights[range]))
    result.kind = kind
    result.reference = reference?.examples(range)
    return result
  }

  private init(readout: NodeID, directions: Tensor<Double>, weights: [[(token: Int, weight: Double)]]) {
    kind = .logitDifference
    self.readout = readout
    self.directions = directions
    self.weights = weights
  }
}

extension Metric {
  /// The metric of the first prompts only.
  public func scoredPrompts(_ count: Int) -> Metric { prompts(0..<count) }

  /// The linear functional of a value of the readout node, one number per prompt.
  public func value(of value: Tensor<Double>) -> [Double] { linear(value) }
}
