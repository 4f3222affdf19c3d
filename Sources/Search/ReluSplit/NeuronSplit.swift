/// A neuron held on one side of its kink.
struct NeuronSplit: Sendable, Hashable {
  /// The number of the activation.
  var activation: Int32
  /// The neuron's place in it.
  var neuron: Int32
  /// Whether its argument is held at z >= 0, else at z <= 0.
  var isActive: Bool
}

/// A subproblem of ReLU splitting: the whole box with some neurons held.
struct NeuronDomain: Sendable {
  var splits: [NeuronSplit]
  /// The best proven lower bound of the clause.
  var bound: Double
  /// By activation: slopes below and multipliers to start from, `rows * count`; shared between siblings.
  var slopes: [[Float]?]
  var multipliers: [[Float]?]
  /// The neuron to split next.
  var next: NeuronSplit?
}
