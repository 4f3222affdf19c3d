import IR
import Operators
import Rigor

/// The unknowns of a deletion query and what is asserted about them.
///
/// Values of the network are linear forms in edges (1 if kept) and real unknowns, or choices between constants (what a
/// degree makes of a coefficient).
final class DeletionTerms {
  typealias Term = Z3Context.Term

  /// constant + sum of factor * variable.
  struct Form {
    var constant: Rational
    var parts: [Int: Rational] = [:]

    var isConstant: Bool { parts.isEmpty }

    mutating func add(_ other: Form, times factor: Rational) {
      constant.addProduct(other.constant, factor)
      for (variable, value) in other.parts {
        let sum = (parts[variable] ?? 0) + value * factor
        parts[variable] = sum.isZero ? nil : sum
      }
    }
  }

  /// One of several constants, chosen by conditions of which exactly one holds. An irrational constant is enclosed.
  final class Choice {
    typealias Option = (condition: Term, low: Rational, high: Rational)
    let options: [Option]
    /// The edge without which it is 0, and its range with the edge.
    let edge: (variable: Int, low: Rational, high: Rational)?
    /// The variable that stands for it in linear forms, once one is needed.
    fileprivate(set) var variable: Int?

    init(_ options: [Option], edge: (variable: Int, low: Rational, high: Rational)? = nil) {
      self.options = options
      self.edge = edge
    }
  }

  enum Element {
    case form(Form)
    case choice(Choice)

    static func constant(_ value: Rational) -> Element { .form(Form(constant: value)) }

    var constant: Rational? {
      if case .form(let form) = self, form.isConstant { return form.constant }
      return nil
    }
  }

  private struct Variable {
    var term: Term
    var low: Rational
    var high: Rational
    /// For an edge: the condition that it is kept.
    var kept: Term?
    /// The edge without which the variable is 0, and its range with the edge.
    var edge: (variable: Int, low: Rational, high: Rational)?
  }

  private struct ProductKey: Hashable {
    var edge: Int
    var form: [Int: Rational]
    var constant: Rational
  }

  let z3 = Z3Context()
  private let budget: Int
  private var variables: [Variable] = []
  private var counts: [[Int]: [Term]] = [:]
  private var products: [ProductKey: Int] = [:]

  init(budget: Int) { self.budget = budget }

  // MARK: Unknowns

  /// A new edge: 1 if kept, 0 if deleted.
  func edge(_ name: String) -> Int {
    let kept = z3.boolean("k" + name)
    let value = z3.real(name)
    let (one, zero) = (z3.equal(value, z3.numeral(1)), z3.equal(value, z3.numeral(0)))
    z3.assert(z3.or([z3.and([kept, one]), z3.and([z3.not(kept), zero])]))
    let own = variables.count
    variables.append(Variable(term: value, low: 0, high: 1, kept: kept, edge: (own, 1, 1)))
    return own
  }

  private func unknown(
    _ low: Rational, _ high: Rational, edge: (variable: Int, low: Rational, high: Rational)? = nil
  ) -> Int {
    let term = z3.real("v\(variables.count)")
    z3.assert(z3.lessOrEqual(z3.numeral(low), term))
    z3.assert(z3.lessOrEqual(term, z3.numeral(high)))
    variables.append(Variable(term: term, low: low, high: high, edge: edge))
    return variables.count - 1
  }

  func term(_ variable: Int) -> Term { variables[variable].term }

  func term(_ form: Form) -> Term {
    var terms = form.parts.keys.sorted().map { variable -> Term in
      let factor = form.parts[variable] ?? 0
      return factor == 1 ? term(variable) : z3.product(z3.numeral(factor), term(variable))
    }
    if !form.constant.isZero || terms.isEmpty { terms.append(z3.numeral(form.constant)) }
    return z3.sum(terms)
  }

  /// An enclosure of a form's values: everything as it is with all edges, then the deletions within the budget that
  /// move it most.
  func range(_ form: Form) -> (low: Rational, high: Rational) {
    var (low, high) = (form.constant, form.constant)
    // What deleting an edge adds to the form at least and at most.
    var deletions: [Int: (least: Rational, most: Rational)] = [:]
    for (variable, factor) in form.parts {
      let known = variables[variable]
      let (a, b) = known.edge.map { ($0.low, $0.high) } ?? (known.low, known.high)
      let ends = factor.sign > 0 ? (a * factor, b * factor) : (b * factor, a * factor)
      low += ends.0
      high += ends.1
      if let edge = known.edge {
        // Relative to the least (greatest) value with the edge, the variable becomes 0.
        let sum = deletions[edge.variable] ?? (0, 0)
        deletions[edge.variable] = (sum.least - ends.0, sum.most - ends.1)
      }
    }
    for fall in deletions.values.map(\.least).filter({ $0.sign < 0 }).sorted().prefix(budget) { low += fall }
    for rise in deletions.values.map(\.most).filter({ $0.sign > 0 }).sorted(by: { $0 > $1 }).prefix(budget) {
      high += rise
    }
    return (low, high)
  }

  /// As a linear form.
  func form(_ element: Element) -> Form {
    switch element {
    case .form(let form): return form
    case .choice(let choice):
      if let known = choice.variable { return Form(constant: 0, parts: [known: 1]) }
      let low = choice.options.map(\.low).min() ?? 0
      let high = choice.options.map(\.high).max() ?? 0
      let made = unknown(low, high, edge: choice.edge)
      for option in choice.options {
        z3.assert(implies(option.condition, between(term(made), option.low, option.high)))
      }
      choice.variable = made
      return Form(constant: 0, parts: [made: 1])
    }
  }

  private func implies(_ a: Term, _ b: Term) -> Term { z3.or([z3.not(a), b]) }

  private func between(_ x: Term, _ low: Rational, _ high: Rational) -> Term {
    if low == high { return z3.equal(x, z3.numeral(low)) }
    return z3.and([z3.lessOrEqual(z3.numeral(low), x), z3.lessOrEqual(x, z3.numeral(high))])
  }

  /// The edges of a form in edges alone, and their factor if all have the same.
  func commonFactor(_ form: Form) -> (edges: [Int], factor: Rational)? {
    guard let factor = form.parts.values.first,
      form.parts.allSatisfy({ variables[$0.key].kept != nil && $0.value == factor })
    else { return nil }
    return (form.parts.keys.sorted(), factor)
  }

  /// Conditions "exactly k of these edges are deleted" for k = 0...; more than the budget allows none.
  ///
  /// They are made of the edges' conditions alone, edge by edge, so that deciding edges decides them without arithmetic.
  func deletions(among edges: [Int]) -> [Term] {
    if let known = counts[edges] { return known }
    let most = min(budget, edges.count)
    var conditions = [z3.and([])] + [Term](repeating: z3.or([]), count: most)
    for edge in edges {
      guard let kept = variables[edge].kept else { continue }
      for k in stride(from: most, through: 0, by: -1) {
        let stays = z3.and([kept, conditions[k]])
        conditions[k] = k == 0 ? stays : z3.or([stays, z3.and([z3.not(kept), conditions[k - 1]])])
      }
    }
    counts[edges] = conditions
    return conditions
  }

  /// Asserts that no more edges are deleted than the budget allows.
  func assertBudget(on edges: [Int]) {
    if !edges.isEmpty { z3.assert(z3.or(deletions(among: edges))) }
  }

  // MARK: Arithmetic

  /// A form in equally weighted edges as a choice by the number of deletions among them.
  func choice(_ form: Form) -> Choice? {
    guard let (edges, factor) = commonFactor(form) else { return nil }
    return Choice(
      deletions(among: edges).enumerated().map { k, condition in
        let value = form.constant + factor * Rational(edges.count - k)
        return (condition, value, value)
      })
  }

  func scaled(_ element: Element, by factor: Rational, plus shift: Rational) -> Element {
    switch element {
    case .form(let form):
      var result = Form(constant: shift)
      result.add(form, times: factor)
      return .form(result)
    case .choice(let choice):
      if factor == 1 && shift.isZero { return element }
      if factor.isZero { return .constant(shift) }
      return .choice(
        Choice(
          choice.options.map { option in
            let (a, b) = (option.low * factor + shift, option.high * factor + shift)
            return (option.condition, min(a, b), max(a, b))
          }, edge: shift.isZero ? choice.edge.map { scaled($0, by: factor) } : nil))
    }
  }

  private func scaled(
    _ edge: (variable: Int, low: Rational, high: Rational), by factor: Rational
  ) -> (variable: Int, low: Rational, high: Rational) {
    let (a, b) = (edge.low * factor, edge.high * factor)
    return (edge.variable, min(a, b), max(a, b))
  }

  /// The product, nil if neither factor depends on edges alone.
  func product(_ a: Element, _ b: Element) -> Element? {
    if let value = a.constant { return scaled(b, by: value, plus: 0) }
    if let value = b.constant { return scaled(a, by: value, plus: 0) }
    switch (a, b) {
    case (.choice(let x), .choice(let y)): return .choice(crossed(x, y))
    case (.choice(let x), .form(let y)), (.form(let y), .choice(let x)):
      if y.parts.count == 1, let other = choice(y) {
        var edge: (variable: Int, low: Rational, high: Rational)?
        if let variable = y.parts.keys.first, let factor = y.parts.values.first, y.constant.isZero {
          // With the edge, the product is the other choice times the edge's weight.
          let low = x.options.map(\.low).min() ?? 0
          let high = x.options.map(\.high).max() ?? 0
          edge = scaled((variable, low, high), by: factor)
        }
        return .choice(crossed(x, other, edge: edge))
      }
      return .form(times(x, y))
    case (.form(let x), .form(let y)):
      if x.parts.keys.allSatisfy({ variables[$0].kept != nil }) { return .form(edgewise(x, y)) }
      if y.parts.keys.allSatisfy({ variables[$0].kept != nil }) { return .form(edgewise(y, x)) }
      return nil
    }
  }

  private func crossed(
    _ x: Choice, _ y: Choice, edge: (variable: Int, low: Rational, high: Rational)? = nil
  ) -> Choice {
    var options: [Choice.Option] = []
    for a in x.options {
      for b in y.options {
        let ends = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
        options.append((z3.and([a.condition, b.condition]), ends.min() ?? 0, ends.max() ?? 0))
      }
    }
    return Choice(options, edge: edge)
  }

  /// A choice times a form: one unknown, linear under every condition.
  private func times(_ choice: Choice, _ form: Form) -> Form {
    let (low, high) = range(form)
    var ends: [Rational] = []
    for option in choice.options {
      ends += [option.low * low, option.low * high, option.high * low, option.high * high]
    }
    let edge = choice.edge.map { edge -> (variable: Int, low: Rational, high: Rational) in
      let kept = [edge.low * low, edge.low * high, edge.high * low, edge.high * high]
      return (edge.variable, kept.min() ?? 0, kept.max() ?? 0)
    }
    let made = unknown(ends.min() ?? 0, ends.max() ?? 0, edge: edge)
    let (t, h) = (term(made), term(form))
    func product(_ value: Rational) -> Term { z3.product(z3.numeral(value), h) }
    for option in choice.options {
      let claim: Term
      if option.low == option.high {
        claim = option.low.isZero ? z3.equal(t, z3.numeral(0)) : z3.equal(t, product(option.low))
      } else {
        let rising = z3.and([z3.lessOrEqual(product(option.low), t), z3.lessOrEqual(t, product(option.high))])
        let falling = z3.and([
          z3.lessOrEqual(product(option.high), t), z3.lessOrEqual(t, product(option.low)),
        ])
        if low.sign >= 0 {
          claim = rising
        } else if high.sign <= 0 {
          claim = falling
        } else {
          let zero = z3.numeral(0)
          claim = z3.or([
            z3.and([z3.lessOrEqual(zero, h), rising]), z3.and([z3.lessOrEqual(h, zero), falling]),
          ])
        }
      }
      z3.assert(implies(option.condition, claim))
    }
    return Form(constant: 0, parts: [made: 1])
  }

  /// A form in edges times a form: one unknown per edge, the form itself if the edge is kept and 0 otherwise.
  private func edgewise(_ edges: Form, _ form: Form) -> Form {
    var result = Form(constant: 0)
    result.add(form, times: edges.constant)
    let (low, high) = range(form)
    for edge in edges.parts.keys.sorted() {
      guard let factor = edges.parts[edge], let kept = variables[edge].kept else { continue }
      let key = ProductKey(edge: edge, form: form.parts, constant: form.constant)
      let made: Int
      if let known = products[key] {
        made = known
      } else {
        made = unknown(min(0, low), max(0, high), edge: (edge, low, high))
        z3.assert(implies(kept, z3.equal(term(made), term(form))))
        z3.assert(z3.or([kept, z3.equal(term(made), z3.numeral(0))]))
        products[key] = made
      }
      result.add(Form(constant: 0, parts: [made: 1]), times: factor)
    }
    return result
  }

  /// max(slope * x, x) for a slope in [0, 1).
  func rectified(_ element: Element, slope: Rational) -> Element {
    func value(_ x: Rational) -> Rational { x.sign < 0 ? slope * x : x }
    switch element {
    case .choice(let choice):
      return .choice(Choice(choice.options.map { ($0.condition, value($0.low), value($0.high)) }))
    case .form(let form):
      if form.isConstant { return .constant(value(form.constant)) }
      let (low, high) = range(form)
      if low.sign >= 0 { return element }
      if high.sign <= 0 { return scaled(element, by: slope, plus: 0) }
      if let choice = choice(form) { return rectified(.choice(choice), slope: slope) }
      let made = unknown(value(low), high)
      let (y, x, zero) = (term(made), term(form), z3.numeral(0))
      let left = slope.isZero ? zero : z3.product(z3.numeral(slope), x)
      z3.assert(
        z3.or([
          z3.and([z3.lessOrEqual(x, zero), z3.equal(y, left)]),
          z3.and([z3.lessOrEqual(zero, x), z3.equal(y, x)]),
        ]))
      return .form(Form(constant: 0, parts: [made: 1]))
    }
  }

  /// The greatest of those elements whose condition holds (nil: always); 0 if none does.
  func greatest(_ items: [(condition: Term?, element: Element)]) -> Element {
    let forms = items.map { ($0.condition, form($0.element)) }
    if forms.isEmpty { return .constant(0) }
    if forms.count == 1, forms[0].0 == nil { return .form(forms[0].1) }
    if forms.allSatisfy({ $0.0 == nil && $0.1.isConstant }) {
      return .constant(forms.map(\.1.constant).max() ?? 0)
    }
    let ranges = forms.map { range($0.1) }
    let isSure = forms.contains { $0.0 == nil }
    let sure = zip(forms, ranges).filter { $0.0.0 == nil }.map(\.1.low).max()
    let low = sure ?? min(0, ranges.map(\.low).min() ?? 0)
    let high = isSure ? ranges.map(\.high).max() ?? 0 : max(0, ranges.map(\.high).max() ?? 0)
    let made = unknown(low, max(low, high))
    let y = term(made)
    var reached: [Term] = []
    for (condition, form) in forms {
      let x = term(form)
      let above = z3.lessOrEqual(x, y)
      z3.assert(condition.map { implies($0, above) } ?? above)
      let equal = z3.equal(x, y)
      reached.append(condition.map { z3.and([$0, equal]) } ?? equal)
    }
    if !isSure {
      let none = forms.compactMap { $0.0 }.map { z3.not($0) }
      reached.append(z3.and(none + [z3.equal(y, z3.numeral(0))]))
    }
    z3.assert(z3.or(reached))
    return .form(Form(constant: 0, parts: [made: 1]))
  }

  /// The condition that a mask entry is present; nil if it always is, no element if it never is.
  func presence(_ element: Element) -> (condition: Term?, isPossible: Bool)? {
    guard case .form(let form) = element else { return nil }
    if form.isConstant { return (nil, !form.constant.isZero) }
    guard form.parts.count == 1, form.constant.isZero, let edge = form.parts.keys.first,
      let kept = variables[edge].kept
    else { return nil }
    return (kept, true)
  }
}
