import Rigor

/// The bounds of one variable; nil where there is none.
public struct VariableBounds: Sendable, Hashable {
  public var lower: Rational?
  public var upper: Rational?
  /// Whether the bound itself is excluded.
  public var lowerIsStrict = false
  public var upperIsStrict = false

  public init(lower: Rational? = nil, upper: Rational? = nil) {
    self.lower = lower
    self.upper = upper
  }

  /// Whether no number satisfies the bounds.
  public var isEmpty: Bool {
    guard let lower, let upper else { return false }
    return lower > upper || (lower == upper && (lowerIsStrict || upperIsStrict))
  }

  /// Whether a number satisfies the bounds.
  public func contains(_ value: Rational) -> Bool {
    if let lower, value < lower || (lowerIsStrict && value == lower) { return false }
    if let upper, value > upper || (upperIsStrict && value == upper) { return false }
    return true
  }

  /// What satisfies both.
  public func intersection(_ other: VariableBounds) -> VariableBounds {
    var result = self
    result.intersect(other)
    return result
  }

  /// Keeps what satisfies both.
  mutating func intersect(_ other: VariableBounds) {
    if let bound = other.lower { raiseLower(to: bound, strict: other.lowerIsStrict) }
    if let bound = other.upper { reduceUpper(to: bound, strict: other.upperIsStrict) }
  }

  mutating func raiseLower(to bound: Rational, strict: Bool) {
    if let lower, lower > bound { return }
    lowerIsStrict = strict || (lower == bound && lowerIsStrict)
    lower = bound
  }

  mutating func reduceUpper(to bound: Rational, strict: Bool) {
    if let upper, upper < bound { return }
    upperIsStrict = strict || (upper == bound && upperIsStrict)
    upper = bound
  }
}

/// A box of inputs together with what must hold inside it: one case of a query.
///
/// A query is the disjunction of its cases. Disjuncts that share a box are one case, so that a bounding
/// method can treat them in one go.
public struct QueryCase: Sendable {
  /// The bounds by variable number; variables without an entry are unbounded.
  public var bounds: [Int: VariableBounds]
  /// What remains of the formula.
  public var condition: Formula

  public init(bounds: [Int: VariableBounds] = [:], condition: Formula = .always) {
    self.bounds = bounds
    self.condition = condition
  }

  /// Whether the box holds no point.
  public var isEmpty: Bool { bounds.values.contains { $0.isEmpty } }
}

extension Query {
  /// The query's cases: a disjunction of boxes, each with a condition.
  ///
  /// Comparisons of a single input with a constant become the box; disjunctions over boxes are multiplied
  /// out, disjunctions of anything else stay conditions. Where multiplying out would give more than `limit`
  /// cases, the disjunctions in question stay conditions too. Empty boxes are dropped.
  public func cases(limit: Int = 100_000) -> [QueryCase] {
    var inputs = [Bool](repeating: false, count: variableCount)
    for tensor in tensors where tensor.kind == .input {
      for variable in tensor.variables { inputs[variable] = true }
    }
    let splitter = CaseSplitter(inputs: inputs, limit: limit)
    return splitter.split(formula).filter { !$0.isEmpty }
  }
}

/// Turns a formula into cases.
private struct CaseSplitter {
  var inputs: [Bool]
  var limit: Int

  /// The bounds that a comparison puts on one input, nil when it does anything else.
  func bound(_ comparison: Comparison) -> (variable: Int, bounds: VariableBounds)? {
    guard comparison.relation != .notEqual, let variable = comparison.expression.singleVariable,
      inputs[variable]
    else { return nil }
    let coefficient = comparison.expression.terms[0].coefficient
    let limit = -comparison.expression.constant / coefficient
    let rising = coefficient.sign > 0
    var bounds = VariableBounds()
    switch (comparison.relation, rising) {
    case (.equal, _): bounds = VariableBounds(lower: limit, upper: limit)
    case (.lessOrEqual, true), (.greaterOrEqual, false): bounds.upper = limit
    case (.greaterOrEqual, true), (.lessOrEqual, false): bounds.lower = limit
    case (.less, true), (.greater, false): bounds.reduceUpper(to: limit, strict: true)
    case (.greater, true), (.less, false): bounds.raiseLower(to: limit, strict: true)
    case (.notEqual, _): return nil
    }
    return (variable, bounds)
  }

  /// Whether any comparison of the formula bounds an input.
  func hasBounds(_ formula: Formula) -> Bool {
    switch formula {
    case .comparison(let comparison): return bound(comparison) != nil
    case .all(let parts), .any(let parts): return parts.contains { hasBounds($0) }
    }
  }

  func split(_ formula: Formula) -> [QueryCase] {
    var part = QueryCase()
    var alternatives: [Formula] = []
    var conditions: [Formula] = []
    collect(formula, bounds: &part.bounds, conditions: &conditions, alternatives: &alternatives)
    if part.isEmpty { return [] }
    part.condition = conditions.count == 1 ? conditions[0] : .all(conditions)
    var cases = [part]
    for alternative in alternatives {
      guard case .any(let parts) = alternative else { continue }
      let choices = grouped(parts.flatMap(split))
      guard cases.count * choices.count <= limit else {
        for i in cases.indices { cases[i].condition = conjunction(cases[i].condition, alternative) }
        continue
      }
      cases = cases.flatMap { base in
        choices.compactMap { choice -> QueryCase? in
          var merged = base
          for (variable, bounds) in choice.bounds {
            merged.bounds[variable, default: VariableBounds()].intersect(bounds)
          }
          merged.condition = conjunction(base.condition, choice.condition)
          return merged.isEmpty ? nil : merged
        }
      }
    }
    return grouped(cases)
  }

  /// Sorts the parts of a conjunction into bounds, disjunctions that hold bounds, and the rest.
  private func collect(
    _ formula: Formula, bounds: inout [Int: VariableBounds], conditions: inout [Formula],
    alternatives: inout [Formula]
  ) {
    switch formula {
    case .comparison(let comparison):
      if let (variable, bound) = bound(comparison) {
        bounds[variable, default: VariableBounds()].intersect(bound)
      } else {
        conditions.append(formula)
      }
    case .all(let parts):
      for part in parts {
        collect(part, bounds: &bounds, conditions: &conditions, alternatives: &alternatives)
      }
    case .any(let parts):
      if parts.count == 1 {
        collect(parts[0], bounds: &bounds, conditions: &conditions, alternatives: &alternatives)
      } else if hasBounds(formula) {
        alternatives.append(formula)
      } else {
        conditions.append(formula)
      }
    }
  }

  /// Joins cases with equal boxes; keeps the order of first appearance.
  private func grouped(_ cases: [QueryCase]) -> [QueryCase] {
    guard cases.count > 1 else { return cases }
    var index: [[Int: VariableBounds]: Int] = [:]
    var conditions: [[Formula]] = []
    var boxes: [[Int: VariableBounds]] = []
    for part in cases {
      if let i = index[part.bounds] {
        conditions[i].append(part.condition)
      } else {
        index[part.bounds] = boxes.count
        boxes.append(part.bounds)
        conditions.append([part.condition])
      }
    }
    return zip(boxes, conditions).map { box, parts in
      QueryCase(bounds: box, condition: parts.count == 1 ? parts[0] : .any(parts))
    }
  }

  private func conjunction(_ a: Formula, _ b: Formula) -> Formula {
    let parts = conjuncts(a) + conjuncts(b)
    return parts.count == 1 ? parts[0] : .all(parts)
  }

  private func conjuncts(_ formula: Formula) -> [Formula] {
    if case .all(let parts) = formula { return parts }
    return [formula]
  }
}
