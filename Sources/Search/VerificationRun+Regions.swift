/// Halving of the whole region where one input decides.
extension VerificationRun {
  /// The least share of the critical row's spread that makes an input worth halving, and the least part of the gap
  /// that two halves must close.
  private static let dominantShare = 0.2
  private static let leastProgress = 0.25

  /// Halves the region of a case as long as one input dominates and halves are much better: all bounds are computed
  /// anew there, which phases of single neurons cannot give. nil if that does not pay.
  mutating func splitRegion(_ index: Int, _ root: CaseBounds) throws -> SearchOutcome? {
    guard let input = root.dominantInput, input.share >= Self.dominantShare,
      control.remaining > 2 * root.seconds
    else { return nil }
    let part = problem.cases[index]
    let middle = 0.5 * part.lower[input.index] + 0.5 * part.upper[input.index]
    guard part.lower[input.index] < middle, middle < part.upper[input.index] else { return nil }
    var halves = [part, part]
    halves[0].upper[input.index] = middle
    halves[1].lower[input.index] = middle
    var open: [(run: VerificationRun, bounds: CaseBounds)] = []
    for half in halves {
      if let stop = control.stop { return .stopped(stop) }
      var problem = problem
      problem.cases[index] = half
      let run = VerificationRun(problem: problem, control: control)
      let bounds = try run.bound(index)
      statistics.subproblems += 1
      if bounds.open == nil {
        statistics.refuted += 1
      } else {
        guard bounds.margin >= (1 - Self.leastProgress) * root.margin else { return nil }
        open.append((run, bounds))
      }
    }
    method = "branch and bound over the region"
    for (run, bounds) in open {
      var run = run
      let outcome = try run.splitRegion(index, bounds) ?? run.searchNeurons(index, bounds)
      statistics.add(run.statistics)
      if !run.method.isEmpty { method = run.method }
      guard case .refuted = outcome else { return outcome }
    }
    return .refuted
  }
}
