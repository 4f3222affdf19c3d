import IR
import Operators
import Tensors

// Data movement: every output element is a copy of an input element, or zero.
extension Lowering {
  func reshape(_ x: Value, _ shape: Shape) throws -> Value {
    if x.shape == shape { return x }
    guard shape.checkedCount(limit: Self.sizeLimit) == x.shape.count else {
      throw GraphError(node: builder.scope, reason: "cannot reshape \(x.shape) to \(shape)")
    }
    if let weight = x.constant {
      var value = Value(Weight(weight.values.reshaped(shape)), x.type, roundings: x.roundings)
      value.rationals = x.rationals
      value.literal = x.literal
      return value
    }
    return try linear(Reshape(x.shape, to: shape), x)
  }

  /// For every output element the flat index of the input element it copies, or -1 for zero.
  func moved(_ x: Value, to shape: Shape, _ index: [Int32]) throws -> Value {
    try linear(IndexMap(x.shape, to: shape, index: index), x)
  }

  func transpose(_ x: Value, _ permutation: [Int]) throws -> Value {
    try require(
      permutation.sorted() == Array(0..<x.rank), "axes \(permutation) do not fit a tensor of shape \(x.shape)"
    )
    if permutation == Array(0..<x.rank) { return x }
    let moving = permutation.filter { x.shape[$0] != 1 }
    // Moving only axes of extent 1 leaves the elements where they are.
    if moving == moving.sorted() { return try reshape(x, Shape(permutation.map { x.shape[$0] })) }
    return try linear(IndexMap.transpose(x.shape, permutation), x)
  }

  /// Swaps the last two axes.
  func transposeMatrix(_ x: Value) throws -> Value {
    try require(x.rank >= 2, "a tensor of shape \(x.shape) is no matrix")
    var permutation = Array(0..<x.rank)
    permutation.swapAt(x.rank - 2, x.rank - 1)
    return try transpose(x, permutation)
  }

  /// Moves axis `source` to place `target`.
  func moveAxis(_ x: Value, _ source: Int, to target: Int) throws -> Value {
    try requireAxis(source, x)
    try requireAxis(target, x)
    var permutation = Array(0..<x.rank)
    permutation.remove(at: source)
    permutation.insert(source, at: target)
    return try transpose(x, permutation)
  }

  func slice(_ x: Value, starts: [Int], counts: [Int], steps: [Int]) throws -> Value {
    if counts == x.shape.dims && steps.allSatisfy({ $0 == 1 }) { return x }
    try require(starts.count == x.rank && counts.count == x.rank, "a slice does not fit \(x.shape)")
    for axis in 0..<x.rank where counts[axis] > 0 {
      let last = starts[axis] + steps[axis] * (counts[axis] - 1)
      let range = 0..<x.shape[axis]
      try require(
        range.contains(starts[axis]) && range.contains(last),
        "elements \(starts[axis]) to \(last) of an axis of extent \(x.shape[axis])")
    }
    return try linear(IndexMap.slice(x.shape, starts: starts, counts: counts, steps: steps), x)
  }

  /// Elements `range` along one axis.
  func slice(_ x: Value, axis: Int, _ range: Range<Int>) throws -> Value {
    try requireAxis(axis, x)
    var starts = [Int](repeating: 0, count: x.rank)
    var counts = x.shape.dims
    starts[axis] = range.lowerBound
    counts[axis] = range.count
    return try slice(x, starts: starts, counts: counts, steps: [Int](repeating: 1, count: x.rank))
  }

  /// One index of an axis, which disappears.
  func select(_ x: Value, axis: Int, _ index: Int) throws -> Value {
    let part = try slice(x, axis: axis, index..<(index + 1))
    var dims = x.shape.dims
    dims.remove(at: axis)
    return try reshape(part, Shape(dims))
  }

  func unsqueeze(_ x: Value, axis: Int) throws -> Value {
    try require(axis >= 0 && axis <= x.rank, "a tensor of shape \(x.shape) has no place for axis \(axis)")
    var dims = x.shape.dims
    dims.insert(1, at: axis)
    return try reshape(x, Shape(dims))
  }

  func concat(_ parts: [Value], axis: Int) throws -> Value {
    guard let first = parts.first else {
      throw GraphError(node: builder.scope, reason: "nothing to concatenate")
    }
    try requireAxis(axis, first)
    var dims = first.shape.dims
    dims[axis] = 0
    for part in parts {
      var other = part.shape.dims
      guard other.count == dims.count else {
        throw GraphError(node: builder.scope, reason: "cannot concatenate \(first.shape) and \(part.shape)")
      }
      dims[axis] += other[axis]
      other[axis] = first.shape[axis]
      guard other == first.shape.dims else {
        throw GraphError(node: builder.scope, reason: "cannot concatenate \(first.shape) and \(part.shape)")
      }
    }
    // Parts without elements add nothing; a single other one is the result.
    let filled = parts.filter { $0.shape.count > 0 }
    if filled.count <= 1 { return filled.first ?? first }
    let target = Shape(dims)
    try checkSize(target)
    var offset = 0
    var terms: [(value: Value, map: any LinearMap)] = []
    for part in parts {
      if part.shape.count > 0 {
        terms.append((part, IndexMap.embed(part.shape, into: target, axis: axis, offset: offset)))
      }
      offset += part.shape[axis]
    }
    return try affine(terms, disjoint: true, type: first.type)
  }

  /// Joins values along a new axis.
  func stack(_ parts: [Value], axis: Int) throws -> Value {
    try concat(parts.map { try unsqueeze($0, axis: axis) }, axis: axis)
  }

  /// Multidirectional broadcasting of one operand.
  func broadcast(_ x: Value, to target: Shape) throws -> Value {
    if x.shape == target { return x }
    try checkSize(target)
    try require(Shape.broadcast(x.shape, target) == target, "\(x.shape) does not broadcast to \(target)")
    return try linear(IndexMap.broadcast(x.shape, to: target), x)
  }

  /// The common shape of operands.
  func commonShape(_ shapes: [Shape]) throws -> Shape {
    var result: Shape = []
    for shape in shapes {
      guard let common = Shape.broadcast(result, shape) else {
        let list = shapes.map(\.description).joined(separator: " and ")
        throw GraphError(node: builder.scope, reason: "shapes \(list) do not broadcast")
      }
      result = common
    }
    try checkSize(result)
    return result
  }

  /// Surrounds a value by zeros (negative amounts crop).
  func padZero(_ x: Value, before: [Int], after: [Int]) throws -> Value {
    if before.allSatisfy({ $0 == 0 }) && after.allSatisfy({ $0 == 0 }) { return x }
    return try remapAxes(x, lengths: zip3(before, x.shape.dims, after).map { max(0, $0 + $1 + $2) }) {
      axis, i in
      let source = i - before[axis]
      return source >= 0 && source < x.shape[axis] ? source : nil
    }
  }

  /// A value whose element at (i, j, ...) is `x` at (source(0, i), source(1, j), ...), or zero where a source is nil.
  func remapAxes(_ x: Value, lengths: [Int], _ source: (Int, Int) -> Int?) throws -> Value {
    let target = Shape(lengths)
    try checkSize(target)
    try require(lengths.count == x.rank, "\(lengths) does not fit a tensor of shape \(x.shape)")
    let strides = x.shape.strides
    var index: [Int32] = [0]
    for axis in lengths.indices {
      let steps = (0..<lengths[axis]).map { i in source(axis, i).map { Int32($0 * strides[axis]) } ?? -1 }
      var next: [Int32] = []
      next.reserveCapacity(index.count * steps.count)
      for base in index { for step in steps { next.append(base < 0 || step < 0 ? -1 : base + step) } }
      index = next
    }
    return try moved(x, to: target, index)
  }

  /// Takes `indices` along an axis (constant Gather with a vector of indices).
  func take(_ x: Value, axis: Int, _ indices: [Int]) throws -> Value {
    try requireAxis(axis, x)
    let range = 0..<x.shape[axis]
    try require(
      indices.allSatisfy(range.contains), "an index lies outside an axis of extent \(x.shape[axis])")
    var lengths = x.shape.dims
    lengths[axis] = indices.count
    return try remapAxes(x, lengths: lengths) { at, i in at == axis ? indices[i] : i }
  }

  func flip(_ x: Value, axis: Int) throws -> Value {
    try take(x, axis: axis, Array((0..<x.shape[axis]).reversed()))
  }
}

func zip3<A, B, C>(_ a: [A], _ b: [B], _ c: [C]) -> [(A, B, C)] {
  zip(a, zip(b, c)).map { ($0, $1.0, $1.1) }
}
