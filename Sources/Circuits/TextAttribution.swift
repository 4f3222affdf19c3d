import FileFormats
import IR
import Importers
import Language
import Tensors

/// Which words of a text does the model's answer rest on? Contextual decomposition with words as sources (Murdoch et
/// al., "Beyond Word Importance", 2018; hierarchies after Singh et al., "Hierarchical interpretations", 2019).
public struct TextAttribution: Sendable {
  /// What is scored as one.
  public enum Grouping: Sendable, Hashable {
    case token
    case word
    /// All runs of up to n words.
    case phrase(Int)
    /// Words, then ever larger phrases, merging the neighbours that interact most.
    case hierarchical

    /// Reads `token`, `word`, `phrase:3`, `hierarchical`; nil if the text is none of these.
    public init?(_ text: String) {
      switch text {
      case "token": self = .token
      case "word": self = .word
      case "hierarchical": self = .hierarchical
      case "phrase": self = .phrase(3)
      default:
        guard text.hasPrefix("phrase:"), let n = Int(text.dropFirst(7)), n > 0 else { return nil }
        self = .phrase(n)
      }
    }
  }

  /// A scored piece of the text.
  public struct Piece: Sendable, Hashable {
    public var text: String
    /// Token positions `start ..< end`.
    public var start: Int
    public var end: Int
    public var score: Double
    /// Height in the hierarchy; 0 for words.
    public var level: Int
  }

  public let encoding: Encoding
  public let model: TransformerModel
  public let decomposer: Decomposer
  public let metric: Metric
  /// What the score is a score of, for people.
  public let targetName: String
  /// The block at whose input the words are followed.
  public let level: Int
  /// The score of the whole text.
  public let full: Double

  /// What is scored.
  public enum Target: Sendable {
    /// The predicted class or next token, or the direction of the text's own embedding.
    case predicted
    /// A class by number or name, or a token by its text.
    case named(String)
    /// The direction of the text's own embedding (models without an output map).
    case direction
  }

  /// - Parameters:
  ///   - level: 0 for the embeddings, n for the output of n blocks run plainly.
  ///   - hidden: padded positions.
  /// - Throws: `FileError` if the target is not known; `GraphError` if the level is not there.
  public init(
    _ model: TransformerModel, _ encoding: Encoding, target: Target = .predicted, level: Int = 0,
    settings: DecompositionSettings, threads: Int = 1, hidden: [Bool] = []
  ) throws {
    self.model = model
    self.encoding = encoding
    self.level = level
    let transformer = try model.lower(positions: encoding.ids.count, rows: .last, hidden: hidden)
    guard level >= 0, level < transformer.layers.count else {
      throw GraphError(
        node: "level \(level)", reason: "the model has \(transformer.layers.count) blocks; levels start at 0")
    }
    let run = try PlainRun(
      transformer, embeddings: try model.embed([encoding.ids], values: [encoding.values]))
    decomposer = Decomposer(run, settings: settings, baseline: .zero(transformer), threads: threads)
    (metric, targetName) = try Self.metric(model, run, target, hidden: hidden)
    full = metric.linear(run.value(metric.readout))[0]
  }

  private static func metric(
    _ model: TransformerModel, _ run: PlainRun, _ target: Target, hidden: [Bool]
  ) throws -> (Metric, String) {
    let transformer = run.transformer
    func unknown(_ name: String, _ what: String) -> FileError {
      FileError(file: model.folder.path, place: "target \"\(name)\"", reason: what)
    }
    switch model.outputKind {
    case .classes:
      let logits = run.value(transformer.output)
      let classes = logits.count
      var label = logits.elements.indices.max { logits.elements[$0] < logits.elements[$1] } ?? 0
      if case .named(let name) = target {
        let labels = model.configuration.labels
        let found = Int(name) ?? labels.first { $0.value.lowercased() == name.lowercased() }?.key
        guard let found, found >= 0, found < classes else {
          throw unknown(name, "is no class; classes are \(labels.sorted { $0.key < $1.key }.map(\.value))")
        }
        label = found
      } else if case .direction = target {
        throw unknown("direction", "is for models without an output map")
      }
      var direction = Tensor<Double>.zeros(logits.shape)
      for (token, weight) in Metric.classWeights(label, classes) { direction[flat: token] = weight }
      let name = model.configuration.labels[label] ?? "class \(label)"
      return (Metric(readout: transformer.output, directions: direction), "class \(name)")
    case .tokens:
      let logits = run.value(transformer.output)
      let count = model.outputCount
      let last = logits.count - count
      var token = (0..<count).max { logits.elements[last + $0] < logits.elements[last + $1] } ?? 0
      if case .named(let name) = target {
        if let tokenizer = model.folder.tokenizer, let id = try? tokenizer.id(ofToken: name) {
          token = id
        } else if let id = Int(name), id >= 0, id < count {
          token = id
        } else {
          throw unknown(name, "is not a token of the vocabulary")
        }
      } else if case .direction = target {
        throw unknown("direction", "is for models without an output map")
      }
      let column = model.readout([(token: token, weight: 1)])
      // A network from a graph has no known unembedding; its output is read itself.
      let node = column == nil ? transformer.output : transformer.final
      let shape = transformer.graph[node].shape
      var direction = Tensor<Double>.zeros([1] + shape)
      if let column {
        for (i, value) in column.enumerated() { direction[flat: shape.count - column.count + i] = value }
      } else {
        direction[flat: last + token] = 1
      }
      let text = model.folder.tokenizer?.vocabulary.token(of: token)
      let name = text.map { model.folder.tokenizer?.display($0) ?? $0 } ?? String(token)
      return (Metric(readout: node, directions: direction), "next token “\(name)”")
    case .hidden:
      if case .named(let name) = target {
        throw unknown(name, "the model has no output map; the target must be direction")
      }
      let direction = Metric.embeddingDirections(
        run.value(transformer.output), width: transformer.width, hidden: hidden)
      return (Metric(readout: transformer.output, directions: direction), "direction of the text's embedding")
    }
  }

  /// The relevant part of the score for each set of token positions.
  public func scores(_ sets: [[Int]]) throws -> [Double] {
    let metric = metric
    let level = level
    return try decomposer.forEach(sets.map { .tokens($0, level: level) }, reading: [metric.readout]) {
      _, pairs in
      metric.linear(pairs[0].beta)[0]
    }
  }

  /// Both parts of the score for each set.
  public func pairs(_ sets: [[Int]]) throws -> [(beta: Double, gamma: Double)] {
    let metric = metric
    let level = level
    return try decomposer.forEach(sets.map { .tokens($0, level: level) }, reading: [metric.readout]) {
      _, pairs in
      (metric.linear(pairs[0].beta)[0], metric.linear(pairs[0].gamma)[0])
    }
  }

  /// Token positions by word.
  public var words: [Range<Int>] {
    var result: [Range<Int>] = []
    for (position, word) in encoding.words.enumerated() {
      if word < result.count {
        result[word] = result[word].lowerBound..<(position + 1)
      } else {
        result.append(position..<(position + 1))
      }
    }
    return result
  }

  /// The text of some words.
  func text(_ range: Range<Int>) -> String {
    let parts = Array(encoding.wordTexts[range])
    let spaced = parts.dropFirst().contains { $0.first == " " }
    return parts.joined(separator: spaced ? "" : " ")
  }

  /// Scores the pieces of a grouping, in the order of the text (phrases by start, then length; hierarchies by level).
  public func pieces(_ grouping: Grouping) throws -> [Piece] {
    let words = words
    switch grouping {
    case .token:
      let scores = try scores(encoding.ids.indices.map { [$0] })
      return scores.enumerated().map { position, score in
        let text = model.folder.tokenizer?.display(encoding.tokens[position]) ?? encoding.tokens[position]
        return Piece(text: text, start: position, end: position + 1, score: score, level: 0)
      }
    case .word: return try scored(words.indices.map { $0..<($0 + 1) })
    case .phrase(let longest):
      let ranges = words.indices.flatMap { start in
        (1...longest).compactMap { start + $0 <= words.count ? start..<(start + $0) : nil }
      }
      return try scored(ranges)
    case .hierarchical: return try hierarchy()
    }
  }

  private func scored(_ ranges: [Range<Int>], level: Int = 0) throws -> [Piece] {
    let words = words
    func positions(_ range: Range<Int>) -> Range<Int> {
      words[range.lowerBound].lowerBound..<words[range.upperBound - 1].upperBound
    }
    let scores = try scores(ranges.map { Array(positions($0)) })
    return zip(ranges, scores).map { range, score in
      let place = positions(range)
      return Piece(
        text: text(range), start: place.lowerBound, end: place.upperBound, score: score, level: level)
    }
  }

  private func hierarchy() throws -> [Piece] {
    var ranges = words.indices.map { $0..<($0 + 1) }
    var pieces = try scored(ranges)
    var result = pieces
    var known: [Range<Int>: Piece] = [:]
    var level = 1
    while ranges.count > 1 {
      let joined = (0..<ranges.count - 1).map { ranges[$0].lowerBound..<ranges[$0 + 1].upperBound }
      let missing = joined.filter { known[$0] == nil }
      for (range, piece) in zip(missing, try scored(missing)) { known[range] = piece }
      // The neighbours whose joint score differs most from the sum of their own.
      let interactions = joined.enumerated().map { place, range -> Double in
        let whole = known[range]?.score ?? 0
        return (whole - pieces[place].score - pieces[place + 1].score).magnitude
      }
      let best =
        interactions.indices.max {
          interactions[$0] < interactions[$1] || interactions[$0] == interactions[$1] && $0 > $1
        } ?? 0
      guard var piece = known[joined[best]] else { break }
      piece.level = level
      ranges.replaceSubrange(best...(best + 1), with: [joined[best]])
      pieces.replaceSubrange(best...(best + 1), with: [piece])
      result.append(piece)
      level += 1
    }
    return result
  }

  /// The largest |β + γ - x| at any node for each token as a source (at most eight of them).
  public func conservationError() throws -> Double {
    let level = level
    let step = max(1, encoding.ids.count / 8)
    let sources = stride(from: 0, to: encoding.ids.count, by: step).map { Source.tokens([$0], level: level) }
    return try decomposer.forEachExplicit(sources, reading: [metric.readout]) { _, _ in 0 }.conservationError
  }
}
