import IR
import LinearPrograms
import Rigor
import Specifications

/// Decides, in exact arithmetic, whether a conjunction of rows has a witness where every ReLU is on a known side.
///
/// There the network is one affine function of the inputs, whose coefficients are computed in rationals; what is left
/// is a linear system. This settles ties that no bound with rounding can.
struct ExactLeaf {
  enum Answer: Sendable {
    case refuted
    case point([Rational])
    /// The network, the semantics or the size is not for this method.
    case open
  }

  let problem: VerificationProblem
  let context: SplitContext
  let control: SearchControl

  /// Multiplications of rationals a second, a low guess, and the most entries of a rational tableau.
  private static let rate = 1e6
  private static let mostEntries = 40_000

  /// - Parameters:
  ///   - box: What the inputs can be, inside the case's exact bounds.
  ///   - sides: By neuron, the side that it is on everywhere in question; `unstable` ones must not matter.
  ///   - held: The neurons whose side is an assumption and not implied by the box.
  func decide(
    _ clause: [(row: Int, strict: Bool)], in box: [VariableBounds], sides: [NeuronState],
    held: [(activation: Int, neuron: Int)]
  ) -> Answer {
    guard problem.semantics == .real, context.activations.allSatisfy(\.isRelu) else { return .open }
    let lower = box.map { $0.lower ?? .zero }
    let upper = box.map { $0.upper ?? .zero }
    let free = box.indices.filter { lower[$0] < upper[$0] }
    let entries = (free.count + 2) * (free.count + held.count + clause.count + 1)
    guard entries <= Self.mostEntries,
      problem.multiplications * Double(free.count + 1) / Self.rate < 0.25 * control.remaining,
      let values = try? values(Leaf(clause: clause, sides: sides, held: held), lower, free)
    else { return .open }
    // Column 0 is the value at the lower corner, the others are differences from it.
    var system = LinearSystem(
      lower: [Rational](repeating: .zero, count: free.count), upper: free.map { upper[$0] - lower[$0] })
    func require(_ row: Int, times sign: Int, isStrict: Bool) {
      let factor = Rational(sign)
      system.require(
        free.indices.map { factor * (values[$0 + 1][row] - values[0][row]) }, factor * values[0][row],
        isStrict: isStrict)
    }
    for (r, part) in clause.enumerated() { require(r, times: 1, isStrict: part.strict) }
    for (k, neuron) in held.enumerated() {
      let place = context.activations[neuron.activation].offset + neuron.neuron
      require(clause.count + k, times: sides[place] == .active ? -1 : 1, isStrict: false)
    }
    for (c, j) in free.enumerated() {
      var unit = [Rational](repeating: .zero, count: free.count)
      unit[c] = 1
      if box[j].upperIsStrict { system.require(unit, lower[j] - upper[j], isStrict: true) }
      unit[c] = -1
      if box[j].lowerIsStrict { system.require(unit, .zero, isStrict: true) }
    }
    switch system.decide() {
    case .empty: return .refuted
    case .point(let z):
      var point = lower
      for (c, j) in free.enumerated() { point[j] += z[c] }
      return .point(point)
    }
  }

  private struct Leaf {
    var clause: [(row: Int, strict: Bool)]
    var sides: [NeuronState]
    var held: [(activation: Int, neuron: Int)]
  }

  /// The rows of the clause and the arguments of held neurons: at a corner, and one step of 1 away along every free
  /// input; nil if an undecided neuron matters to any of them.
  private func values(_ leaf: Leaf, _ corner: [Rational], _ free: [Int]) throws -> [[Rational]]? {
    var dependence = DependenceDomain(context: context, sides: leaf.sides)
    let isOpen = try context.graph.interpret(
      [[Bool](repeating: false, count: corner.count)], in: &dependence)
    guard leaf.held.allSatisfy({ !dependence.arguments[$0.activation][$0.neuron] }) else { return nil }
    let outputs = Dictionary(
      problem.graph.outputs.enumerated().map { ($1.node, $0) }, uniquingKeysWith: { first, _ in first })
    var result: [[Rational]] = []
    for input in [nil] + free.map(Optional.some) {
      if control.stop != nil { return nil }
      var point = corner
      if let input { point[input] += 1 }
      var domain = PieceDomain(context: context, sides: leaf.sides)
      let trace = try context.graph.interpret([point], in: &domain)
      var values: [Rational] = []
      for part in leaf.clause {
        let row = problem.rows[part.row]
        var sum = row.exactConstant
        for (term, coefficient) in zip(row.terms, row.exactCoefficients) {
          switch term.source {
          case .input(let j): sum.addProduct(coefficient, point[j])
          case .value(let node, let place):
            guard let output = outputs[node], !isOpen.outputs[output][place] else { return nil }
            sum.addProduct(coefficient, trace.outputs[output][place])
          }
        }
        values.append(sum)
      }
      result.append(values + leaf.held.map { domain.arguments[$0.activation][$0.neuron] })
    }
    return result
  }
}

extension SplitContext {
  /// Whether every neuron is on a known side, so that the network is linear.
  func isPiece(_ states: [Int8]) -> Bool {
    !isTwin && activations.allSatisfy(\.isRelu) && !states.contains(0)
  }
}
