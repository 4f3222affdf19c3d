import Foundation
import Rigor

/// Certification: from lattice points to everything between them.
extension LayerwiseSearch {
  /// The largest network whose cells are certified.
  static var certifiedNeurons: Int { 4000 }

  /// Certifies the cells of the lattice around the original input: first all at once, then one by one.
  func certify(_ dims: [Int], _ span: Rational, _ steps: Int) throws {
    let box = region(around: original, dims, span, steps)
    var cells = 1
    for _ in dims { cells = min(cells * 2 * steps, 1 << 40) }
    result.cells = cells
    // Counted before the network is lowered: lowering a large one takes longer than its lattice.
    guard loaded.neuronCount <= Self.certifiedNeurons else {
      result.certifiedCells = 0
      result.reason = "the network is too large to certify cells; only the lattice points are claimed"
      return
    }
    let network = try loaded.exact()
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

  func certify(
    _ network: PiecewiseLinearNetwork, _ box: RegionRecord.Box, seconds: Double
  ) throws -> (holds: Bool, violation: [Rational]?) {
    let query = SafetyQuery(
      lower: box.lower, upper: box.upper,
      violation: SafetyQuery.misclassification(label: label, outputs: network.outputs.count, isMaximum: true))
    var settings = SolverOptions()
    let limit = ContinuousClock.now + .seconds(seconds)
    settings.deadline = min(options.deadline ?? limit, limit)
    settings.seed = options.seed
    let answer = try SafetySolver(network, query, options: settings).solve()
    return (answer.verdict == .holds, answer.witness?.point)
  }
}
