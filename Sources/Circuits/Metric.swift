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
    /// For models without an output map: the mean hidden state along the direction of the prompt's own embedding.
    case direction
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
  public var isLinear: Bool { kind != .probabilityDifference && kind != .divergence }

  /// The metric of a group of prompts.
  ///
  /// - Parameter clean: the model's run on the prompts.
  /// - Throws: `FileError` naming the line of a prompt that lacks what the metric needs.
  public init(
    _ kind: Kind, _ prompts: [Prompt], file: String, model: TransformerModel, clean: PlainRun
  ) throws {
    self.kind = kind
    let transformer = clean.transformer
    guard kind != .direction || model.outputKind == .hidden else {
      throw FileError(
        file: model.folder.path, reason: "has an output map; the metric direction is for models without one")
    }
    func wrong(_ prompt: Prompt, _ reason: String) -> FileError {
      FileError(file: file, place: "line \(prompt.line)", reason: reason)
    }
    switch model.outputKind {
    case .tokens:
      guard kind != .classLogit else {
        throw FileError(
          file: model.folder.path, reason: "is a language model; the metric class is for classifiers")
      }
      let logits = clean.value(transformer.output)
      let count = model.outputCount
      weights = try prompts.enumerated().map { index, prompt in
        if prompt.right.isEmpty {
          // A text by itself is measured by what the model predicts.
          if prompt.line == 0 {
            return [(token: Self.largest(logits.example(index).elements.suffix(count)), weight: 1)]
          }
          guard kind == .divergence else {
            throw wrong(prompt, "there is no \"answer\" nor \"correct_tokens\"")
          }
        }
        let right = prompt.right.map { (token: $0, weight: 1 / Double(prompt.right.count)) }
        let wrong = prompt.wrong.map { (token: $0, weight: -1 / Double(prompt.wrong.count)) }
        return right + wrong
      }
      guard model.readout([]) != nil else {
        // A network from a graph: the functional on the last row of its output.
        readout = transformer.output
        let size = logits.count / prompts.count
        let last = weights.map { $0.map { (token: size - count + $0.token, weight: $0.weight) } }
        directions = Self.spread(last, transformer.graph[transformer.output].shape)
        return
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
      let logits = clean.value(transformer.output)
      weights = try prompts.enumerated().map { index, prompt in
        let label = prompt.label ?? prompt.right.first ?? Self.largest(logits.example(index).elements)
        guard label >= 0, label < classes else {
          throw wrong(prompt, "the class \(label) is outside 0..<\(classes)")
        }
        return Self.classWeights(label, classes)
      }
      readout = transformer.output
      directions = Self.spread(weights, transformer.graph[transformer.output].shape)
    case .hidden:
      guard kind == .direction else {
        throw FileError(
          file: model.folder.path,
          reason: "has no output map; the metric must be direction, not \(kind.rawValue)")
      }
      weights = prompts.map { _ in [] }
      readout = transformer.output
      directions = Self.embeddingDirections(clean.value(transformer.output), width: transformer.width)
    }
  }

  /// The place of the largest number, the first of equals.
  static func largest(_ x: some Sequence<Double>) -> Int {
    var best = (place: 0, value: -Double.infinity)
    for (place, value) in x.enumerated() where value > best.value { best = (place, value) }
    return best.place
  }

  /// The functional "mean over positions, along the unit vector of that mean" of every prompt's hidden states
  /// `[prompts, positions, width]`, in their shape.
  ///
  /// - Parameter hidden: padded positions, which do not count.
  static func embeddingDirections(_ states: Tensor<Double>, width: Int, hidden: [Bool] = []) -> Tensor<Double>
  {
    let rows = states.count / states.batch / width
    let counted = (0..<rows).filter { hidden.isEmpty || !hidden[$0] }
    var directions = Tensor<Double>.zeros(states.shape)
    for prompt in 0..<states.batch {
      let start = prompt * rows * width
      let mean = meanState(Array(states.elements[start..<(start + rows * width)]), width, counted)
      let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
      for row in counted {
        for i in 0..<width {
          directions[flat: start + row * width + i] = mean[i] / (norm * Double(counted.count))
        }
      }
    }
    return directions
  }

  private static func meanState(_ states: [Double], _ width: Int, _ rows: [Int]) -> [Double] {
    var mean = [Double](repeating: 0, count: width)
    for row in rows { for i in 0..<width { mean[i] += states[row * width + i] } }
    return mean.map { $0 / Double(rows.count) }
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
  package func values(_ value: Tensor<Double>) -> [Double] {
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
