import IR
import Operators
import Tensors

// Reductions along axes.
extension OnnxOperators {
  static let reductions: [String: Lower] = [
    "ReduceSum": { node, l in [try reduce(node, l, axesInputSince: 13) { try l.reduceSum($0, $1) }] },
    "ReduceMean": { node, l in
      [
        try reduce(node, l) { x, axes in
          if x.type.isFloatingPoint { return try l.reduceMean(x, axes) }
          let count = axes.reduce(1) { $0 * x.shape[$1] }
          return try l.integerDivide(try l.reduceSum(x, axes), Value(scalar: Double(count), x.type))
        }
      ]
    },
    "ReduceMax": { node, l in
      [try reduce(node, l, empty: -.infinity) { try l.reduceExtremum(.maximum, $0, $1) }]
    },
    "ReduceMin": { node, l in
      [try reduce(node, l, empty: .infinity) { try l.reduceExtremum(.minimum, $0, $1) }]
    },
    "ReduceL1": { node, l in [try reduce(node, l) { try l.reduceSum(try l.abs($0), $1) }] },
    "ReduceL2": { node, l in [try reduce(node, l) { try l.sqrt(try l.reduceSum(try l.square($0), $1)) }] },
    "ReduceSumSquare": { node, l in [try reduce(node, l) { try l.reduceSum(try l.square($0), $1) }] },
    "ReduceLogSum": { node, l in
      [try reduce(node, l, empty: -.infinity) { try l.log(try l.reduceSum($0, $1)) }]
    },
    "ReduceLogSumExp": { node, l in
      [try reduce(node, l, empty: -.infinity) { try l.logSumExp($0, $1) }]
    },
    "ReduceProd": { node, l in
      [
        try reduce(node, l, empty: 1) { x, axes in
          var result = x
          for axis in axes.sorted() { result = try product(result, axis, l) }
          return result
        }
      ]
    },
  ]

  /// Products by halves, so that the depth is logarithmic.
  private static func product(_ x: Value, _ axis: Int, _ l: Lowering) throws -> Value {
    var result = x
    while result.shape[axis] > 1 {
      let extent = result.shape[axis]
      let half = extent / 2
      let pairs = try l.mul(
        try l.slice(result, axis: axis, 0..<half), try l.slice(result, axis: axis, half..<(2 * half)))
      result =
        extent % 2 == 0
        ? pairs : try l.concat([pairs, try l.slice(result, axis: axis, (extent - 1)..<extent)], axis: axis)
    }
    return result
  }

  /// Reads axes and keepdims. `body` keeps reduced axes with extent 1; `empty` is the value of a reduction over no
  /// elements.
  private static func reduce(
    _ node: OnnxNode, _ l: Lowering, axesInputSince since: Int = 18, empty: Double = 0,
    _ body: (Value, Set<Int>) throws -> Value
  ) throws -> Value {
    let x = try node.input(0)
    let keeps = try node.bool("keepdims", default: true)
    let doesNothing = try node.bool("noop_with_empty_axes", default: false)
    let given = try axesArgument(node, l, since: since)
    let axes: Set<Int>
    if let given, !given.isEmpty {
      axes = Set(try l.axes(given, x.rank, node))
    } else {
      axes = doesNothing ? [] : Set(0..<x.rank)
    }
    let dims = x.shape.dims.indices.map { axes.contains($0) ? 1 : x.shape[$0] }
    var result: Value
    if axes.contains(where: { x.shape[$0] == 0 }) {
      var number = empty
      // Integers have no infinity; their extremes stand in.
      if number.isInfinite, let range = x.type.integerRange {
        number = number < 0 ? range.lowerBound : range.upperBound
      }
      if x.type == .bool && number.isInfinite { number = number < 0 ? 0 : 1 }
      result = try l.filled(number, Shape(dims), x.type)
    } else {
      result = try body(x, axes)
    }
    if keeps { return result }
    let kept = dims.indices.filter { !axes.contains($0) }.map { dims[$0] }
    return try l.reshape(result, Shape(kept))
  }

  // MARK: Orderings

  static let orderings: [String: Lower] = [
    "ArgMax": { node, l in [try argument(.maximum, node, l)] },
    "ArgMin": { node, l in [try argument(.minimum, node, l)] },
    "TopK": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try node.int("axis", default: -1), x.rank, node)
      let k =
        node.version < 10
        ? try node.require("k", try node.int("k")) : try l.int(try node.input(1), "the number of elements k")
      let largest = try node.bool("largest", default: true)
      // Without an order asked for, ours is as good as any.
      node.ignore("sorted")
      guard k >= 0, k <= x.shape[axis] else {
        throw node.malformed("\(k) elements of an axis of extent \(x.shape[axis])")
      }
      let values = TopK(.values, x.shape, axis: axis, k: k, largest: largest)
      let places = TopK(.positions, x.shape, axis: axis, k: k, largest: largest)
      return [try l.discrete(values, [x], type: x.type), try l.discrete(places, [x], type: .int64)]
    },
  ]

  private static func argument(_ extremum: Selection.Extremum, _ node: OnnxNode, _ l: Lowering) throws
    -> Value
  {
    let x = try node.input(0)
    let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
    let keeps = try node.bool("keepdims", default: true)
    let last = try node.bool("select_last_index", default: false)
    guard x.shape[axis] > 0 else { throw node.malformed("axis \(axis) of \(x.shape) is empty") }
    let f = ArgExtremum.along(axis: axis, extremum, x.shape, takesLast: last)
    let result = try l.discrete(f, [x], type: .int64)
    if keeps { return result }
    var dims = x.shape.dims
    dims.remove(at: axis)
    return try l.reshape(result, Shape(dims))
  }
}
