import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

// Recurrent layers, in terms of ONNX's.
extension KerasLayers {
  static let recurrences: [String: Lower] = [
    "SimpleRNN": { call in try recurrent(call, "RNN") },
    "LSTM": { call in try recurrent(call, "LSTM") },
    "GRU": { call in try recurrent(call, "GRU") },
    "Bidirectional": { call in try bidirectional(call) },
  ]

  /// The gates of ONNX's layers by their places in Keras's: LSTM i, o, f, c from i, f, c, o; GRU z, r, h in both.
  private static let gates = ["RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [0, 1, 2]]

  private static func recurrent(_ call: KerasCall, _ op: String) throws -> [KerasValue] {
    let config = call.config
    let x = try call.plain()
    guard x.rank == 3 else { throw config.unsupported("needs a time axis, not a value of shape \(x.shape)") }
    // Every operator of the table has gates.
    let order = gates[op] ?? [0]
    let hasBias = try usesBias(call)
    let weights = try call.weights(["kernel", "recurrent_kernel"] + (hasBias ? ["bias"] : []))
    let features = x.shape[2]
    guard let columns = weights[0].shape.last, columns % order.count == 0, columns > 0 else {
      throw config.unsupported("the kernel has the shape \(weights[0].shape)")
    }
    let units = columns / order.count
    try check(call, ["units", "output_dim"], is: units)
    try call.check(weights[0], "the kernel", [features, columns], x.shape)
    try call.check(weights[1], "the recurrent kernel", [units, columns], x.shape)
    var attributes: [Onnx_AttributeProto] = [.int("hidden_size", units)]
    var resetsAfter = false
    if op == "GRU" {
      resetsAfter = try config.bool("reset_after", default: call.isKeras3)
      attributes.append(.int("linear_before_reset", resetsAfter ? 1 : 0))
    }
    attributes += try functions(call, op)
    let backwards = try config.bool("go_backwards", default: false) != call.isReversed
    if backwards { attributes.append(.string("direction", "reverse")) }
    var bias: Value?
    if hasBias {
      let stored = weights[2]
      try call.check(stored, "the bias", resetsAfter ? [2, columns] : [columns], x.shape)
      let zeros = [Double](repeating: 0, count: columns)
      let rows = stride(from: 0, to: stored.values.count, by: columns).map { start in
        order.flatMap { gate in
          stored.values[(start + gate * units)..<(start + (gate + 1) * units)].map { Double($0) }
        }
      }
      bias = Value((rows + [zeros]).prefix(2).flatMap { $0 }, [1, 2 * columns], .float32)
    }
    let results = try call.onnx(
      op,
      [
        try call.l.transpose(x, [1, 0, 2]), gateRows(weights[0], order, units),
        gateRows(weights[1], order, units), bias,
      ], attributes, outputs: op == "LSTM" ? 3 : 2)
    func state(_ index: Int) throws -> KerasValue {
      KerasValue(try call.l.reshape(results[index], [1, units]))
    }
    var first = try state(1)
    if try config.bool("return_sequences", default: false) {
      var y = try call.l.reshape(results[0], [1, x.shape[1], units])
      // Steps stand in the order in which they were computed.
      if backwards { y = try call.l.flip(y, axis: 1) }
      first = KerasValue(y)
    }
    guard try config.bool("return_state", default: false) else { return [call.named(first)] }
    return [call.named(first), try state(1)] + (op == "LSTM" ? [try state(2)] : [])
  }

  /// A kernel `[inputs, gates * units]` as `[1, gates * units, inputs]`, its gates in another order.
  private static func gateRows(_ data: HDF5File.Dataset, _ order: [Int], _ units: Int) -> Value {
    let (inputs, columns) = (data.shape[0], data.shape[1])
    var values: [Double] = []
    values.reserveCapacity(data.values.count)
    for gate in order {
      for unit in 0..<units {
        for i in 0..<inputs { values.append(Double(data.values[i * columns + gate * units + unit])) }
      }
    }
    return Value(values, [1, columns, inputs], .float32)
  }

  /// The activations of the gates and of the state.
  private static func functions(_ call: KerasCall, _ op: String) throws -> [Onnx_AttributeProto] {
    var names: [String] = []
    var alphas: [Double] = []
    var betas: [Double] = []
    func add(_ key: String, _ fallback: String) throws {
      let field = try call.config.optional(key)
      guard let name = field.map(\.value.stringValue) ?? fallback else {
        throw call.config.unsupported("only functions by name are supported", member: key)
      }
      switch name {
      case "tanh", "sigmoid", "relu", "softsign", "softplus": names.append(name)
      case "hard_sigmoid" where !call.isKeras3:
        names.append("hardsigmoid")
        alphas.append(0.2)
        betas.append(0.5)
      case "linear":
        names.append("affine")
        alphas.append(1)
        betas.append(0)
      default: throw call.config.unsupported("the activation '\(name)' is not supported", member: key)
      }
    }
    if op != "RNN" { try add("recurrent_activation", call.isKeras3 ? "sigmoid" : "hard_sigmoid") }
    try add("activation", "tanh")
    if op == "LSTM" { try add("activation", "tanh") }
    var attributes: [Onnx_AttributeProto] = [.strings("activations", names)]
    if !alphas.isEmpty {
      attributes += [.floats("activation_alpha", alphas), .floats("activation_beta", betas)]
    }
    return attributes
  }

  /// One layer in either direction, joined.
  private static func bidirectional(_ call: KerasCall) throws -> [KerasValue] {
    let config = call.config
    let forward = try innerLayer(call, "layer")
    let x = try call.plain()
    let count = try call.session.file.weights.entries(call.path).count
    guard count % 2 == 0, ["SimpleRNN", "LSTM", "GRU"].contains(forward.kind) else {
      throw config.unsupported("a layer of kind \(forward.kind) inside is not supported", member: "layer")
    }
    // Where the backward layer is not described, it is the forward one in the other direction.
    let isDescribed = try config.optional("backward_layer") != nil
    let backward = isDescribed ? try innerLayer(call, "backward_layer") : forward
    let half = count / 2
    let there = try run(forward, call, [KerasValue(x)], "/forward", weights: 0..<half)
    let back = try run(
      backward, call, [KerasValue(x)], "/backward", weights: half..<count, reversed: !isDescribed)
    guard there.count == 1, back.count == 1 else {
      throw config.unsupported("states as outputs are not supported", member: "layer")
    }
    let (a, c) = (there[0].value, back[0].value)
    guard a.rank == c.rank else { throw config.unsupported("the two directions give different values") }
    let b = c.rank == 3 ? try call.l.flip(c, axis: 1) : c
    let mode = try config.optional("merge_mode")?.string()
    switch mode {
    case nil: return [KerasValue(a), KerasValue(b)]
    case "concat": return [KerasValue(try call.l.concat([a, b], axis: a.rank - 1))]
    case "sum": return [KerasValue(try call.l.add(a, b))]
    case "ave": return [KerasValue(try call.l.scale(try call.l.add(a, b), 0.5))]
    case "mul": return [KerasValue(try call.l.mul(a, b))]
    default: throw config.unsupported("the mode is not known", member: "merge_mode")
    }
  }
}
