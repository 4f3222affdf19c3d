/// Bounds of every variable of a network over a box and a set of phase decisions.
///
/// All bounds include the rounding of the arithmetic that computed them: they hold over the reals.
struct NeuronBounds: Sendable {
  /// The box that they hold on.
  var boxLower: [Double]
  var boxUpper: [Double]
  /// By variable: bounds of the variable itself.
  var lower: [Double]
  var upper: [Double]
  /// By variable: bounds of a neuron's argument.
  var preLower: [Double]
  var preUpper: [Double]
  /// By variable: the phase that bounds or decisions fix; `.active` for everything that is no neuron.
  var phases: [Phase]
  /// By variable: at least `|argument|`, with the weights' magnitudes: what rounding errors scale with.
  var size: [Double]

  /// The neurons whose phase is open, in order.
  func undecided(of network: PiecewiseLinearNetwork) -> [Int] {
    var result: [Int] = []
    for block in network.blocks where block.kind != .affine {
      for v in block.range where phases[v] == .undecided { result.append(v) }
    }
    return result
  }
}

/// A linear function of variables, `sum of coefficient * variable`, whose coefficients are exact.
struct VariableRow: Sendable {
  var variables: [Int]
  var coefficients: [Double]
}
