import IR
import Operators
import Rigor
import Tensors

// Convolutions. Constant kernels give affine nodes, variable ones a matrix product with the gathered windows.
extension OnnxOperators {
  static let convolutions: [String: Lower] = [
    "Conv": { node, l in [try conv(try node.input(0), try node.input(1), node.optional(2), node, l)] },
    "ConvTranspose": { node, l in [try convTranspose(node, l)] },
    "Col2Im": { node, l in [try columnsToImage(node, l)] },
    "DeformConv": { node, l in [try deformableConv(node, l)] },
    "CausalConvWithState": { node, l in try causalConv(node, l) },
  ]

  /// Splits a shape `[N, C] + spatial` and checks it.
  private static func spatial(_ x: Value, _ node: OnnxNode) throws -> [Int] {
    guard x.rank >= 3 else { throw node.malformed("needs spatial axes, its input has shape \(x.shape)") }
    return Array(x.shape.dims[2...])
  }

  private static func addBias(_ y: Value, _ bias: Value?, _ l: Lowering) throws -> Value {
    guard let bias else { return y }
    try l.require(bias.shape == [y.shape[1]], "a bias of shape \(bias.shape) does not fit \(y.shape)")
    var dims = [Int](repeating: 1, count: y.rank)
    dims[1] = bias.shape.count
    return try l.add(y, try l.reshape(bias, Shape(dims)))
  }

  /// The convolution of a node's attributes.
  static func conv(_ x: Value, _ w: Value, _ bias: Value?, _ node: OnnxNode, _ l: Lowering) throws -> Value {
    let extent = try spatial(x, node)
    let groups = try node.int("group", default: 1)
    let kernel = try node.ints("kernel_shape") ?? Array(w.shape.dims.dropFirst(2))
    let windows = try SlidingWindows(node, kernel: kernel, extent: extent)
    let (examples, channels) = (x.shape[0], x.shape[1])
    guard groups > 0, w.rank == x.rank, Array(w.shape.dims[2...]) == kernel, channels % groups == 0,
      w.shape[0] % groups == 0, w.shape[1] == channels / groups
    else {
      throw node.malformed(
        "weights of shape \(w.shape) in \(groups) groups do not fit an input of shape \(x.shape)")
    }
    try windows.requireRoom(extent, node)
    if let bias, bias.shape != [w.shape[0]] {
      throw node.malformed("a bias of shape \(bias.shape) does not fit \(w.shape[0]) channels")
    }
    let geometry = windows.geometry(
      examples: examples, inputs: channels, outputs: w.shape[0], groups: groups, extent: extent)
    return try convolve(x, w, bias, geometry, l)
  }

  /// The convolution of an input of `geometry.inputShape` with weights and an optional bias per channel.
  private static func convolve(
    _ x: Value, _ w: Value, _ bias: Value?, _ geometry: ConvolutionGeometry, _ l: Lowering
  ) throws -> Value {
    let kernel = geometry.kernel
    let (groups, outputs) = (geometry.groups, geometry.outputChannels)
    try l.checkSize(geometry.outputShape)
    // The table of window positions, of which the map keeps one.
    try l.checkSize(Shape([kernel.reduce(1, *)] + geometry.outputExtent), limit: 1 << 23)
    if geometry.outputShape.count == 0 { return try l.filled(0, geometry.outputShape, x.type) }
    if let weight = w.weight {
      let map = Convolution(weight, geometry)
      if let constant = bias?.weight {
        // One node: the bias of a channel stands at all its positions.
        let table = Shape([1, outputs] + kernel.map { _ in 1 }).broadcastIndices(to: geometry.outputShape)
        let full = Tensor(geometry.outputShape, table.map { constant.values[flat: Int($0)] })
        return try l.linear(map, x, bias: Weight(full))
      }
      return try addBias(try l.linear(map, x), bias, l)
    }
    if let weight = w.constant, !x.isKnown {
      let map = RoundedCoefficients(Convolution(weight, geometry), roundings: w.roundings)
      return try addBias(try l.linear(map, x), bias, l)
    }
    // [N, G, C/G, taps, positions] gathered once, then one matrix product per group.
    let columns = try gatherWindows(x, geometry, l)
    let taps = geometry.inputChannels / groups * kernel.reduce(1, *)
    let positions = geometry.outputExtent.reduce(1, *)
    let left = try l.reshape(w, [1, groups, outputs / groups, taps])
    let right = try l.reshape(columns, [geometry.examples, groups, taps, positions])
    return try addBias(try l.reshape(try l.matmul(left, right), geometry.outputShape), bias, l)
  }

  /// The windows of all channels: `[N, C, taps, positions]`.
  private static func gatherWindows(_ x: Value, _ geometry: ConvolutionGeometry, _ l: Lowering) throws
    -> Value
  {
    let table = geometry.windowTable()
    let plane = geometry.inputExtent.reduce(1, *)
    let planes = geometry.examples * geometry.inputChannels
    var index: [Int32] = []
    index.reserveCapacity(planes * table.count)
    for p in 0..<planes { for entry in table { index.append(entry < 0 ? -1 : entry + Int32(p * plane)) } }
    let positions = geometry.outputExtent.reduce(1, *)
    let shape: Shape = [
      geometry.examples, geometry.inputChannels, table.count / max(1, positions), positions,
    ]
    try l.checkSize(shape)
    return try l.moved(x, to: shape, index)
  }

  private static func convTranspose(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, w) = (try node.input(0), try node.input(1))
    let extent = try spatial(x, node)
    let rank = extent.count
    let groups = try node.int("group", default: 1)
    let kernel = try node.ints("kernel_shape") ?? Array(w.shape.dims.dropFirst(2))
    guard groups > 0, w.rank == x.rank, Array(w.shape.dims[2...]) == kernel, w.shape[0] == x.shape[1],
      x.shape[1] % groups == 0
    else {
      throw node.malformed(
        "weights of shape \(w.shape) in \(groups) groups do not fit an input of shape \(x.shape)")
    }
    let outputs = w.shape[1] * groups
    let extra = try node.ints("output_padding") ?? [Int](repeating: 0, count: rank)
    guard extra.count == rank, extra.allSatisfy({ $0 >= 0 && $0 < 1 << 24 }) else {
      throw node.malformed("\(extra) does not fit \(rank) spatial axes", attribute: "output_padding")
    }
    // The paddings of the forward convolution whose transpose this is.
    let mode = try node.string("auto_pad") ?? "NOTSET"
    var windows = try SlidingWindows(node, kernel: kernel, extent: extent)
    var target = [Int](repeating: 0, count: rank)
    let wanted = try node.ints("output_shape").map { Array($0.suffix(rank)) }
    if let wanted, wanted.count != rank {
      throw node.malformed("does not fit \(rank) spatial axes", attribute: "output_shape")
    }
    for axis in 0..<rank {
      let full = windows.strides[axis] * (extent[axis] - 1) + extra[axis] + windows.span(axis)
      let same = mode.hasPrefix("SAME") ? extent[axis] * windows.strides[axis] : nil
      if let size = wanted?[axis] ?? same {
        guard size > 0, size < 1 << 28 else {
          throw node.malformed("\(size) is no extent", attribute: "output_shape")
        }
        target[axis] = size
        // The odd element goes to the end for SAME_UPPER, otherwise to the start; missing elements are zeros at the
        // end.
        let total = max(0, full - size)
        windows.before[axis] = mode == "SAME_UPPER" ? total / 2 : total - total / 2
        windows.after[axis] = full - size - windows.before[axis]
      } else {
        target[axis] = full - windows.before[axis] - windows.after[axis]
      }
      guard target[axis] > 0 else { throw node.malformed("its output would be empty") }
    }
    let taps = kernel.reduce(1, *)
    let positions = extent.reduce(1, *)
    let plane = target.reduce(1, *)
    let examples = x.shape[0]
    try l.checkSize(Shape([examples, outputs] + target))
    try l.checkSize([taps, positions], limit: 1 << 23)
    let geometry = windows.geometry(
      examples: examples, inputs: outputs, outputs: x.shape[1], groups: groups, extent: target)
    if let weight = w.weight, geometry.outputExtent == extent {
      return try addBias(
        try l.linear(TransposedConvolution(Convolution(weight, geometry)), x), node.optional(2), l)
    }
    // Columns are summed where they land; positions outside the output are dropped.
    let left = try l.reshape(w, [1, groups, x.shape[1] / groups, w.shape[1] * taps])
    let right = try l.reshape(x, [examples, groups, x.shape[1] / groups, positions])
    let columns = try l.matmul(try l.transposeMatrix(left), right)
    let table = landing(extent, windows, target)
    var index: [Int32] = []
    for p in 0..<(examples * outputs) {
      for entry in table { index.append(entry < 0 ? -1 : entry + Int32(p * plane)) }
    }
    let shape = Shape([examples, outputs] + target)
    let flat = try l.reshape(columns, [examples, outputs, taps * positions])
    let sum = try l.linear(SumMap(flat.shape, to: shape, target: index), flat)
    return try addBias(sum, node.optional(2), l)
  }

  /// For every tap and input position (row-major) where it lands in the output of a transposed convolution.
  private static func landing(_ extent: [Int], _ windows: SlidingWindows, _ target: [Int]) -> [Int32] {
    let strides = Shape(target).strides
    var table: [Int] = [0]
    // Taps vary slowest, then positions; both row-major over the axes.
    var perAxis: [[[Int]]] = []
    for axis in extent.indices {
      perAxis.append(
        (0..<windows.kernel[axis]).map { tap in
          (0..<extent[axis]).map { position in
            let at = position * windows.strides[axis] - windows.before[axis] + tap * windows.dilations[axis]
            return at >= 0 && at < target[axis] ? at * strides[axis] : -1
          }
        })
    }
    table = []
    let kernel = Shape(windows.kernel)
    let input = Shape(extent)
    let kernelStrides = kernel.strides
    let inputStrides = input.strides
    for tap in 0..<kernel.count {
      for position in 0..<input.count {
        var place = 0
        for axis in extent.indices where place >= 0 {
          let step = perAxis[axis][tap / kernelStrides[axis] % kernel[axis]][
            position / inputStrides[axis] % input[axis]]
          place = step < 0 ? -1 : place + step
        }
        table.append(place)
      }
    }
    return table.map { Int32($0) }
  }

  /// Col2Im: overlapping blocks are summed into an image.
  private static func columnsToImage(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let x = try node.input(0)
    let target = try l.ints(try node.input(1), "the image shape")
    let block = try l.ints(try node.input(2), "the block shape")
    guard x.rank == 3, target.count == block.count, target.allSatisfy({ $0 > 0 && $0 < 1 << 24 }) else {
      throw node.malformed("blocks \(block) of \(x.shape) do not fit an image \(target)")
    }
    let windows = try SlidingWindows(node, kernel: block, extent: target)
    try windows.requireRoom(target, node)
    let extent = windows.outputExtent(target)
    let taps = block.reduce(1, *)
    let positions = extent.reduce(1, *)
    guard x.shape[1] % taps == 0, x.shape[2] == positions else {
      throw node.malformed("blocks \(block) of \(x.shape) do not fit an image \(target)")
    }
    let channels = x.shape[1] / taps
    let shape = Shape([x.shape[0], channels] + target)
    try l.checkSize(shape)
    let table = landing(extent, windows, target)
    let plane = target.reduce(1, *)
    let index = (0..<(x.shape[0] * channels)).flatMap { p in
      table.map { $0 < 0 ? -1 : $0 + Int32(p * plane) }
    }
    return try l.linear(SumMap(x.shape, to: shape, target: index), x)
  }

  /// A depthwise convolution along time that looks only back, with its last inputs carried over.
  private static func causalConv(_ node: OnnxNode, _ l: Lowering) throws -> [Value] {
    let (x, w) = (try node.input(0), try node.input(1))
    guard x.rank == 3, w.rank == 3, w.shape[0] == x.shape[1], w.shape[1] == 1, w.shape[2] > 0 else {
      throw node.malformed("weights of shape \(w.shape) do not fit an input of shape \(x.shape)")
    }
    let length = w.shape[2]
    let (batch, channels) = (x.shape[0], x.shape[1])
    let past = try node.optional(3) ?? l.filled(0, [batch, channels, length - 1], x.type)
    let whole = try l.concat([past, x], axis: 2)
    let total = whole.shape[2]
    guard total >= length else {
      throw node.malformed("a window of \(length) elements does not fit \(total) elements of input")
    }
    let geometry = ConvolutionGeometry(
      examples: batch, inputChannels: channels, outputChannels: channels, groups: channels,
      inputExtent: [total], kernel: [length], strides: [1], dilations: [1], padsBefore: [0], padsAfter: [0])
    var y = try convolve(whole, w, node.optional(2), geometry, l)
    switch try node.string("activation") ?? "none" {
    case "none": break
    case "silu", "swish": y = try l.elementwise(Silu(), y)
    case let other: throw node.unsupported("'\(other)' is not known", attribute: "activation")
    }
    return [y, try l.slice(whole, axis: 2, (total - (length - 1))..<total)]
  }

  /// A convolution whose taps are shifted by offsets that are known at import; between grid points the input is
  /// interpolated bilinearly.
  private static func deformableConv(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (x, w, shifts) = (try node.input(0), try node.input(1), try node.input(2))
    let extent = try spatial(x, node)
    guard w.rank == 4 else { throw node.malformed("weights of shape \(w.shape) do not fit \(x.shape)") }
    guard extent.count == 2 else { throw node.unsupported("only two spatial axes are supported") }
    let kernel = try node.ints("kernel_shape") ?? Array(w.shape.dims.dropFirst(2))
    let windows = try SlidingWindows(node, kernel: kernel, extent: extent)
    let groups = try node.int("group", default: 1)
    let shiftGroups = try node.int("offset_group", default: 1)
    try windows.requireRoom(extent, node)
    let output = windows.outputExtent(extent)
    let taps = kernel.reduce(1, *)
    let positions = output.reduce(1, *)
    let (examples, channels) = (x.shape[0], x.shape[1])
    guard groups > 0, shiftGroups > 0, channels % groups == 0, channels % shiftGroups == 0,
      w.shape[0] % groups == 0, w.shape[1] == channels / groups, Array(w.shape.dims[2...]) == kernel,
      shifts.shape.dims == [examples, shiftGroups * taps * 2] + output
    else { throw node.malformed("shapes \(x.shape), \(w.shape) and \(shifts.shape) do not fit") }
    let offset = try l.rationals(shifts, "the offsets")
    if let mask = node.optional(4), mask.shape.dims != [examples, shiftGroups * taps] + output {
      throw node.malformed("a mask of shape \(mask.shape) does not fit \(x.shape)")
    }
    let mask = try node.optional(4).map { try l.rationals($0, "the mask") }
    let shape: Shape = [examples, channels, taps, positions]
    try l.checkSize(shape)
    // The weights of one plane of each group of offsets, once for all of its channels.
    var planes: [[(index: Int, weight: Rational)]] = []
    for group in 0..<(examples * shiftGroups) {
      for tap in 0..<taps {
        let base = (group * taps + tap) * 2
        let down = tap / kernel[1] * windows.dilations[0] - windows.before[0]
        let across = tap % kernel[1] * windows.dilations[1] - windows.before[1]
        for p in 0..<positions {
          let (oy, ox) = (p / output[1], p % output[1])
          let y = Rational(oy * windows.strides[0] + down) + offset[base * positions + p]
          let xx = Rational(ox * windows.strides[1] + across) + offset[(base + 1) * positions + p]
          let factor = mask?[(group * taps + tap) * positions + p] ?? .one
          planes.append(bilinear(y, xx, extent[0], extent[1]).map { ($0.index, $0.weight * factor) })
        }
      }
    }
    let weights = try ExactRows(planes)
    var rows: [[SparseEntry]] = []
    for n in 0..<examples {
      for c in 0..<channels {
        let group = n * shiftGroups + c / (channels / shiftGroups)
        let plane = (n * channels + c) * extent[0] * extent[1]
        for place in 0..<(taps * positions) {
          rows.append(
            weights.rows[group * taps * positions + place].map {
              SparseEntry(plane + $0.index, $0.coefficient)
            })
        }
      }
    }
    let map = SparseMap(
      x.shape, to: shape, rows: rows, denominator: weights.denominator, roundings: weights.roundings)
    let sampled = try l.linear(map, x)
    let left = try l.reshape(w, [1, groups, w.shape[0] / groups, channels / groups * taps])
    let right = try l.reshape(sampled, [examples, groups, channels / groups * taps, positions])
    let product = try l.reshape(try l.matmul(left, right), Shape([examples, w.shape[0]] + output))
    return try addBias(product, node.optional(3), l)
  }

  /// The weights of bilinear interpolation at (y, x); points outside the plane count as zero.
  static func bilinear(_ y: Rational, _ x: Rational, _ height: Int, _ width: Int) -> [(
    index: Int, weight: Rational
  )] {
    guard y > -1, y < Rational(height), x > -1, x < Rational(width) else { return [] }
    /// The neighbours inside the plane; the place is within it.
    func taps(_ at: Rational, _ extent: Int) -> [(index: Int, weight: Rational)] {
      let low = at.floor.int ?? 0
      let rest = at - at.floor
      return [(low, 1 - rest), (low + 1, rest)].filter {
        $0.0 >= 0 && $0.0 < extent && !$0.1.isZero
      }
    }
    let columns = taps(x, width)
    return taps(y, height).flatMap { row in
      columns.map { (row.index * width + $0.index, row.weight * $0.weight) }
    }
  }
}
