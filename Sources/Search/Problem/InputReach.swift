import LinearPrograms
import Rigor
import Specifications

/// How far linear relations between inputs let them reach: bounds for inputs that have none of their own.
struct InputReach {
  /// By query variable.
  let sources: [VerificationProblem.Source]
  /// The nearest number of the query's arithmetic, nil for real arithmetic. Decimals may be read exactly or rounded, so
  /// that bounds hold in both readings.
  let rounding: (Rational) -> Rational?

  /// The most disjuncts that are looked at one by one, and the most numbers in a tableau of fractions.
  static let mostClauses = 1000
  private static let mostEntries = 60_000

  /// Bounds that every point has which satisfies given bounds and a condition; nil if there is no such point. What no
  /// relation bounds stays unbounded.
  func bounded(_ exact: [VariableBounds], by condition: Formula) -> [VariableBounds]? {
    let relations = relations(condition)
    // Only inputs that some relation speaks of can gain a bound.
    let inputs = Set(relations.flatMap { $0.terms.map(\.input) }).sorted()
    let missing = inputs.filter { exact[$0].lower == nil || exact[$0].upper == nil }
    guard !missing.isEmpty, (relations.count + 2 * inputs.count) * (inputs.count + 2) <= Self.mostEntries
    else { return exact }
    let column = Dictionary(uniqueKeysWithValues: inputs.enumerated().map { ($1, $0) })
    var result = exact
    var hull: [Int: (lower: Rational?, upper: Rational?)] = [:]
    var isEmpty = true
    for isRounded in [false, true] {
      var rows: [[Rational]] = []
      for relation in relations {
        var row = [Rational](repeating: .zero, count: inputs.count + 1)
        for term in relation.terms {
          row[column[term.input] ?? 0] +=
            isRounded ? rounding(term.coefficient) ?? term.coefficient : term.coefficient
        }
        row[inputs.count] =
          -(isRounded ? rounding(relation.constant) ?? relation.constant : relation.constant)
        rows.append(row)
      }
      for (c, input) in inputs.enumerated() {
        var row = [Rational](repeating: .zero, count: inputs.count + 1)
        // A reading of a bound that is wider than both: the neighbours of the decimal.
        if let upper = exact[input].upper {
          row[c] = 1
          row[inputs.count] = max(upper, rounding(upper) ?? upper)
          rows.append(row)
        }
        if let lower = exact[input].lower {
          row[c] = -1
          row[inputs.count] = -min(lower, rounding(lower) ?? lower)
          rows.append(row)
        }
      }
      guard let polytope = Polytope(dimension: inputs.count, rows: rows) else { continue }
      for input in missing {
        let c = column[input] ?? 0
        var range: (lower: Rational?, upper: Rational?) = (nil, nil)
        if case .value(let upper) = polytope.maximum(of: c) { range.upper = upper }
        if case .value(let lower) = polytope.maximum(of: c, negated: true) { range.lower = -lower }
        if !isEmpty, let known = hull[input] {
          range.lower = known.lower.flatMap { low in range.lower.map { min(low, $0) } }
          range.upper = known.upper.flatMap { high in range.upper.map { max(high, $0) } }
        }
        hull[input] = range
      }
      isEmpty = false
    }
    if isEmpty { return nil }
    for (input, range) in hull {
      result[input] = result[input].intersection(VariableBounds(lower: range.lower, upper: range.upper))
    }
    return result
  }

  /// `sum of coefficient * input + constant <= 0`.
  private struct Relation {
    var terms: [(input: Int, coefficient: Rational)]
    var constant: Rational
  }

  /// The linear comparisons of inputs alone that must hold for the condition to.
  private func relations(_ formula: Formula) -> [Relation] {
    switch formula {
    case .all(let parts): return parts.flatMap(relations)
    case .any(let parts): return parts.count == 1 ? relations(parts[0]) : []
    case .comparison(let comparison):
      guard comparison.expression.isLinear, comparison.relation != .notEqual else { return [] }
      var relation = Relation(terms: [], constant: comparison.expression.constant)
      for term in comparison.expression.terms {
        guard case .input(let number) = sources[term.variable] else { return [] }
        relation.terms.append((number, term.coefficient))
      }
      let opposite = Relation(
        terms: relation.terms.map { ($0.input, -$0.coefficient) }, constant: -relation.constant)
      switch comparison.relation {
      case .less, .lessOrEqual: return [relation]
      case .greater, .greaterOrEqual: return [opposite]
      case .equal: return [relation, opposite]
      case .notEqual: return []
      }
    }
  }
}
