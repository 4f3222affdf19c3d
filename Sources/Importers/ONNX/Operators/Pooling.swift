import IR
import Operators
import Tensors

// Pooling over windows and over whole planes.
extension OnnxOperators {
  static let pooling: [String: Lower] = [
    "MaxPool": { node, l in try maxPool(node, l) },
    "AveragePool": { node, l in [try averagePool(try node.input(0), node, l)] },
    "LpPool": { node, l in
      let p = try node.int("p", default: 2)
      let x = try node.input(0)
      let powered = try absolutePower(x, p, node, l)
      let sums = try poolSum(powered, node, l)
      return [try root(sums, p, l)]
    },
    "GlobalAveragePool": { node, l in
      let x = try plane(node)
      return [try l.reduceMean(x, Set(2..<x.rank))]
    },
    "GlobalMaxPool": { node, l in
      let x = try plane(node)
      return [try l.reduceExtremum(.maximum, x, Set(2..<x.rank))]
    },
    "GlobalLpPool": { node, l in
      let p = try node.int("p", default: 2)
      let x = try plane(node)
      let sums = try l.reduceSum(try absolutePower(x, p, node, l), Set(2..<x.rank))
      return [try root(sums, p, l)]
    },
    "MaxUnpool": { node, l in [try maxUnpool(node, l)] },
  ]

  /// The p-th root of numbers that are not negative.
  ///
  /// 1/p is rounded unless p is a power of two: |ln x| < 745 of a Float64 times an error of the exponent of at most
  /// 2^-53 / 3 changes the power by less than 256 roundings.
  private static func root(_ x: Value, _ p: Int, _ l: Lowering) throws -> Value {
    if p == 1 { return x }
    let power = try l.power(x, 1 / Double(p))
    if p.nonzeroBitCount == 1 { return power }
    return try l.linear(RoundedCoefficients(Reshape.identity(x.shape), roundings: 256), power)
  }

  private static func plane(_ node: OnnxNode) throws -> Value {
    let x = try node.input(0)
    guard x.rank >= 2 else { throw node.malformed("needs a batch and a channel axis, not \(x.shape)") }
    return x
  }

  private static func absolutePower(_ x: Value, _ p: Int, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    guard p > 0, p < 1 << 16 else { throw node.malformed("\(p) is no norm", attribute: "p") }
    return p % 2 == 0 ? try l.power(x, Double(p)) : try l.power(try l.abs(x), Double(p))
  }

  /// The windows of a pooling node over `[N, C] + extent`.
  private static func geometry(_ x: Value, _ node: OnnxNode, _ l: Lowering) throws -> (
    windows: SlidingWindows, extent: [Int], output: [Int]
  ) {
    guard x.rank >= 3 else { throw node.malformed("needs spatial axes, its input has shape \(x.shape)") }
    let extent = Array(x.shape.dims[2...])
    let kernel = try node.require("kernel_shape", try node.ints("kernel_shape"))
    let windows = try SlidingWindows(node, kernel: kernel, extent: extent)
    try windows.requireRoom(extent, node)
    let ceiling = try node.bool("ceil_mode", default: false)
    let output = windows.outputExtent(extent, ceiling: ceiling)
    let shape = Shape([x.shape[0], x.shape[1]] + output)
    try l.checkSize(shape)
    try l.checkSize(Shape([shape.count, kernel.reduce(1, *)]))
    // The table of window positions.
    try l.checkSize(Shape(output + [kernel.reduce(1, *)]), limit: 1 << 23)
    return (windows, extent, output)
  }

  private static func maxPool(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let x = try node.input(0)
    let (windows, extent, output) = try geometry(x, node, l)
    let columnMajor = try node.bool("storage_order", default: false)
    let planes = x.shape[0] * x.shape[1]
    let size = extent.reduce(1, *)
    let shape = Shape([x.shape[0], x.shape[1]] + output)
    let lists = windows.taps(extent, output)
    guard lists.allSatisfy({ !$0.isEmpty }) else {
      throw node.unsupported(
        "a window lies in the padding entirely, where there is no maximum", attribute: "pads")
    }
    let width = lists.map(\.count).max() ?? 1
    var candidates: [Int32] = []
    candidates.reserveCapacity(shape.count * width)
    for p in 0..<planes {
      for list in lists {
        for entry in list { candidates.append(Int32(p * size + entry.position)) }
        for _ in list.count..<width { candidates.append(-1) }
      }
    }
    let values =
      shape.count == 0
      ? try l.filled(0, shape, x.type)
      : try l.selection(
        Selection(.maximum, inputShapes: [x.shape], outputShape: shape, width: width, candidates: candidates),
        [x])
    guard node.wantsOutput(1) else { return [values] }
    let labels = candidates.map { columnMajor && $0 >= 0 ? columnMajorIndex(Int($0), extent) : $0 }
    let f = ArgExtremum(
      .maximum, input: x.shape, output: shape, width: width, candidates: candidates, labels: labels)
    return [values, try l.discrete(f, [x], type: .int64)]
  }

  /// The flat index of an element when the last two axes are counted column by column.
  private static func columnMajorIndex(_ element: Int, _ extent: [Int]) -> Int32 {
    guard extent.count >= 2 else { return Int32(element) }
    let (rows, columns) = (extent[extent.count - 2], extent[extent.count - 1])
    let place = element % (rows * columns)
    return Int32(element - place + place % columns * rows + place / columns)
  }

  /// Sums over the windows.
  private static func poolSum(_ x: Value, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (windows, extent, output) = try geometry(x, node, l)
    return try pooled(x, windows, extent, output, denominators: nil, l)
  }

  static func averagePool(_ x: Value, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (windows, extent, output) = try geometry(x, node, l)
    let countsPadding = try node.bool("count_include_pad", default: false)
    let lists = windows.taps(extent, output)
    var denominators: [Int] = []
    for (index, coordinate) in coordinates(output).enumerated() {
      if !countsPadding {
        denominators.append(max(1, lists[index].count))
        continue
      }
      // Taps inside the input and its declared padding count; those beyond (ceil_mode) do not.
      var count = 1
      for axis in extent.indices {
        let first = coordinate[axis] * windows.strides[axis] - windows.before[axis]
        count *=
          (0..<windows.kernel[axis]).filter {
            first + $0 * windows.dilations[axis] < extent[axis] + windows.after[axis]
          }.count
      }
      denominators.append(max(1, count))
    }
    return try pooled(x, windows, extent, output, denominators: denominators, l)
  }

  private static func pooled(
    _ x: Value, _ windows: SlidingWindows, _ extent: [Int], _ output: [Int], denominators: [Int]?,
    _ l: Lowering
  ) throws -> Value {
    let lists = windows.taps(extent, output)
    let planes = x.shape[0] * x.shape[1]
    let size = extent.reduce(1, *)
    let common = denominators.map { Set($0).count <= 1 ? $0.first ?? 1 : nil } ?? 1
    var rows: [[SparseEntry]] = []
    rows.reserveCapacity(planes * lists.count)
    for p in 0..<planes {
      for (index, list) in lists.enumerated() {
        let share = common == nil ? 1 / Double(denominators?[index] ?? 1) : 1
        rows.append(list.map { SparseEntry(p * size + $0.position, share) })
      }
    }
    let shape = Shape([x.shape[0], x.shape[1]] + output)
    // Without a common denominator the shares 1/n are rounded once.
    let map = SparseMap(
      x.shape, to: shape, rows: rows, denominator: common ?? 1, roundings: common == nil ? 1 : 0)
    return try l.linear(map, x)
  }

  /// All coordinates of a box in row-major order.
  static func coordinates(_ dims: [Int]) -> [[Int]] {
    dims.reduce([[]]) { heads, extent in heads.flatMap { head in (0..<extent).map { head + [$0] } } }
  }

  /// The inverse of MaxPool: every value goes back to where its index says.
  private static func maxUnpool(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, indices) = (try node.input(0), try node.input(1))
    guard x.rank >= 3, indices.shape == x.shape else {
      throw node.malformed("indices of shape \(indices.shape) do not fit \(x.shape)")
    }
    let kernel = try node.require("kernel_shape", try node.ints("kernel_shape"))
    let windows = try SlidingWindows(node, kernel: kernel, extent: Array(x.shape.dims[2...]))
    let natural = (0..<kernel.count).map { axis in
      (x.shape[axis + 2] - 1) * windows.strides[axis] + kernel[axis] - windows.before[axis]
        - windows.after[axis]
    }
    let inner = Shape(Array(x.shape.dims[..<2]) + natural)
    let target = try node.optional(2).map { Shape(try l.ints($0, "the output shape")) } ?? inner
    try l.checkSize(inner)
    try l.checkSize(target)
    // Indices are flat; they refer to the natural output, which a given shape may enlarge.
    let data = try l.filled(0, [inner.count], x.type)
    let flatIndices = try l.reshape(indices, [indices.shape.count])
    let updates = try l.reshape(x, [x.shape.count])
    let f = RuntimeScatter.elements(.none, data: data.shape, indices: flatIndices.shape, axis: 0)
    let flat = try l.scatter(f, data, flatIndices, updates)
    if target.count == inner.count { return try l.reshape(flat, target) }
    let shaped = try l.reshape(flat, inner)
    guard target.rank == inner.rank else { throw node.malformed("\(target) does not fit \(x.shape)") }
    return try l.padZero(
      shaped, before: [Int](repeating: 0, count: inner.rank),
      after: zip(target.dims, inner.dims).map { $0 - $1 })
  }
}
