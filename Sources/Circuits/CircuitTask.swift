import FileFormats
import IR
import Importers
import Language
import Tensors

/// A model on a group of prompts: everything that scores, ablations and searches share.
public struct CircuitTask: Sendable {
  public let model: TransformerModel
  public let group: PromptGroup
  public let transformer: Transformer
  public let settings: DecompositionSettings
  public let baseline: Baseline
  public let threads: Int
  /// The clean prompts, all of them.
  public let clean: PlainRun
  public let metric: Metric
  /// How many of the first prompts decompositions are averaged over.
  public let scored: Int

  /// What stands for heads that are taken out.
  public enum BaselineChoice: Sendable {
    case computed(Baseline.Kind)
    case given(Baseline, file: String)
  }

  /// Runs the model on the clean prompts and prepares the baseline.
  ///
  /// - Parameters:
  ///   - metric: nil takes the logit difference of a language model, the class logit of a classifier, the direction of
  ///     the prompt's own embedding where there is no output map.
  ///   - scored: how many of the first prompts are decomposed; nil takes all.
  /// - Throws: `FileError` for prompts that lack what is needed, or a baseline of another length.
  public init(
    model: TransformerModel, group: PromptGroup, metric kind: Metric.Kind? = nil,
    baseline choice: BaselineChoice = .computed(.mean),
    settings: DecompositionSettings = DecompositionSettings(),
    scored: Int? = nil, threads: Int = 1
  ) throws {
    self.model = model
    self.group = group
    self.settings = settings
    self.threads = threads
    transformer = try model.lower(positions: group.length, rows: .last)
    clean = try PlainRun(
      transformer, embeddings: try model.embed(group.prompts.map(\.ids), values: group.prompts.map(\.values)))
    metric = try Metric(
      kind ?? Self.defaultMetric(model), group.prompts, file: group.file, model: model, clean: clean)
    self.scored = min(scored ?? group.prompts.count, group.prompts.count)
    switch choice {
    case .given(let baseline, let file):
      guard baseline.positions == transformer.positions else {
        throw FileError(
          file: file,
          reason: "the baseline has \(baseline.positions) positions, the prompts of \(group.file) have "
            + "\(transformer.positions)")
      }
      guard baseline.layers.count == transformer.layers.count, baseline.heads == transformer.heads,
        baseline.headWidth == transformer.headWidth
      else { throw FileError(file: file, reason: "the baseline is of a model of other sizes") }
      self.baseline = baseline
    case .computed(.zero): baseline = .zero(transformer)
    case .computed(let kind):
      let run = try Self.corrupted(model, group, transformer)
      baseline = kind == .mean ? .mean(of: run) : .resample(of: run)
    }
  }

  private static func defaultMetric(_ model: TransformerModel) -> Metric.Kind {
    switch model.outputKind {
    case .tokens: .logitDifference
    case .classes: .classLogit
    case .hidden: .direction
    }
  }

  /// The run on the corrupted prompts.
  ///
  /// - Throws: `FileError` naming a prompt without a corrupted counterpart.
  package static func corrupted(_ model: TransformerModel, _ group: PromptGroup, _ transformer: Transformer)
    throws
    -> PlainRun
  {
    let sequences = try group.prompts.map { prompt -> [Int] in
      guard let ids = prompt.corrupted else {
        throw FileError(
          file: group.file, place: "line \(prompt.line)",
          reason: "there is no corrupted counterpart; use --ablation zero, or give a baseline")
      }
      return ids
    }
    let embeddings = try model.embed(sequences, values: group.prompts.map(\.corruptedValues))
    return try PlainRun(transformer, embeddings: embeddings, patterns: false)
  }

  /// The decomposer on the scored prompts.
  public func decomposer(progress: (@Sendable (Int) -> Void)? = nil) -> Decomposer {
    Decomposer(
      clean.prompts(0..<scored), settings: settings, baseline: baseline.prompts(0..<scored), threads: threads,
      progress: progress)
  }

  public func search(progress: (@Sendable (Int) -> Void)? = nil) -> CircuitSearch {
    CircuitSearch(decomposer(progress: progress), metric: metric.prompts(0..<scored))
  }

  public func ablator(progress: (@Sendable (Int) -> Void)? = nil) -> Ablator {
    Ablator(clean, metric: metric, baseline: baseline, threads: threads, progress: progress)
  }

  public func attribution() throws -> AttributionPatching {
    AttributionPatching(
      transformer, embeddings: clean.value(transformer.graph.inputs[0]), metric: metric, baseline: baseline)
  }

  /// All units of a kind on these prompts.
  public func units(byHead: Bool) -> [CircuitUnit] {
    CircuitUnit.all(
      layers: transformer.layers.count, positions: byHead ? nil : transformer.positions,
      heads: transformer.heads)
  }

  /// The largest |β + γ - x| at any node, in explicit decompositions of these sources (and of the first token).
  public func conservationError(of units: [CircuitUnit]) throws -> Double {
    let positions = transformer.positions
    var decomposer = decomposer()
    decomposer.progress = nil
    let sources: [Source] =
      [.tokens([0], level: 0)] + units.map { .nodes($0.nodes(positions: positions)) }
    return try decomposer.forEachExplicit(sources, reading: [metric.readout]) { _, _ in 0 }.conservationError
  }
}

extension TransformerModel {
  /// The conservation error of a decomposition of one sequence, its first token being the source.
  public func conservationError(
    _ ids: [Int], values: [Double]? = nil, settings: DecompositionSettings = DecompositionSettings()
  ) throws -> Double {
    let transformer = try lower(positions: ids.count)
    let run = try PlainRun(transformer, embeddings: try embed([ids], values: [values]))
    let decomposer = Decomposer(run, settings: settings, baseline: .zero(transformer))
    return try decomposer.forEachExplicit([.tokens([0], level: 0)], reading: [transformer.output]) { _, _ in 0
    }
    .conservationError
  }
}
