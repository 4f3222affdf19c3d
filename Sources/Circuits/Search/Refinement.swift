extension Faithfulness {
  /// Greedy pruning as published: delete the unit whose removal raises the metric most, as long as it is strictly higher
  /// than the best so far.
  ///
  /// - Returns: the circuit that is left, what was removed in order, and the metric.
  public func pruneGreedily(_ circuit: [CircuitUnit], protected: Set<CircuitUnit> = []) throws -> (
    circuit: [CircuitUnit], removed: [CircuitUnit], metric: Double
  ) {
    var kept = circuit
    var removed: [CircuitUnit] = []
    var best = try metrics([kept])[0]
    while kept.count > 1 {
      let candidates = kept.indices.filter { !protected.contains(kept[$0]) }
      if candidates.isEmpty { break }
      let values = try metrics(
        candidates.map { out in kept.indices.filter { $0 != out }.map { kept[$0] } })
      guard
        let top = values.indices.max(by: { values[$0] < values[$1] || values[$0] == values[$1] && $0 > $1 }),
        values[top] > best
      else { break }
      best = values[top]
      removed.append(kept.remove(at: candidates[top]))
    }
    return (kept, removed, best)
  }

  /// Adds units in ranking order until F reaches a goal.
  ///
  /// - Returns: the shortest beginning of `ranking` (after `start`) whose F is at least `goal`, or the one of largest F
  ///   if none is.
  public func grow(_ ranking: [CircuitUnit], from start: [CircuitUnit] = [], goal: Double) throws
    -> [CircuitUnit]
  {
    let known = Set(start)
    let order = start + ranking.filter { !known.contains($0) }
    var best: (size: Int, value: Double)?
    var size = max(1, start.count)
    while size <= order.count {
      let sizes = Array(size...min(order.count, size + 15))
      for (size, value) in try curve(order, sizes: sizes) {
        if value >= goal { return Array(order.prefix(size)) }
        if value > best?.value ?? -.infinity { best = (size, value) }
      }
      size += 16
    }
    return Array(order.prefix(best?.size ?? 0))
  }

  /// Removes what the circuit does without: a unit may go if F stays above the goal and does not drop by more than
  /// `slack`; among those the one goes that leaves F nearest to 1. Units that are safe one by one are first tried
  /// together. A removal must not lift F above `ceiling` (or above where it already is) unless the unit is among the
  /// negligible ones: a head that pulled the output down belongs to the circuit, noise does not.
  ///
  /// - Returns: the circuit that is left and what was removed in order.
  public func minimise(
    _ circuit: [CircuitUnit], goal: Double, slack: Double, ceiling: Double = 1.1,
    negligible: Set<CircuitUnit> = [], protected: Set<CircuitUnit> = []
  ) throws -> (circuit: [CircuitUnit], removed: [CircuitUnit]) {
    var kept = circuit
    var removed: [CircuitUnit] = []
    guard var now = value(try metrics([kept])[0]) else { return (kept, removed) }
    while kept.count > 1 {
      let candidates = kept.filter { !protected.contains($0) }
      if candidates.isEmpty { break }
      let values = try metrics(candidates.map { out in kept.filter { $0 != out } }).map { value($0) ?? .nan }
      let bar = max(min(goal, now), now - slack)
      let top = max(now, ceiling)
      // Weakly ranked units go first among equals.
      let safe = candidates.indices.filter { index in
        values[index] >= bar && (values[index] <= top || negligible.contains(candidates[index]))
      }.sorted {
        let a = (values[$0] - 1).magnitude
        let b = (values[$1] - 1).magnitude
        return a < b || a == b && $0 > $1
      }
      if safe.isEmpty { break }
      var count = safe.count > 4 ? safe.count / 2 : 1
      while true {
        let gone = Set(safe.prefix(count).map { candidates[$0] })
        let rest = kept.filter { !gone.contains($0) }
        let after = count == 1 ? values[safe[0]] : value(try metrics([rest])[0]) ?? .nan
        if !rest.isEmpty, after >= bar, count == 1 || after <= top || gone.isSubset(of: negligible) {
          removed += safe.prefix(count).map { candidates[$0] }
          kept = rest
          now = after
          break
        }
        // A single safe unit always passes, so this ends.
        count = max(1, count / 2)
      }
    }
    return (kept, removed)
  }
}
