/// A neuron held on one side of a point: of its kink if it is a ReLU, elsewhere of the middle of what its argument can be.
struct NeuronSplit: Sendable, Hashable {
  /// The number of the activation.
  var activation: Int32
  /// The neuron's place in it.
  var neuron: Int32
  /// Whether its argument is held at z >= point, else at z <= point.
  var isActive: Bool
  var point = 0.0
}

/// A subproblem of ReLU splitting: the whole box with some neurons held.
struct NeuronDomain: Sendable {
  var splits: [NeuronSplit]
  /// The best proven lower bound of the clause.
  var bound: Double
  /// By activation: slopes below and multipliers to start from, `rows * count`; shared between siblings.
  var slopes: [[Float]?]
  var multipliers: [[Float]?]
  /// By activation: the number of its neurons.
  var width: [Int]
  /// The neuron to split next.
  var next: NeuronSplit?
}
