import Domains
import Foundation
import IR
import LinearPrograms
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
  var result: LayerwiseResult

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

  var isLate: Bool { TimeLimit(deadline: options.deadline).isOver }

  // MARK: Layer 0

  /// Checks the input layer with given coordinates, or with features chosen by the heuristic.
  func runInputLayer(dims: [Int]?, span: Rational, steps: Int) throws -> LayerwiseResult {
    let start = ContinuousClock.now
    var queue = [Path(base: original)]
    let featureCount = dims == nil ? options.features : 1
    var budget = budget(features: featureCount)
    var finished = true
    while !queue.isEmpty && budget > 0 {
      budget -= 1
      var path = queue.removeFirst()
      let picked = dims ?? pick(path.base, &path.usedInputs)
      if picked.isEmpty { break }
      result.features.append(picked)
      widenRegion(region(around: path.base, picked, span, steps))
      let explored = try explore(path.base, picked, span, steps)
      if !explored.isComplete { finished = false }
      if result.witness != nil || isLate { break }
      if budget > 0 {
        for next in explored.successors {
          path.base = next
          queue.append(path)
        }
      }
    }
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
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

  /// A point of the search: the input from which the next feature is manipulated, and the coordinates that were chosen on
  /// the way to it.
  struct Path {
    var base: [Rational]
    var usedInputs = Set<Int>()
    var usedInner = Set<Int>()
  }

  /// How many features are manipulated in all: one after the other, or a tree with `paths` successors of each.
  func budget(features: Int) -> Int {
    guard options.paths > 1 else { return features }
    var total = 0
    var level = 1
    for _ in 0..<min(features, 1000) {
      total = min(total + level, 1 << 30)
      level = min(level * options.paths, 1 << 20)
    }
    return total
  }

  func widenRegion(_ box: RegionRecord.Box) {
    guard var known = result.region else {
      result.region = box
      return
    }
    for i in known.lower.indices {
      known.lower[i] = min(known.lower[i], box.lower[i])
      known.upper[i] = max(known.upper[i], box.upper[i])
    }
    result.region = known
  }

  func pick(_ base: [Rational], _ used: inout Set<Int>) -> [Int] {
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

  /// The box that the lattice of a feature spans around an input.
  func region(around base: [Rational], _ dims: [Int], _ span: Rational, _ steps: Int) -> RegionRecord.Box {
    var box = RegionRecord.Box(lower: base, upper: base)
    for p in dims {
      box.lower[p] = base[p] - span * Rational(steps)
      box.upper[p] = base[p] + span * Rational(steps)
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
    // The nearest misclassified points, in case the very nearest is a tie that float32 does not share.
    var candidates: [[Int16]] = []
    let isAtOriginal = base == original
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
        if isAtOriginal {
          noteNearest(vector, span, kind)
        } else {
          noteNearest(point(base, dims, vector, exact, steps), kind)
        }
        if candidates.count < 32 { candidates.append(vector) }
      }
    }
    for vector in candidates where try confirm(point(base, dims, vector, exact, steps)) { break }
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
  func noteNearest(_ vector: [Int16], _ span: Rational, _ kind: Int) {
    let l1 = span * Rational(Lattice.norm(vector, isL2: false))
    let l2 = span * span * Rational(Lattice.norm(vector, isL2: true))
    if result.nearestL1.map({ l1 < $0 }) ?? true { result.nearestL1 = l1 }
    if result.nearestL2Squared.map({ l2 < $0 }) ?? true {
      result.nearestL2Squared = l2
      result.nearestSteps = vector.map { Int($0) }
      result.nearestClass = kind
    }
  }

  /// Records the distance of a misclassified input that several features lead to.
  private func noteNearest(_ x: [Rational], _ kind: Int) {
    var l1 = Rational()
    var l2 = Rational()
    for (a, b) in zip(x, original) where a != b {
      let d = a - b
      l1 += d.magnitude
      l2.addProduct(d, d)
    }
    if result.nearestL1.map({ l1 < $0 }) ?? true { result.nearestL1 = l1 }
    if result.nearestL2Squared.map({ l2 < $0 }) ?? true {
      result.nearestL2Squared = l2
      result.nearestSteps = nil
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

  static func winner(_ outputs: [Double], _ label: Int) -> (kind: Int, margin: Double, size: Double) {
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

  /// Confirms a misclassified input exactly and in float32 and keeps it as the witness; one that float32 does not share
  /// is kept only until a better one is found.
  ///
  /// - Returns: Whether the input is misclassified in both.
  func confirm(_ x: [Rational]) throws -> Bool {
    let exact = try loaded.exact().exactOutputs(at: x)
    var best = 0
    for (i, y) in exact.enumerated() where y > exact[best] { best = i }
    guard best != label else { return false }
    let floats = x.map(\.nearestFloat)
    let run = try loaded.runner.deployed(floats)
    var deployed = 0
    for (i, y) in run.enumerated() where y > run[deployed] { deployed = i }
    let agrees = deployed != label
    if result.witness == nil || agrees {
      result.witness = Witness(point: x, float32: floats, clause: 0, violatesInFloat32: agrees)
      result.witnessClass = best
    }
    return agrees
  }
}
