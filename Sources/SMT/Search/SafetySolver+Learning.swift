/// Clauses learned from refuted parts: which phases a refutation needs, what follows from clauses elsewhere, and what
/// becomes of them in a certificate.
extension SafetySolver {
  /// A part that was divided and whose sides are not both settled yet.
  struct Frame {
    let part: Part
    let split: ProofSplit
    /// By clause that the part itself refutes: the number of the statement.
    let refuted: [Int: Int]
    let open: [Int]
    /// The same of the sides that are settled.
    var sides: [[Int: Int]] = []
  }

  /// Beyond, nothing more is learned: statements are kept for certificates and take memory.
  private static var storeLimit: Int { 300_000 }

  var isLearning: Bool { options.learnsClauses && store.all.count < Self.storeLimit }

  // MARK: Learning

  /// Keeps what refutes a clause in a part, with as few of the decided phases as is cheap to find.
  func learn(
    _ clause: Int, _ part: Part, _ b: NeuronBounds, _ duals: LinearRelaxation.Duals,
    _ refutation: ProofRefutation?
  ) {
    guard isLearning else { return }
    var phases = part.splits
    var reason = refutation.map { ProofLemma.Reason.refutation($0) }
    if !phases.isEmpty, trials > 0, let core = core(clause, part, b, duals) {
      phases = core.phases
      if options.wantsProof {
        reason = .refutation(self.refutation(clause, core.duals, core.bounds, phases))
      }
    }
    keep(clause, part, phases, reason)
  }

  /// Keeps that decisions and bounds contradict each other.
  func learnEmpty(_ part: Part) {
    guard isLearning else { return }
    for clause in part.clauses { keep(clause, part, part.splits, .empty) }
  }

  /// Keeps what Z3 refuted: under the decisions of its core, if the bounds that composed other neurons away need no
  /// more of them.
  func learnFromZ3(_ clause: Int, _ part: Part, _ b: NeuronBounds, core: [Int]?) {
    guard isLearning, !options.wantsProof else { return }
    var phases = part.splits
    if let core, core.count < phases.count, trials > 0 {
      let used = phases.filter { core.contains($0.key) }
      trials -= 1
      if let wider = relaxation.bounds(lower: part.lower, upper: part.upper, splits: used) {
        let isEnough = network.blocks.allSatisfy { block in
          block.kind == .affine
            || block.range.allSatisfy {
              b.phases[$0] == .undecided || part.splits[$0] != nil || wider.phases[$0] == b.phases[$0]
            }
        }
        if isEnough { phases = used }
      }
    }
    keep(clause, part, phases, nil)
  }

  private func keep(_ clause: Int, _ part: Part, _ phases: [Int: Phase], _ reason: ProofLemma.Reason?) {
    let isShorter = phases.count < part.splits.count
    if isShorter { statistics.clausesLearned += 1 }
    let learned = LearnedClause(
      clause: clause, literals: LearnedClause.literals(phases), box: part.box, reason: reason,
      place: proof.count)
    refuted[clause] = store.add(learned, isWorthLooking: isShorter)
  }

  /// The decided phases that a dual bound needs; nil if no attempt to leave some out succeeds.
  private func core(
    _ clause: Int, _ part: Part, _ b: NeuronBounds, _ duals: LinearRelaxation.Duals
  ) -> (phases: [Int: Phase], duals: LinearRelaxation.Duals, bounds: NeuronBounds)? {
    let rows = prepared.clauses[clause].map(\.row)
    let rhs = prepared.clauses[clause].map(\.rhsUp)
    // Where a neuron on one line is open instead, that line still bounds it from below.
    var weaker = duals
    for block in network.blocks where block.kind == .relu {
      for v in block.range where b.phases[v] != .undecided {
        weaker.alpha[v] = b.phases[v] == .active ? 1 : 0
      }
    }
    _ = relaxation.dualBound(rows, rhs: rhs, b, duals)
    let used = part.splits.filter { duals.beta[$0.key] != 0 || relaxation.needsUpperLine($0.key) }
    typealias Core = (phases: [Int: Phase], duals: LinearRelaxation.Duals, bounds: NeuronBounds)
    func attempt(_ phases: [Int: Phase]) -> Core? {
      trials -= 1
      guard let wider = relaxation.bounds(lower: part.lower, upper: part.upper, splits: phases) else {
        return nil
      }
      var trial = weaker
      for v in part.splits.keys where phases[v] == nil { trial.beta[v] = 0 }
      guard relaxation.dualBound(rows, rhs: rhs, wider, trial) > safety(clause, wider) else { return nil }
      return (phases, trial, wider)
    }
    var best: Core?
    if used.count < part.splits.count { best = attempt(used) }
    // Then the phases with the least multipliers, one at a time.
    let order = (best?.phases ?? part.splits).keys.sorted {
      (abs(duals.beta[$0]), $0) < (abs(duals.beta[$1]), $1)
    }
    for v in order.prefix(2) where trials > 0 {
      var fewer = best?.phases ?? part.splits
      fewer[v] = nil
      if let found = attempt(fewer) { best = found }
    }
    return best
  }

  // MARK: Using what was learned

  /// Closes a part that learned clauses refute, or divides it where they leave one phase only.
  ///
  /// - Parameter b: Bounds, once they are known: the phases that they imply count as decided.
  func consult(_ part: inout Part, _ b: NeuronBounds?, _ node: inout ProofNode) -> Step? {
    guard options.learnsClauses, !store.isEmpty(for: part.clauses) else { return nil }
    var remaining: [Int] = []
    var excluded: [LearnedClause.Literal: Int]?
    for clause in part.clauses {
      let match = store.match(
        clause, part.splits, part.box, implied: b.map { bounds in { Self.implied($0, bounds) } })
      guard let number = match.refuted else {
        remaining.append(clause)
        excluded = excluded.map { known in known.filter { match.excluded[$0.key] != nil } } ?? match.excluded
        continue
      }
      store.noteHit(number)
      if options.wantsProof { node.refutations.append(.lemma(clause: clause, number: number)) }
      let isDecided = store.all[number].literals.allSatisfy { part.splits[LearnedClause.variable($0)] != nil }
      if isDecided {
        refuted[clause] = number
      } else if isLearning {
        keep(clause, part, part.splits, .refutation(.lemma(clause: clause, number: number)))
      }
    }
    part.clauses = remaining
    if remaining.isEmpty {
      statistics.conflictsAvoided += 1
      trials += 3
      record(node)
      return .done
    }
    guard let literal = excluded?.keys.min() else { return nil }
    // The side that a learned clause excludes is closed by it as soon as it is looked at.
    if let number = excluded?[literal] { store.noteHit(number) }
    statistics.propagations += 1
    let v = LearnedClause.variable(literal)
    node.split = .phase(v)
    record(node)
    var first = part
    var second = part
    first.splits[v] = .inactive
    second.splits[v] = .active
    return .split(.phase(v), first, second)
  }

  /// A phase that bounds imply by more than any rounding of a checker.
  package static func implied(_ v: Int, _ b: NeuronBounds) -> Phase {
    let margin = 1e-9 * (1 + b.size[v])
    if b.preLower[v] > margin { return .active }
    return b.preUpper[v] < -margin ? .inactive : .undecided
  }

  /// Hands the outcome of a settled part to the part that it was divided from.
  func settle(_ outcome: [Int: Int]) {
    if !frames.isEmpty { frames[frames.count - 1].sides.append(outcome) }
  }

  /// Both sides of a part are settled: what refutes it is what refutes them, without the phase that told them apart.
  func closeFrame() {
    guard let frame = frames.popLast() else { return }
    var outcome = frame.refuted
    if frame.sides.count == 2 {
      for clause in frame.open {
        guard let first = frame.sides[0][clause], let second = frame.sides[1][clause] else { continue }
        if let number = resolve(clause, frame, first, second) { outcome[clause] = number }
      }
    }
    settle(outcome)
  }

  private func resolve(_ clause: Int, _ frame: Frame, _ first: Int, _ second: Int) -> Int? {
    let a = store.all[first]
    let b = store.all[second]
    var dropped: (first: LearnedClause.Literal, second: LearnedClause.Literal) = (-1, -1)
    if case .phase(let v) = frame.split {
      dropped = (LearnedClause.literal(v, .inactive), LearnedClause.literal(v, .active))
    }
    // A side that does not need the division refutes the whole.
    if !a.literals.contains(dropped.first), frame.part.box.isWithin(a.box) { return first }
    if !b.literals.contains(dropped.second), frame.part.box.isWithin(b.box) { return second }
    guard isLearning else { return nil }
    var literals = Set(a.literals.filter { $0 != dropped.first })
    literals.formUnion(b.literals.filter { $0 != dropped.second })
    let isShorter = literals.count < frame.part.splits.count
    if isShorter { statistics.clausesLearned += 1 }
    let reason = a.reason != nil && b.reason != nil
    return store.add(
      LearnedClause(
        clause: clause, literals: literals.sorted(), box: frame.part.box,
        reason: reason ? .split(frame.split, first: first, second: second) : nil, place: proof.count),
      isWorthLooking: isShorter)
  }

  // MARK: Certificates

  /// The certificate: the tree, and those of the learned clauses that it needs.
  func proofTree() -> ProofTree {
    var isNeeded = [Bool](repeating: false, count: store.all.count)
    for node in proof {
      for case .lemma(_, let number) in node.refutations { isNeeded[number] = true }
    }
    // A statement rests on earlier ones only.
    for number in isNeeded.indices.reversed() where isNeeded[number] {
      switch store.all[number].reason {
      case .refutation(.lemma(_, let other)): isNeeded[other] = true
      case .split(_, let first, let second):
        isNeeded[first] = true
        isNeeded[second] = true
      default: break
      }
    }
    var tree = ProofTree(nodes: proof)
    var numbers: [Int: Int] = [:]
    for (number, learned) in store.all.enumerated() where isNeeded[number] {
      guard var reason = learned.reason else { continue }
      switch reason {
      case .refutation(let refutation):
        reason = .refutation(Self.renumbered(refutation, numbers))
        // The part that it was learned in needs no refutation of its own.
        let found = tree.nodes[learned.place].refutations.firstIndex { $0.clause == learned.clause }
        if let found {
          tree.nodes[learned.place].refutations[found] = .lemma(clause: learned.clause, number: number)
        }
      case .empty: break
      case .split(let split, let first, let second):
        reason = .split(split, first: numbers[first] ?? -1, second: numbers[second] ?? -1)
      }
      var lemma = ProofLemma(
        place: learned.place, clause: learned.clause, phases: [:], lower: [:], upper: [:], reason: reason)
      for literal in learned.literals {
        lemma.phases[LearnedClause.variable(literal)] = LearnedClause.phase(literal) == .active
      }
      for i in prepared.freeInputs {
        if learned.box.lower[i] != prepared.lower[i] { lemma.lower[i] = learned.box.lower[i] }
        if learned.box.upper[i] != prepared.upper[i] { lemma.upper[i] = learned.box.upper[i] }
      }
      numbers[number] = tree.lemmas.count
      tree.lemmas.append(lemma)
    }
    for n in tree.nodes.indices where !tree.nodes[n].refutations.isEmpty {
      tree.nodes[n].refutations = tree.nodes[n].refutations.map { Self.renumbered($0, numbers) }
    }
    return tree
  }

  private static func renumbered(_ refutation: ProofRefutation, _ numbers: [Int: Int]) -> ProofRefutation {
    guard case .lemma(let clause, let number) = refutation else { return refutation }
    return .lemma(clause: clause, number: numbers[number] ?? -1)
  }
}
