import Domains
import Foundation
import IR
import Rigor
import Tensors

/// Layer-wise safety verification of one input (after Huang, Kwiatkowska, Wang, Wu, "Safety Verification of Deep Neural
/// Networks", CAV 2017, tool DLV), with exact regions, a complete inverse and certified cells.
///
/// A feature is a set of coordinates of a layer; its manipulations span a lattice of steps. All lattice points are classified,
/// nearest first; points of inner layers that are classified differently are mapped back to inputs.
final class LayerwiseSearch {
  let loaded: RegionSession.Loaded
  let options: LayerwiseOptions
  let chain: LayerChain
  /// The input that is verified.
  let original: [Rational]
  let label: Int
  let clampsToDomain: Bool
  private var result: LayerwiseResult

  init(
    _ loaded: RegionSession.Loaded, original: [Rational], label: Int, clampsToDomain: Bool, layer: Int,
    options: LayerwiseOptions
  ) throws {
    self.loaded = loaded
    self.options = options
    chain = try LayerChain(loaded.graph, to: loaded.target)
    guard layer >= 0, layer < chain.layers.count else {
      throw GraphError(
        node: "layers",
        reason: "layer \(layer) does not exist, the network has layers 0 to \(chain.layers.count - 1)")
    }
    self.original = original
    self.label = label
    self.clampsToDomain = clampsToDomain
    result = LayerwiseResult(outcome: .heuristic, layer: layer, label: label)
    result.original = original
  }

  private var isLate: Bool { options.deadline.map { Date() >= $0 } ?? false }

  // MARK: Layer 0

  /// Checks the input layer with given coordinates, or with features chosen by the heuristic.
  func runInputLayer(dims: [Int]?, span: Rational, steps: Int) throws -> LayerwiseResult {
    let start = Date()
    var used = Set<Int>()
    var queue = [original]
    let featureCount = dims == nil ? options.features : 1
    var budget = featureCount
    if options.paths > 1, featureCount > 1 {
      // A tree with `paths` successors after each feature.
      budget = 0
      var level = 1
      for _ in 0..<featureCount {
        budget += level
        level = min(level * options.paths, 1 << 20)
      }
    }
    var finished = true
    while !queue.isEmpty && budget > 0 {
      budget -= 1
      let base = queue.removeFirst()
      let picked = dims ?? pick(base, &used)
      if picked.isEmpty { break }
      result.features.append(picked)
      if result.region == nil { result.region = region(picked, span, steps) }
      let explored = try explore(base, picked, span, steps)
      if !explored.isComplete { finished = false }
      if result.witness != nil || isLate { break }
      if budget > 0 { queue += explored.successors }
    }
    let elapsed = Date().timeIntervalSince(start)
    if elapsed > 0 { result.rate = Double(result.latticePoints) / elapsed }
    if result.witness != nil {
      result.outcome = .unsafe
    } else if result.misclassifiedPoints > 0 {
      result.outcome = .heuristic
      result.reason = "misclassified in float32, but not in exact arithmetic"
    } else if !finished || featureCount > 1 {
      result.outcome = .exhaustedBudget
      result.reason = finished ? "the budget of features ended" : "the budget of points or time ended"
    } else {
      result.outcome = .safeWithRespectToManipulations
      if options.certifies, let picked = result.features.first { try certify(picked, span, steps) }
    }
    return result
  }

  private func pick(_ base: [Rational], _ used: inout Set<Int>) -> [Int] {
    let values = base.map(\.nearestDouble)
    let scores: [Double]
    if options.heuristic == .derivative, let network = try? loaded.exact() {
      scores = FeatureSelection.derivative(network, at: values)
    } else {
      scores = FeatureSelection.activation(values)
    }
    var picked = FeatureSelection.pick(scores, count: options.featureDimensions, excluding: used)
    if picked.count < options.featureDimensions {
      used = []
      picked = FeatureSelection.pick(scores, count: options.featureDimensions, excluding: used)
    }
    used.formUnion(picked)
    return picked
  }

  /// The box that the lattice of a feature spans around the original input.
  private func region(_ dims: [Int], _ span: Rational, _ steps: Int) -> RegionRecord.Box {
    var box = RegionRecord.Box(lower: original, upper: original)
    for p in dims {
      box.lower[p] = original[p] - span * Rational(steps)
      box.upper[p] = original[p] + span * Rational(steps)
      if clampsToDomain {
        box.lower[p] = max(box.lower[p], 0)
        box.upper[p] = min(box.upper[p], 1)
      }
    }
    return box
  }

  private func isInDomain(_ value: Rational) -> Bool { !clampsToDomain || (value.sign >= 0 && value <= 1) }

  /// Classifies all lattice points of one feature around an input.
  private func explore(_ base: [Rational], _ dims: [Int], _ span: Rational, _ steps: Int) throws -> (
    isComplete: Bool, successors: [[Rational]]
  ) {
    let lattice = Lattice(steps: steps, dimensions: dims.count)
    let isWhole = lattice.count(limit: options.pointLimit) != nil
    // The value of every coordinate at every step, exactly and as the float that is run; nil outside the domain.
    let exact = dims.map { p in (-steps...steps).map { base[p] + span * Rational($0) } }
    let floats = exact.map { $0.map(\.nearestFloat) }
    let allowed = exact.map { $0.map { isInDomain($0) } }
    let centre = base.map(\.nearestFloat)
    let vectors = lattice.ordered(isL2: options.ordersByL2, limit: options.pointLimit).filter { vector in
      for (axis, k) in vector.enumerated() where !allowed[axis][Int(k) + steps] { return false }
      return true
    }
    let chunk = max(1, min(256, (1 << 22) / max(1, loaded.runner.graph.nodes.map(\.shape.count).max() ?? 1)))
    var best: [(margin: Double, vector: [Int16])] = []
    var nearest: [Int16]?
    for start in stride(from: 0, to: vectors.count, by: chunk) {
      if isLate { return (false, []) }
      let group = vectors[start..<min(vectors.count, start + chunk)]
      var batch: [Float] = []
      batch.reserveCapacity(group.count * centre.count)
      for vector in group {
        let first = batch.count
        batch += centre
        for (axis, k) in vector.enumerated() { batch[first + dims[axis]] = floats[axis][Int(k) + steps] }
      }
      let outputs = try loaded.runner.run(batch, count: group.count, precision: .deployed)
      let size = loaded.outputCount
      for (row, vector) in group.enumerated() {
        let y = Array(outputs[(row * size)..<((row + 1) * size)])
        let (kind, margin) = try classify(y.map { Double($0) }) {
          point(base, dims, vector, exact, steps)
        }
        result.latticePoints += 1
        result.smallestMargin = min(result.smallestMargin, margin)
        if options.keepsGrid, base.count == 2 {
          let x = point(base, dims, vector, exact, steps).map(\.nearestDouble)
          result.grid.append((x, kind != label))
        }
        if kind == label {
          if vector.contains(where: { abs(Int($0)) == steps }) {
            best.append((margin, vector))
            if best.count > 4 * options.paths {
              best = Array(best.sorted { $0.margin < $1.margin }.prefix(options.paths))
            }
          }
          continue
        }
        result.misclassifiedPoints += 1
        noteNearest(vector, span, kind)
        if nearest == nil { nearest = vector }
      }
    }
    if let nearest { try confirm(point(base, dims, nearest, exact, steps)) }
    let chosen = best.sorted { $0.margin < $1.margin }.prefix(options.paths)
    return (isWhole, chosen.map { point(base, dims, $0.vector, exact, steps) })
  }

  private func point(
    _ base: [Rational], _ dims: [Int], _ vector: [Int16], _ exact: [[Rational]], _ steps: Int
  ) -> [Rational] {
    var x = base
    for (axis, k) in vector.enumerated() { x[dims[axis]] = exact[axis][Int(k) + steps] }
    return x
  }

  /// Records the distance of a misclassified point.
  private func noteNearest(_ vector: [Int16], _ span: Rational, _ kind: Int) {
    let l1 = span * Rational(Lattice.norm(vector, isL2: false))
    let l2 = span * span * Rational(Lattice.norm(vector, isL2: true))
    if result.nearestL1.map({ l1 < $0 }) ?? true { result.nearestL1 = l1 }
    if result.nearestL2Squared.map({ l2 < $0 }) ?? true {
      result.nearestL2Squared = l2
      result.nearestSteps = vector.map { Int($0) }
      result.nearestClass = kind
    }
  }

  /// The class of outputs and the label's margin; where float32 is not clear, in double or exact arithmetic.
  private func classify(_ outputs: [Double], _ x: () -> [Rational]) throws -> (kind: Int, margin: Double) {
    let (kind, margin, size) = Self.winner(outputs, label)
    if abs(margin) > 1e-4 * (1 + size) { return (kind, margin) }
    let point = x()
    let precise = try loaded.runner.run(point.map(\.nearestDouble), count: 1, precision: .float64)
    let (kind64, margin64, size64) = Self.winner(precise, label)
    if abs(margin64) > 1e-10 * (1 + size64) { return (kind64, margin64) }
    guard let network = try? loaded.exact() else { return (kind64, margin64) }
    let exact = network.exactOutputs(at: point)
    var best = 0
    for (i, y) in exact.enumerated() where y > exact[best] { best = i }
    return (best, margin64)
  }

  private static func winner(_ outputs: [Double], _ label: Int) -> (kind: Int, margin: Double, size: Double) {
    var best = 0
    var other = -Double.infinity
    var size = 0.0
    for (i, y) in outputs.enumerated() {
      if y > outputs[best] { best = i }
      if i != label { other = max(other, y) }
      size = max(size, abs(y))
    }
    return (best, outputs[label] - other, size)
  }

  /// Confirms a misclassified input exactly and in float32 and keeps it as the witness.
  private func confirm(_ x: [Rational]) throws {
    let exact = try loaded.exact().exactOutputs(at: x)
    let floats = x.map(\.nearestFloat)
    let run = try loaded.runner.deployed(floats)
    var best = 0
    for (i, y) in exact.enumerated() where y > exact[best] { best = i }
    var deployed = 0
    for (i, y) in run.enumerated() where y > run[deployed] { deployed = i }
    guard best != label else { return }
    result.witness = Witness(point: x, float32: floats, clause: 0, violatesInFloat32: deployed != label)
    result.witnessClass = best
  }

  // MARK: Certification

  /// Certifies the cells of the lattice around the original input: first all at once, then one by one.
  private func certify(_ dims: [Int], _ span: Rational, _ steps: Int) throws {
    let box = region(dims, span, steps)
    var cells = 1
    for _ in dims { cells = min(cells * 2 * steps, 1 << 40) }
    result.cells = cells
    let network = try loaded.exact()
    guard network.neuronCount <= 4000 else {
      result.certifiedCells = 0
      result.reason = "the network is too large to certify cells; only the lattice points are claimed"
      return
    }
    let (holds, violation) = try certify(network, box, seconds: 10)
    if holds {
      result.certifiedCells = cells
      result.outcome = .safeRegion
      return
    }
    result.betweenLatticePoints = violation
    result.certifiedCells = 0
    guard dims.count <= 3, cells <= 20_000 else { return }
    // Cell by cell: how much of the region is safe.
    var corner = dims.map { _ in -steps }
    var certified = 0
    var all = true
    while !isLate {
      var cell = box
      for (axis, p) in dims.enumerated() {
        cell.lower[p] = max(box.lower[p], original[p] + span * Rational(corner[axis]))
        cell.upper[p] = min(box.upper[p], original[p] + span * Rational(corner[axis] + 1))
      }
      // Cells outside the domain are empty.
      if dims.allSatisfy({ cell.lower[$0] <= cell.upper[$0] }) {
        if try certify(network, cell, seconds: 1).holds { certified += 1 } else { all = false }
      }
      var axis = corner.count - 1
      while axis >= 0 {
        corner[axis] += 1
        if corner[axis] < steps { break }
        corner[axis] = -steps
        axis -= 1
      }
      if axis < 0 { break }
    }
    result.certifiedCells = certified
    if all && !isLate { result.outcome = .safeRegion }
  }

  private func certify(
    _ network: PiecewiseLinearNetwork, _ box: RegionRecord.Box, seconds: Double
  ) throws -> (holds: Bool, violation: [Rational]?) {
    let query = SafetyQuery(
      lower: box.lower, upper: box.upper,
      violation: SafetyQuery.misclassification(label: label, outputs: network.outputs.count, isMaximum: true))
    var settings = SolverOptions()
    let limit = Date().addingTimeInterval(seconds)
    settings.deadline = min(options.deadline ?? limit, limit)
    settings.seed = options.seed
    let answer = try SafetySolver(network, query, options: settings).solve()
    return (answer.verdict == .holds, answer.witness?.point)
  }

  // MARK: Inner layers

  /// Checks layer `k`: the lattice over some of its coordinates, the others carried as intervals.
  func runInnerLayer(_ k: Int, inputDims: [Int]?, layerDims: [Int]?, span: Rational, steps: Int) throws
    -> LayerwiseResult
  {
    let start = Date()
    let layer = chain.layers[k]
    let prefix = try PiecewiseLinearNetwork(loaded.graph, to: layer.node)
    let tail = try PiecewiseLinearNetwork(loaded.graph, to: loaded.target, from: layer.node)
    var used = Set<Int>()
    // The region of the input, and everything it can reach at the layer.
    let region = region(inputDims ?? pick(original, &used), span, steps)
    result.region = region
    let relaxation = LinearRelaxation(prefix)
    guard
      let reach = relaxation.bounds(
        lower: region.lower.map(\.roundedDown), upper: region.upper.map(\.roundedUp), splits: [:])
    else { throw GraphError(node: layer.name, reason: "the region is empty") }
    let activation = prefix.exactOutputs(at: original)
    let lower = prefix.outputs.map { reach.lower[$0] }
    let upper = prefix.outputs.map { reach.upper[$0] }
    let affected = Set(lower.indices.filter { lower[$0] < upper[$0] })
    let values = activation.map(\.nearestDouble)
    let scores =
      options.heuristic == .derivative
      ? FeatureSelection.derivative(tail, at: values) : FeatureSelection.activation(values)
    var usedInner = Set<Int>()
    var finished = true
    let features = layerDims == nil ? options.features : 1
    for _ in 0..<features {
      var dims =
        layerDims
        ?? FeatureSelection.pick(
          scores, count: options.featureDimensions, excluding: usedInner, among: affected)
      if dims.isEmpty && layerDims == nil {
        usedInner = []
        dims = FeatureSelection.pick(
          scores, count: options.featureDimensions, excluding: usedInner, among: affected)
      }
      guard !dims.isEmpty else { break }
      for p in dims where p >= layer.size {
        throw GraphError(node: layer.name, reason: "layer \(k) has no coordinate \(p)")
      }
      usedInner.formUnion(dims)
      result.features.append(dims)
      // Steps that cover what the region reaches, to either side.
      var below: [Int] = []
      var above: [Int] = []
      for p in dims {
        let down = ((activation[p] - Rational(lower[p])) / span).ceiling
        let up = ((Rational(upper[p]) - activation[p]) / span).ceiling
        below.append(max(0, min(down.int ?? 30_000, 30_000)))
        above.append(max(0, min(up.int ?? 30_000, 30_000)))
      }
      let lattice = Lattice(below: below, above: above)
      let complete = try exploreInner(
        k, prefix, activation, dims, lattice, span, region, reach)
      if !complete { finished = false }
      if result.witness != nil || isLate { break }
    }
    let elapsed = Date().timeIntervalSince(start)
    if elapsed > 0 { result.rate = Double(result.latticePoints) / elapsed }
    if result.witness != nil {
      result.outcome = .unsafe
      return result
    }
    if !finished || isLate || features > 1 {
      result.outcome = .exhaustedBudget
      result.reason = "the budget of points, features or time ended"
    } else if !options.inverseIsExact || result.misclassifiedPoints > result.unreachablePoints {
      result.outcome = .heuristic
      result.reason =
        options.inverseIsExact
        ? "some lattice points are misclassified, but the inputs that reach their coordinates are not"
        : "the layer-wise inverse does not prove that points are unreachable"
    } else {
      result.outcome = .safeWithRespectToManipulations
    }
    if options.certifies, tail.neuronCount <= 4000 {
      // Every coordinate at once, each over all that the region reaches: this contains the image of the region, so
      // the claim carries back to the input.
      let box = RegionRecord.Box(lower: lower.map { Rational($0) }, upper: upper.map { Rational($0) })
      let (holds, _) = try certify(tail, box, seconds: 10)
      result.cells = 1
      result.certifiedCells = holds ? 1 : 0
      if holds && result.misclassifiedPoints == result.unreachablePoints { result.outcome = .safeRegion }
    }
    return result
  }

  private func exploreInner(
    _ k: Int, _ prefix: PiecewiseLinearNetwork, _ activation: [Rational], _ dims: [Int], _ lattice: Lattice,
    _ span: Rational, _ region: RegionRecord.Box, _ reach: NeuronBounds
  ) throws -> Bool {
    let layer = chain.layers[k]
    let runner = GraphRunner(loaded.graph, target: loaded.target, from: layer.node)
    let limit = min(options.pointLimit, 200_000)
    let isWhole = lattice.count(limit: limit) != nil
    let inverse = InverseMap(
      graph: loaded.graph, chain: chain, layer: k, prefix: prefix, region: region, bounds: reach,
      isExact: options.inverseIsExact, deadline: options.deadline)
    let base = activation.map(\.nearestDouble)
    let tolerance: Rational = layer.origin == "Relu" || layer.origin == "MaxPool" ? span / 2 : 0
    for vector in lattice.ordered(isL2: options.ordersByL2, limit: limit) {
      if isLate { return false }
      var x = base
      var targets: [Int: Rational] = [:]
      for (axis, p) in dims.enumerated() {
        let value = activation[p] + span * Rational(Int(vector[axis]))
        targets[p] = value
        x[p] = value.nearestDouble
      }
      let outputs = try runner.run(x, count: 1, precision: .float64)
      let (kind, margin, _) = Self.winner(outputs, label)
      result.latticePoints += 1
      result.smallestMargin = min(result.smallestMargin, margin)
      if kind == label { continue }
      result.misclassifiedPoints += 1
      switch try inverse.preimage(of: targets, tolerance: tolerance) {
      case .unreachable: result.unreachablePoints += 1
      case .unknown: break
      case .found(let y):
        noteNearest(vector, span, kind)
        try confirm(y)
        if result.witness != nil { return isWhole }
      }
    }
    return isWhole
  }
}
