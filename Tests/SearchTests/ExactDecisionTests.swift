import FileFormats
import IR
import Importers
import LinearPrograms
import Operators
import Rigor
import Search
import Specifications
import Tensors
import TestSupport
import Testing

/// Queries at ties: attained, or just missed, at points, corners and kinks. None may stay undecided.
@Suite struct ExactDecisionTests {
  private func verify(_ graph: Graph, _ inputs: Int, _ outputs: Int, _ assertions: [String]) throws
    -> Verification
  {
    let declarations =
      (0..<inputs).map { "(declare-const X_\($0) Real)" }
      + (0..<outputs).map { "(declare-const Y_\($0) Real)" }
    let text = (declarations + assertions.map { "(assert \($0))" }).joined(separator: "\n")
    let query = try Query(text: text)
    let control = SearchControl(seconds: 60)
    return try Verifier(VerificationProblem(query, networks: ["": graph]), control: control).run()
  }

  /// `[n] -> relu -> [m] -> [1]`: rows of hidden weights, then biases, then the last weights and bias.
  private func network(_ hidden: [[Double]], _ bias: [Double], _ last: [Double], _ constant: Double) throws
    -> Graph
  {
    let n = hidden[0].count
    let m = hidden.count
    var builder = GraphBuilder()
    let x = builder.input("x", [n])
    let transposed = (0..<n).flatMap { i in (0..<m).map { hidden[$0][i] } }
    let h = try builder.linear(
      Dense(Weight(Tensor([n, m], transposed)), inputShape: [n]), x, bias: Weight(Tensor([m], bias)))
    let a = builder.elementwise(Relu(), h)
    let y = try builder.linear(
      Dense(Weight(Tensor([m, 1], last)), inputShape: [m]), a, bias: Weight(Tensor([1], [constant])))
    builder.output(y, name: "y")
    return builder.build()
  }

  @Test func pointsAreEvaluated() throws {
    // y = relu(3x): 3/10 at 1/10, 3/8 at 1/8.
    let graph = try network([[3]], [0], [1], 0)
    for (x, threshold, relation, verdict) in [
      ("0.1", "0.3", ">=", Verdict.sat), ("0.1", "0.3", ">", .unsat), ("0.125", "0.375", ">", .unsat),
      ("0.125", "0.375", "<=", .sat), ("0.125", "0.375", "<", .unsat),
    ] {
      let answer = try verify(
        graph, 1, 1, ["(>= X_0 \(x))", "(<= X_0 \(x))", "(\(relation) Y_0 \(threshold))"])
      #expect(answer.verdict == verdict, "\(x) \(relation) \(threshold)")
    }
  }

  @Test func kinksAreDecided() throws {
    // y = -relu(x) - relu(-x), at most 0 and that only at x = 0.
    let graph = try network([[1], [-1]], [0, 0], [-1, -1], 0)
    let box = ["(>= X_0 -0.7)", "(<= X_0 0.9)"]
    #expect(try verify(graph, 1, 1, box + ["(> Y_0 0)"]).verdict == .unsat)
    let attained = try verify(graph, 1, 1, box + ["(>= Y_0 0)"])
    #expect(attained.verdict == .sat && attained.witness?.input == [0])
    // The same along a line in three dimensions: y = -|x0 + x1 - x2|.
    let wide = try network([[1, 1, -1], [-1, -1, 1]], [0, 0], [-1, -1], 0)
    let cube = (0..<3).flatMap { ["(>= X_\($0) -0.3)", "(<= X_\($0) 0.4)"] }
    #expect(try verify(wide, 3, 1, cube + ["(> Y_0 0)"]).verdict == .unsat)
  }

  @Test func aWitnessHasTheOutputsOfTheNetwork() throws {
    // The query does not speak of the output.
    let graph = try network([[1]], [0], [-1], 1)
    let answer = try verify(graph, 1, 1, ["(>= X_0 0.25)", "(<= X_0 0.5)"])
    #expect(answer.verdict == .sat)
    let values = try #require(answer.witness?.values)
    #expect(values[1] == 1 - values[0])
  }

  @Test func polytopesAreRegions() throws {
    // y = relu(x0) + relu(x1) where x >= 0 and x0 + x1 <= 1.
    let graph = try network([[1, 0], [0, 1]], [0, 0], [1, 1], 0)
    let simplex = ["(>= X_0 0)", "(>= X_1 0)", "(<= (+ X_0 X_1) 1)"]
    #expect(try verify(graph, 2, 1, simplex + ["(>= Y_0 1)"]).verdict == .sat)
    #expect(try verify(graph, 2, 1, simplex + ["(> Y_0 1)"]).verdict == .unsat)
    // Bounded by relations inside a disjunction only.
    let either = "(or (and (<= (+ X_0 X_1) 1) (>= Y_0 1.5)) (and (<= (+ X_0 (* 2 X_1)) 4) (>= Y_0 4.5)))"
    #expect(try verify(graph, 2, 1, ["(>= X_0 0)", "(>= X_1 0)", either]).verdict == .unsat)
    // Empty, and without a bound.
    #expect(
      try verify(graph, 2, 1, ["(>= X_0 0)", "(<= (+ X_0 X_1) -1)", "(>= X_1 0)", "(>= Y_0 0)"]).verdict
        == .unsat)
    #expect(throws: (any Error).self) {
      try verify(graph, 2, 1, ["(>= X_0 0)", "(>= X_1 0)", "(>= (+ X_0 X_1) 1)", "(>= Y_0 0)"])
    }
  }

  @Test func relationsOfManyInputsAreDecided() throws {
    // 14 inputs in [0, 1], their sum at most 3/2: y = relu(sum - 1) + relu(x0) is at most 3/2.
    var hidden = [[Double](repeating: 1, count: 14), [Double](repeating: 0, count: 14)]
    hidden[1][0] = 1
    let graph = try network(hidden, [-1, 0], [1, 1], 0)
    let box = (0..<14).flatMap { ["(>= X_\($0) 0)", "(<= X_\($0) 1)"] }
    let sum = "(<= (+ \((0..<14).map { "X_\($0)" }.joined(separator: " "))) 1.5)"
    #expect(try verify(graph, 14, 1, box + [sum, "(> Y_0 1.5)"]).verdict == .unsat)
    #expect(try verify(graph, 14, 1, box + [sum, "(>= Y_0 1.5)"]).verdict == .sat)
    #expect(try verify(graph, 14, 1, box + [sum, "(>= Y_0 1.500001)"]).verdict == .unsat)
  }

  /// Random small queries against an enumeration of all phases, one exact linear system each.
  @Test func randomQueriesAgreeWithEnumeration() throws {
    var random = UnitGenerator(state: 41)
    func number(_ range: Int, _ denominator: Int) -> Rational {
      Rational(Int(random.unit() * Double(2 * range + 1)) - range, denominator)
    }
    func text(_ x: Rational) -> String { x.decimalText ?? "0" }
    for trial in 0..<250 {
      let n = 1 + Int(random.unit() * 3)
      let m = 1 + Int(random.unit() * 4)
      let hidden = (0..<m).map { _ in (0..<n).map { _ in number(8, 4) } }
      let bias = (0..<m).map { _ in number(8, 4) }
      let last = (0..<m).map { _ in number(8, 4) }
      let lower = (0..<n).map { _ in number(20, 10) }
      let isPoint = random.unit() < 0.2
      let upper = lower.map {
        isPoint || random.unit() < 0.15 ? $0 : $0 + Rational(1 + Int(random.unit() * 15), 10)
      }
      func value(_ x: [Rational]) -> Rational {
        zip(hidden, zip(bias, last)).reduce(Rational()) { sum, neuron in
          let argument = zip(neuron.0, x).reduce(neuron.1.0) { $0 + $1.0 * $1.1 }
          return sum + neuron.1.1 * max(argument, 0)
        }
      }
      func grid() -> [Rational] {
        zip(lower, upper).map { $0 + ($1 - $0) * Rational(Int(random.unit() * 5), 4) }
      }
      var assertions: [String] = []
      for j in 0..<n { assertions += ["(>= X_\(j) \(text(lower[j])))", "(<= X_\(j) \(text(upper[j])))"] }
      // Thresholds are values at grid points, so that many conditions are attained exactly.
      var outputs: [(sign: Rational, bound: Rational, isStrict: Bool)] = []
      for _ in 0..<(1 + Int(random.unit() * 2)) {
        let sign: Rational = random.unit() < 0.5 ? 1 : -1
        let threshold = (0..<6).map { _ in value(grid()) }.max { sign * $0 > sign * $1 } ?? 0
        let isStrict = random.unit() < 0.5
        outputs.append((sign, sign * threshold, isStrict))
        assertions.append("(\(sign > 0 ? "<" : ">")\(isStrict ? "" : "=") Y_0 \(text(threshold)))")
      }
      var relation: (coefficients: [Rational], bound: Rational)?
      if n > 1, random.unit() < 0.4 {
        let coefficients = (0..<n).map { _ in Rational(1 + Int(random.unit() * 2)) }
        let bound = zip(coefficients, grid()).reduce(Rational()) { $0 + $1.0 * $1.1 }
        relation = (coefficients, bound)
        let sum = coefficients.enumerated().map { "(* \(text($1)) X_\($0))" }.joined(separator: " ")
        assertions.append("(<= (+ \(sum)) \(text(bound)))")
      }
      var isSatisfiable = false
      for pattern in 0..<(1 << m) {
        var system = LinearSystem(lower: lower, upper: upper)
        var gradient = [Rational](repeating: 0, count: n)
        var constant = Rational()
        for k in 0..<m {
          let isActive = (pattern >> k) & 1 == 1
          let sign: Rational = isActive ? -1 : 1
          system.require(hidden[k].map { sign * $0 }, sign * bias[k], isStrict: false)
          if isActive {
            for j in 0..<n { gradient[j] += last[k] * hidden[k][j] }
            constant += last[k] * bias[k]
          }
        }
        for row in outputs {
          system.require(
            gradient.map { row.sign * $0 }, row.sign * constant - row.bound, isStrict: row.isStrict)
        }
        if let relation { system.require(relation.coefficients, -relation.bound, isStrict: false) }
        if case .point = system.decide() { isSatisfiable = true }
      }
      let graph = try network(
        hidden.map { $0.map(\.nearestDouble) }, bias.map(\.nearestDouble), last.map(\.nearestDouble), 0)
      let answer = try verify(graph, n, 1, assertions)
      #expect(answer.verdict == (isSatisfiable ? .sat : .unsat), "\(trial): \(assertions)")
    }
  }
}

/// The cases of the field about undecided queries.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment))) struct FieldQueryTests {
  private func verify(_ folder: String, _ query: String, _ network: String) throws -> Verification {
    let folder = SharedData.path("field/" + folder)
    let query = try Query(contentsOf: folder + "/" + query)
    let problem = try VerificationProblem(
      query, networks: [query.networks[0].name: Importer.load(folder + "/" + network).graph])
    return try Verifier(problem, control: SearchControl(seconds: 60)).run()
  }

  private func members(_ path: String) throws -> [(String, JSONValue)] {
    try SharedData.json(path).objectValue?.entries.map { ($0.key, $0.value) } ?? []
  }

  @Test(arguments: ["b01-vnnlib-or-and", "b02-vnnlib-format", "b07-tiny-box"])
  func verdictsByHand(folder: String) throws {
    let network = folder == "b07-tiny-box" ? "lindex.onnx" : "id2.onnx"
    for (name, verdict) in try members("field/\(folder)/expected.json") {
      let answer = try verify(folder, name + ".vnnlib", network)
      #expect(answer.verdict.rawValue == verdict.stringValue, "\(folder)/\(name)")
    }
  }

  @Test func tiesAreDecided() throws {
    for (name, entry) in try members("field/b03-tie/expected.json") {
      let answer = try verify("b03-tie", name + ".vnnlib", entry[1]?.stringValue ?? "")
      #expect(answer.verdict.rawValue == entry[0]?.stringValue, "\(name)")
    }
  }

  /// What has no bounds is refused; the others are answered.
  @Test func emptyAndUnboundedRegions() throws {
    let folder = "b05-empty-missing-box"
    for (name, verdict) in try members("field/\(folder)/expected.json") {
      if ["e4", "e5", "e6", "e7"].contains(where: { name.hasPrefix($0) }) {
        #expect(throws: (any Error).self) { try verify(folder, name + ".vnnlib", "id2.onnx") }
      } else {
        #expect(
          try verify(folder, name + ".vnnlib", "id2.onnx").verdict.rawValue == verdict.stringValue, "\(name)")
      }
    }
  }

  @Test func unmentionedOutputsAreThoseOfTheNetwork() throws {
    let answer = try verify("a18-verify-prints-zero-outputs", "q.vnnlib", "m.onnx")
    let values = try #require(answer.witness?.values)
    #expect(values[1] == 1 - values[0] && values[2] == 3 + values[0])
  }

  @Test func fixedInputsAreDecided() throws {
    #expect(try verify("a19-verify-undecided-points", "q.vnnlib", "m.onnx").verdict == .sat)
    #expect(try verify("a19-verify-undecided-points", "q2.vnnlib", "m.onnx").verdict == .unsat)
  }

  @Test func relationsOfManyInputs() throws {
    // The exact maximum is 0.05 below the threshold.
    #expect(try verify("a20-verify-relations-many-inputs", "q.vnnlib", "m.onnx").verdict == .unsat)
  }
}
