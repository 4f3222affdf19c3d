/// Bounds of every variable of a network over a box and a set of phase decisions.
///
/// All bounds include the rounding of the arithmetic that computed them: they hold over the reals.
package struct NeuronBounds: Sendable {
  /// The box that they hold on.
  package var boxLower: [Double]
  package var boxUpper: [Double]
  /// By variable: bounds of the variable itself.
  package var lower: [Double]
  package var upper: [Double]
  /// By variable: bounds of a neuron's argument.
  package var preLower: [Double]
  package var preUpper: [Double]
  /// By variable: the phase that bounds or decisions fix; `.active` for everything that is no neuron.
  package var phases: [Phase]
  /// By variable: at least `|argument|`, with the weights' magnitudes: what rounding errors scale with.
  package var size: [Double]

  /// The neurons whose phase is open, in order.
  package func undecided(of network: PiecewiseLinearNetwork) -> [Int] {
    var result: [Int] = []
    for block in network.blocks where block.kind != .affine {
      for v in block.range where phases[v] == .undecided { result.append(v) }
    }
    return result
  }
}

/// A linear function of variables, `sum of coefficient * variable`, whose coefficients are exact.
package struct VariableRow: Sendable {
  package var variables: [Int]
  package var coefficients: [Double]

  package init(variables: [Int], coefficients: [Double]) {
    self.variables = variables
    self.coefficients = coefficients
  }
}
