import IR
import Operators
import Tensors

// Recurrent layers, expanded step by step. All steps share the weights; a step's nodes are used by the next once.
extension OnnxOperators {
  static let recurrences: [String: Lower] = [
    "RNN": { node, l in try recurrent(node, l, gates: 1, states: 1, activations: ["Tanh"], rnnStep) },
    "GRU": { node, l in
      try recurrent(node, l, gates: 3, states: 1, activations: ["Sigmoid", "Tanh"], gruStep)
    },
    "LSTM": { node, l in
      try recurrent(node, l, gates: 4, states: 2, activations: ["Sigmoid", "Tanh", "Tanh"], lstmStep)
    },
  ]

  /// What one direction of a layer needs at every step.
  private struct Cell {
    /// Input weights times the step's input plus the input bias, `[batch, gates * hidden]`.
    var input: Value
    /// Transposed recurrence weights `[hidden, gates * hidden]`.
    var recurrence: Value
    /// LSTM: the product of the state with the recurrence weights where it is not the plain one.
    var product: Product?
    /// The recurrence bias `[gates * hidden]`, nil if there is none.
    var bias: Value?
    /// Peephole weights `[3 * hidden]` of an LSTM.
    var peepholes: Value?
    var hidden: Int
    var activations: [(Value) throws -> Value]
    var clip: Double?
    /// GRU: whether the reset gate is applied after the recurrent product. LSTM: whether input and forget gate are
    /// coupled.
    var option: Bool
    var lowering: Lowering

    func gate(_ x: Value, _ index: Int) throws -> Value {
      try lowering.slice(x, axis: x.rank - 1, (index * hidden)..<((index + 1) * hidden))
    }
    func activate(_ index: Int, _ x: Value) throws -> Value {
      let clipped = try clip.map { try lowering.elementwise(Operators.Clip(-$0, $0), x) } ?? x
      return try activations[index](clipped)
    }
  }

  private typealias Step = (Cell, [Value]) throws -> [Value]
  /// A matrix times weights of a fixed direction.
  private typealias Product = (Value) throws -> Value

  /// LSTM whose weights are bytes and whose inputs and states are quantised as they come: `[directions, features,
  /// gates * hidden]`, with a scale and a zero point for every direction or every column.
  static func quantizedLSTM(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    try recurrent(
      node, l, gates: 4, states: 2, activations: ["Sigmoid", "Tanh", "Tanh"], lstmStep, isQuantized: true)
  }

  private static func quantizedProduct(
    _ node: OnnxNode, _ l: Lowering, weights: Int, scale: Int, direction: Int
  ) throws -> Product {
    let w = try l.cast(try l.select(try node.input(weights), axis: 0, direction), to: .int32)
    func parameter(_ value: Value) throws -> Value {
      let own = try l.select(value, axis: 0, direction)
      guard own.shape.count == 1 || own.shape == [w.shape[1]] else {
        throw node.malformed("scales or zero points of shape \(value.shape) do not fit")
      }
      return own
    }
    let factor = try parameter(try node.input(scale))
    let zero = try node.optional(scale + 1).map { try l.cast(try parameter($0), to: .int32) }
    let centered = try zero.map { try l.sub(w, $0) } ?? w
    return { x in
      let a = try dynamicallyQuantized(x, node, l)
      let left = try l.sub(try l.cast(a.values, to: .int32), try l.cast(a.zero, to: .int32))
      return try l.mul(try l.cast(try l.matmul(left, centered), to: .float32), try l.mul(a.scale, factor))
    }
  }

  private static func rnnStep(_ cell: Cell, _ state: [Value]) throws -> [Value] {
    let l = cell.lowering
    let recurrent = try l.matmul(state[0], cell.recurrence)
    let sum = try l.sum([cell.input, recurrent] + (cell.bias.map { [$0] } ?? []))
    return [try cell.activate(0, sum)]
  }

  /// Gates in the order update, reset, hidden.
  private static func gruStep(_ cell: Cell, _ state: [Value]) throws -> [Value] {
    let l = cell.lowering
    let h = state[0]
    let n = cell.hidden
    let firstTwo = try l.slice(cell.recurrence, axis: 1, 0..<(2 * n))
    let third = try l.slice(cell.recurrence, axis: 1, (2 * n)..<(3 * n))
    var gates = try l.add(try l.slice(cell.input, axis: 1, 0..<(2 * n)), try l.matmul(h, firstTwo))
    if let bias = cell.bias { gates = try l.add(gates, try l.slice(bias, axis: 0, 0..<(2 * n))) }
    let update = try cell.activate(0, try cell.gate(gates, 0))
    let reset = try cell.activate(0, try cell.gate(gates, 1))
    let candidateInput = try cell.gate(cell.input, 2)
    let hiddenBias = try cell.bias.map { try cell.gate($0, 2) }
    var recurrent: Value
    if cell.option {
      recurrent = try l.matmul(h, third)
      if let hiddenBias { recurrent = try l.add(recurrent, hiddenBias) }
      recurrent = try l.mul(reset, recurrent)
    } else {
      recurrent = try l.matmul(try l.mul(reset, h), third)
      if let hiddenBias { recurrent = try l.add(recurrent, hiddenBias) }
    }
    let candidate = try cell.activate(1, try l.add(candidateInput, recurrent))
    // (1 - z) candidate + z h, as candidate + z (h - candidate): one product less to relax.
    return [try l.add(candidate, try l.mul(update, try l.sub(h, candidate)))]
  }

  /// Gates in the order input, output, forget, cell.
  private static func lstmStep(_ cell: Cell, _ state: [Value]) throws -> [Value] {
    let l = cell.lowering
    let (h, c) = (state[0], state[1])
    let recurrent = try cell.product.map { try $0(h) } ?? l.matmul(h, cell.recurrence)
    let gates = try l.sum([cell.input, recurrent] + (cell.bias.map { [$0] } ?? []))
    func peep(_ index: Int, _ gate: Value, _ state: Value) throws -> Value {
      guard let weights = cell.peepholes else { return gate }
      return try l.add(gate, try l.mul(state, try cell.gate(weights, index)))
    }
    let input = try cell.activate(0, try peep(0, try cell.gate(gates, 0), c))
    let forget =
      cell.option
      ? try l.add(try l.negate(input), 1) : try cell.activate(0, try peep(2, try cell.gate(gates, 2), c))
    let candidate = try cell.activate(1, try cell.gate(gates, 3))
    let next = try l.add(try l.mul(forget, c), try l.mul(input, candidate))
    let output = try cell.activate(0, try peep(1, try cell.gate(gates, 1), next))
    return [try l.mul(output, try cell.activations[2](next)), next]
  }

  private static func recurrent(
    _ node: OnnxNode, _ l: Lowering, gates: Int, states: Int, activations defaults: [String], _ step: Step,
    isQuantized: Bool = false
  ) throws -> [Value] {
    var x = try node.input(0)
    var (w, r) = (try node.input(1), try node.input(2))
    guard x.rank == 3, w.rank == 3, r.rank == 3 else { throw node.malformed("needs tensors of three axes") }
    if isQuantized { (w, r) = (try l.transpose(w, [0, 2, 1]), try l.transpose(r, [0, 2, 1])) }
    // layout 1 has the batch first everywhere.
    let batchFirst = try node.bool("layout", default: false)
    if batchFirst { x = try l.transpose(x, [1, 0, 2]) }
    let (steps, batch, features) = (x.shape[0], x.shape[1], x.shape[2])
    let direction = try node.string("direction") ?? "forward"
    guard ["forward", "reverse", "bidirectional"].contains(direction) else {
      throw node.malformed("'\(direction)' is no direction", attribute: "direction")
    }
    let directions = direction == "bidirectional" ? 2 : 1
    let hidden = try node.int("hidden_size") ?? r.shape[2]
    guard hidden > 0, w.shape == [directions, gates * hidden, features],
      r.shape == [directions, gates * hidden, hidden]
    else {
      throw node.malformed(
        "weights of shape \(w.shape) and \(r.shape) do not fit an input of shape \(x.shape)")
    }
    guard steps * directions <= 1 << 14 else { throw node.unsupported("\(steps) steps are too many") }
    let lengths = try node.optional(4).map { try l.ints($0, "the sequence lengths") }
    if let lengths, lengths.count != batch || !lengths.allSatisfy({ $0 >= 0 && $0 <= steps }) {
      throw node.malformed("the sequence lengths \(lengths) do not fit \(batch) sequences of \(steps) steps")
    }
    let functions = try activationFunctions(node, l, defaults, directions)
    let clip = try node.float("clip")
    if let clip, clip <= 0 { throw node.malformed("\(clip) is no bound", attribute: "clip") }
    let option = try node.bool(gates == 3 ? "linear_before_reset" : "input_forget", default: false)
    func initial(_ index: Int) throws -> Value {
      guard let value = node.optional(index) else {
        return try l.filled(0, [directions, batch, hidden], x.type)
      }
      return batchFirst ? try l.transpose(value, [1, 0, 2]) : value
    }
    let starts = [try initial(5)] + (states == 2 ? [try initial(6)] : [])
    for start in starts where start.shape != [directions, batch, hidden] {
      throw node.malformed("an initial state of shape \(start.shape) does not fit")
    }
    var sequences: [[Value]] = []
    var finals: [[Value]] = []
    for d in 0..<directions {
      let reverse = direction == "reverse" || d == 1
      let bias = try node.optional(3).map { try l.select($0, axis: 0, d) }
      let half = gates * hidden
      if let bias, bias.shape != [2 * half] {
        throw node.malformed("a bias of shape \(bias.shape) does not fit")
      }
      // All steps' input products at once.
      var inputs =
        isQuantized
        ? try quantizedProduct(node, l, weights: 1, scale: 8, direction: d)(x)
        : try l.matmul(x, try l.transposeMatrix(try l.select(w, axis: 0, d)))
      if let bias { inputs = try l.add(inputs, try l.slice(bias, axis: 0, 0..<half)) }
      var cell = Cell(
        input: inputs, recurrence: try l.transposeMatrix(try l.select(r, axis: 0, d)),
        product: isQuantized ? try quantizedProduct(node, l, weights: 2, scale: 10, direction: d) : nil,
        bias: try bias.map { try l.slice($0, axis: 0, half..<(2 * half)) },
        peepholes: states == 2 ? try node.optional(7).map { try l.select($0, axis: 0, d) } : nil,
        hidden: hidden, activations: Array(functions[(d * defaults.count)..<((d + 1) * defaults.count)]),
        clip: clip, option: option, lowering: l)
      var state = try starts.map { try l.select($0, axis: 0, d) }
      var outputs = [Value?](repeating: nil, count: steps)
      for t in 0..<steps {
        let time = reverse ? steps - 1 - t : t
        cell.input = try l.select(inputs, axis: 0, time)
        let next = try step(cell, state)
        guard let lengths, lengths.contains(where: { $0 <= time }) else {
          state = next
          outputs[time] = next[0]
          continue
        }
        // Sequences that have ended keep their state and output zeros.
        let running = Value(lengths.map { time < $0 ? 1 : 0 }, [batch, 1], .bool)
        state = try zip(next, state).map { try l.choose(running, $0, $1) }
        outputs[time] = try l.choose(running, next[0], try l.filled(0, [batch, hidden], x.type))
      }
      sequences.append(outputs.compactMap { $0 })
      finals.append(state)
    }
    // Y is [steps, directions, batch, hidden], the final states [directions, batch, hidden].
    var results: [Value] = []
    if node.wantsOutput(0) {
      let perStep = try (0..<steps).map { t in try l.stack(sequences.map { $0[t] }, axis: 0) }
      let y =
        steps == 0 ? try l.filled(0, [0, directions, batch, hidden], x.type) : try l.stack(perStep, axis: 0)
      results.append(batchFirst ? try l.transpose(y, [2, 0, 1, 3]) : y)
    } else {
      results.append(.nothing)
    }
    for s in 0..<states {
      let last = try l.stack(finals.map { $0[s] }, axis: 0)
      results.append(batchFirst ? try l.transpose(last, [1, 0, 2]) : last)
    }
    return results
  }

  /// The activation functions of all directions, with their parameters.
  private static func activationFunctions(
    _ node: OnnxNode, _ l: Lowering, _ defaults: [String], _ directions: Int
  ) throws -> [(Value) throws -> Value] {
    let names = try node.strings("activations") ?? (0..<directions).flatMap { _ in defaults }
    guard names.count == defaults.count * directions else {
      throw node.malformed("\(names.count) functions do not fit", attribute: "activations")
    }
    var alphas = (try node.floats("activation_alpha") ?? [])[...]
    var betas = (try node.floats("activation_beta") ?? [])[...]
    return try names.map { name in
      func alpha(_ value: Double) -> Double { alphas.popFirst() ?? value }
      func beta(_ value: Double) -> Double { betas.popFirst() ?? value }
      let f: any ElementwiseFunction
      switch name.lowercased() {
      case "tanh": f = Tanh()
      case "sigmoid": f = Sigmoid()
      case "relu": f = Relu()
      case "softsign": f = Softsign()
      case "softplus": f = Softplus()
      case "leakyrelu": f = Relu(negativeSlope: alpha(0.01))
      case "thresholdedrelu": f = ThresholdedRelu(alpha: alpha(1))
      case "elu": f = Elu.elu(alpha: alpha(1))
      case "hardsigmoid":
        let (a, b) = (alpha(0.2), beta(0.5))
        return { try hardSigmoid($0, a, b, l) }
      case "affine":
        let (a, b) = (alpha(1), beta(0))
        return { try l.add(try l.scale($0, a), b) }
      case "scaledtanh":
        let (a, b) = (alpha(1), beta(1))
        return { try l.scale(try l.elementwise(Tanh(), try l.scale($0, b)), a) }
      default: throw node.unsupported("'\(name)' is not known", attribute: "activations")
      }
      return { try l.elementwise(f, $0) }
    }
  }
}
