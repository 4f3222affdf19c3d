import IR

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

extension NeuronDomain {
  /// Holds a neuron on one side. A multiplier of another point of the same neuron says nothing about this one.
  mutating func hold(_ split: NeuronSplit, isActive: Bool) {
    var held = split
    held.isActive = isActive
    let i = Int(split.activation)
    if let own = multipliers[i],
      splits.contains(where: { $0.activation == split.activation && $0.neuron == split.neuron })
    {
      var own = own
      let rows = own.count / max(1, width[i])
      for r in 0..<rows { own[r * width[i] + Int(split.neuron)] = 0 }
      multipliers[i] = own
    }
    splits.append(held)
  }

  /// What the argument of a split's neuron can be here.
  func range(of split: NeuronSplit, _ activation: SplitContext.Activation) -> (Double, Double) {
    var (l, u) = (activation.lower[Int(split.neuron)], activation.upper[Int(split.neuron)])
    for held in splits where held.activation == split.activation && held.neuron == split.neuron {
      if held.isActive { l = max(l, held.point) } else { u = min(u, held.point) }
    }
    return (l, u)
  }
}
