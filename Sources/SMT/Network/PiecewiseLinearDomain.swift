import IR
import Rigor
import Tensors

/// The exact domain of the shared interpreter: every value becomes a list of variables of a
/// ``PiecewiseLinearNetwork``, every operation exact affine rows and ReLUs over them.
///
/// Weights are taken as the exact dyadic numbers they are. Operators that are not piecewise linear are refused.
struct PiecewiseLinearDomain: Domain {
  /// One element: a variable, a constant, or an affine row that no variable stands for yet.
  final class Value {
    /// The variables, or -1 for a constant; empty while only `rows` are known.
    var variables: [Int32]
    var constants: [Double]
    let rows: RowList?

    init(variables: [Int32], constants: [Double]) {
      self.variables = variables
      self.constants = constants
      rows = nil
    }

    init(rows: RowList) {
      self.rows = rows
      variables = []
      constants = []
    }

    var count: Int { rows?.count ?? variables.count }
  }

  /// Affine rows in compressed form.
  struct RowList {
    var start: [Int32] = [0]
    var column: [Int32] = []
    var value: [Double] = []
    var bias: [Double] = []
    var denominator = 1

    var count: Int { bias.count }

    mutating func end(bias b: Double) {
      bias.append(b)
      start.append(Int32(column.count))
    }

    mutating func add(_ variable: Int32, _ coefficient: Double) {
      column.append(variable)
      value.append(coefficient)
    }
  }

  private(set) var blocks: [PiecewiseLinearNetwork.Block] = []
  private var next: Int
  private var constantVariables: [Double: Int32] = [:]

  init(inputCount: Int) { next = inputCount }

  // MARK: Building blocks

  private func refused(_ node: Node, _ what: String) -> UnsupportedOperator {
    UnsupportedOperator(
      node,
      reason: "\(what); the exact method covers piecewise linear operators, "
        + "`nnverify verify` bounds this one")
  }

  private mutating func append(_ kind: PiecewiseLinearNetwork.Kind, _ rows: RowList, _ name: String) -> Value
  {
    let first = next
    blocks.append(
      PiecewiseLinearNetwork.Block(
        kind: kind, first: first, start: rows.start, column: rows.column, value: rows.value, bias: rows.bias,
        denominator: rows.denominator, name: name))
    next += rows.count
    return Value(
      variables: (first..<next).map { Int32($0) }, constants: [Double](repeating: 0, count: rows.count))
  }

  /// Gives rows variables of their own, once.
  private mutating func settle(_ value: Value, _ name: String) {
    guard let rows = value.rows, value.variables.isEmpty else { return }
    let settled = append(.affine, rows, name)
    value.variables = settled.variables
    value.constants = settled.constants
  }

  /// A variable that always has this value.
  private mutating func variable(for constant: Double) -> Int32 {
    if let known = constantVariables[constant] { return known }
    var rows = RowList()
    rows.end(bias: constant)
    let made = append(.affine, rows, "constant").variables[0]
    constantVariables[constant] = made
    return made
  }

  /// The rows to apply a neuron to: those of a pending value, else one entry per element.
  private mutating func rows(of value: Value) -> RowList {
    if let rows = value.rows { return rows }
    var rows = RowList()
    for i in 0..<value.count {
      if value.variables[i] >= 0 { rows.add(value.variables[i], 1) }
      rows.end(bias: value.variables[i] >= 0 ? 0 : value.constants[i])
    }
    return rows
  }

  /// The final variables of a value.
  mutating func finish(_ value: Value, _ name: String) -> [Int] {
    settle(value, name)
    return (0..<value.count).map { i in
      Int(value.variables[i] >= 0 ? value.variables[i] : variable(for: value.constants[i]))
    }
  }

  func inputValue(first: Int, count: Int) -> Value {
    Value(
      variables: (first..<(first + count)).map { Int32($0) }, constants: [Double](repeating: 0, count: count))
  }

  // MARK: Domain

  mutating func constant(_ weight: Weight, at node: Node) throws -> Value {
    let values = weight.values.elements
    guard values.allSatisfy(\.isFinite) else { throw refused(node, "a constant is not finite") }
    return Value(variables: [Int32](repeating: -1, count: values.count), constants: values)
  }

  mutating func affine(_ map: Affine, _ x: [Value], at node: Node) throws -> Value {
    for value in x { settle(value, node.name) }
    if map.maps.count > 1, map.maps.contains(where: { $0.denominator != 1 }) {
      // Different divisors: every term gets variables of its own, which are then added.
      var parts: [Value] = []
      for (linear, value) in zip(map.maps, x) {
        let part = try affine(Affine([linear]), [value], at: node)
        settle(part, node.name)
        parts.append(part)
      }
      let shape = map.maps[0].outputShape
      let copies: [any LinearMap] = parts.map { _ in CopyMap(shape: shape) }
      return try affine(Affine(copies, bias: map.bias), parts, at: node)
    }
    var rows = RowList()
    rows.denominator = map.maps[0].denominator
    let bias = map.bias?.values.elements
    let count = map.maps[0].outputShape.count
    var copies = rows.denominator == 1
    for o in 0..<count {
      for (linear, value) in zip(map.maps, x) {
        for entry in linear.row(o) where entry.coefficient != 0 {
          guard entry.coefficient.isFinite else { throw refused(node, "a weight is not finite") }
          var variable = value.variables[entry.index]
          if variable < 0 {
            let constant = value.constants[entry.index]
            if constant == 0 { continue }
            variable = self.variable(for: constant)
          }
          rows.add(variable, entry.coefficient)
        }
      }
      let b = bias?[o] ?? 0
      guard b.isFinite else { throw refused(node, "a bias is not finite") }
      let entries = rows.column.count - Int(rows.start[o])
      if entries > 1 || (entries == 1 && (b != 0 || rows.value[rows.value.count - 1] != 1)) { copies = false }
      rows.end(bias: b)
    }
    guard copies else { return Value(rows: rows) }
    var variables: [Int32] = []
    for o in 0..<count {
      variables.append(rows.start[o] == rows.start[o + 1] ? -1 : rows.column[Int(rows.start[o])])
    }
    return Value(variables: variables, constants: rows.bias)
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Value, at node: Node) throws -> Value {
    if f.name == "Sign" { return append(.sign, rows(of: x), node.name) }
    guard let pieces = f.pieces else { throw refused(node, "\(f.name) is not piecewise linear") }
    if pieces.breakpoints == [0], pieces.lines[0] == (0, 0), pieces.lines[1] == (1, 0) {
      return append(.relu, rows(of: x), node.name)
    }
    try checkContinuity(pieces, node)
    // f(x) = first line + sum over breakpoints of (change of slope) * relu(x - breakpoint), without rounding.
    settle(x, node.name)
    var relus: [Value] = []
    for breakpoint in pieces.breakpoints {
      var shifted = RowList()
      for i in 0..<x.count {
        if x.variables[i] >= 0 {
          shifted.add(x.variables[i], 1)
        } else if x.constants[i] != 0 {
          shifted.add(variable(for: x.constants[i]), 1)
        }
        shifted.end(bias: -breakpoint)
      }
      relus.append(append(.relu, shifted, node.name))
    }
    var result = RowList()
    for i in 0..<x.count {
      let source: Int32? =
        x.variables[i] >= 0 ? x.variables[i] : (x.constants[i] == 0 ? nil : variable(for: x.constants[i]))
      if let source, pieces.lines[0].slope != 0 { result.add(source, pieces.lines[0].slope) }
      for (k, relu) in relus.enumerated() {
        // Two entries, since the difference of two slopes may not be a double.
        if pieces.lines[k + 1].slope != 0 { result.add(relu.variables[i], pieces.lines[k + 1].slope) }
        if pieces.lines[k].slope != 0 { result.add(relu.variables[i], -pieces.lines[k].slope) }
      }
      result.end(bias: pieces.lines[0].intercept)
    }
    return Value(rows: result)
  }

  private func checkContinuity(_ pieces: PiecewiseLinear, _ node: Node) throws {
    for (k, point) in pieces.breakpoints.enumerated() {
      let left = pieces.lines[k]
      let right = pieces.lines[k + 1]
      let x = Rational(point)
      let a = Rational(left.slope) * x + Rational(left.intercept)
      let b = Rational(right.slope) * x + Rational(right.intercept)
      guard a == b else { throw refused(node, "its pieces do not meet exactly") }
    }
  }

  mutating func product(_ form: any BilinearForm, _ a: Value, _ b: Value, at node: Node) throws -> Value {
    throw refused(node, "a product of two variable tensors is not piecewise linear")
  }

  mutating func discrete(_ f: any DiscreteFunction, _ x: [Value], at node: Node) throws -> Value {
    throw refused(node, "\(f.name) has no exact encoding")
  }

  mutating func selection(_ s: Selection, _ x: [Value], at node: Node) throws -> Value {
    for value in x { settle(value, node.name) }
    let flatVariables = x.flatMap(\.variables)
    let flatConstants = x.flatMap(\.constants)
    let sign: Double = s.extremum == .maximum ? 1 : -1
    // Every candidate is a small form; a knock-out tournament replaces pairs by max(a, b) = b + relu(a - b).
    struct Form {
      var terms: [(variable: Int32, coefficient: Double)]
    }
    var heats: [[Form]] = []
    for o in 0..<s.outputShape.count {
      var forms: [Form] = []
      for c in 0..<s.width {
        let index = Int(s.candidates[o * s.width + c])
        if index < 0 { break }
        var v = flatVariables[index]
        if v < 0 {
          if flatConstants[index] == 0 {
            forms.append(Form(terms: []))
            continue
          }
          v = variable(for: flatConstants[index])
        }
        forms.append(Form(terms: [(v, sign)]))
      }
      heats.append(forms)
    }
    while heats.contains(where: { $0.count > 1 }) {
      var rows = RowList()
      for forms in heats {
        for pair in stride(from: 0, to: forms.count - 1, by: 2) {
          for term in forms[pair].terms { rows.add(term.variable, term.coefficient) }
          for term in forms[pair + 1].terms { rows.add(term.variable, -term.coefficient) }
          rows.end(bias: 0)
        }
      }
      let relus = append(.relu, rows, node.name)
      var used = 0
      for o in heats.indices {
        let forms = heats[o]
        var winners: [Form] = []
        for pair in stride(from: 0, to: forms.count - 1, by: 2) {
          winners.append(Form(terms: forms[pair + 1].terms + [(relus.variables[used], 1)]))
          used += 1
        }
        if forms.count % 2 == 1 { winners.append(forms[forms.count - 1]) }
        heats[o] = winners
      }
    }
    var result = RowList()
    for forms in heats {
      for term in forms[0].terms { result.add(term.variable, sign * term.coefficient) }
      result.end(bias: 0)
    }
    return Value(rows: result)
  }
}

/// The identity, for adding values that already have variables.
private struct CopyMap: LinearMap {
  let shape: Shape
  var inputShape: Shape { shape }
  var outputShape: Shape { shape }
  var fanIn: Int { 0 }
  var fanOut: Int { 0 }
  init(shape: Shape) { self.shape = shape }
  func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { x }
  func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { y }
  func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { x }
  func row(_ output: Int) -> [SparseEntry] { [SparseEntry(output, 1)] }
}

extension PiecewiseLinearNetwork {
  /// Lowers a graph, from its inputs (or from one node taken as the input) to one node.
  ///
  /// - Parameters:
  ///   - graph: The network.
  ///   - target: The node whose elements become the outputs.
  ///   - source: A node to cut the graph at: its value becomes the input. By default the graph's inputs, in order.
  /// - Throws: `UnsupportedOperator` for operators that are not piecewise linear.
  public init(_ graph: Graph, to target: NodeID, from source: NodeID? = nil) throws {
    let cut = graph.cut(to: target, from: source)
    let sizes = cut.inputNodes.map(\.shape.count)
    let total = sizes.reduce(0, +)
    var domain = PiecewiseLinearDomain(inputCount: total)
    var first = 0
    var values: [PiecewiseLinearDomain.Value] = []
    for size in sizes {
      values.append(domain.inputValue(first: first, count: size))
      first += size
    }
    let trace = try cut.interpret(values, in: &domain)
    let outputs = domain.finish(trace.outputs[0], graph[target].name)
    self.init(inputCount: total, blocks: domain.blocks, outputs: outputs)
  }
}

extension Graph {
  /// The part of the graph between a node that becomes the input and a node that becomes the output.
  func cut(to target: NodeID, from source: NodeID?) -> Graph {
    let output = Output(name: self[target].name, node: target)
    guard let source else { return withOutputs([output]).prunedToOutputs() }
    var result: [Node] = []
    for node in nodes {
      let isSource = node.id == source
      result.append(
        Node(
          id: node.id, name: node.name, origin: node.origin, operation: isSource ? .input : node.operation,
          inputs: isSource ? [] : node.inputs, shape: node.shape, elementType: node.elementType))
    }
    return Graph(nodes: result, inputs: [source], outputs: [output]).prunedToOutputs()
  }
}

extension Graph {
  /// How many neurons the exact form has, nil if an operator has no exact form.
  package var piecewiseLinearNeurons: Int? {
    var count = 0
    for node in nodes {
      switch node.operation {
      case .input, .constant, .affine: break
      case .elementwise(let f):
        guard f.name == "Sign" || f.pieces != nil else { return nil }
        count += node.shape.count * (f.pieces?.breakpoints.count ?? 1)
      case .selection(let s): count += s.candidates.count { $0 >= 0 } - s.outputShape.count
      default: return nil
      }
    }
    return count
  }
}
