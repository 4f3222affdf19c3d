import IR
import Operators
import Tensors

// Operators that move elements without computing.
extension OnnxOperators {
  static let movement: [String: Lower] = [
    "Reshape": { node, l in [try reshape(node, l)] },
    "Flatten": { node, l in
      let x = try node.input(0)
      let axis = try node.int("axis", default: 1)
      let split = axis < 0 ? axis + x.rank : axis
      guard split >= 0, split <= x.rank else {
        throw node.malformed("\(axis) does not split a tensor of rank \(x.rank)", attribute: "axis")
      }
      let rows = x.shape.dims[..<split].reduce(1, *)
      let columns = x.shape.dims[split...].reduce(1, *)
      return [try l.reshape(x, [rows, columns])]
    },
    "Squeeze": { node, l in
      let x = try node.input(0)
      let given = try axesArgument(node, l, since: 13)
      let axes =
        try given.map { try l.axes($0, x.rank, node) } ?? x.shape.dims.indices.filter { x.shape[$0] == 1 }
      for axis in axes where x.shape[axis] != 1 {
        throw node.malformed("axis \(axis) of \(x.shape) does not have extent 1", attribute: "axes")
      }
      let dims = x.shape.dims.indices.filter { !axes.contains($0) }.map { x.shape[$0] }
      return [try l.reshape(x, Shape(dims))]
    },
    "Unsqueeze": { node, l in
      let x = try node.input(0)
      let given = try node.require("axes", try axesArgument(node, l, since: 13))
      let rank = x.rank + given.count
      let axes = try l.axes(given, rank, node)
      var rest = x.shape.dims[...]
      let dims = (0..<rank).map { axes.contains($0) ? 1 : rest.removeFirst() }
      return [try l.reshape(x, Shape(dims))]
    },
    "Transpose": { node, l in
      let x = try node.input(0)
      let permutation = try node.ints("perm") ?? Array((0..<x.rank).reversed())
      guard permutation.sorted() == Array(0..<x.rank) else {
        throw node.malformed("\(permutation) is no permutation of \(x.rank) axes", attribute: "perm")
      }
      return [try l.transpose(x, permutation)]
    },
    "Concat": { node, l in
      let parts = try node.allInputs()
      let axis = try l.axis(try node.require("axis", try node.int("axis")), parts[0].rank, node)
      return [try l.concat(parts, axis: axis)]
    },
    "Expand": { node, l in
      let x = try node.input(0)
      let dims = try l.ints(try node.input(1), "the shape")
      return [try l.broadcast(x, to: try l.commonShape([x.shape, Shape(dims)]))]
    },
    "Tile": { node, l in
      let x = try node.input(0)
      let repeats = try l.ints(try node.input(1), "the repeats")
      guard repeats.count == x.rank, repeats.allSatisfy({ $0 >= 0 && $0 < 1 << 32 }) else {
        throw node.malformed("cannot repeat a tensor of shape \(x.shape) \(repeats) times")
      }
      let lengths = zip(x.shape.dims, repeats).map { $0 * $1 }
      return [try l.remapAxes(x, lengths: lengths) { axis, i in i % x.shape[axis] }]
    },
    "Pad": { node, l in [try pad(node, l)] },
    "DepthToSpace": { node, l in
      let x = try image(node)
      let block = try blockSize(node)
      let (n, c, h, w) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
      guard c % (block * block) == 0 else {
        throw node.malformed("\(c) channels are no multiple of the block", attribute: "blocksize")
      }
      let depth = c / (block * block)
      let mode = try node.string("mode") ?? "DCR"
      let split: Value
      switch mode {
      case "DCR":
        split = try l.transpose(try l.reshape(x, [n, block, block, depth, h, w]), [0, 3, 4, 1, 5, 2])
      case "CRD":
        split = try l.transpose(try l.reshape(x, [n, depth, block, block, h, w]), [0, 1, 4, 2, 5, 3])
      default: throw node.malformed("'\(mode)' is neither DCR nor CRD", attribute: "mode")
      }
      return [try l.reshape(split, [n, depth, h * block, w * block])]
    },
    "SpaceToDepth": { node, l in
      let x = try image(node)
      let block = try blockSize(node)
      let (n, c, h, w) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
      guard h % block == 0, w % block == 0 else {
        throw node.malformed("\(x.shape) is no multiple of the block", attribute: "blocksize")
      }
      let split = try l.reshape(x, [n, c, h / block, block, w / block, block])
      let mode = try node.string("mode") ?? "DCR"
      guard mode == "DCR" || mode == "CRD" else {
        throw node.malformed("'\(mode)' is neither DCR nor CRD", attribute: "mode")
      }
      let permutation = mode == "DCR" ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4]
      return [
        try l.reshape(try l.transpose(split, permutation), [n, c * block * block, h / block, w / block])
      ]
    },
    "Trilu": { node, l in
      let x = try node.input(0)
      guard x.rank >= 2 else { throw node.malformed("needs matrices, not a tensor of shape \(x.shape)") }
      let upper = try node.bool("upper", default: true)
      let k = try node.optional(1).map { try l.int($0, "the diagonal") } ?? 0
      let (rows, columns) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
      // Diagonals beyond the matrix keep or clear everything.
      let diagonal = max(-rows - 1, min(columns + 1, k))
      let index = (0..<x.shape.count).map { element -> Int32 in
        let column = element % columns
        let row = element / columns % rows
        let kept = upper ? column - row >= diagonal : column - row <= diagonal
        return kept ? Int32(element) : -1
      }
      return [try l.moved(x, to: x.shape, index)]
    },
    "ReverseSequence": { node, l in
      let x = try node.input(0)
      let lengths = try l.ints(try node.input(1), "the sequence lengths")
      let time = try l.axis(try node.int("time_axis", default: 0), x.rank, node, attribute: "time_axis")
      let batch = try l.axis(try node.int("batch_axis", default: 1), x.rank, node, attribute: "batch_axis")
      guard lengths.count == x.shape[batch], lengths.allSatisfy({ $0 >= 0 && $0 <= x.shape[time] }) else {
        throw node.malformed("the sequence lengths \(lengths) do not fit \(x.shape)")
      }
      let strides = x.shape.strides
      let index = (0..<x.shape.count).map { element -> Int32 in
        let length = lengths[element / strides[batch] % x.shape[batch]]
        let t = element / strides[time] % x.shape[time]
        return Int32(t < length ? element + (length - 1 - 2 * t) * strides[time] : element)
      }
      return [try l.moved(x, to: x.shape, index)]
    },
    "CenterCropPad": { node, l in
      let x = try node.input(0)
      let sizes = try l.ints(try node.input(1), "the shape")
      let axes = try l.axes(try node.ints("axes") ?? Array(0..<x.rank), x.rank, node)
      guard sizes.count == axes.count, sizes.allSatisfy({ $0 >= 0 }) else {
        throw node.malformed("the shape \(sizes) does not fit \(axes.count) axes")
      }
      var before = [Int](repeating: 0, count: x.rank)
      var after = before
      for (axis, size) in zip(axes, sizes) {
        let missing = size - x.shape[axis]
        // Floor division for padding and for cropping: an odd element more stands at the end.
        before[axis] = missing >= 0 ? missing / 2 : -(-missing / 2)
        after[axis] = missing - before[axis]
      }
      return [try l.padZero(x, before: before, after: after)]
    },
    "Split": { node, l in try split(node, l) },
  ]

  /// Axes that are an attribute before opset `since` and an input from there on; nil if they are left out.
  static func axesArgument(_ node: OnnxNode, _ l: Lowering, since: Int) throws -> [Int]? {
    if node.version < since { return try node.ints("axes") }
    return try node.optional(1).map { try l.ints($0, "the axes") }
  }

  private static func image(_ node: OnnxNode) throws -> Value {
    let x = try node.input(0)
    guard x.rank == 4 else { throw node.malformed("needs a tensor of four axes, not of shape \(x.shape)") }
    return x
  }

  private static func blockSize(_ node: OnnxNode) throws -> Int {
    let block = try node.require("blocksize", try node.int("blocksize"))
    guard block > 0, block < 1 << 16 else {
      throw node.malformed("\(block) is no block size", attribute: "blocksize")
    }
    return block
  }

  private static func reshape(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    let request = try l.ints(try node.input(1), "the shape")
    let allowsZero = try node.bool("allowzero", default: false)
    guard request.count <= 64, request.allSatisfy({ $0 >= -1 }), request.filter({ $0 == -1 }).count <= 1
    else {
      throw node.malformed("\(request) is no shape")
    }
    var dims = try request.enumerated().map { index, extent -> Int in
      guard extent == 0, !allowsZero else { return extent }
      guard index < x.rank else {
        throw node.malformed("the shape \(request) copies axis \(index) of \(x.shape)")
      }
      return x.shape[index]
    }
    if let open = dims.firstIndex(of: -1) {
      var rest = 1
      for (axis, extent) in dims.enumerated() where axis != open {
        let (product, overflow) = rest.multipliedReportingOverflow(by: extent)
        rest = overflow ? 0 : product
      }
      guard rest > 0, x.shape.count % rest == 0 else {
        throw node.malformed("cannot reshape \(x.shape) to \(request)")
      }
      dims[open] = x.shape.count / rest
    }
    return try l.reshape(x, Shape(dims))
  }

  /// Split: sizes are an attribute before opset 13; the number of outputs decides if they are left out.
  private static func split(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let x = try node.input(0)
    let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
    let outputs = node.proto.output.count
    let given =
      node.version < 13
      ? try node.ints("split") : try node.optional(1).map { try l.ints($0, "the sizes of the parts") }
    let sizes: [Int]
    if let given {
      sizes = given
    } else {
      let count = try node.int("num_outputs", default: outputs)
      guard count > 0, count < 1 << 20 else {
        throw node.malformed("\(count) parts are not possible", attribute: "num_outputs")
      }
      let size = (x.shape[axis] + count - 1) / count
      sizes = (0..<count).map { max(0, min(size, x.shape[axis] - $0 * size)) }
    }
    guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, &+) == x.shape[axis], sizes.count >= outputs else {
      throw node.malformed("parts of \(sizes) do not make an axis of extent \(x.shape[axis])")
    }
    var start = 0
    return try sizes.map { size in
      defer { start += size }
      return try l.slice(x, axis: axis, start..<(start + size))
    }
  }

  /// Pad: amounts and value are attributes before opset 11; axes may be named from opset 18 on.
  private static func pad(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    let pads: [Int]
    var fill: Value?
    if node.version < 11 {
      pads = try node.require("pads", try node.ints("pads"))
      fill = Value(scalar: try node.float("value", default: 0, infinite: true), x.type)
    } else {
      pads = try l.ints(try node.input(1), "the padding")
      fill = node.optional(2)
    }
    let axes =
      try node.optional(3).map { try l.axes(try l.ints($0, "the axes"), x.rank, node) } ?? Array(0..<x.rank)
    guard pads.count == 2 * axes.count, pads.allSatisfy({ abs($0) < 1 << 32 }) else {
      throw node.malformed("\(pads.count) paddings do not fit \(axes.count) axes")
    }
    var before = [Int](repeating: 0, count: x.rank)
    var after = before
    for (index, axis) in axes.enumerated() {
      before[axis] = pads[index]
      after[axis] = pads[axes.count + index]
    }
    let lengths = zip3(before, x.shape.dims, after).map { max(0, $0 + $1 + $2) }
    let mode = try node.string("mode") ?? "constant"
    switch mode {
    case "constant":
      let padded = try l.padZero(x, before: before, after: after)
      guard let fill, fill.elements != [0] else { return padded }
      // The frame is where a padded tensor of ones is zero.
      let inside = try l.padZero(try l.filled(1, x.shape, .bool), before: before, after: after)
      return try l.choose(inside, padded, try l.reshape(fill, []))
    case "edge", "reflect", "wrap":
      guard !x.shape.dims.contains(0) else {
        throw node.malformed("cannot extend the empty shape \(x.shape)")
      }
      for axis in 0..<x.rank where mode == "reflect" && max(before[axis], after[axis]) > 0 {
        // Negative paddings cut first. A reflection longer than what is left has nothing to show.
        let rest = x.shape[axis] + min(0, before[axis]) + min(0, after[axis])
        guard max(before[axis], after[axis]) < rest else {
          throw node.malformed(
            "cannot reflect \(max(before[axis], after[axis])) elements of the \(rest) on axis \(axis)",
            attribute: "mode")
        }
      }
      return try l.remapAxes(x, lengths: lengths) { axis, i in
        mirrored(i - before[axis], x.shape[axis], mode)
      }
    default: throw node.unsupported("'\(mode)' is none of constant, edge, reflect, wrap", attribute: "mode")
    }
  }

  /// The element that stands at position i, possibly outside, of an axis of the given extent.
  private static func mirrored(_ i: Int, _ extent: Int, _ mode: String) -> Int {
    switch mode {
    case "edge": return max(0, min(extent - 1, i))
    case "wrap": return ((i % extent) + extent) % extent
    default:
      if extent == 1 { return 0 }
      let period = 2 * (extent - 1)
      let place = ((i % period) + period) % period
      return place < extent ? place : period - place
    }
  }
}
