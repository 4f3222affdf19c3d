import Foundation
import IR
import Rigor
import LinearPrograms

extension RegionSession {
  /// Runs the layer-wise method on a record.
  public func layerwise(_ record: RegionRecord, _ options: LayerwiseOptions) throws -> RegionAnswer {
    let start = ContinuousClock.now
    let loaded = try load(record)
    let original: [Rational]
    if let given = try center(record, loaded) {
      original = given
    } else if let box = record.box {
      guard box.lower.count == loaded.inputCount else {
        throw record.place.error(
          "the region has \(box.lower.count) coordinates, the network \(loaded.inputCount) inputs")
      }
      original = zip(box.lower, box.upper).map { ($0 + $1) / 2 }
    } else {
      throw record.place.error("a layer-wise run needs \"center\" or \"image_index\"")
    }
    guard let span = options.span ?? record.manipulations?.span else {
      throw record.place.error("a layer-wise run needs \"span\" or --manipulations")
    }
    let steps = options.steps ?? record.manipulations?.steps ?? 1
    guard steps >= 1, steps <= RegionRecord.stepLimit else {
      throw record.place.error("\"num_span\" must lie between 1 and \(RegionRecord.stepLimit)")
    }
    let label = try record.label ?? self.label(at: original, loaded)
    guard label >= 0, label < loaded.outputCount else {
      throw record.place.error("\"label\" is \(label), the network has \(loaded.outputCount) outputs")
    }
    let dims = record.manipulations?.dims
    let isInput = options.layer == 0
    for p in dims ?? [] where (isInput || record.layer == nil) && p >= loaded.inputCount {
      throw record.place.error("\"dims\" names coordinate \(p), the network has \(loaded.inputCount) inputs")
    }
    let clamps = record.manipulations?.clampsToDomain ?? (record.imageIndex != nil)
    var answer = RegionAnswer(record, start)
    let layers = options.isStepwise ? Array(0...max(0, options.layer)) : [options.layer]
    for layer in layers {
      let search = try LayerwiseSearch(
        loaded, original: original, label: label, clampsToDomain: clamps, layer: layer, options: options)
      // The record's coordinates belong to its own layer: the input where it names none.
      let result: LayerwiseResult
      if layer == 0 {
        result = try search.runInputLayer(
          dims: (record.layer ?? 0) == 0 ? dims : nil, span: span, steps: steps)
      } else {
        result = try search.runInnerLayer(
          layer, inputDims: (record.layer ?? 0) == 0 ? dims : nil,
          layerDims: record.layer == layer ? dims : nil,
          span: span, steps: steps)
      }
      answer.layerwise = result
      answer.verdict = result.outcome.rawValue
      answer.witness = result.witness
      answer.reason = result.reason
      answer.layers.append(result)
      // What either of these says about the input, no deeper layer can add to.
      if result.outcome == .unsafe || result.outcome == .safeRegion { break }
    }
    answer.seconds = (ContinuousClock.now - start) / .seconds(1)
    return answer
  }

  /// Answers an inverse-map record: is there an input that gives these values at a layer?
  ///
  /// - Parameters:
  ///   - deadline: When to give up; nil for never.
  ///   - isolated: Where to run Z3 so that the deadline holds; nil to run it in this process.
  public func invert(_ record: RegionRecord, deadline: ContinuousClock.Instant?, isolated: Z3Process? = nil)
    throws
    -> RegionAnswer
  {
    let start = ContinuousClock.now
    guard let inverse = record.inverse else { throw record.place.error("is no inverse-map record") }
    let loaded = try load(record)
    let chain = try LayerChain(loaded.graph, to: loaded.target)
    let layer = record.layer ?? 1
    guard layer >= 1, layer < chain.layers.count else {
      throw record.place.error(
        "layer \(layer) does not exist, the network has layers 0 to \(chain.layers.count - 1)")
    }
    guard inverse.region.lower.count == loaded.inputCount else {
      throw record.place.error(
        "\"input_region\" has \(inverse.region.lower.count) coordinates, the network \(loaded.inputCount) inputs"
      )
    }
    for p in inverse.dims where p >= chain.layers[layer].size {
      throw record.place.error("\"dims\" names coordinate \(p), the layer has \(chain.layers[layer].size)")
    }
    let prefix = try PiecewiseLinearNetwork(loaded.graph, to: chain.layers[layer].node)
    let bounds = LinearRelaxation(prefix, limit: TimeLimit(deadline: deadline)).bounds(
      lower: inverse.region.lower.map(\.roundedDown), upper: inverse.region.upper.map(\.roundedUp),
      splits: [:])
    var answer = RegionAnswer(record, start)
    guard let bounds else {
      answer.status = "unsat"
      return answer
    }
    let map = InverseMap(
      graph: loaded.graph, chain: chain, layer: layer, prefix: prefix, region: inverse.region, bounds: bounds,
      isExact: true, deadline: deadline, isolated: isolated)
    var targets: [Int: Rational] = [:]
    for (p, value) in zip(inverse.dims, inverse.target) { targets[p] = value }
    switch try map.preimage(of: targets, tolerance: 0) {
    case .found(let x):
      answer.status = "sat"
      answer.preimage = x
    case .unreachable: answer.status = "unsat"
    case .unknown: answer.status = "unknown"
    }
    answer.seconds = (ContinuousClock.now - start) / .seconds(1)
    return answer
  }
}
