import IR
import Operators
import Tensors

// Slices, look-ups and scatters. With constant indices they move data; with indices known at run time only they are
// of the discrete kind.
extension OnnxOperators {
  static let splitting: [String: Lower] = [
    "Slice": { node, l in [try slice(node, l)] },
    "Compress": { node, l in
      let x = try node.input(0)
      let condition = try l.exactDoubles(try node.input(1), "the condition")
      let kept = condition.indices.filter { condition[$0] != 0 }
      guard let axis = try node.int("axis") else {
        let flat = try l.reshape(x, [x.shape.count])
        return [try l.take(flat, axis: 0, try inRange(kept, x.shape.count, node))]
      }
      let resolved = try l.axis(axis, x.rank, node)
      return [try l.take(x, axis: resolved, try inRange(kept, x.shape[resolved], node))]
    },
  ]

  static let indexing: [String: Lower] = [
    "Gather": { node, l in
      let (x, indices) = (try node.input(0), try node.input(1))
      let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
      let rest = x.shape.dims.indices.filter { $0 != axis }.map { x.shape[$0] }
      try l.checkSize(Shape(rest + indices.shape.dims))
      return [
        try l.gather(x, indices, RuntimeGather.gather(data: x.shape, indices: indices.shape, axis: axis))
      ]
    },
    "GatherElements": { node, l in
      let (x, indices) = (try node.input(0), try node.input(1))
      let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
      try checkWithin(indices.shape, x.shape, except: axis, node)
      return [
        try l.gather(x, indices, RuntimeGather.elements(data: x.shape, indices: indices.shape, axis: axis))
      ]
    },
    "GatherND": { node, l in
      let (x, indices) = (try node.input(0), try node.input(1))
      let batch = try node.int("batch_dims", default: 0)
      guard let components = indices.shape.dims.last, batch >= 0, batch < indices.rank,
        batch + components <= x.rank, indices.shape.dims[..<batch] == x.shape.dims[..<batch]
      else { throw node.malformed("indices of shape \(indices.shape) do not fit \(x.shape)") }
      try l.checkSize(Shape(indices.shape.dims + x.shape.dims[(batch + components)...]))
      let f = RuntimeGather.coordinates(data: x.shape, indices: indices.shape, batch: batch)
      return [try l.gather(x, indices, f)]
    },
    "ScatterElements": { node, l in [try scatterElements(node, l)] },
    "Scatter": { node, l in [try scatterElements(node, l)] },
    "ScatterND": { node, l in
      let (x, indices, updates) = (try node.input(0), try node.input(1), try node.input(2))
      guard let components = indices.shape.dims.last, components <= x.rank,
        updates.shape.dims == indices.shape.dims.dropLast() + x.shape.dims[components...]
      else {
        throw node.malformed("indices \(indices.shape) and updates \(updates.shape) do not fit \(x.shape)")
      }
      let reduction = try node.choice("reduction", default: RuntimeScatter.Reduction.none)
      let f = RuntimeScatter.coordinates(
        reduction, data: x.shape, indices: indices.shape, updates: updates.shape)
      return [try l.scatter(f, x, indices, updates)]
    },
    "TensorScatter": { node, l in [try tensorScatter(node, l)] },
    "ArrayFeatureExtractor": { node, l in
      let (x, indices) = (try node.input(0), try node.input(1))
      guard x.rank > 0 else { throw node.malformed("needs an axis to take from") }
      let wanted = try inRange(try l.ints(indices, "the indices"), x.shape[x.rank - 1], node)
      return [try l.take(x, axis: x.rank - 1, wanted)]
    },
  ]

  private static func inRange(_ indices: [Int], _ extent: Int, _ node: OnnxNode) throws -> [Int] {
    try indices.map { index in
      guard index >= -extent, index < extent else {
        throw node.malformed("the index \(index) lies outside an axis of extent \(extent)")
      }
      return index < 0 ? index + extent : index
    }
  }

  private static func checkWithin(_ indices: Shape, _ data: Shape, except axis: Int, _ node: OnnxNode) throws
  {
    guard indices.rank == data.rank,
      indices.dims.indices.allSatisfy({ $0 == axis || indices[$0] <= data[$0] })
    else { throw node.malformed("indices of shape \(indices) do not fit data of shape \(data)") }
  }

  private static func scatterElements(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, indices, updates) = (try node.input(0), try node.input(1), try node.input(2))
    let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
    try checkWithin(indices.shape, x.shape, except: axis, node)
    guard updates.shape == indices.shape else {
      throw node.malformed("indices \(indices.shape) and updates \(updates.shape) differ in shape")
    }
    let reduction = try node.choice("reduction", default: RuntimeScatter.Reduction.none)
    let f = RuntimeScatter.elements(reduction, data: x.shape, indices: indices.shape, axis: axis)
    return try l.scatter(f, x, indices, updates)
  }

  /// Slice: ranges are attributes before opset 10.
  private static func slice(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    let starts: [Int]
    let ends: [Int]
    var axes: [Int]?
    var steps: [Int]?
    if node.version < 10 {
      starts = try node.require("starts", try node.ints("starts"))
      ends = try node.require("ends", try node.ints("ends"))
      axes = try node.ints("axes")
    } else {
      starts = try l.ints(try node.input(1), "the starts")
      ends = try l.ints(try node.input(2), "the ends")
      axes = try node.optional(3).map { try l.ints($0, "the axes") }
      steps = try node.optional(4).map { try l.ints($0, "the steps") }
    }
    let places = try l.axes(axes ?? Array(0..<starts.count), x.rank, node)
    let strides = steps ?? [Int](repeating: 1, count: starts.count)
    guard starts.count == ends.count, places.count == starts.count, strides.count == starts.count else {
      throw node.malformed("starts, ends, axes and steps differ in number")
    }
    var first = [Int](repeating: 0, count: x.rank)
    var counts = x.shape.dims
    var step = [Int](repeating: 1, count: x.rank)
    for (i, axis) in places.enumerated() {
      guard strides[i] != 0 else { throw node.malformed("a step is 0") }
      (first[axis], counts[axis]) = range(starts[i], ends[i], strides[i], x.shape[axis])
      step[axis] = strides[i]
      if counts[axis] <= 1 { step[axis] = 1 }
    }
    if counts.contains(0) { return try l.filled(0, Shape(counts), x.type) }
    return try l.slice(x, starts: first, counts: counts, steps: step)
  }

  /// The first index and the number of elements of a Python slice of an axis.
  private static func range(_ start: Int, _ end: Int, _ step: Int, _ extent: Int) -> (start: Int, count: Int)
  {
    func resolve(_ index: Int) -> Int { index < 0 && index > Int.min / 2 ? index + extent : index }
    let low = step > 0 ? 0 : -1
    let high = step > 0 ? extent : extent - 1
    let first = max(min(resolve(start), high), step > 0 ? 0 : -1)
    let last = max(min(resolve(end), high), low)
    if step > 0 { return (first, last > first ? (last - first - 1) / step + 1 : 0) }
    // A step of Int.min has no magnitude; anything beyond the extent takes one element.
    let stride = step == Int.min ? Int.max : -step
    return (max(first, 0), first > last ? (first - last - 1) / stride + 1 : 0)
  }

  /// TensorScatter: writes updates into a cache at given positions along one axis.
  private static func tensorScatter(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (past, update) = (try node.input(0), try node.input(1))
    let axis = try l.axis(try node.int("axis", default: -2), past.rank, node)
    let mode = try node.string("mode") ?? "linear"
    guard mode == "linear" || mode == "circular" else {
      throw node.malformed("'\(mode)' is neither linear nor circular", attribute: "mode")
    }
    let batch = past.shape[0]
    let starts =
      try node.optional(2).map { try l.ints($0, "the write indices") } ?? [Int](repeating: 0, count: batch)
    var expected = past.shape.dims
    expected[axis] = update.shape.rank == past.rank ? update.shape[axis] : -1
    guard expected == update.shape.dims, starts.count == batch, axis > 0 else {
      throw node.malformed("an update of shape \(update.shape) does not fit a cache of shape \(past.shape)")
    }
    let extent = past.shape[axis]
    let strides = past.shape.strides
    let updateStrides = update.shape.strides
    var fromPast = (0..<past.shape.count).map { Int32($0) }
    var fromUpdate = [Int32](repeating: -1, count: past.shape.count)
    for u in 0..<update.shape.count {
      var place = 0
      for a in 0..<past.rank {
        var coordinate = u / updateStrides[a] % update.shape[a]
        if a == axis {
          coordinate += starts[u / updateStrides[0]]
          if mode == "circular" { coordinate = ((coordinate % extent) + extent) % extent }
          guard coordinate >= 0, coordinate < extent else {
            throw node.malformed("position \(coordinate) lies outside a cache of extent \(extent)")
          }
        }
        place += coordinate * strides[a]
      }
      fromPast[place] = -1
      fromUpdate[place] = Int32(u)
    }
    return try l.affine(
      [
        (past, IndexMap(past.shape, to: past.shape, index: fromPast)),
        (update, IndexMap(update.shape, to: past.shape, index: fromUpdate)),
      ], disjoint: true)
  }
}

extension Lowering {
  /// A look-up; with constant indices a copy.
  func gather(_ x: Value, _ indices: Value, _ f: RuntimeGather) throws -> Value {
    guard let fixed = indices.weight else { return try discrete(f, [x, indices], type: x.type) }
    return try moved(x, to: f.outputShape, try f.table(for: fixed.values))
  }

  /// A scatter. With constant indices replacing is a copy, adding a sum, and the extrema are selections.
  func scatter(_ f: RuntimeScatter, _ x: Value, _ indices: Value, _ updates: Value) throws -> Value {
    guard let fixed = indices.weight, f.reduction != .mul else {
      return try discrete(f, [x, indices, updates], type: x.type)
    }
    let targets = try f.targets(fixed.values)
    switch f.reduction {
    case .none:
      var fromData = (0..<x.shape.count).map { Int32($0) }
      var fromUpdates = [Int32](repeating: -1, count: x.shape.count)
      for (u, place) in targets.enumerated() {
        fromData[place] = -1
        fromUpdates[place] = Int32(u)
      }
      return try affine(
        [
          (x, IndexMap(x.shape, to: x.shape, index: fromData)),
          (updates, IndexMap(updates.shape, to: x.shape, index: fromUpdates)),
        ], disjoint: true, type: x.type)
    case .add:
      let sum = SumMap(updates.shape, to: x.shape, target: targets.map { Int32($0) })
      return try affine([(x, Reshape.identity(x.shape)), (updates, sum)], type: x.type)
    case .max, .min:
      var lists = (0..<x.shape.count).map { [Int32($0)] }
      for (u, place) in targets.enumerated() { lists[place].append(Int32(x.shape.count + u)) }
      let width = lists.map(\.count).max() ?? 1
      let candidates = lists.flatMap { $0 + [Int32](repeating: -1, count: width - $0.count) }
      return try selection(
        Selection(
          f.reduction == .max ? .maximum : .minimum, inputShapes: [x.shape, updates.shape],
          outputShape: x.shape, width: width, candidates: candidates), [x, updates])
    case .mul: return try discrete(f, [x, indices, updates], type: x.type)
    }
  }
}
