/// One subproblem of input splitting: a part of a case's box.
struct InputBox: Sendable {
  /// The number of the case.
  var problem: Int
  var lower: [Double]
  var upper: [Double]
  /// What the parent knew of every neuron, by number; it holds in every part of the parent's box.
  var states: [Int8]
  /// The violation that the parent's bounds allowed; the smaller, the more likely a witness is inside.
  var bound: Double
  /// How much halving each input promises; set once the box is bounded.
  var scores: [Double] = []
  /// Which end of each input minimises the critical row; set once the box is bounded.
  var corner: [Bool] = []
  /// Whether every ReLU has one side in it and the rows are still open.
  var isLinear = false
  /// Where a linear program over the rows' bounds then puts the best candidate.
  var point: [Double]?
}
