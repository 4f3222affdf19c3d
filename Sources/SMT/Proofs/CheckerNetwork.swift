import IR
import Tensors

/// The checker's own reading of a network: affine rows, ReLUs and signs, one variable each.
///
/// Written separately from the solver's lowering on purpose, and simpler: nothing is fused. Both number neurons in the same
/// order, which the proof format fixes: in the order of the graph; a piecewise linear function makes one neuron per
/// breakpoint and element (breakpoint by breakpoint), a maximum is a knock-out of neighbours round by round.
package struct CheckerNetwork {
  struct Block {
    var kind: Kind
    var first: Int
    var rows: [[(variable: Int, weight: Double)]]
    var bias: [Double]
    var denominator: Int
  }

  enum Kind { case affine, relu, sign }

  var inputCount: Int
  var blocks: [Block] = []
  var variableCount: Int
  package var outputs: [Int] = []
  /// The variable of every neuron, by number.
  var neurons: [Int] = []

  package init(_ graph: Graph, to target: NodeID) throws {
    let cut = graph.cut(to: target, from: nil)
    inputCount = cut.inputNodes.reduce(0) { $0 + $1.shape.count }
    variableCount = inputCount
    var reader = CheckerDomain(network: self)
    var first = 0
    var inputs: [[CheckerDomain.Element]] = []
    for node in cut.inputNodes {
      inputs.append((first..<(first + node.shape.count)).map { .variable($0) })
      first += node.shape.count
    }
    let trace = try cut.interpret(inputs, in: &reader)
    let results = trace.outputs[0]
    self = reader.network
    // Constants among the outputs get a variable too.
    for element in results { outputs.append(settle(element)) }
  }

  mutating func settle(_ element: CheckerDomain.Element) -> Int {
    switch element {
    case .variable(let v): return v
    case .constant(let c):
      return append(.affine, rows: [[]], bias: [c], denominator: 1).first ?? 0
    }
  }

  @discardableResult
  mutating func append(
    _ kind: Kind, rows: [[(variable: Int, weight: Double)]], bias: [Double], denominator: Int
  ) -> [Int] {
    let first = variableCount
    blocks.append(Block(kind: kind, first: first, rows: rows, bias: bias, denominator: denominator))
    variableCount += rows.count
    let made = Array(first..<variableCount)
    if kind != .affine { neurons += made }
    return made
  }
}

/// The walk that reads a graph for the checker.
struct CheckerDomain: Domain {
  enum Element {
    case variable(Int)
    case constant(Double)
  }
  typealias Value = [Element]

  var network: CheckerNetwork

  private func refusal(_ node: Node, _ reason: String) -> UnsupportedOperator {
    UnsupportedOperator(node, reason: "the proof checker does not know this: " + reason)
  }

  private mutating func single(_ element: Element) -> [(variable: Int, weight: Double)] {
    if case .constant(0) = element { return [] }
    return [(network.settle(element), 1)]
  }

  mutating func constant(_ weight: Weight, at node: Node) throws -> Value {
    weight.values.elements.map { .constant($0) }
  }

  mutating func affine(_ map: Affine, _ x: [Value], at node: Node) throws -> Value {
    if map.maps.contains(where: { $0.denominator != 1 }) && (map.maps.count > 1 || map.bias != nil) {
      // Terms with divisors are taken one by one; the sum follows.
      var rows = [[(variable: Int, weight: Double)]](repeating: [], count: node.shape.count)
      for (linear, value) in zip(map.maps, x) {
        let part = try affine(Affine([linear]), [value], at: node)
        for (o, element) in part.enumerated() { rows[o] += single(element) }
      }
      let bias = map.bias?.values.elements ?? [Double](repeating: 0, count: rows.count)
      return network.append(.affine, rows: rows, bias: bias, denominator: 1).map { .variable($0) }
    }
    let count = map.maps[0].outputShape.count
    let bias = map.bias?.values.elements ?? [Double](repeating: 0, count: count)
    let denominator = map.maps[0].denominator
    var result: [Element] = []
    var rows: [[(variable: Int, weight: Double)]] = []
    var isCopy = denominator == 1
    for o in 0..<count {
      var row: [(variable: Int, weight: Double)] = []
      var last = Element.constant(bias[o])
      for (linear, value) in zip(map.maps, x) {
        for entry in linear.row(o) where entry.coefficient != 0 {
          if case .constant(0) = value[entry.index] { continue }
          last = value[entry.index]
          row.append((network.settle(last), entry.coefficient))
        }
      }
      if row.count > 1 || (row.count == 1 && (row[0].weight != 1 || bias[o] != 0)) { isCopy = false }
      rows.append(row)
      result.append(last)
    }
    if isCopy { return result }
    return network.append(.affine, rows: rows, bias: bias, denominator: denominator).map { .variable($0) }
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Value, at node: Node) throws -> Value {
    let zeros = [Double](repeating: 0, count: x.count)
    if f.name == "Sign" {
      let rows = x.map { single($0) }
      return network.append(.sign, rows: rows, bias: zeros, denominator: 1).map { .variable($0) }
    }
    guard let pieces = f.pieces else { throw refusal(node, f.name) }
    let variables = x.map { single($0) }
    var relus: [[Int]] = []
    for breakpoint in pieces.breakpoints {
      let shift = [Double](repeating: breakpoint == 0 ? 0 : -breakpoint, count: x.count)
      relus.append(network.append(.relu, rows: variables, bias: shift, denominator: 1))
    }
    if pieces.breakpoints == [0], pieces.lines[0] == (0, 0), pieces.lines[1] == (1, 0) {
      return relus[0].map { .variable($0) }
    }
    var rows: [[(variable: Int, weight: Double)]] = []
    for i in x.indices {
      var row = variables[i].map { (variable: $0.variable, weight: pieces.lines[0].slope) }
      for k in relus.indices {
        row.append((relus[k][i], pieces.lines[k + 1].slope))
        row.append((relus[k][i], -pieces.lines[k].slope))
      }
      rows.append(row)
    }
    let start = [Double](repeating: pieces.lines[0].intercept, count: x.count)
    return network.append(.affine, rows: rows, bias: start, denominator: 1).map { .variable($0) }
  }

  mutating func selection(_ s: Selection, _ x: [Value], at node: Node) throws -> Value {
    let flat = x.flatMap { $0 }
    let sign: Double = s.extremum == .maximum ? 1 : -1
    var rounds: [[[(variable: Int, weight: Double)]]] = []
    for o in 0..<s.outputShape.count {
      let indices = s.candidates[(o * s.width)..<((o + 1) * s.width)].prefix { $0 >= 0 }
      rounds.append(indices.map { single(flat[Int($0)]).map { ($0.variable, sign) } })
    }
    while rounds.contains(where: { $0.count > 1 }) {
      var rows: [[(variable: Int, weight: Double)]] = []
      for players in rounds {
        for k in 0..<(players.count / 2) {
          rows.append(players[2 * k] + players[2 * k + 1].map { ($0.variable, -$0.weight) })
        }
      }
      var winners = network.append(
        .relu, rows: rows, bias: [Double](repeating: 0, count: rows.count), denominator: 1
      ).makeIterator()
      for o in rounds.indices {
        var next: [[(variable: Int, weight: Double)]] = []
        for k in 0..<(rounds[o].count / 2) {
          // One neuron was made for every pair, in this order.
          if let neuron = winners.next() { next.append(rounds[o][2 * k + 1] + [(neuron, 1)]) }
        }
        if rounds[o].count % 2 == 1, let last = rounds[o].last { next.append(last) }
        rounds[o] = next
      }
    }
    let rows = rounds.map { ($0.first ?? []).map { (variable: $0.variable, weight: sign * $0.weight) } }
    let zeros = [Double](repeating: 0, count: rows.count)
    return network.append(.affine, rows: rows, bias: zeros, denominator: 1).map { .variable($0) }
  }

  mutating func product(_ form: any BilinearForm, _ a: Value, _ b: Value, at node: Node) throws -> Value {
    throw refusal(node, "a product")
  }

  mutating func discrete(_ f: any DiscreteFunction, _ x: [Value], at node: Node) throws -> Value {
    throw refusal(node, f.name)
  }
}
