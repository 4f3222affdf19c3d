import Foundation
import IR
import Rigor
import LinearPrograms

/// Inner layers: the lattice over some of their coordinates, the others carried as intervals.
extension LayerwiseSearch {
  /// A feature of an inner layer around one input.
  private struct InnerFeature {
    var path: Path
    var activation: [Rational]
    var dims: [Int]
    /// The region of the input, and everything it can reach up to the layer.
    var region: RegionRecord.Box
    var reach: NeuronBounds
  }

  /// Checks layer `k`.
  func runInnerLayer(_ k: Int, inputDims: [Int]?, layerDims: [Int]?, span: Rational, steps: Int) throws
    -> LayerwiseResult
  {
    let start = ContinuousClock.now
    let layer = chain.layers[k]
    for p in layerDims ?? [] where p >= layer.size {
      throw GraphError(node: layer.name, reason: "layer \(k) has no coordinate \(p)")
    }
    let prefix = try PiecewiseLinearNetwork(loaded.graph, to: layer.node)
    let tail = try PiecewiseLinearNetwork(loaded.graph, to: loaded.target, from: layer.node)
    let relaxation = LinearRelaxation(prefix, limit: TimeLimit(deadline: options.deadline))
    let featureCount = layerDims == nil ? options.features : 1
    var budget = budget(features: featureCount)
    var queue = [Path(base: original)]
    var finished = true
    var hull: RegionRecord.Box?
    while !queue.isEmpty && budget > 0 {
      budget -= 1
      var path = queue.removeFirst()
      let region = region(
        around: path.base, inputDims ?? pick(path.base, &path.usedInputs), span, steps)
      widenRegion(region)
      guard
        let reach = relaxation.bounds(
          lower: region.lower.map(\.roundedDown), upper: region.upper.map(\.roundedUp), splits: [:])
      else { throw GraphError(node: layer.name, reason: "the region is empty") }
      let activation = prefix.exactOutputs(at: path.base)
      let box = try Self.box(reach, prefix, layer.name)
      if hull == nil { hull = box }
      let affected = Set(box.lower.indices.filter { box.lower[$0] < box.upper[$0] })
      let dims = layerDims ?? pickInner(activation, tail, affected, &path.usedInner)
      if dims.isEmpty { break }
      result.features.append(dims)
      // Steps that cover what the region reaches, to either side.
      let below = dims.map { Self.steps(activation[$0] - box.lower[$0], span) }
      let above = dims.map { Self.steps(box.upper[$0] - activation[$0], span) }
      let feature = InnerFeature(path: path, activation: activation, dims: dims, region: region, reach: reach)
      let explored = try exploreInner(
        k, prefix, feature, Lattice(below: below, above: above), span, wantsSuccessors: budget > 0)
      if !explored.isComplete { finished = false }
      if result.witness != nil || isLate { break }
      for next in explored.successors {
        path.base = next
        queue.append(path)
      }
    }
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
    if elapsed > 0 { result.rate = Double(result.latticePoints) / elapsed }
    if result.witness != nil {
      result.outcome = .unsafe
      return result
    }
    if !finished || isLate || featureCount > 1 {
      result.outcome = .exhaustedBudget
      result.reason =
        finished && !isLate
        ? "the budget of features ended" : "the budget of points or time ended"
    } else if result.misclassifiedPoints > result.unreachablePoints {
      result.outcome = .heuristic
      result.reason =
        options.inverseIsExact
        ? "some lattice points are misclassified, but no input was found that reaches them and is misclassified"
        : "the layer-wise inverse does not prove that points are unreachable"
    } else {
      result.outcome = .safeWithRespectToManipulations
    }
    if options.certifies, featureCount == 1, tail.neuronCount <= Self.certifiedNeurons, let hull {
      // Every coordinate at once, each over all that the region reaches: this contains the image of the region, so
      // the claim carries back to the input.
      let (holds, _) = try certify(tail, hull, seconds: 10)
      result.cells = 1
      result.certifiedCells = holds ? 1 : 0
      if holds {
        result.outcome = .safeRegion
        result.reason = nil
      }
    }
    return result
  }

  /// What the bounds say about the layer's values.
  private static func box(_ reach: NeuronBounds, _ prefix: PiecewiseLinearNetwork, _ name: String) throws
    -> RegionRecord.Box
  {
    func exact(_ values: [Double]) throws -> [Rational] {
      try prefix.outputs.map { v in
        guard let value = Rational(exactly: values[v]) else {
          throw GraphError(node: name, reason: "the region reaches values beyond every bound")
        }
        return value
      }
    }
    return RegionRecord.Box(lower: try exact(reach.lower), upper: try exact(reach.upper))
  }

  /// The steps that cover a distance.
  private static func steps(_ distance: Rational, _ span: Rational) -> Int {
    let limit = RegionRecord.stepLimit
    return max(0, min((distance / span).ceiling.int ?? limit, limit))
  }

  private func pickInner(
    _ activation: [Rational], _ tail: PiecewiseLinearNetwork, _ affected: Set<Int>, _ used: inout Set<Int>
  ) -> [Int] {
    let values = activation.map(\.nearestDouble)
    let scores =
      options.heuristic == .derivative
      ? FeatureSelection.derivative(tail, at: values) : FeatureSelection.activation(values)
    let count = options.featureDimensions
    var dims = FeatureSelection.pick(scores, count: count, excluding: used, among: affected)
    if dims.isEmpty {
      used = []
      dims = FeatureSelection.pick(scores, count: count, excluding: used, among: affected)
    }
    used.formUnion(dims)
    return dims
  }

  private func exploreInner(
    _ k: Int, _ prefix: PiecewiseLinearNetwork, _ feature: InnerFeature, _ lattice: Lattice, _ span: Rational,
    wantsSuccessors: Bool
  ) throws -> (isComplete: Bool, successors: [[Rational]]) {
    let layer = chain.layers[k]
    let runner = GraphRunner(loaded.graph, target: loaded.target, from: layer.node)
    let limit = min(options.pointLimit, 200_000)
    let isWhole = lattice.count(limit: limit) != nil
    let inverse = InverseMap(
      graph: loaded.graph, chain: chain, layer: k, prefix: prefix, region: feature.region,
      bounds: feature.reach,
      isExact: options.inverseIsExact, deadline: options.deadline, isolated: options.isolated)
    let activation = feature.activation
    let base = activation.map(\.nearestDouble)
    let isAtOriginal = feature.path.base == original
    let tolerance: Rational = layer.origin == "Relu" || layer.origin == "MaxPool" ? span / 2 : 0
    // Points that keep their class, nearest to the decision boundary first: from inputs that reach them the next
    // feature is manipulated.
    var next: [(margin: Double, targets: [Int: Rational])] = []
    let kept = 64 * options.paths
    for vector in lattice.ordered(isL2: options.ordersByL2, limit: limit) {
      if isLate { return (false, []) }
      var x = base
      var targets: [Int: Rational] = [:]
      for (axis, p) in feature.dims.enumerated() {
        let value = activation[p] + span * Rational(Int(vector[axis]))
        targets[p] = value
        x[p] = value.nearestDouble
      }
      let outputs = try runner.run(x, count: 1, precision: .float64)
      let (kind, margin, _) = Self.winner(outputs, label)
      result.latticePoints += 1
      result.smallestMargin = min(result.smallestMargin, margin)
      if kind == label {
        if wantsSuccessors, vector.contains(where: { $0 != 0 }) {
          next.append((margin, targets))
          if next.count > 4 * kept { next = Array(next.sorted { $0.margin < $1.margin }.prefix(kept)) }
        }
        continue
      }
      result.misclassifiedPoints += 1
      switch try inverse.preimage(of: targets, tolerance: tolerance) {
      case .unreachable: result.unreachablePoints += 1
      case .unknown: break
      case .found(let y):
        if isAtOriginal { noteNearest(vector, span, kind) }
        if try confirm(y) { return (isWhole, []) }
      }
    }
    var successors: [[Rational]] = []
    for point in next.sorted(by: { $0.margin < $1.margin }).prefix(kept)
    where successors.count < options.paths && !isLate {
      if case .found(let y) = try inverse.preimage(of: point.targets, tolerance: tolerance),
        y != feature.path.base
      {
        successors.append(y)
      }
    }
    return (isWhole, successors)
  }
}
