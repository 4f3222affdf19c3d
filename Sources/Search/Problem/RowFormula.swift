/// A boolean combination of rows `g <= 0` or `g < 0` over the linear rows of a problem.
indirect enum RowFormula: Sendable {
  case all([RowFormula])
  case any([RowFormula])
  /// `g <= 0`, or `g < 0` if strict; `g` is the row with that number.
  case row(Int, strict: Bool)
  case constant(Bool)

  /// Whether no point satisfies the formula, given lower bounds of the rows.
  func isRefuted(_ lower: UnsafePointer<Double>) -> Bool {
    switch self {
    case .all(let parts): return parts.contains { $0.isRefuted(lower) }
    case .any(let parts): return parts.allSatisfy { $0.isRefuted(lower) }
    case .row(let row, let strict): return strict ? lower[row] >= 0 : lower[row] > 0
    case .constant(let holds): return !holds
    }
  }

  /// How far a point with the given row values is from satisfying the formula: negative or zero inside.
  ///
  /// The maximum over conjunctions and the minimum over disjunctions, as usual for quantitative semantics.
  func violation(_ values: UnsafePointer<Double>) -> Double {
    switch self {
    case .all(let parts): return parts.map { $0.violation(values) }.max() ?? -.infinity
    case .any(let parts): return parts.map { $0.violation(values) }.min() ?? .infinity
    case .row(let row, _): return values[row]
    case .constant(let holds): return holds ? -.infinity : .infinity
    }
  }

  /// The row that decides ``violation(_:)``.
  func criticalRow(_ values: UnsafePointer<Double>) -> Int? {
    switch self {
    case .all(let parts):
      return parts.max { $0.violation(values) < $1.violation(values) }?.criticalRow(values)
    case .any(let parts):
      return parts.min { $0.violation(values) < $1.violation(values) }?.criticalRow(values)
    case .row(let row, _): return row
    case .constant: return nil
    }
  }

  /// The formula without the parts that lower bounds have decided; nil when it is refuted.
  func reduced(_ lower: UnsafePointer<Double>) -> RowFormula? {
    switch self {
    case .all(let parts):
      var rest: [RowFormula] = []
      for part in parts {
        guard let part = part.reduced(lower) else { return nil }
        rest.append(part)
      }
      return rest.count == 1 ? rest[0] : .all(rest)
    case .any(let parts):
      let rest = parts.compactMap { $0.reduced(lower) }
      return rest.isEmpty ? nil : rest.count == 1 ? rest[0] : .any(rest)
    case .row, .constant: return isRefuted(lower) ? nil : self
    }
  }

  /// All row numbers that occur.
  var rows: Set<Int> {
    switch self {
    case .all(let parts), .any(let parts): return parts.reduce(into: []) { $0.formUnion($1.rows) }
    case .row(let row, _): return [row]
    case .constant: return []
    }
  }

  /// The formula with other row numbers.
  func renumbered(_ number: (Int) -> Int) -> RowFormula {
    switch self {
    case .all(let parts): return .all(parts.map { $0.renumbered(number) })
    case .any(let parts): return .any(parts.map { $0.renumbered(number) })
    case .row(let row, let strict): return .row(number(row), strict: strict)
    case .constant: return self
    }
  }

  /// The disjuncts as lists of rows, all of which must hold; nil when there are more than `limit`.
  func clauses(limit: Int) -> [[(row: Int, strict: Bool)]]? {
    switch self {
    case .constant(let holds): return holds ? [[]] : []
    case .row(let row, let strict): return [[(row, strict)]]
    case .any(let parts):
      var result: [[(row: Int, strict: Bool)]] = []
      for part in parts {
        guard let clauses = part.clauses(limit: limit), result.count + clauses.count <= limit else {
          return nil
        }
        result += clauses
      }
      return result
    case .all(let parts):
      var result: [[(row: Int, strict: Bool)]] = [[]]
      for part in parts {
        guard let clauses = part.clauses(limit: limit), result.count * clauses.count <= limit else {
          return nil
        }
        result = result.flatMap { base in clauses.map { base + $0 } }
      }
      return result
    }
  }
}
