import FileFormats

/// The fidelity of many instances, with what defines the numbers.
public struct FidelityReport: Sendable {
  public let options: FidelityOptions
  public let explanation: String
  public let instances: [InstanceFidelity]

  public init(options: FidelityOptions, explanation: String, instances: [InstanceFidelity]) {
    self.options = options
    self.explanation = explanation
    self.instances = instances
  }

  /// Mean over instances of one value.
  public struct Mean: Sendable {
    public var probability: Double
    public var accuracy: Double
    /// Standard error over instances.
    public var instanceError: Double
    /// Standard error of the mean that is due to sampling masks.
    public var samplingError: Double
  }

  /// Which fidelity is averaged.
  public enum Quantity: Sendable { case plus, minus, delta }

  /// The mean of a quantity over instances; `robust` picks a point of the curve, nil the original metric.
  public func mean(_ quantity: Quantity, robust: Int?, of instances: [InstanceFidelity]? = nil) -> Mean {
    let chosen = instances ?? self.instances
    var moments = Moments()
    var accuracy = 0.0
    var sampling = 0.0
    let n = Double(max(1, chosen.count))
    for instance in chosen {
      let pair = robust.map { instance.robust[$0] } ?? instance.original
      let value: Double
      let hit: Double
      let error: Double
      switch quantity {
      case .plus: (value, hit, error) = (pair.plus.probability, pair.plus.accuracy, pair.plus.standardError)
      case .minus:
        (value, hit, error) = (pair.minus.probability, pair.minus.accuracy, pair.minus.standardError)
      case .delta: (value, hit, error) = pair.delta
      }
      moments.add(value)
      accuracy += hit / n
      sampling += error * error / (n * n)
    }
    return Mean(
      probability: moments.mean, accuracy: accuracy, instanceError: (moments.variance / n).squareRoot(),
      samplingError: sampling.squareRoot())
  }

  /// Instances by target class, in class order.
  public var byClass: [(target: Int, instances: [InstanceFidelity])] {
    Dictionary(grouping: instances, by: \.target).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Evaluations spent on all instances.
  public var evaluations: Int {
    instances.reduce(0) { total, instance in
      ([instance.original] + instance.robust).reduce(total) {
        $0 + $1.plus.evaluations + $1.minus.evaluations
      }
    }
  }

  /// The ROC curve over the edges of all instances in one ranking; nil without scores and truth.
  public var pooledAUC: Double? {
    let points = instances.compactMap(\.pooled)
    guard !points.isEmpty else { return nil }
    return GroundTruthAgreement.auc(scores: points.flatMap(\.scores), truth: points.flatMap(\.truth))
  }

  /// Mean of a ground-truth measure over the instances where it is defined.
  public func meanAgreement(_ measure: (GroundTruthAgreement) -> Double?) -> Double? {
    let values = instances.compactMap { $0.agreement.flatMap(measure) }
    return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
  }

  /// The strongest method used by the terms: all exact, or the sampled one.
  public var methodName: String {
    let terms = instances.flatMap { $0.robust.flatMap { [$0.plus.method, $0.minus.method] } }
    let kinds = Set(terms)
    if kinds.count == 1, let only = kinds.first { return only.rawValue }
    return EstimationMethod.allCases.filter { kinds.contains($0) }.map(\.rawValue).joined(separator: "+")
  }
}

extension FidelityReport {
  /// The JSON document of `nnverify fidelity --json`.
  public func json(perClass: Bool = false) -> JSONValue {
    var entries: [JSONObject.Entry] = [
      .init(key: "semantics", value: .string(options.semantics.rawValue)),
      .init(key: "method", value: .string(methodName)),
      .init(key: "target", value: .string(options.target.rawValue)),
      .init(key: "seed", value: .number("\(options.seed)")),
      .init(key: "explanation", value: .string(explanation)),
      .init(key: "hops", value: options.hops.map { JSONValue($0) } ?? "auto"),
      .init(key: "evaluations", value: JSONValue(evaluations)),
      .init(key: "instances", value: .array(instances.map { value($0) })),
      .init(key: "mean", value: means(nil)),
    ]
    if perClass {
      let classes = byClass.map { JSONObject.Entry(key: "\($0.target)", value: means($0.instances)) }
      entries.append(.init(key: "per_class", value: .object(JSONObject(classes))))
    }
    if let auc = pooledAUC {
      entries.append(
        .init(
          key: "ground_truth",
          value: [
            "pooled_auc": JSONValue(auc), "mean_auc": Self.optional(meanAgreement(\.auc)),
            "mean_f1": Self.optional(meanAgreement(\.f1)),
            "mean_jaccard": Self.optional(meanAgreement(\.jaccard)),
            "mean_precision": Self.optional(meanAgreement(\.precision)),
            "mean_recall": Self.optional(meanAgreement(\.recall)),
          ]))
    }
    return .object(JSONObject(entries))
  }

  private func means(_ subset: [InstanceFidelity]?) -> JSONValue {
    let count = (subset ?? instances).count
    func triple(_ robust: Int?) -> [JSONObject.Entry] {
      [Quantity.plus, .minus, .delta].map { quantity in
        let mean = self.mean(quantity, robust: robust, of: subset)
        let name = quantity == .plus ? "plus" : quantity == .minus ? "minus" : "delta"
        return .init(
          key: name,
          value: [
            "prob": JSONValue(mean.probability), "acc": JSONValue(mean.accuracy),
            "standard_error": JSONValue(mean.instanceError), "sampling_error": JSONValue(mean.samplingError),
          ])
      }
    }
    var entries = [JSONObject.Entry(key: "instances", value: JSONValue(count))] + triple(nil)
    let points = instances.first?.robust ?? []
    let robust = points.indices.map { index -> JSONValue in
      let head: [JSONObject.Entry] = [
        .init(key: "alpha1", value: JSONValue(points[index].alpha1)),
        .init(key: "alpha2", value: JSONValue(points[index].alpha2)),
      ]
      return .object(JSONObject(head + triple(index)))
    }
    entries.append(.init(key: "robust", value: options.curve == nil ? robust.first ?? .null : .array(robust)))
    let defined = (subset ?? instances).compactMap(\.characterization.value)
    let meanDefined = defined.isEmpty ? nil : defined.reduce(0, +) / Double(defined.count)
    entries.append(.init(key: "characterization", value: Self.optional(meanDefined)))
    entries.append(.init(key: "characterization_defined", value: JSONValue(defined.count)))
    return .object(JSONObject(entries))
  }

  static func optional(_ value: Double?) -> JSONValue { value.map { JSONValue($0) } ?? .null }

  private static func value(_ term: FidelityTerm) -> JSONValue {
    var entries: [JSONObject.Entry] = [
      .init(key: "prob", value: JSONValue(term.probability)),
      .init(key: "acc", value: JSONValue(term.accuracy)),
      .init(key: "method", value: .string(term.method.rawValue)),
      .init(key: "evaluations", value: JSONValue(term.evaluations)),
      .init(key: "standard_error", value: JSONValue(term.standardError)),
      .init(key: "acc_standard_error", value: JSONValue(term.accuracyStandardError)),
    ]
    if let range = term.guaranteed {
      entries.append(.init(key: "guaranteed_95", value: JSONValue([range.lowerBound, range.upperBound])))
    }
    return .object(JSONObject(entries))
  }

  private static func pair(_ pair: FidelityPair) -> [JSONObject.Entry] {
    let delta = pair.delta
    return [
      .init(key: "plus", value: value(pair.plus)), .init(key: "minus", value: value(pair.minus)),
      .init(
        key: "delta",
        value: [
          "prob": JSONValue(delta.probability), "acc": JSONValue(delta.accuracy),
          "standard_error": JSONValue(delta.standardError),
        ]),
    ]
  }

  private func value(_ instance: InstanceFidelity) -> JSONValue {
    var entries: [JSONObject.Entry] = []
    switch instance.id {
    case .text(let text): entries.append(.init(key: "id", value: .string(text)))
    case .number(let number): entries.append(.init(key: "id", value: JSONValue(number)))
    }
    entries += [
      .init(key: "class", value: JSONValue(instance.target)),
      .init(key: "predicted", value: JSONValue(instance.predicted)),
      .init(key: "p_full", value: JSONValue(instance.fullProbability)),
      .init(key: "logits", value: JSONValue(instance.fullLogits)),
      .init(key: "selected", value: JSONValue(instance.selectedCount)),
      .init(key: "others", value: JSONValue(instance.otherCount)),
      .init(key: "sparsity", value: JSONValue(instance.sparsity)),
    ]
    entries += Self.pair(instance.original)
    let robust = instance.robust.map { point -> JSONValue in
      let head: [JSONObject.Entry] = [
        .init(key: "alpha1", value: JSONValue(point.alpha1)),
        .init(key: "alpha2", value: JSONValue(point.alpha2)),
      ]
      return .object(JSONObject(head + Self.pair(point)))
    }
    entries.append(
      .init(key: "robust", value: options.curve == nil ? robust.first ?? .null : .array(robust)))
    entries.append(.init(key: "characterization", value: Self.optional(instance.characterization.value)))
    if let reason = instance.characterization.reason {
      entries.append(.init(key: "characterization_undefined", value: .string(reason)))
    }
    entries.append(.init(key: "unfaithfulness", value: JSONValue(instance.unfaithfulness)))
    entries.append(.init(key: "unfaithfulness_reverse", value: JSONValue(instance.reverseUnfaithfulness)))
    if let soft = instance.soft {
      entries.append(
        .init(
          key: "soft",
          value: [
            "plus": ["prob": JSONValue(soft.plusProbability), "acc": JSONValue(soft.plusAccuracy)],
            "minus": ["prob": JSONValue(soft.minusProbability), "acc": JSONValue(soft.minusAccuracy)],
            "plus_prediction": JSONValue(soft.plusPrediction),
            "minus_prediction": JSONValue(soft.minusPrediction),
            "unfaithfulness": JSONValue(soft.unfaithfulness),
            "unfaithfulness_reverse": JSONValue(soft.reverseUnfaithfulness),
            "characterization": Self.optional(soft.characterization.value),
          ]))
    }
    if let agreement = instance.agreement {
      entries.append(
        .init(
          key: "ground_truth",
          value: [
            "auc": Self.optional(agreement.auc), "precision": Self.optional(agreement.precision),
            "recall": Self.optional(agreement.recall), "f1": Self.optional(agreement.f1),
            "accuracy": Self.optional(agreement.accuracy), "jaccard": Self.optional(agreement.jaccard),
          ]))
    }
    if !instance.notes.isEmpty { entries.append(.init(key: "notes", value: JSONValue(instance.notes))) }
    return .object(JSONObject(entries))
  }

  /// One line per instance and robustness point, for spreadsheets.
  public var csv: String {
    var lines = [
      "id,class,predicted,alpha1,alpha2,plus_prob,plus_acc,plus_method,plus_evaluations,plus_se,"
        + "minus_prob,minus_acc,minus_method,minus_evaluations,minus_se,delta_prob,delta_acc,sparsity,semantics,seed"
    ]
    for instance in instances {
      for pair in [instance.original] + instance.robust {
        let delta = pair.delta
        var cells: [String] = [
          MarkupText.csv("\(instance.id)"), "\(instance.target)", "\(instance.predicted)",
        ]
        cells += ["\(pair.alpha1)", "\(pair.alpha2)"]
        for term in [pair.plus, pair.minus] {
          cells += ["\(term.probability)", "\(term.accuracy)", term.method.rawValue]
          cells += ["\(term.evaluations)", "\(term.standardError)"]
        }
        cells += ["\(delta.probability)", "\(delta.accuracy)", "\(instance.sparsity)"]
        cells += [options.semantics.rawValue, "\(options.seed)"]
        lines.append(cells.joined(separator: ","))
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
