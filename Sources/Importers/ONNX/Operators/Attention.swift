import IR
import Operators
import Tensors

// Attention and what belongs to it.
extension OnnxOperators {
  static let attention: [String: Lower] = [
    "Attention": { node, l in try attend(node, l) },
    "RotaryEmbedding": { node, l in [try rotate(node, l)] },
    "LinearAttention": { node, l in try linearAttention(node, l) },
  ]

  /// `[B, T, heads * size]` to `[B, heads, T, size]`.
  private static func splitHeads(_ x: Value, _ heads: Int, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    guard x.rank == 3, heads > 0, x.shape[2] % heads == 0 else {
      throw node.malformed("\(heads) heads do not fit \(x.shape)")
    }
    let split = try l.reshape(x, [x.shape[0], x.shape[1], heads, x.shape[2] / heads])
    return try l.transpose(split, [0, 2, 1, 3])
  }

  /// `[B, heads, T, size]` to `[B, T, heads * size]`.
  private static func joinHeads(_ x: Value, _ l: Lowering) throws -> Value {
    let moved = try l.transpose(x, [0, 2, 1, 3])
    return try l.reshape(moved, [moved.shape[0], moved.shape[1], moved.shape[2] * moved.shape[3]])
  }

  /// Repeats every head of `x` so that there are `heads` of them: `h0, h0, h1, h1, ...`
  private static func repeatHeads(_ x: Value, _ heads: Int, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    let own = x.shape[1]
    if own == heads { return x }
    guard own > 0, heads % own == 0 else { throw node.malformed("\(own) heads cannot serve \(heads)") }
    return try l.take(x, axis: 1, (0..<heads).map { $0 / (heads / own) })
  }

  private static func attend(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    var (q, k, v) = (try node.input(0), try node.input(1), try node.input(2))
    let joined = q.rank == 3
    if joined {
      let queryHeads = try node.require("q_num_heads", try node.int("q_num_heads"))
      let keyHeads = try node.require("kv_num_heads", try node.int("kv_num_heads"))
      q = try splitHeads(q, queryHeads, node, l)
      k = try splitHeads(k, keyHeads, node, l)
      v = try splitHeads(v, keyHeads, node, l)
    } else {
      node.ignore("q_num_heads", "kv_num_heads")
    }
    guard q.rank == 4, k.rank == 4, v.rank == 4 else {
      throw node.malformed("needs tensors of three or four axes")
    }
    let causal = try node.bool("is_causal", default: false)
    let scale = AttentionScale(try node.float("scale"), width: q.shape[3])
    guard scale.factor >= 0 else { throw node.malformed("is negative", attribute: "scale") }
    let softcap = try node.float("softcap", default: 0)
    let mode = try node.int("qk_matmul_output_mode", default: 0)
    let left = try node.int("left_window_size", default: -1)
    let right = try node.int("right_window_size", default: -1)
    node.ignore("softmax_precision")
    let type = q.type
    var offset = 0
    if let past = node.optional(4) {
      try l.require(past.rank == 4, "past keys of shape \(past.shape)")
      offset = past.shape[2]
      k = try l.concat([past, k], axis: 2)
    }
    if let past = node.optional(5) { v = try l.concat([past, v], axis: 2) }
    let present = (k, v)
    let (queries, keys) = (q.shape[2], k.shape[2])
    let lengths = try node.optional(6).map { try l.ints($0, "the numbers of keys in use") }
    // Per batch entry, how many keys precede the first query.
    let offsets = lengths != nil && node.optional(4) == nil ? lengths?.map { $0 - queries } ?? [] : [offset]
    if let lengths, lengths.count != q.shape[0] {
      throw node.malformed("\(lengths.count) lengths for \(q.shape[0]) examples")
    }

    var bias: Value?
    func join(_ other: Value) throws { bias = try bias.map { try l.add($0, other) } ?? other }
    if let mask = node.optional(3) { try join(try additive(mask, keys, type, node, l)) }
    if causal || left >= 0 || right >= 0 {
      var allowed: [Double] = []
      for offset in offsets {
        for i in 0..<queries {
          for j in 0..<keys {
            let distance = i + offset - j
            let open =
              (!causal || distance >= 0) && (left < 0 || distance <= left)
              && (right < 0 || -distance <= right)
            allowed.append(open ? 0 : -.infinity)
          }
        }
      }
      try join(Value(allowed, [offsets.count, 1, queries, keys], type))
    }
    if let lengths {
      let padding = lengths.flatMap { length in (0..<keys).map { $0 < length ? 0 : -Double.infinity } }
      try join(Value(padding, [lengths.count, 1, 1, keys], type))
    }

    k = try repeatHeads(k, q.shape[1], node, l)
    v = try repeatHeads(v, q.shape[1], node, l)
    let raw = try self.scores(q, k, scale, l)
    var scores = raw
    if softcap > 0 {
      let bounded = try l.elementwise(Tanh(), try l.div(scores, Value(scalar: softcap, type)))
      scores = try l.scale(bounded, softcap)
    }
    let capped = scores
    if let bias { scores = try l.add(scores, bias) }
    var weights = try l.softmax(scores, axis: 3)
    if let bias {
      // Queries that may look at nothing give zeros.
      let best = try l.reduceExtremum(.maximum, bias, [bias.rank - 1])
      let blind = try l.compare(.equal, best, Value(scalar: -.infinity, type))
      if blind.elements?.contains(1) ?? true {
        weights = try l.choose(blind, try l.filled(0, weights.shape, type), weights)
      }
    }
    let output = try l.matmul(weights, v)
    let inspected: Value
    switch mode {
    case 0: inspected = raw
    case 1: inspected = capped
    case 2: inspected = scores
    case 3: inspected = weights
    default: throw node.malformed("\(mode) is no mode", attribute: "qk_matmul_output_mode")
    }
    return [joined ? try joinHeads(output, l) : output, present.0, present.1, inspected]
  }

  /// The scaled products of queries and keys. The definition scales both factors by the root; that is the same number
  /// unless half precision rounds it, so only there it is done.
  private static func scores(_ q: Value, _ k: Value, _ scale: AttentionScale, _ l: Lowering) throws -> Value {
    if q.type == .float16 || q.type == .bfloat16 {
      let root = try l.cast(Value(scalar: scale.factor.squareRoot(), .float64), to: q.type)
      return try l.matmul(try l.mul(q, root), try l.transposeMatrix(try l.mul(k, root)))
    }
    return try l.scale(
      try l.matmul(q, try l.transposeMatrix(k)), scale.factor, roundings: scale.roundings)
  }

  /// A mask as numbers to add to the scores, as wide as there are keys.
  private static func additive(
    _ mask: Value, _ keys: Int, _ type: ElementType, _ node: OnnxNode, _ l: Lowering
  )
    throws -> Value
  {
    guard mask.rank > 0 else { throw node.malformed("the mask is a single number") }
    var result = mask
    if mask.type == .bool {
      result = try l.choose(mask, Value(scalar: 0, type), Value(scalar: -.infinity, type))
    }
    let missing = keys - result.shape[result.rank - 1]
    if missing > 0 {
      var dims = result.shape.dims
      dims[result.rank - 1] = missing
      result = try l.concat([result, try l.filled(-.infinity, Shape(dims), type)], axis: result.rank - 1)
    }
    return result
  }

  /// Rotary position embedding: pairs of features are turned by angles that depend on the position.
  private static func rotate(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let input = try node.input(0)
    let interleaved = try node.bool("interleaved", default: false)
    var x = input
    if input.rank == 4 {
      node.ignore("num_heads")
      x = try l.transpose(input, [0, 2, 1, 3])
    } else {
      let heads = try node.require("num_heads", try node.int("num_heads"))
      guard input.rank == 3, heads > 0, input.shape[2] % heads == 0 else {
        throw node.malformed("\(heads) heads do not fit \(input.shape)")
      }
      x = try l.reshape(input, [input.shape[0], input.shape[1], heads, input.shape[2] / heads])
    }
    let size = x.shape[3]
    let given = try node.int("rotary_embedding_dim", default: 0)
    let turned = given == 0 ? size : given
    guard turned % 2 == 0, turned > 0, turned <= size else {
      throw node.malformed(
        "\(turned) features of \(size) cannot be turned", attribute: "rotary_embedding_dim")
    }
    func cache(_ index: Int) throws -> Value {
      var table = try node.input(index)
      if let positions = node.optional(3) {
        let f = RuntimeGather.gather(data: table.shape, indices: positions.shape, axis: 0)
        table = try l.gather(table, positions, f)
      }
      guard table.rank == 3, table.shape[2] == turned / 2 else {
        throw node.malformed("a cache of shape \(table.shape) does not fit \(turned) features")
      }
      return try l.unsqueeze(table, axis: 2)
    }
    let (cosine, sine) = (try cache(1), try cache(2))
    let evens = interleaved ? (0..<(turned / 2)).map { 2 * $0 } : Array(0..<(turned / 2))
    let odds = interleaved ? evens.map { $0 + 1 } : evens.map { $0 + turned / 2 }
    let (a, b) = (try l.take(x, axis: 3, evens), try l.take(x, axis: 3, odds))
    let real = try l.sub(try l.mul(cosine, a), try l.mul(sine, b))
    let imaginary = try l.add(try l.mul(sine, a), try l.mul(cosine, b))
    var result =
      interleaved
      ? try l.reshape(try l.stack([real, imaginary], axis: 4), Shape(x.shape.dims[..<3] + [turned]))
      : try l.concat([real, imaginary], axis: 3)
    if turned < size { result = try l.concat([result, try l.slice(x, axis: 3, turned..<size)], axis: 3) }
    return input.rank == 4 ? try l.transpose(result, [0, 2, 1, 3]) : try l.reshape(result, input.shape)
  }

  private enum UpdateRule: String, CaseIterable { case linear, gated, delta, gated_delta }

  /// Linear attention: a state matrix per head that keys write and queries read, with decay and correction.
  private static func linearAttention(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let type = try node.input(0).type
    // Half precision is widened inside.
    let inner = type == .float64 ? type : ElementType.float32
    func widened(_ index: Int) throws -> Value? { try node.optional(index).map { try l.cast($0, to: inner) } }
    let query = try l.cast(try node.input(0), to: inner)
    let key = try l.cast(try node.input(1), to: inner)
    let value = try l.cast(try node.input(2), to: inner)
    let rule: UpdateRule = try node.choice("update_rule", default: .gated_delta)
    let heads = try node.require("q_num_heads", try node.int("q_num_heads"))
    let keyHeads = try node.require("kv_num_heads", try node.int("kv_num_heads"))
    node.ignore("chunk_size")
    let q = try splitHeads(query, heads, node, l)
    let k = try splitHeads(key, keyHeads, node, l)
    let v = try splitHeads(value, keyHeads, node, l)
    let (batch, steps, sizeK, sizeV) = (q.shape[0], q.shape[2], k.shape[3], v.shape[3])
    guard steps <= 1 << 14 else { throw node.unsupported("\(steps) steps are too many") }
    let given = try node.float("scale", default: 0)
    let scale = AttentionScale(given == 0 ? nil : given, width: sizeK)
    var factors: Value?
    if rule == .gated || rule == .gated_delta {
      guard let decay = try widened(4), decay.rank == 3 else { throw node.malformed("needs a decay") }
      let perHead =
        decay.shape[2] == keyHeads
        ? try l.transpose(try l.reshape(decay, [batch, steps, keyHeads, 1]), [0, 2, 1, 3])
        : try splitHeads(decay, keyHeads, node, l)
      factors = try l.exp(perHead)
    }
    var betas: Value?
    if rule == .delta || rule == .gated_delta {
      guard let beta = try widened(5), beta.rank == 3 else { throw node.malformed("needs a beta") }
      betas = try l.transpose(try l.reshape(beta, [batch, steps, beta.shape[2], 1]), [0, 2, 1, 3])
    }
    var state = try widened(3) ?? l.filled(0, [batch, keyHeads, sizeK, sizeV], q.type)
    var outputs: [Value] = []
    for t in 0..<steps {
      /// `[B, H, 1, D]` at this step.
      func at(_ x: Value) throws -> Value { try l.slice(x, axis: 2, t..<(t + 1)) }
      if let factors { state = try l.mul(state, try l.transposeMatrix(try at(factors))) }
      var written = try at(v)
      if let betas {
        written = try l.mul(try at(betas), try l.sub(written, try l.matmul(try at(k), state)))
      }
      state = try l.add(state, try l.matmul(try l.transposeMatrix(try at(k)), written))
      let read = try l.matmul(try at(q), try repeatHeads(state, heads, node, l))
      outputs.append(try l.scale(read, scale.factor, roundings: scale.roundings))
    }
    let joined =
      outputs.isEmpty ? try l.filled(0, [batch, heads, 0, sizeV], q.type) : try l.concat(outputs, axis: 2)
    let stateType = node.optional(3)?.type ?? type
    return [try l.cast(try joinHeads(joined, l), to: type), try l.cast(state, to: stateType)]
  }

  /// Attention whose scores and weights pass through subgraphs.
  static func flexAttention(_ node: OnnxNode, _ session: OnnxSession, _ scope: OnnxScope) throws -> [Value] {
    let l = session.lowering
    let (q, k, v) = (try node.input(0), try node.input(1), try node.input(2))
    guard q.rank == 4, k.rank == 4, v.rank == 4 else { throw node.malformed("needs tensors of four axes") }
    let scale = AttentionScale(try node.float("scale"), width: q.shape[3])
    let keys = try repeatHeads(k, q.shape[1], node, l)
    let values = try repeatHeads(v, q.shape[1], node, l)
    let precision = try node.int("softmax_precision").map { try elementType($0, node, "softmax_precision") }
    let narrow = q.type == .float16 || q.type == .bfloat16
    let inner = precision ?? (narrow ? .float32 : q.type)
    var scores = try l.cast(try self.scores(q, keys, scale, l), to: inner)
    func modified(_ name: String, _ x: Value) throws -> Value {
      guard node.has(name) else { return x }
      let results = try session.subgraph(try node.graph(name), [x], around: scope, node)
      guard let result = results.first, result.shape == x.shape else {
        throw node.malformed("should keep the shape \(x.shape)", attribute: name)
      }
      return result
    }
    scores = try modified("score_mod", scores)
    let weights = try modified("prob_mod", try l.softmax(scores, axis: 3))
    return [try l.cast(try l.matmul(weights, try l.cast(values, to: inner)), to: v.type)]
  }
}

/// What the products of queries and keys are multiplied with: a given number, or one over the root of their width.
private struct AttentionScale {
  var factor: Double
  /// Relative error of the factor in units of 2^-53: of a root and a quotient.
  var roundings = 0

  init(_ given: Double?, width: Int) {
    if let given {
      factor = given
      return
    }
    let root = Double(width).squareRoot()
    factor = 1 / root
    // Roots that are powers of two are exact, and so are their inverses.
    if root.significand != 1 || root * root != Double(width) { roundings = 2 }
  }
}
