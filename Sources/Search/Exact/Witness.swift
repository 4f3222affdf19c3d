import Domains
import IR
import Rigor
import Specifications
import Tensors

/// A point at which a query is satisfied, with what was checked.
public struct Witness: Sendable {
  /// What an exact check, or a replay, said.
  public enum Check: Sendable, Equatable {
    case holds, fails
    /// Not carried out: the operators have no exact value and the enclosure was too wide.
    case undecided
  }

  /// The flat input, exactly.
  public var input: [Rational]
  /// In real arithmetic on the stored weights.
  public var exact: Check
  /// Whether the exact check rests on an enclosure, because an operator has no rational value.
  public var byEnclosure: Bool
  /// In float32 (or the model's own type) in the project's engine, on the input rounded to that type.
  public var replay: Check
  /// Whether the replay holds in every order of summation.
  public var replayIsRobust: Bool
  /// By query variable: inputs exactly, other values as the replay gives them, or exactly where only the exact check
  /// shows the violation.
  public var values: [Rational]
}

/// Checks candidates for witnesses.
struct WitnessChecker {
  let problem: VerificationProblem
  let control: SearchControl

  /// A witness at or next to a point that numbers say satisfies a case; nil if no variant of it does.
  func check(_ point: [Double], problem index: Int) -> Witness? {
    let exact = problem.cases[index].exact
    var second: Witness?
    for variant in variants(point, exact) {
      guard let witness = judge(variant) else { continue }
      switch problem.semantics {
      case .real:
        guard witness.exact == .holds else { continue }
        if witness.replay == .holds { return witness }
        if second == nil { second = witness }
      case .float32, .float64:
        guard witness.replay == .holds else { continue }
        if witness.replayIsRobust { return witness }
        if second == nil { second = witness }
      }
    }
    return second
  }

  /// A witness at exactly this point of a case's box, or next to it if that has a decimal and the point has none; nil if the
  /// point is no witness.
  func check(exactly point: [Rational], problem index: Int) -> Witness? {
    if point.contains(where: { $0.decimalText == nil }) {
      if let witness = check(point.map(\.nearestDouble), problem: index) { return witness }
      // Thin regions: 40 decimals to either side.
      let scale = Self.manyDecimals
      let bounds = problem.cases[index].exact
      for up in [false, true] {
        let decimals = zip(point, bounds).map { x, bound -> Rational in
          let scaled = x * scale
          let near = (up ? scaled.ceiling : scaled.floor) / scale
          return bound.contains(near) ? near : x
        }
        if let witness = accepted(decimals) { return witness }
      }
    }
    return accepted(point)
  }

  private static let manyDecimals = (0..<40).reduce(Rational.one) { power, _ in power * 10 }

  private func accepted(_ point: [Rational]) -> Witness? {
    guard let witness = judge(point) else { return nil }
    return (problem.semantics == .real ? witness.exact : witness.replay) == .holds ? witness : nil
  }

  /// What is known of a case that is a single point.
  enum PointAnswer {
    case witness(Witness)
    case fails
    /// Not a single point, not over the reals, or beyond rational values and enclosures.
    case open
  }

  /// Decides a case whose every input is fixed, by evaluating the query there.
  func decidePoint(_ index: Int) -> PointAnswer {
    guard problem.semantics == .real else { return .open }
    var point: [Rational] = []
    for bounds in problem.cases[index].exact {
      guard let lower = bounds.lower, lower == bounds.upper else { return .open }
      point.append(lower)
    }
    let (exact, _, _) = exactCheck(point, inputValues(point))
    switch exact {
    case .holds: return accepted(point).map { .witness($0) } ?? .open
    case .fails: return .fails
    case .undecided: return .open
    }
  }

  private func inputValues(_ input: [Rational]) -> [Rational] {
    var values = [Rational](repeating: .zero, count: problem.query.variableCount)
    for (variable, source) in problem.evaluated.sources.enumerated() {
      if case .input(let j) = source { values[variable] = input[j] }
    }
    return values
  }

  /// Points to try: the nearest floats inside the box; the numbers themselves, moved to exact bounds they touch.
  private func variants(_ point: [Double], _ bounds: [VariableBounds]) -> [[Rational]] {
    var floats: [Rational] = []
    var doubles: [Rational] = []
    var differs = false
    for (x, bound) in zip(point, bounds) {
      let value = inside(Rational(x), bound)
      doubles.append(value)
      let float = floatInside(x, bound) ?? value
      floats.append(float)
      if float != value { differs = true }
    }
    let valid = { (point: [Rational]) in zip(point, bounds).allSatisfy { $1.contains($0) } }
    if problem.semantics == .float32 { return valid(floats) ? [floats] : [] }
    return (differs ? [floats, doubles] : [doubles]).filter(valid)
  }

  private func inside(_ x: Rational, _ bound: VariableBounds) -> Rational {
    var x = x
    if let lower = bound.lower, x < lower { x = lower }
    if let upper = bound.upper, x > upper { x = upper }
    if bound.contains(x) { return x }
    // On an excluded end: a little inside.
    guard let lower = bound.lower, let upper = bound.upper else { return x }
    let step = (upper - lower).scaled(byTwoTo: -20)
    return x == lower ? lower + step : upper - step
  }

  /// The float of the declared type nearest to x that satisfies the bounds in both readings of their decimals.
  private func floatInside(_ x: Double, _ bound: VariableBounds) -> Rational? {
    var f = Float(x)
    if let lower = bound.lower {
      f = max(
        f,
        problem.semantics == .float32
          ? max(lower.roundedUpToFloat, lower.nearestFloat) : lower.roundedUpToFloat)
      if bound.lowerIsStrict, Rational(f) == lower { f = f.nextUp }
    }
    if let upper = bound.upper {
      f = min(
        f,
        problem.semantics == .float32
          ? min(upper.roundedDownToFloat, upper.nearestFloat) : upper.roundedDownToFloat)
      if bound.upperIsStrict, Rational(f) == upper { f = f.nextDown }
    }
    guard f.isFinite else { return nil }
    let value = Rational(f)
    return bound.contains(value) ? value : nil
  }

  /// All checks at one point; nil if they could not be carried out.
  private func judge(_ input: [Rational]) -> Witness? {
    let values = inputValues(input)
    let (exact, byEnclosure, exactValues) = exactCheck(input, values)
    if problem.semantics == .real, exact != .holds { return nil }
    guard let (replay, robust, replayed) = replayCheck(input, values) else { return nil }
    // Values that do not show the violation would only puzzle the reader.
    let showsExact = problem.semantics == .real && replay != .holds && !byEnclosure
    return Witness(
      input: input, exact: exact, byEnclosure: byEnclosure, replay: replay, replayIsRobust: robust,
      values: showsExact ? exactValues : replayed)
  }

  /// The query in real arithmetic.
  private func exactCheck(_ input: [Rational], _ values: [Rational]) -> (Witness.Check, Bool, [Rational]) {
    var domain = ExactDomain()
    var values = values
    do {
      let trace = try problem.evaluated.graph.interpret([input], in: &domain)
      let outputs = outputIndex
      for (variable, source) in problem.evaluated.sources.enumerated() {
        guard case .value(let node, let place) = source, let output = outputs[node] else { continue }
        values[variable] = trace.outputs[output][place]
      }
      return (problem.query.formula.holds { values[$0] } ? .holds : .fails, false, values)
    } catch is UnsupportedOperator {
      // No rational value: exp, tanh, and the like.
      return (enclosureCheck(input, values), true, values)
    } catch {
      return (.undecided, false, values)
    }
  }

  private var outputIndex: [NodeID: Int] {
    Dictionary(problem.evaluated.graph.outputs.enumerated().map { ($1.node, $0) }) { first, _ in first }
  }

  /// Interval bounds at the point: the query must hold, or fail, for every value inside them.
  private func enclosureCheck(_ input: [Rational], _ values: [Rational]) -> Witness.Check {
    guard let ranges = enclose(input, .real) else { return .undecided }
    if certainly(problem.query.formula, ranges, values) { return .holds }
    return certainly(problem.query.formula.negated, ranges, values) ? .fails : .undecided
  }

  private func enclose(_ input: [Rational], _ arithmetic: Arithmetic) -> [Int: (Rational, Rational)]? {
    let low = Tensor<Double>([1, input.count], input.map(\.roundedDown))
    let high = Tensor<Double>([1, input.count], input.map(\.roundedUp))
    let region = Domains.Region([low == high ? .fixed(low) : .box(lower: low, upper: high)])
    guard let trace = try? problem.evaluated.graph.intervals(over: region, arithmetic) else { return nil }
    var result: [Int: (Rational, Rational)] = [:]
    let outputs = outputIndex
    for (variable, source) in problem.evaluated.sources.enumerated() {
      guard case .value(let node, let place) = source, let output = outputs[node] else { continue }
      let interval = trace.outputs[output]
      guard let l = Rational(exactly: interval.lower[flat: place]),
        let u = Rational(exactly: interval.upper[flat: place])
      else { return nil }
      result[variable] = (l, u)
    }
    return result
  }

  /// Whether a formula holds for all values inside the given intervals.
  private func certainly(_ formula: Formula, _ ranges: [Int: (Rational, Rational)], _ values: [Rational])
    -> Bool
  {
    switch formula {
    case .all(let parts): return parts.allSatisfy { certainly($0, ranges, values) }
    case .any(let parts): return parts.contains { certainly($0, ranges, values) }
    case .comparison(let comparison):
      guard comparison.expression.isLinear else { return false }
      var low = comparison.expression.constant
      var high = low
      for term in comparison.expression.terms {
        let (l, u) = ranges[term.variable] ?? (values[term.variable], values[term.variable])
        low += term.coefficient * (term.coefficient.sign > 0 ? l : u)
        high += term.coefficient * (term.coefficient.sign > 0 ? u : l)
      }
      let relation = comparison.relation
      if relation == .notEqual { return low.sign > 0 || high.sign < 0 }
      return relation.holds(forSign: low.sign) && relation.holds(forSign: high.sign)
    }
  }

  /// The query on the values of a run in the model's own arithmetic, decimals read exactly and rounded.
  private func replayCheck(_ input: [Rational], _ values: [Rational]) -> (Witness.Check, Bool, [Rational])? {
    let usesFloat = problem.evaluated.graph[problem.evaluated.inputNode].elementType.runsInFloat
    let numbers = input.map { usesFloat ? Double($0.nearestFloat) : $0.nearestDouble }
    var domain = ConcreteDomain(.deployed)
    let tensor = Tensor<Double>([1, numbers.count], numbers)
    guard
      let trace = try? problem.evaluated.graph.interpret(
        [usesFloat ? .float(tensor.float32) : .double(tensor)], in: &domain)
    else { return nil }
    var values = values
    let outputs = outputIndex
    for (variable, source) in problem.evaluated.sources.enumerated() {
      switch source {
      case .input: continue
      case .value(let node, let place):
        guard let output = outputs[node] else { continue }
        let value = trace.outputs[output].float64[flat: place]
        guard let exact = Rational(exactly: value) else { return (.fails, false, values) }
        values[variable] = exact
      }
    }
    // The replay runs on the rounded input; comparisons that name inputs use what it ran on.
    var replayed = values
    for (variable, source) in problem.evaluated.sources.enumerated() {
      if case .input(let j) = source { replayed[variable] = Rational(numbers[j]) }
    }
    // Input bounds belong to the exact point, which was checked; rounding it may leave a box by less than a float.
    let onOutputs =
      problem.semantics == .real ? withoutInputBounds(problem.query.formula) : problem.query.formula
    var holds = onOutputs.holds { replayed[$0] }
    if holds, problem.semantics != .real { holds = rounded(problem.query.formula).holds { replayed[$0] } }
    var robust = false
    if holds, let ranges = enclose(numbers.map { Rational($0) }, .float32) {
      robust = certainly(onOutputs, ranges, replayed)
    }
    return (holds ? .holds : .fails, robust, problem.semantics == .real ? values : replayed)
  }

  /// The formula with comparisons of a single input taken as true.
  private func withoutInputBounds(_ formula: Formula) -> Formula {
    switch formula {
    case .all(let parts): return .all(parts.map(withoutInputBounds))
    case .any(let parts):
      // A disjunct that is only a box would become true as a whole; keep such a disjunction.
      let kept = parts.map(withoutInputBounds)
      return kept.contains { if case .all(let p) = $0 { p.isEmpty } else { false } } ? formula : .any(kept)
    case .comparison(let comparison):
      guard let variable = comparison.expression.singleVariable,
        case .input = problem.evaluated.sources[variable]
      else {
        return formula
      }
      return .always
    }
  }

  /// The formula with every number rounded to the declared type.
  private func rounded(_ formula: Formula) -> Formula {
    switch formula {
    case .all(let parts): return .all(parts.map(rounded))
    case .any(let parts): return .any(parts.map(rounded))
    case .comparison(var comparison):
      let round = { (x: Rational) -> Rational in
        let nearest = problem.semantics == .float32 ? Double(x.nearestFloat) : x.nearestDouble
        return Rational(exactly: nearest) ?? x
      }
      comparison.expression = Polynomial(
        constant: round(comparison.expression.constant),
        terms: comparison.expression.terms.map {
          .init(variable: $0.variable, coefficient: round($0.coefficient))
        })
      return .comparison(comparison)
    }
  }
}
