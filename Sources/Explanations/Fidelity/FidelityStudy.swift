import FileFormats
import Importers

/// The edit-distance study: does a metric fall as an explanation is damaged?
///
/// For ratios r and a, every edge of the true explanation is removed with probability r and every other candidate edge
/// added with probability min(1, a |S| / |N|). Metrics are correlated with the number of differing edges, over
/// cells (pairs of ratios) and over single damaged explanations.
public struct FidelityStudy: Sendable {
  public var ratios: [Double] = [0, 0.1, 0.3, 0.5, 0.7, 0.9]
  /// Draws per instance and cell; the undamaged cell needs one.
  public var draws = 10
  public var options: FidelityOptions

  public init(options: FidelityOptions) { self.options = options }

  /// One damaged explanation.
  public struct Sample: Sendable {
    public var cell: Int
    public var editDistance: Double
    /// Values by metric, in the order of ``metricNames``.
    public var values: [Double]
  }

  /// Correlation of one metric with the edit distance.
  public struct Row: Sendable {
    public var metric: String
    public var cellSpearman: Double?
    public var cellPearson: Double?
    public var sampleSpearman: Double?
    public var samplePearson: Double?
    /// 95 % bootstrap interval of the sample Spearman correlation.
    public var interval: ClosedRange<Double>?
    /// The sign a useful metric has.
    public var ideal: Int
  }

  /// One cell: mean edit distance and mean metrics.
  public struct Cell: Sendable {
    public var remove: Double
    public var add: Double
    public var editDistance: Double
    public var values: [Double]
  }

  public struct Result: Sendable {
    public var cells: [Cell]
    public var rows: [Row]
    public var samples: Int
    public var evaluations: Int
  }

  public static let metricNames = [
    "original_prob_plus", "original_prob_minus", "original_prob_delta", "original_acc_plus",
    "original_acc_minus", "original_acc_delta", "robust_prob_plus", "robust_prob_minus", "robust_prob_delta",
    "robust_acc_plus", "robust_acc_minus", "robust_acc_delta",
  ]

  /// The metrics of one instance in that order.
  public static func values(_ result: InstanceFidelity) -> [Double] {
    [result.original, result.robust[0]].flatMap { pair -> [Double] in
      let delta = pair.delta
      return [
        pair.plus.probability, pair.minus.probability, delta.probability, pair.plus.accuracy,
        pair.minus.accuracy, delta.accuracy,
      ]
    }
  }

  /// Runs the study on instances that have a true explanation.
  public func run(
    model: any GraphModel, classCount: Int, instances: [ExplanationInstance],
    progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws -> Result {
    let evaluator = FidelityEvaluator(model: model, classCount: classCount, options: options)
    let root = CounterRandom(seed: options.seed)
    let damaged = try Parallel.map(instances.count) { index -> (samples: [Sample], evaluations: Int) in
      let found = try study(instances[index], evaluator, model.depth, root.stream(UInt64(index)))
      progress?(index + 1, instances.count)
      return found
    }
    let samples = damaged.flatMap(\.samples)
    return Self.summary(
      samples, ratios: ratios, evaluations: damaged.reduce(0) { $0 + $1.evaluations },
      random: root.stream(0xB007))
  }

  private func study(
    _ instance: ExplanationInstance, _ evaluator: FidelityEvaluator, _ depth: Int, _ random: CounterRandom
  ) throws -> (samples: [Sample], evaluations: Int) {
    let graph = instance.graph
    let truth: Set<Int>
    let candidates: [Int]
    if let node = instance.node {
      let distance = graph.distances(from: node)
      candidates = graph.edges.indices.filter { index in
        let edge = graph.edges[index]
        return min(distance[edge.source] ?? .max, distance[edge.target] ?? .max) <= depth
      }
      truth = Set(graph.explanationComponent(of: node) ?? [])
    } else {
      candidates = Array(graph.edges.indices)
      truth = Set(candidates.filter { graph.explanation?[$0] ?? false })
    }
    let others = candidates.filter { !truth.contains($0) }
    var samples: [Sample] = []
    var evaluations = 0
    for (i, remove) in ratios.enumerated() {
      for (j, add) in ratios.enumerated() {
        let cell = i * ratios.count + j
        let rate = others.isEmpty ? 0 : min(1, add * Double(truth.count) / Double(others.count))
        for draw in 0..<(remove == 0 && add == 0 ? 1 : draws) {
          let stream = random.stream(UInt64(cell) << 20 | UInt64(draw))
          var scores = [Double](repeating: 0, count: graph.edges.count)
          var distance = 0.0
          for (position, edge) in candidates.enumerated() {
            let u = stream.uniform(at: UInt64(position))
            let isTrue = truth.contains(edge)
            let isIn = isTrue ? u >= remove : u < rate
            if isIn { scores[edge] = 1 }
            if isIn != isTrue { distance += 1 }
          }
          var damaged = instance
          damaged.item = ScoreFile.Item(id: instance.id, edges: scores)
          let result = try evaluator.evaluate(damaged, random: stream.stream(1))
          evaluations += result.robust[0].plus.evaluations + result.robust[0].minus.evaluations + 2
          samples.append(Sample(cell: cell, editDistance: distance, values: Self.values(result)))
        }
      }
    }
    return (samples, evaluations)
  }

  /// Correlations of samples that are already evaluated.
  public static func summary(
    _ samples: [Sample], ratios: [Double], evaluations: Int, random: CounterRandom
  ) -> Result {
    var cells: [Cell] = []
    for (i, remove) in ratios.enumerated() {
      for (j, add) in ratios.enumerated() {
        let inside = samples.filter { $0.cell == i * ratios.count + j }
        guard !inside.isEmpty else { continue }
        let n = Double(inside.count)
        let means = metricNames.indices.map { k in inside.reduce(0.0) { $0 + $1.values[k] } / n }
        cells.append(
          Cell(
            remove: remove, add: add, editDistance: inside.reduce(0.0) { $0 + $1.editDistance } / n,
            values: means))
      }
    }
    let cellDistance = cells.map(\.editDistance)
    let distance = samples.map(\.editDistance)
    let rows = metricNames.enumerated().map { k, name -> Row in
      let byCell = cells.map { $0.values[k] }
      let bySample = samples.map { $0.values[k] }
      return Row(
        metric: name, cellSpearman: Correlation.spearman(byCell, cellDistance),
        cellPearson: Correlation.pearson(byCell, cellDistance),
        sampleSpearman: Correlation.spearman(bySample, distance),
        samplePearson: Correlation.pearson(bySample, distance),
        interval: Correlation.bootstrapInterval(
          bySample, distance, resamples: samples.count > 5000 ? 100 : 300, random: random.stream(UInt64(k)),
          statistic: Correlation.spearman),
        ideal: name.hasSuffix("minus") ? 1 : -1)
    }
    return Result(cells: cells, rows: rows, samples: samples.count, evaluations: evaluations)
  }
}

extension FidelityStudy.Result {
  public var json: JSONValue {
    func optional(_ x: Double?) -> JSONValue { x.map { JSONValue($0) } ?? .null }
    let correlations = rows.map { row -> JSONObject.Entry in
      .init(
        key: row.metric,
        value: [
          "cell_spearman": optional(row.cellSpearman), "cell_pearson": optional(row.cellPearson),
          "sample_spearman": optional(row.sampleSpearman), "sample_pearson": optional(row.samplePearson),
          "interval_95": row.interval.map { JSONValue([$0.lowerBound, $0.upperBound]) } ?? .null,
          "ideal_sign": JSONValue(row.ideal),
        ])
    }
    let table = cells.map { cell -> JSONValue in
      var entries: [JSONObject.Entry] = [
        .init(key: "remove", value: JSONValue(cell.remove)), .init(key: "add", value: JSONValue(cell.add)),
        .init(key: "edit_distance", value: JSONValue(cell.editDistance)),
      ]
      for (name, value) in zip(FidelityStudy.metricNames, cell.values) {
        entries.append(.init(key: name, value: JSONValue(value)))
      }
      return .object(JSONObject(entries))
    }
    return .object(
      JSONObject([
        .init(key: "samples", value: JSONValue(samples)),
        .init(key: "evaluations", value: JSONValue(evaluations)),
        .init(key: "correlation_with_edit_distance", value: .object(JSONObject(correlations))),
        .init(key: "cells", value: .array(table)),
      ]))
  }
}
