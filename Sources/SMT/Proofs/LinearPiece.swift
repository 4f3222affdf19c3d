import LinearPrograms
import Rigor

/// A network where all phases are decided: exact affine forms over the inputs that move, and signs that are open.
struct LinearPiece {
  struct Point {
    var input: [Rational]
    /// Whether the point determines everything; a sign that is open does not.
    var isWitness: Bool
  }

  enum Answer {
    /// A point of the piece that satisfies the rows.
    case point(Point)
    /// None does: multipliers of the rows and, by number of a neuron, of decided phases.
    case refuted(rows: [Rational], phases: [Int: Rational])
  }

  private struct TooLarge: Error {}

  private let network: CheckerNetwork
  private let part: ProofPart
  /// The variables that the forms are over: inputs that move, then open signs; their bounds.
  private var columns: [Int] = []
  private var lower: [Rational] = []
  private var upper: [Rational] = []
  /// By variable: coefficients, and the constant last.
  private var forms: [[Rational]] = []
  /// By number of a neuron whose phase is a decision: its argument.
  private var arguments: [(number: Int, isActive: Bool, form: [Rational])] = []

  /// - Parameter evaluator: Holds the exact bounds of the part.
  init(_ network: CheckerNetwork, _ part: ProofPart, _ evaluator: PartEvaluator, mostEntries: Int) throws {
    self.network = network
    self.part = part
    for i in 0..<network.inputCount where part.box.lower[i] < part.box.upper[i] {
      add(i, part.box.lower[i], part.box.upper[i])
    }
    for (b, block) in network.blocks.enumerated() where block.kind == .sign {
      for v in variables(b) {
        if let (low, high) = evaluator.exactValue(v), low < high { add(v, low, high) }
      }
    }
    let width = columns.count + 1
    guard network.variableCount * width <= mostEntries else { throw TooLarge() }
    let place = Dictionary(uniqueKeysWithValues: columns.enumerated().map { ($1, $0) })
    let numbers = Dictionary(uniqueKeysWithValues: network.neurons.enumerated().map { ($1, $0) })
    let zeros = [Rational](repeating: 0, count: width)
    forms = Array(repeating: zeros, count: network.variableCount)
    for i in 0..<network.inputCount {
      if let column = place[i] { forms[i][column] = 1 } else { forms[i][width - 1] = part.box.lower[i] }
    }
    for (b, block) in network.blocks.enumerated() {
      for (v, (row, bias)) in zip(variables(b), zip(block.rows, block.bias)) {
        var form = zeros
        for entry in row {
          let weight = Rational(entry.weight) / Rational(block.denominator)
          for j in 0..<width { form[j].addProduct(weight, forms[entry.variable][j]) }
        }
        form[width - 1] += Rational(bias)
        guard block.kind != .affine else {
          forms[v] = form
          continue
        }
        if let active = part.phases[v], let number = numbers[v] { arguments.append((number, active, form)) }
        if block.kind == .sign {
          if let column = place[v] {
            forms[v][column] = 1
          } else {
            forms[v][width - 1] = evaluator.exactValue(v)?.0 ?? 0
          }
        } else if try part.phases[v] ?? evaluator.implies(v, active: true) {
          forms[v] = form
        }
      }
    }
  }

  private mutating func add(_ variable: Int, _ low: Rational, _ high: Rational) {
    columns.append(variable)
    lower.append(low)
    upper.append(high)
  }

  private func variables(_ b: Int) -> Range<Int> {
    network.blocks[b].first..<(network.blocks[b].first + network.blocks[b].rows.count)
  }

  /// Whether a point of the piece satisfies all of some rows.
  func decide(_ rows: [OutputConstraint], _ limit: TimeLimit) throws -> Answer {
    let n = columns.count
    var tableau: [[Rational]] = []
    /// `form <= 0` in terms of distances from the lower bounds.
    func require(_ form: [Rational]) {
      var bound = -form[n]
      for j in 0..<n { bound -= form[j] * lower[j] }
      tableau.append(form.dropLast() + [bound])
    }
    for row in rows {
      var form = [Rational](repeating: 0, count: n + 1)
      for term in row.terms {
        for j in 0...n { form[j].addProduct(term.coefficient, forms[network.outputs[term.output]][j]) }
      }
      form[n] -= row.rhs
      require(form)
    }
    for argument in arguments { require(argument.isActive ? argument.form.map { -$0 } : argument.form) }
    for j in 0..<n {
      var form = [Rational](repeating: 0, count: n + 1)
      form[j] = 1
      form[n] = -upper[j]
      require(form)
    }
    var cost = [Rational](repeating: 0, count: n)
    switch try ExactLinearProgram.solve(&tableau, &cost, check: { () throws(OutOfTime) in try limit.check() })
    {
    case .optimal(let values):
      var input = part.box.lower
      for (j, variable) in columns.enumerated() where variable < network.inputCount {
        input[variable] = lower[j] + values[j]
      }
      return .point(Point(input: input, isWitness: columns.allSatisfy { $0 < network.inputCount }))
    case .infeasible(let multipliers):
      var phases: [Int: Rational] = [:]
      for (k, argument) in arguments.enumerated() where !multipliers[rows.count + k].isZero {
        phases[argument.number] = multipliers[rows.count + k]
      }
      return .refuted(rows: Array(multipliers.prefix(rows.count)), phases: phases)
    }
  }
}
