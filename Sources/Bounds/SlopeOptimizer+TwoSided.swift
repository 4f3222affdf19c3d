import IR
import Tensors

extension SlopeOptimizer {
  /// Rows of one block of an optimisation; twice as many are walked, one for each side.
  static let blockSize = 64

  /// Optimised bounds of rows whose seeds are given for both sides: `[B * 2S] + shape`, in every example S rows
  /// followed by the same rows negated. An upper bound is the negated lower bound of the negated row.
  static func twoSided(_ relaxed: RelaxedGraph, target: NodeID, seeds: Tensor<Double>, options: BoundOptions)
    throws
    -> (bounds: (lower: [Double], upper: [Double]), linear: CrownRule.Linear?)
  {
    var optimizer = SlopeOptimizer(relaxed, target: target, seeds: seeds)
    if optimizer.isFree {
      try optimizer.optimize(
        iterations: options.iterations, learningRate: options.learningRate, decay: options.decay)
    }
    let rule = try optimizer.prove(keepsCoefficients: options.keepsCoefficients)
    let batch = relaxed.region.batch
    let each = seeds.batch / max(batch, 1)
    let size = each / 2
    let lowers = rule.bounds.lower
    let starts = (0..<batch).map { $0 * each }
    func halves(_ values: [Double]) -> (lower: [Double], upper: [Double]) {
      (
        starts.flatMap { values[$0..<($0 + size)] },
        starts.flatMap { values[($0 + size)..<($0 + each)].map { -$0 } }
      )
    }
    guard options.keepsCoefficients else { return (halves(lowers), nil) }
    let linear = rule.linearBounds
    let constants = halves(linear.lowerConstant)
    var result = CrownRule.Linear(
      coefficients: [:], lowerConstant: constants.lower, upperConstant: constants.upper)
    for (id, pair) in linear.coefficients {
      result.coefficients[id] = (
        .concatenatingBatches(starts.map { pair.lower.examples($0..<($0 + size)) }),
        .concatenatingBatches(starts.map { pair.lower.examples(($0 + size)..<($0 + each)).map { -$0 } })
      )
    }
    return (halves(lowers), result)
  }
}
