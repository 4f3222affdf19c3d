import IR
import Operators
import Rigor
import Tensors

/// The domain of deletion queries: a network whose input are factors on arcs, 1 or 0, as terms of Z3.
///
/// Weights are the exact numbers they are. Degrees take few values within a budget, so what is made from them is a
/// choice between constants; inverse square roots are enclosed by rationals one unit in the last place apart.
struct DeletionDomain: Domain {
  typealias Element = DeletionTerms.Element
  typealias Value = [Element]

  let terms: DeletionTerms

  private func refused(_ node: Node, _ what: String) -> UnsupportedOperator {
    UnsupportedOperator(
      node,
      reason: "\(what): edges:BUDGET has an exact encoding for piecewise linear networks only; "
        + "enumerate and bab cover the others")
  }

  func constant(_ weight: Weight, at node: Node) throws -> Value {
    try weight.values.elements.map { value in
      guard let exact = Rational(exactly: value) else { throw refused(node, "a constant is not finite") }
      return .constant(exact)
    }
  }

  func affine(_ map: Affine, _ x: [Value], at node: Node) throws -> Value {
    let bias = map.bias?.values.elements
    return try (0..<map.maps[0].outputShape.count).map { o in
      guard let shift = Rational(exactly: bias?[o] ?? 0) else { throw refused(node, "a bias is not finite") }
      var entries: [(factor: Rational, element: Element)] = []
      for (linear, value) in zip(map.maps, x) {
        for entry in linear.row(o) where entry.coefficient != 0 {
          guard var factor = Rational(exactly: entry.coefficient) else {
            throw refused(node, "a weight is not finite")
          }
          if linear.denominator != 1 { factor /= Rational(linear.denominator) }
          entries.append((factor, value[entry.index]))
        }
      }
      if entries.count == 1 { return terms.scaled(entries[0].element, by: entries[0].factor, plus: shift) }
      var sum = DeletionTerms.Form(constant: shift)
      for (factor, element) in entries { sum.add(terms.form(element), times: factor) }
      return .form(sum)
    }
  }

  func elementwise(_ f: any ElementwiseFunction, _ x: Value, at node: Node) throws -> Value {
    if let power = f as? NegativePower {
      return try x.map { try mapped($0, node) { Self.power($0, power.exponent) } }
    }
    if f is Reciprocal { return try x.map { try mapped($0, node) { Self.power($0, .one) } } }
    if f is Sqrt {
      return try x.map {
        try mapped($0, node) { value in
          let (low, high) = Self.inverseRoot(value)
          return (high.reciprocal, low.reciprocal)
        }
      }
    }
    guard let pieces = f.pieces, pieces.breakpoints == [0], pieces.lines[1] == (1, 0),
      pieces.lines[0].intercept == 0, let slope = Rational(exactly: pieces.lines[0].slope), slope.sign >= 0,
      slope < 1
    else { throw refused(node, "\(f.name) is no ReLU") }
    return x.map { terms.rectified($0, slope: slope) }
  }

  /// A monotone function of degrees, given by enclosures of its values.
  private func mapped(
    _ x: Element, _ node: Node, _ f: (Rational) -> (low: Rational, high: Rational)
  ) throws -> Element {
    func enclosure(_ low: Rational, _ high: Rational) throws -> (low: Rational, high: Rational) {
      guard low.sign > 0 else { throw refused(node, "a degree is not positive") }
      let (a, b) = (f(low), f(high))
      return (min(a.low, b.low), max(a.high, b.high))
    }
    let choice: DeletionTerms.Choice?
    switch x {
    case .choice(let known): choice = known
    case .form(let form):
      if form.isConstant {
        let (low, high) = try enclosure(form.constant, form.constant)
        return low == high
          ? .constant(low) : .choice(DeletionTerms.Choice([(terms.z3.and([]), low, high)]))
      }
      choice = terms.choice(form)
    }
    guard let choice else { throw refused(node, "\(node.origin) of something that is no degree") }
    return .choice(
      DeletionTerms.Choice(
        try choice.options.map { option in
          let (low, high) = try enclosure(option.low, option.high)
          return (option.condition, low, high)
        }))
  }

  /// An enclosure, a point where the result is rational.
  private static func power(
    _ x: Rational, _ exponent: NegativePower.Exponent
  ) -> (low: Rational, high: Rational) {
    exponent == .one ? (x.reciprocal, x.reciprocal) : inverseRoot(x)
  }

  /// 1/sqrt(x): the nearest Float64 if that is exact, else its neighbours where they are needed.
  private static func inverseRoot(_ x: Rational) -> (low: Rational, high: Rational) {
    // Squares of rationals first: numerators and denominators of degrees are small.
    if let n = x.numerator.int, let d = x.denominator.int {
      let (p, q) = (Int(Double(n).squareRoot().rounded()), Int(Double(d).squareRoot().rounded()))
      if p > 0, p &* p == n, q &* q == d {
        return (Rational(q, p), Rational(q, p))
      }
    }
    var low = (1 / x.nearestDouble.squareRoot())
    var high = low
    // low^2 x <= 1 <= high^2 x, checked exactly.
    while Rational(low) * Rational(low) * x > 1 { low = low.nextDown }
    while Rational(high) * Rational(high) * x < 1 { high = high.nextUp }
    return (Rational(low), Rational(high))
  }

  func product(_ form: any BilinearForm, _ a: Value, _ b: Value, at node: Node) throws -> Value {
    try (0..<form.outputShape.count).map { o in
      let list = form.terms(o)
      var sum = DeletionTerms.Form(constant: 0)
      for (left, right) in list {
        guard let product = terms.product(a[left], b[right]) else {
          throw refused(node, "a product of two values that depend on more than edges")
        }
        if list.count == 1 { return product }
        if let value = product.constant, value.isZero { continue }
        sum.add(terms.form(product), times: 1)
      }
      return .form(sum)
    }
  }

  func selection(_ s: Selection, _ x: [Value], at node: Node) throws -> Value {
    let flat = x.flatMap { $0 }
    return (0..<s.outputShape.count).map { o in
      var items: [(condition: Z3Context.Term?, element: Element)] = []
      for c in 0..<s.width {
        let index = Int(s.candidates[o * s.width + c])
        if index < 0 { break }
        items.append((nil, s.extremum == .maximum ? flat[index] : terms.scaled(flat[index], by: -1, plus: 0)))
      }
      let result = terms.greatest(items)
      return s.extremum == .maximum ? result : terms.scaled(result, by: -1, plus: 0)
    }
  }

  func discrete(_ f: any DiscreteFunction, _ x: [Value], at node: Node) throws -> Value {
    guard let maximum = f as? MaskedMaximum else { throw refused(node, "\(f.name)") }
    let incoming = maximum.arcs.incoming
    var result: Value = []
    for target in 0..<maximum.arcs.nodeCount {
      for channel in 0..<maximum.width {
        var items: [(condition: Z3Context.Term?, element: Element)] = []
        for place in Int(incoming.start[target])..<Int(incoming.start[target + 1]) {
          guard let presence = terms.presence(x[0][Int(incoming.arc[place])]) else {
            throw refused(node, "presence that is no edge")
          }
          if !presence.isPossible { continue }
          items.append(
            (presence.condition, x[1][maximum.value(place) + channel]))
        }
        result.append(terms.greatest(items))
      }
    }
    return result
  }

  mutating func composite(_ c: any Composite, _ x: [Value], at node: Node) throws -> Value {
    guard let norm = c as? GCNNormalization else { throw refused(node, "\(c.name)") }
    return try normalised(norm, x[0], node)
  }

  /// Coefficients of a graph convolution: one choice per arc by the degrees of its ends, one per node by its own.
  private func normalised(_ norm: GCNNormalization, _ weights: Value, _ node: Node) throws -> Value {
    let arcs = norm.arcs
    var degrees: [DeletionTerms.Form] = norm.selfWeights.values.elements.map { .init(constant: Rational($0)) }
    for arc in 0..<arcs.count { degrees[Int(arcs.target[arc])].add(terms.form(weights[arc]), times: 1) }
    let options = try degrees.map { degree -> [DeletionTerms.Choice.Option] in
      if degree.isConstant { return [(terms.z3.and([]), degree.constant, degree.constant)] }
      guard let choice = terms.choice(degree) else {
        throw refused(node, "edges of different weights at one node")
      }
      return choice.options
    }
    var result: Value = []
    for arc in 0..<arcs.count {
      var factors: [DeletionTerms.Choice.Option] = []
      for a in options[Int(arcs.source[arc])] {
        for b in options[Int(arcs.target[arc])] {
          let (low, high) = Self.inverseRoot(a.low * b.low)
          factors.append((terms.z3.and([a.condition, b.condition]), low, high))
        }
      }
      // A product with the edge itself is a choice; a constant weight leaves the factors.
      guard let product = terms.product(weights[arc], .choice(DeletionTerms.Choice(factors))) else {
        throw refused(node, "weights that are no edges")
      }
      result.append(product)
    }
    for (place, list) in options.enumerated() {
      let loop = Rational(norm.selfWeights.values.elements[place])
      let values = list.map { option -> DeletionTerms.Choice.Option in
        let value = loop / option.low
        return (option.condition, value, value)
      }
      result.append(values.count == 1 ? .constant(values[0].low) : .choice(DeletionTerms.Choice(values)))
    }
    return result
  }
}
