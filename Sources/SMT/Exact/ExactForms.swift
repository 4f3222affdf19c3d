import Rigor

/// Whether a neuron is known to be on one of its two lines.
public enum Phase: Int8, Sendable {
  case inactive = -1
  case undecided = 0
  case active = 1
}

/// Exact affine forms of a network's variables over its free inputs and undecided neurons.
///
/// Stable neurons are eliminated by composing layers in integers with one exponent a block: what remains for a
/// solver are the inputs that can move and the neurons whose phase is open. With every input fixed, the same walk is
/// the exact evaluation of the network at a rational point.
public struct ExactForms: Sendable {
  public let network: PiecewiseLinearNetwork
  /// The inputs that are variables of the forms, in column order.
  public let freeInputs: [Int]
  /// The neurons that are variables of the forms, in column order after the inputs.
  public let undecided: [Int]
  /// Columns: free inputs, undecided neurons, the constant.
  public var width: Int { freeInputs.count + undecided.count + 1 }

  /// The values of a block's rows before and after the neuron.
  private struct Part {
    /// The row values (pre-activations).
    var pre: IntegerMatrix
    /// The variables.
    var post: IntegerMatrix
    /// An entry `n` stands for `n * 2^-exponent / divisor`; the constant column is divided by `unit` besides.
    var preExponent: Int
    var exponent: Int
    var divisor: Int
  }

  private var inputs: Part
  private var parts: [Part] = []
  /// The common denominator of all fixed inputs.
  private let unit: Rational
  /// The phase that every neuron was given, by variable.
  public private(set) var phases: [Phase]

  /// Composes the network.
  ///
  /// - Parameters:
  ///   - network: The network.
  ///   - fixed: The value of every input that cannot move, nil for the free ones.
  ///   - phases: The phase of every variable that is a neuron. Where it is `undecided`, the neuron becomes a column
  ///     of its own; if there are no columns but the constant, its sign decides instead.
  ///   - last: Blocks behind this one are not needed (all by default).
  public init(
    _ network: PiecewiseLinearNetwork, fixed: [Rational?], phases: [Phase], through last: Int? = nil
  ) {
    self.network = network
    let free = fixed.indices.filter { fixed[$0] == nil }
    let blocks = network.blocks.prefix((last ?? network.blocks.count - 1) + 1)
    var open: [Int] = []
    if !free.isEmpty {
      for block in blocks where block.kind != .affine {
        for v in block.range where phases[v] == .undecided { open.append(v) }
      }
    }
    freeInputs = free
    undecided = open
    self.phases = phases
    let columns = free.count + open.count + 1
    var unit = Rational(1)
    for case let value? in fixed { unit = Rational.leastCommonMultiple(unit, value.denominator) }
    self.unit = unit
    let matrix = IntegerMatrix(rows: network.inputCount, columns: columns)
    for (column, input) in free.enumerated() { matrix.set(input, column, 1) }
    for (i, value) in fixed.enumerated() {
      if let value { matrix.set(i, columns - 1, numeratorOf: value * unit) }
    }
    inputs = Part(pre: matrix, post: matrix, preExponent: 0, exponent: 0, divisor: 1)
    var column = free.count
    for (b, block) in blocks.enumerated() { append(block, b, &column) }
  }

  private func part(of variable: Int) -> (part: Part, row: Int) {
    let b = Int(network.blockOfVariable[variable])
    if b < 0 { return (inputs, variable) }
    return (parts[b], variable - network.blocks[b].first)
  }

  private mutating func append(_ block: PiecewiseLinearNetwork.Block, _ index: Int, _ column: inout Int) {
    // The common exponent and divisor: large enough for every term.
    var exponent = 0
    var divisor = 1
    let sources = network.raw[index].sources
    for s in sources {
      let source = s == 0 ? inputs : parts[s - 1]
      divisor = Self.lcm(divisor, source.divisor * block.denominator)
    }
    // The exponents of the parts that are read, by block + 1; one source in nearly all blocks.
    let exponents = [inputs.exponent] + parts.map(\.exponent)
    for (k, c) in block.column.enumerated() {
      let e = exponents[sources.count == 1 ? sources[0] : Int(network.blockOfVariable[Int(c)]) + 1]
      exponent = max(exponent, e - dyadicParts(block.value[k]).exponent)
    }
    let biases = block.bias.map { dyadicParts($0) }
    for bias in biases { exponent = max(exponent, -bias.exponent) }
    let pre = IntegerMatrix(rows: block.count, columns: width)
    let biasFactor = unit * Rational(divisor)
    var lastSource = Int.min
    var source = inputs
    var first = 0
    var multiple = 1
    for i in 0..<block.count {
      for k in Int(block.start[i])..<Int(block.start[i + 1]) {
        let c = Int(block.column[k])
        let s = Int(network.blockOfVariable[c])
        if s != lastSource {
          lastSource = s
          source = s < 0 ? inputs : parts[s]
          first = s < 0 ? 0 : network.blocks[s].first
          multiple = divisor / (source.divisor * block.denominator)
        }
        let weight = dyadicParts(block.value[k])
        pre.addScaled(
          row: i, source.post, row: c - first, mantissa: weight.mantissa * multiple,
          shift: weight.exponent - source.exponent + exponent)
      }
      if biases[i].mantissa != 0 {
        pre.add(
          row: i, column: width - 1, mantissa: biases[i].mantissa, shift: biases[i].exponent + exponent,
          factor: biasFactor)
      }
    }
    var part = Part(pre: pre, post: pre, preExponent: exponent, exponent: exponent, divisor: divisor)
    if block.kind != .affine {
      let post = IntegerMatrix(rows: block.count, columns: width)
      for i in 0..<block.count {
        let v = block.first + i
        if freeInputs.isEmpty { phases[v] = pre.sign(i, width - 1) > 0 ? .active : .inactive }
        switch (block.kind, phases[v]) {
        case (_, .undecided):
          post.set(i, column, numeratorOf: Rational(1, timesTwoTo: exponent) * Rational(divisor))
          column += 1
        case (.relu, .active): post.copy(row: i, from: pre, row: i)
        case (.relu, .inactive), (.affine, _): break
        case (.sign, let phase):
          var value = Int(phase.rawValue)
          if freeInputs.isEmpty { value = pre.sign(i, width - 1) }
          let scale = Rational(value) * Rational(1, timesTwoTo: exponent) * biasFactor
          post.set(i, width - 1, numeratorOf: scale)
        }
      }
      part.post = post
    }
    parts.append(part)
  }

  private static func lcm(_ a: Int, _ b: Int) -> Int {
    var (x, y) = (a, b)
    while y != 0 { (x, y) = (y, x % y) }
    return a / x * b
  }

  // MARK: Reading forms

  private func row(_ matrix: IntegerMatrix, _ row: Int, _ exponent: Int, _ divisor: Int) -> [Rational] {
    let scale = Rational(1, timesTwoTo: -exponent) / Rational(divisor)
    return (0..<width).map { column in
      let value = matrix.rational(row, column)
      if value.isZero { return value }
      return column == width - 1 ? value * scale / unit : value * scale
    }
  }

  /// The coefficients of a variable over the columns.
  public func form(of variable: Int) -> [Rational] {
    let (part, row) = part(of: variable)
    return self.row(part.post, row, part.exponent, part.divisor)
  }

  /// The coefficients of a neuron's argument over the columns.
  public func preactivation(of variable: Int) -> [Rational] {
    let (part, row) = part(of: variable)
    return self.row(part.pre, row, part.preExponent, part.divisor)
  }

  /// The constant of a variable: its value when every input is fixed.
  public func value(of variable: Int) -> Rational {
    let (part, row) = part(of: variable)
    let value = part.post.rational(row, width - 1)
    return value.scaled(byTwoTo: -part.exponent) / (Rational(part.divisor) * unit)
  }

  /// The value of a neuron's argument when every input is fixed.
  public func argument(of variable: Int) -> Rational {
    let (part, row) = part(of: variable)
    let value = part.pre.rational(row, width - 1)
    return value.scaled(byTwoTo: -part.preExponent) / (Rational(part.divisor) * unit)
  }
}

extension PiecewiseLinearNetwork {
  /// The exact outputs at a rational input.
  public func exactOutputs(at x: [Rational]) -> [Rational] {
    let forms = ExactForms(self, fixed: x, phases: [Phase](repeating: .undecided, count: variableCount))
    return outputs.map { forms.value(of: $0) }
  }
}
