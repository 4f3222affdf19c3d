import Importers

/// Computes the fidelity metrics of an instance.
///
/// Zheng et al., "Towards Robust Fidelity for Evaluating Explainability of Graph Neural Networks" (ICLR 2024), with
/// exact expectations where enumeration is affordable and stratified sampling beyond.
public struct FidelityEvaluator: Sendable {
  public let model: any GraphModel
  public let classCount: Int
  public let options: FidelityOptions

  public init(model: any GraphModel, classCount: Int, options: FidelityOptions) {
    self.model = model
    self.classCount = classCount
    self.options = options
  }

  /// All instances, in parallel; the result does not depend on the number of threads.
  ///
  /// - Parameter finished: called with the place of every instance that is done, from any thread.
  /// - Throws: `Stopped` when `Cancellation.current` says so; ``ExplanationError``.
  public func evaluate(
    _ instances: [ExplanationInstance], finished: (@Sendable (Int, InstanceFidelity) -> Void)? = nil
  ) throws -> [InstanceFidelity] {
    let root = CounterRandom(seed: options.seed)
    return try Parallel.map(instances.count) { index in
      let result = try evaluate(instances[index], random: root.stream(UInt64(index)))
      finished?(index, result)
      return result
    }
  }

  /// One instance.
  /// - Throws: ``ExplanationError`` where the options do not apply to it.
  public func evaluate(_ instance: ExplanationInstance, random: CounterRandom) throws -> InstanceFidelity {
    let full = try MaskedNetwork(
      model, graph: instance.graph, node: instance.node, semantics: options.semantics, classCount: classCount)
    let network =
      options.hops == nil || instance.node == nil
      ? full
      : try MaskedNetwork(
        model, graph: instance.graph, node: instance.node, semantics: options.semantics, hops: options.hops,
        classCount: classCount)
    let explanation = try Explanation(instance, network: network, depth: model.depth, options: options)
    let masked = MaskedElements(network, explanation.elements, baseline: options.baseline)
    let fullLogits = try full.fullLogits()
    let predicted = Probability.argmax(fullLogits)
    let target = try targetClass(instance, predicted)
    let fullProbability = Probability.softmax(fullLogits)[target]
    let fullHit = predicted == target ? 1.0 : 0.0
    let intact = try values(options.hops == nil ? fullLogits : network.fullLogits(), target)

    let chosen = explanation.selected
    let others = explanation.others
    let removal = masked.game(universe: chosen, target: target)
    let keeping = masked.game(universe: others, target: target)
    let plus = try RemovalEstimator(removal, plan: options.plan, random: random, intact: intact)
    let minus = try RemovalEstimator(keeping, plan: options.plan, random: random, intact: intact)

    func term(_ estimator: RemovalEstimator, _ p: Double, isDefined: Bool = true) throws -> FidelityTerm {
      if estimator.game.elementCount == 0 && isDefined {
        // By definition: nothing can be removed, nothing is lost.
        return FidelityTerm(
          probability: 0, accuracy: 0, method: .exact, evaluations: 0, standardError: 0,
          accuracyStandardError: 0,
          guaranteed: nil)
      }
      let estimate = try estimator.expectation(removing: p)
      return FidelityTerm(
        probability: fullProbability - estimate.values[0], accuracy: fullHit - estimate.values[1],
        method: estimate.method, evaluations: estimate.evaluations, standardError: estimate.standardErrors[0],
        accuracyStandardError: estimate.standardErrors[1],
        guaranteed: estimate.guaranteed.map {
          (fullProbability - $0[0].upperBound)...(fullProbability - $0[0].lowerBound)
        })
    }
    func pair(_ alpha1: Double, _ alpha2: Double) throws -> FidelityPair {
      FidelityPair(
        plus: try term(plus, alpha1),
        // On a truncated subgraph even an explanation of all its edges differs from the full graph.
        minus: try term(minus, 1 - alpha2, isDefined: options.hops == nil), alpha1: alpha1, alpha2: alpha2)
    }
    let original = try pair(1, 0)
    let robust =
      try options.curve.map { try $0.map { try pair($0, 1 - $0) } } ?? [
        try pair(options.alpha1, options.alpha2)
      ]

    // The explanation alone, for unfaithfulness.
    var factors = [Double](repeating: 1, count: masked.count)
    for element in others { factors[element] = 0 }
    let alone = try masked.logits(factors, rows: 1)
    return InstanceFidelity(
      id: instance.id, target: target, predicted: predicted, fullProbability: fullProbability,
      fullLogits: fullLogits, selectedCount: chosen.count, otherCount: others.count,
      sparsity: chosen.count + others.count == 0
        ? 0 : 1 - Double(chosen.count) / Double(chosen.count + others.count),
      original: original, robust: robust,
      soft: try explanation.soft(masked, fullLogits: fullLogits, target: target),
      characterization: CombinedFidelity.characterization(
        plus: original.plus.probability, minus: original.minus.probability),
      unfaithfulness: CombinedFidelity.unfaithfulness(from: fullLogits, to: alone),
      reverseUnfaithfulness: CombinedFidelity.unfaithfulness(from: alone, to: fullLogits),
      agreement: explanation.agreement, notes: explanation.notes, pooled: explanation.pooled)
  }

  private func targetClass(_ instance: ExplanationInstance, _ predicted: Int) throws -> Int {
    switch options.target {
    case .predicted: return predicted
    case .label:
      guard let label = instance.label else {
        throw ExplanationError.notApplicable(
          "instance \(instance.id) has no label: use --target predicted")
      }
      guard label < classCount else {
        throw ExplanationError.notApplicable(
          "instance \(instance.id) has label \(label), the network answers \(classCount) classes")
      }
      return label
    }
  }

  private func values(_ logits: [Double], _ target: Int) -> [Double] {
    [Probability.softmax(logits)[target], Probability.argmax(logits) == target ? 1 : 0]
  }
}
