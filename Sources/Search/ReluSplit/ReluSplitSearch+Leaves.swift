import IR
import Tensors

/// Subproblems in which no neuron promises anything: a linear program over the inputs, then the neurons that it still
/// depends on, then exact arithmetic.
extension ReluSplitSearch {
  func settle(_ domain: NeuronDomain, into result: inout BatchResult) throws {
    let (program, relevant) = try leafProgram(domain)
    guard case .open(let point, _) = program.solve() else {
      result.refuted += 1
      return
    }
    result.corners.append(point)
    if let split = relevant {
      var domain = domain
      domain.next = split
      result.open.append(domain)
      return
    }
    let held = domain.splits.map { (activation: Int($0.activation), neuron: Int($0.neuron)) }
    let part = problem.cases[index]
    let leaf = ExactLeaf(problem: problem, context: context, control: control)
    switch leaf.decide(clause, in: part.exactBox(part.lower, part.upper), sides: sides(domain), held: held) {
    case .refuted: result.refuted += 1
    case .point(let point): result.exactPoints.append(point)
    case .open: result.isExhausted = true
    }
  }

  /// By neuron: the side that it is held on or that the whole box implies; undecided ones are `unstable`.
  private func sides(_ domain: NeuronDomain) -> [NeuronState] {
    var sides = context.rootStates.map { NeuronState(rawValue: $0) ?? .unstable }
    for split in domain.splits {
      let activation = context.activations[Int(split.activation)]
      guard activation.isRelu else { continue }
      sides[activation.offset + Int(split.neuron)] = split.isActive ? .active : .inactive
    }
    return sides
  }

  /// The clause's rows and the held neurons as linear forms over the inputs, and a ReLU that is not held although some
  /// of these forms use its relaxation.
  private func leafProgram(_ domain: NeuronDomain) throws -> (program: LeafProgram, relevant: NeuronSplit?) {
    let count = rows.count + domain.splits.count
    var walk = problem.rowSeeds(rows, total: count, context)
    for (k, split) in domain.splits.enumerated() {
      // s (z - p) >= 0 for the side s = 1 or -1.
      let activation = context.activations[Int(split.activation)]
      let sign: Double = split.isActive ? 1 : -1
      let row = rows.count + k
      walk.seeds[activation.pre, default: .zeros([count] + context.graph[activation.pre].shape)][
        flat: row * activation.count + Int(split.neuron)] -= sign
      walk.constant[row] = sign * split.point
    }
    var rule = LowerRule(context: context, groups: RowGroups(single: count))
    rule.lines = lines([domain])
    rule.recording = true
    try walk.run(&rule)
    let forms = rule.linearBounds(mid: mid, rad: rad)
    let n = context.inputCount
    let all = (0..<count).map { r in
      LinearForm(
        coefficients: Array(forms.coefficients[(r * n)..<((r + 1) * n)]), constant: forms.constant[r])
    }
    let part = problem.cases[index]
    let program = LeafProgram(
      lower: part.lower, upper: part.upper, rows: Array(all.prefix(rows.count)),
      conditions: Array(all.dropFirst(rows.count)))
    return (program, relevantNeuron(domain, rule.recorded))
  }

  /// The earliest undecided ReLU with a coefficient in any row of a walk.
  private func relevantNeuron(_ domain: NeuronDomain, _ coefficients: [NodeID: Tensor<Double>])
    -> NeuronSplit?
  {
    let sides = sides(domain)
    for (i, activation) in context.activations.enumerated() where activation.isRelu {
      guard let a = coefficients[activation.node] else { continue }
      for j in 0..<activation.count where sides[activation.offset + j] == .unstable {
        for r in 0..<(a.count / max(1, activation.count)) where a[flat: r * activation.count + j] != 0 {
          return NeuronSplit(activation: Int32(i), neuron: Int32(j), isActive: true)
        }
      }
    }
    return nil
  }
}
