/// One subproblem of input splitting: a part of a case's box.
struct InputBox: SplittableBox {
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

/// A box of inputs that can be halved.
protocol SplittableBox: Sendable {
  var lower: [Double] { get set }
  var upper: [Double] { get set }
  /// How much halving each input promises.
  var scores: [Double] { get }
}

extension SplittableBox {
  /// The halves along the input with the best score; nil if no input can be halved.
  func halves() -> (Self, Self)? {
    var best: (input: Int, middle: Double)?
    for j in lower.indices {
      let middle = 0.5 * lower[j] + 0.5 * upper[j]
      guard lower[j] < middle, middle < upper[j] else { continue }
      if best.map({ scores[j] > scores[$0.input] }) ?? true { best = (j, middle) }
    }
    guard let best else { return nil }
    var left = self
    var right = self
    left.upper[best.input] = best.middle
    right.lower[best.input] = best.middle
    return (left, right)
  }
}
