import IR
import Rigor
import SMT

extension FeatureBox {
  /// Decides the box exactly for piecewise-linear networks: branch and bound over parts of the box and phases of
  /// neurons with exact leaves, or one query to Z3 (`smt`).
  ///
  /// Degree normalisation is taken as the stored Float64 coefficients; witnesses are checked in exact arithmetic.
  func decideExactly(_ certificate: inout NodeCertificate, _ target: Int) throws {
    let network = try PiecewiseLinearNetwork(bound, to: bound.outputs[0].node)
    let query = SafetyQuery(
      lower: lower.elements.map { Rational($0) }, upper: upper.elements.map { Rational($0) },
      violation: SafetyQuery.misclassification(
        label: target, outputs: certifier.classCount, isMaximum: true))
    var options = SolverOptions()
    options.method = certifier.method == .smt ? .exact : .auto
    options.seed = certifier.seed
    options.deadline = certifier.nodeDeadline
    options.isolated = certifier.isolated
    let result = try SafetySolver(network, query, options: options).solve()
    certificate.evaluations += result.statistics.nodes
    switch result.verdict {
    case .holds:
      certificate.verdict = .robust
      // Exactly decided: no point of the box reaches a tie.
      certificate.marginLower = max(certificate.marginLower, 0)
    case .violated:
      certificate.verdict = .vulnerable
      if let point = result.witness?.point {
        let values = point.map(\.nearestDouble)
        let width = self.network.graph.featureCount
        certificate.witness = .features(
          nodes: nodes, values: Array(values[0..<(nodes.count * width)]), width: width)
        certificate.marginReached = min(certificate.marginReached, 0)
      }
    case .unknown: certificate.verdict = .unknown
    }
  }
}
