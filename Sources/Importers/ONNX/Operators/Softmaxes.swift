import IR
import Operators
import Tensors

// Softmax and what is built on it.
extension OnnxOperators {
  static let softmaxes: [String: Lower] = [
    "Softmax": { node, l in
      [try coerced(node, l) { try l.softmax($0, axis: $1) }]
    },
    "LogSoftmax": { node, l in
      [try coerced(node, l) { try l.logSoftmax($0, axis: $1) }]
    },
    "Hardmax": { node, l in
      [
        try coerced(node, l) { x, axis in
          let f = ArgExtremum.along(axis: axis, .maximum, x.shape, takesLast: false)
          let winner = try l.discrete(f, [x], type: .int64)
          var dims = [Int](repeating: 1, count: x.rank)
          dims[axis] = x.shape[axis]
          let places = Value((0..<x.shape[axis]).map { Double($0) }, Shape(dims), .int64)
          return try l.cast(try l.compare(.equal, winner, places), to: x.type)
        }
      ]
    },
  ]

  /// Up to opset 12 these operators work on the matrix that remains when all axes from `axis` on are joined (default
  /// 1); from opset 13 on along one axis (default -1).
  private static func coerced(_ node: OnnxNode, _ l: Lowering, _ body: (Value, Int) throws -> Value) throws
    -> Value
  {
    let x = try node.input(0)
    if node.version >= 13 {
      return try body(x, try l.axis(try node.int("axis", default: -1), x.rank, node))
    }
    let axis = try l.axis(try node.int("axis", default: 1), x.rank, node)
    let rows = x.shape.dims[..<axis].reduce(1, *)
    // With one other axis of extent above 1 joining changes nothing.
    if x.shape.dims[(axis + 1)...].allSatisfy({ $0 == 1 }) { return try body(x, axis) }
    let matrix = try l.reshape(x, [rows, x.shape.count / max(1, rows)])
    return try l.reshape(try body(matrix, 1), x.shape)
  }

  static let losses: [String: Lower] = [
    "NegativeLogLikelihoodLoss": { node, l in
      [try likelihoodLoss(try node.input(0), node, l)]
    },
    "SoftmaxCrossEntropyLoss": { node, l in
      let logProbabilities = try l.logSoftmax(try node.input(0), axis: 1)
      return [try likelihoodLoss(logProbabilities, node, l), logProbabilities]
    },
  ]

  /// The negative log-probability of the target class, weighted and reduced as the node asks.
  private static func likelihoodLoss(_ x: Value, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    let target = try node.input(1)
    guard x.rank >= 2, target.shape.dims == [x.shape[0]] + x.shape.dims[2...] else {
      throw node.malformed("targets of shape \(target.shape) do not fit \(x.shape)")
    }
    let reduction = try node.string("reduction") ?? "mean"
    let ignored = try node.exactInt("ignore_index")
    let classes = x.shape[1]
    // A one-hot mask over the class axis; the ignored class may lie outside the range and then hits nothing.
    var dims = [Int](repeating: 1, count: x.rank)
    dims[1] = classes
    let labels = Value((0..<classes).map { Double($0) }, Shape(dims), target.type)
    let spread = try l.unsqueeze(target, axis: 1)
    let hit = try l.compare(.equal, spread, labels)
    var weights =
      try node.optional(2).map { try l.reshape($0, Shape(dims)) } ?? l.filled(1, Shape(dims), x.type)
    weights = try l.broadcast(weights, to: x.shape)
    let zero = try l.filled(0, x.shape, x.type)
    var mask = try l.choose(hit, weights, zero)
    if let ignored {
      let drop = try l.compare(.equal, spread, Value(scalar: Double(ignored), target.type))
      mask = try l.choose(drop, zero, mask)
    }
    let picked = try l.choose(try l.compare(.notEqual, mask, Value(scalar: 0, x.type)), x, zero)
    let loss = try l.negate(try l.reduceSum(try l.mul(picked, mask), [1]))
    let flat = try l.reshape(loss, target.shape)
    let all = Set(0..<flat.rank)
    switch reduction {
    case "none": return flat
    case "sum": return try l.reshape(try l.reduceSum(flat, all), [])
    case "mean":
      let total = try l.reshape(try l.reduceSum(flat, all), [])
      let weight = try l.reshape(try l.reduceSum(mask, Set(0..<mask.rank)), [])
      return try l.div(total, weight)
    default: throw node.malformed("'\(reduction)' is none of none, sum, mean", attribute: "reduction")
    }
  }
}
