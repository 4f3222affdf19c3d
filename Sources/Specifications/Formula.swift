import Rigor

/// How the two sides of a comparison relate.
public enum Relation: String, Sendable, Hashable {
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case equal = "=="
  case notEqual = "!="

  /// The relation that holds exactly when this one does not.
  public var negated: Relation {
    switch self {
    case .less: return .greaterOrEqual
    case .lessOrEqual: return .greater
    case .greater: return .lessOrEqual
    case .greaterOrEqual: return .less
    case .equal: return .notEqual
    case .notEqual: return .equal
    }
  }

  /// Whether a number with the given sign (-1, 0, 1) stands in this relation to 0.
  public func holds(forSign sign: Int) -> Bool {
    switch self {
    case .less: return sign < 0
    case .lessOrEqual: return sign <= 0
    case .greater: return sign > 0
    case .greaterOrEqual: return sign >= 0
    case .equal: return sign == 0
    case .notEqual: return sign != 0
    }
  }
}

/// One comparison `expression RELATION 0`: the left side of the query's comparison minus its right side.
public struct Comparison: Sendable {
  public var expression: Polynomial
  public var relation: Relation
  public var position: SourcePosition

  public init(expression: Polynomial, relation: Relation, position: SourcePosition) {
    self.expression = expression
    self.relation = relation
    self.position = position
  }
}

/// A boolean combination of comparisons.
public indirect enum Formula: Sendable {
  /// Conjunction; empty means true.
  case all([Formula])
  /// Disjunction; empty means false.
  case any([Formula])
  case comparison(Comparison)

  public static let always = Formula.all([])
  public static let never = Formula.any([])

  /// The formula that holds exactly when this one does not.
  public var negated: Formula {
    switch self {
    case .all(let parts): return .any(parts.map(\.negated))
    case .any(let parts): return .all(parts.map(\.negated))
    case .comparison(var comparison):
      comparison.relation = comparison.relation.negated
      return .comparison(comparison)
    }
  }

  /// Calls a body on every comparison, from left to right.
  public func forEachComparison(_ body: (Comparison) throws -> Void) rethrows {
    switch self {
    case .all(let parts), .any(let parts):
      for part in parts { try part.forEachComparison(body) }
    case .comparison(let comparison): try body(comparison)
    }
  }

  /// Whether the formula holds for exact values of the variables.
  public func holds(_ value: (Int) -> Rational) -> Bool {
    switch self {
    case .all(let parts): return parts.allSatisfy { $0.holds(value) }
    case .any(let parts): return parts.contains { $0.holds(value) }
    case .comparison(let comparison):
      return comparison.relation.holds(forSign: comparison.expression.evaluated(value).sign)
    }
  }
}

/// A polynomial with exact coefficients over the variables of a query. Nearly always linear.
public struct Polynomial: Sendable {
  /// A linear term.
  public struct Term: Sendable {
    public var variable: Int
    public var coefficient: Rational

    public init(variable: Int, coefficient: Rational) {
      self.variable = variable
      self.coefficient = coefficient
    }
  }

  public var constant: Rational
  /// Linear terms with rising variable numbers and coefficients other than 0.
  public private(set) var terms: [Term]
  /// Products of two or more variables: the rising list of variables (with repetitions) and its coefficient.
  public private(set) var products: [[Int]: Rational]

  public init(constant: Rational = .zero) {
    self.constant = constant
    terms = []
    products = [:]
  }

  public init(variable: Int) {
    constant = .zero
    terms = [Term(variable: variable, coefficient: .one)]
    products = [:]
  }

  /// A linear form; terms of one variable are added up.
  public init(constant: Rational, terms: [Term]) {
    self.constant = constant
    self.terms = []
    products = [:]
    for term in terms.sorted(by: { $0.variable < $1.variable }) {
      if let last = self.terms.last, last.variable == term.variable {
        self.terms[self.terms.count - 1].coefficient += term.coefficient
      } else {
        self.terms.append(term)
      }
    }
    self.terms.removeAll { $0.coefficient.isZero }
  }

  public var isConstant: Bool { terms.isEmpty && products.isEmpty }
  public var isLinear: Bool { products.isEmpty }

  /// The most variables that are multiplied in a term.
  public var degree: Int { max(terms.isEmpty ? 0 : 1, products.keys.map(\.count).max() ?? 0) }

  /// The bits of the largest number in it.
  public var bitCount: Int {
    var most = constant.bitCount
    for term in terms { most = max(most, term.coefficient.bitCount) }
    for coefficient in products.values { most = max(most, coefficient.bitCount) }
    return most
  }

  /// How many terms other than the constant there are.
  public var termCount: Int { terms.count + products.count }

  /// The only variable of a form `c*x + d`, nil for anything else.
  public var singleVariable: Int? { products.isEmpty && terms.count == 1 ? terms[0].variable : nil }

  /// The value at a point.
  public func evaluated(_ value: (Int) -> Rational) -> Rational {
    var sum = constant
    for term in terms { sum += term.coefficient * value(term.variable) }
    for (variables, coefficient) in products {
      sum += variables.reduce(coefficient) { $0 * value($1) }
    }
    return sum
  }

  public static prefix func - (a: Polynomial) -> Polynomial { a.scaled(by: Rational(-1)) }

  public static func + (a: Polynomial, b: Polynomial) -> Polynomial {
    var sum = a
    sum.add(b, negated: false)
    return sum
  }

  public static func - (a: Polynomial, b: Polynomial) -> Polynomial {
    var difference = a
    difference.add(b, negated: true)
    return difference
  }

  public static func += (a: inout Polynomial, b: Polynomial) { a.add(b, negated: false) }

  public static func -= (a: inout Polynomial, b: Polynomial) { a.add(b, negated: true) }

  public static func * (a: Polynomial, b: Polynomial) -> Polynomial {
    if a.isConstant { return b.scaled(by: a.constant) }
    if b.isConstant { return a.scaled(by: b.constant) }
    var result = a.scaled(by: b.constant)
    var bPure = b
    bPure.constant = .zero
    result.add(bPure.scaled(by: a.constant), negated: false)
    result.constant = a.constant * b.constant
    for (u, x) in a.monomials {
      for (v, y) in b.monomials {
        result.addProduct((u + v).sorted(), x * y)
      }
    }
    return result
  }

  /// This polynomial times a number.
  public func scaled(by factor: Rational) -> Polynomial {
    if factor.isZero { return Polynomial() }
    var result = self
    result.constant *= factor
    for i in result.terms.indices { result.terms[i].coefficient *= factor }
    result.products = products.mapValues { $0 * factor }
    return result
  }

  /// All terms without the constant, as lists of variables.
  private var monomials: [([Int], Rational)] {
    terms.map { ([$0.variable], $0.coefficient) } + products.map { ($0.key, $0.value) }
  }

  private mutating func addProduct(_ variables: [Int], _ coefficient: Rational) {
    let sum = (products[variables] ?? .zero) + coefficient
    products[variables] = sum.isZero ? nil : sum
  }

  private mutating func add(_ other: Polynomial, negated: Bool) {
    if negated { constant -= other.constant } else { constant += other.constant }
    for (variables, coefficient) in other.products {
      addProduct(variables, negated ? -coefficient : coefficient)
    }
    guard !other.terms.isEmpty else { return }
    if let last = terms.last, last.variable >= other.terms[0].variable {
      merge(other.terms, negated: negated)
    } else {
      terms.append(
        contentsOf: negated
          ? other.terms.map { Term(variable: $0.variable, coefficient: -$0.coefficient) } : other.terms)
    }
  }

  /// Merges two rising lists of terms.
  private mutating func merge(_ others: [Term], negated: Bool) {
    var merged: [Term] = []
    merged.reserveCapacity(terms.count + others.count)
    var i = 0
    var j = 0
    while i < terms.count || j < others.count {
      if j == others.count || (i < terms.count && terms[i].variable < others[j].variable) {
        merged.append(terms[i])
        i += 1
        continue
      }
      var term = others[j]
      if negated { term.coefficient = -term.coefficient }
      if i < terms.count, terms[i].variable == term.variable {
        term.coefficient += terms[i].coefficient
        i += 1
      }
      if !term.coefficient.isZero { merged.append(term) }
      j += 1
    }
    terms = merged
  }
}
