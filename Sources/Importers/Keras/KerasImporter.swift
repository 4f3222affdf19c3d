import FileFormats
import IR
import Operators
import Tensors

/// Reads Keras models from HDF5 files: Keras 2 whole models, Keras 1 weights with a `.json` description beside them.
///
/// Convolution kernels that Theano wrote are stored flipped in both spatial axes and are turned back. Images with channels last keep their
/// layout at the input and at `Flatten`; inside, convolutions work on channels first.
public enum KerasImporter {
  /// Imports a file.
  ///
  /// - Throws: `FileError` for a damaged or incomplete file, `UnsupportedOperator` for layers beyond feed-forward
  ///   image and vector networks.
  public static func load(_ path: String) throws -> ImportedNetwork {
    try HDF5File.read(path) { file in
      let model = try KerasModel(file)
      var session = KerasSession(model: model)
      try session.run(file)
      var counts: [String: Int] = [:]
      for layer in model.layers { counts[layer.kind, default: 0] += 1 }
      return ImportedNetwork(
        graph: session.builder.build(), file: path, format: "Keras \(model.version), HDF5",
        operatorCounts: counts)
    }
  }
}

/// A value on its way through the layers.
struct KerasValue {
  var node: NodeID
  /// Whether the node holds `[1, C, H, W]` where the model means `[1, H, W, C]`.
  var isTransposed = false
}

/// Lowers the layers of one model.
struct KerasSession {
  let model: KerasModel
  var builder = GraphBuilder()
  private var values: [String: KerasValue] = [:]
  /// The largest value that a layer may have.
  static let sizeLimit = 1 << 26

  init(model: KerasModel) { self.model = model }

  mutating func run(_ file: borrowing HDF5File) throws {
    var last: KerasValue?
    for (index, layer) in model.layers.enumerated() {
      builder.origin = layer.kind
      var inputs: [KerasValue] = []
      if layer.kind != "InputLayer" {
        if model.isSequential {
          if index == 0 { last = try input(layer, name: "input") }
          if let last { inputs = [last] }
        } else {
          inputs = try layer.inbound.map { name in
            guard let value = values[name] else {
              throw layer.config.error(
                "layer \"\(layer.name)\" reads \"\(name)\", which does not come before it")
            }
            return value
          }
        }
        builder.origin = layer.kind
      }
      let value =
        layer.kind == "InputLayer" ? try input(layer, name: layer.name) : try lower(layer, inputs, file)
      values[layer.name] = value
      last = value
    }
    let outputs = model.isSequential ? [model.layers[model.layers.count - 1].name] : model.outputNames
    for name in outputs {
      guard let value = values[name] else {
        throw FileError(file: model.file, place: "output_layers", reason: "there is no layer \"\(name)\"")
      }
      if outputs.count == 1, case .composite = builder[value.node].operation {
        // Classifiers end in a softmax: its argument is what margins and exact properties speak of.
        builder.output(
          try untransposed(KerasValue(node: builder[value.node].inputs[0], isTransposed: value.isTransposed))
            .node,
          name: "logits")
        builder.output(try untransposed(value).node, name: "probs")
      } else {
        builder.output(try untransposed(value).node, name: name)
      }
    }
  }

  // MARK: Helpers

  func unsupported(_ layer: KerasModel.Layer, _ reason: String, attribute: String? = nil)
    -> UnsupportedOperator
  {
    UnsupportedOperator(node: layer.name, operatorName: layer.kind, attribute: attribute, reason: reason)
  }

  private mutating func input(_ layer: KerasModel.Layer, name: String) throws -> KerasValue {
    let field: JSONField
    if let found = try layer.config.optional("batch_input_shape") ?? layer.config.optional("batch_shape") {
      field = found
    } else if let width = try layer.config.optional("input_dim") {
      return KerasValue(node: builder.input(name, [1, try width.int()]))
    } else {
      throw layer.config.error("\"batch_input_shape\" is missing")
    }
    let extents = try field.elements().dropFirst().map { element -> Int in
      guard let extent = element.value.intValue, extent > 0 else {
        throw element.error("a dynamic extent is not supported")
      }
      return extent
    }
    let shape = Shape([1] + extents)
    guard shape.checkedCount(limit: Self.sizeLimit) != nil else {
      throw field.error("the input is too large")
    }
    return KerasValue(node: builder.input(name, shape))
  }

  /// Permutes the axes of a value.
  private mutating func transpose(_ node: NodeID, _ permutation: [Int]) throws -> NodeID {
    let origin = builder.origin
    builder.origin = "Transpose"
    defer { builder.origin = origin }
    return try builder.linear(IndexMap.transpose(builder[node].shape, permutation), node)
  }

  /// The value as `[1, C, H, W]`.
  private mutating func channelsFirst(_ value: KerasValue, _ layer: KerasModel.Layer) throws -> KerasValue {
    if value.isTransposed { return value }
    guard builder[value.node].shape.rank == 4 else { throw unsupported(layer, "needs an image") }
    return KerasValue(node: try transpose(value.node, [0, 3, 1, 2]), isTransposed: true)
  }

  private mutating func untransposed(_ value: KerasValue) throws -> KerasValue {
    value.isTransposed ? KerasValue(node: try transpose(value.node, [0, 2, 3, 1])) : value
  }

  private func isChannelsFirst(_ layer: KerasModel.Layer) throws -> Bool {
    if let order = try layer.config.optional("dim_ordering")?.string() { return order == "th" }
    return try layer.config.optional("data_format")?.string() == "channels_first"
  }

  private func pair(_ layer: KerasModel.Layer, _ names: [String], _ fallback: [Int]) throws -> [Int] {
    for name in names {
      guard let field = try layer.config.optional(name) else { continue }
      let values = field.value.intValue.map { [$0, $0] } ?? field.value.ints ?? []
      guard values.count == 2, values.allSatisfy({ $0 > 0 && $0 < 1 << 16 }) else {
        throw field.error("expected two positive integers")
      }
      return values
    }
    return fallback
  }

  /// Padding before and after by axis, for the two schemes of Keras.
  private func padding(
    _ layer: KerasModel.Layer, extent: [Int], window: [Int], strides: [Int]
  ) throws -> (before: [Int], after: [Int]) {
    let mode =
      try (layer.config.optional("padding") ?? layer.config.optional("border_mode"))?.string() ?? "valid"
    switch mode {
    case "valid": return ([0, 0], [0, 0])
    case "same":
      var before: [Int] = []
      var after: [Int] = []
      for axis in 0..<2 {
        let steps = (extent[axis] + strides[axis] - 1) / strides[axis]
        let total = max(0, (steps - 1) * strides[axis] + window[axis] - extent[axis])
        before.append(total / 2)
        after.append(total - total / 2)
      }
      return (before, after)
    default: throw unsupported(layer, "the padding \"\(mode)\" is not supported", attribute: "padding")
    }
  }

  // MARK: Layers

  private mutating func lower(
    _ layer: KerasModel.Layer, _ inputs: [KerasValue], _ file: borrowing HDF5File
  ) throws -> KerasValue {
    guard let x = inputs.first else { throw layer.config.error("layer \"\(layer.name)\" has no input") }
    switch layer.kind {
    case "Dense":
      return try activated(layer, try dense(layer, x, file))
    case "Conv2D", "Convolution2D":
      return try activated(layer, try convolution(layer, x, file))
    case "MaxPooling2D", "AveragePooling2D": return try pooling(layer, x)
    case "Flatten":
      let plain = try isChannelsFirst(layer) ? x : try untransposed(x)
      let shape = builder[plain.node].shape
      return KerasValue(
        node: try builder.linear(Reshape(shape, to: [1, shape.count]), plain.node, name: layer.name))
    case "Reshape":
      let plain = try untransposed(x)
      let shape = builder[plain.node].shape
      let target = Shape([1] + (try layer.config.member("target_shape").value.ints ?? []))
      guard target.checkedCount(limit: Self.sizeLimit) == shape.count else {
        throw unsupported(layer, "the target shape does not fit \(shape)", attribute: "target_shape")
      }
      return KerasValue(node: try builder.linear(Reshape(shape, to: target), plain.node, name: layer.name))
    case "Dropout", "SpatialDropout2D", "GaussianNoise", "ActivityRegularization": return x
    case "Activation": return try activation(try layer.config.member("activation").string(), x, layer)
    case "ReLU": return try activation("relu", x, layer)
    case "Softmax": return try activation("softmax", x, layer)
    case "LeakyReLU":
      let slope =
        try (layer.config.optional("alpha") ?? layer.config.optional("negative_slope"))?.double() ?? 0.3
      return elementwise(Relu(negativeSlope: Double(Float(slope))), x, layer.name)
    case "Add", "Subtract": return try sum(layer, inputs)
    default: throw unsupported(layer, "this kind of layer is not supported")
    }
  }

  private mutating func elementwise(_ f: any ElementwiseFunction, _ x: KerasValue, _ name: String)
    -> KerasValue
  {
    KerasValue(node: builder.elementwise(f, x.node, name: name), isTransposed: x.isTransposed)
  }

  private mutating func activated(_ layer: KerasModel.Layer, _ x: KerasValue) throws -> KerasValue {
    guard let name = try layer.config.optional("activation")?.string() else { return x }
    return try activation(name, x, layer)
  }

  private mutating func activation(_ name: String, _ x: KerasValue, _ layer: KerasModel.Layer) throws
    -> KerasValue
  {
    let origin = builder.origin
    builder.origin = name == "relu" ? "Relu" : name
    defer { builder.origin = origin }
    let label = layer.kind == "Activation" ? layer.name : layer.name + "/" + name
    switch name {
    case "linear": return x
    case "relu": return elementwise(Relu(), x, label)
    case "sigmoid": return elementwise(Sigmoid(), x, label)
    case "tanh": return elementwise(Tanh(), x, label)
    case "softplus": return elementwise(Softplus(), x, label)
    case "softsign": return elementwise(Softsign(), x, label)
    case "softmax": return try softmax(x, layer, label)
    default: throw unsupported(layer, "the activation \"\(name)\" is not supported", attribute: "activation")
    }
  }

  private mutating func softmax(_ x: KerasValue, _ layer: KerasModel.Layer, _ label: String) throws
    -> KerasValue
  {
    let shape = builder[x.node].shape
    let axis = x.isTransposed ? 1 : shape.rank - 1
    let node = try builder.composite(Softmax(shape, axis: axis), [x.node], name: label)
    return KerasValue(node: node, isTransposed: x.isTransposed)
  }

  private func tensor(_ data: HDF5File.Dataset) -> Tensor<Double> {
    Tensor(Shape(data.shape), data.values.map { Double($0) })
  }

  private mutating func dense(
    _ layer: KerasModel.Layer, _ x: KerasValue, _ file: borrowing HDF5File
  ) throws -> KerasValue {
    let x = try untransposed(x)
    let weights = try model.weights(of: layer, in: file)
    let shape = builder[x.node].shape
    guard let kernel = weights.first, kernel.shape.count == 2, kernel.shape[0] == shape.dims.last else {
      throw FileError(
        file: model.file, place: layer.name,
        reason:
          "the kernel has shape \(weights.first?.shape ?? []), which does not fit an input of shape \(shape)")
    }
    let map = Dense(Weight(tensor(kernel)), inputShape: shape)
    let bias = try bias(
      weights, layer, channels: kernel.shape[1], shape: map.outputShape, axis: shape.rank - 1)
    return KerasValue(node: try builder.linear(map, x.node, bias: bias, name: layer.name))
  }

  /// The bias spread over the output shape, whose `axis` counts channels.
  private func bias(
    _ weights: [HDF5File.Dataset], _ layer: KerasModel.Layer, channels: Int, shape: Shape, axis: Int
  ) throws -> Weight? {
    guard weights.count > 1 else { return nil }
    guard weights.count == 2, weights[1].shape == [channels] else {
      throw FileError(
        file: model.file, place: layer.name, reason: "expected a kernel and a bias of \(channels) numbers")
    }
    var column = [Int](repeating: 1, count: shape.rank)
    column[axis] = channels
    let index = Shape(column).broadcastIndices(to: shape)
    return Weight(Tensor(shape, index.map { Double(weights[1].values[Int($0)]) }))
  }

  private mutating func convolution(
    _ layer: KerasModel.Layer, _ x: KerasValue, _ file: borrowing HDF5File
  ) throws -> KerasValue {
    let first = try isChannelsFirst(layer)
    let x = first ? x : try channelsFirst(x, layer)
    let shape = builder[x.node].shape
    guard shape.rank == 4 else { throw unsupported(layer, "needs an image, not a value of shape \(shape)") }
    let weights = try model.weights(of: layer, in: file)
    guard let stored = weights.first, stored.shape.count == 4 else {
      throw FileError(file: model.file, place: layer.name, reason: "expected a kernel of four axes")
    }
    // Keras 1 in Theano's order stores (out, in, row, column), flipped; all others (row, column, in, out).
    let isTheano =
      try layer.config.optional("dim_ordering")?.string() == "th" && model.backend != "tensorflow"
    let s = stored.shape
    let (out, inputs, rows, columns) = isTheano ? (s[0], s[1], s[2], s[3]) : (s[3], s[2], s[0], s[1])
    guard inputs == shape[1], out > 0, rows > 0, columns > 0 else {
      throw FileError(
        file: model.file, place: layer.name,
        reason: "the kernel has shape \(s), which does not fit an input of shape \(shape)")
    }
    var kernel = [Double](repeating: 0, count: stored.values.count)
    var at = 0
    for o in 0..<out {
      for i in 0..<inputs {
        for r in 0..<rows {
          for c in 0..<columns {
            let source =
              isTheano
              ? ((o * inputs + i) * rows + (rows - 1 - r)) * columns + (columns - 1 - c)
              : ((r * columns + c) * inputs + i) * out + o
            kernel[at] = Double(stored.values[source])
            at += 1
          }
        }
      }
    }
    let strides = try pair(layer, ["strides", "subsample"], [1, 1])
    let dilations = try pair(layer, ["dilation_rate"], [1, 1])
    let extent = [shape[2], shape[3]]
    let window = [(rows - 1) * dilations[0] + 1, (columns - 1) * dilations[1] + 1]
    let pads = try padding(layer, extent: extent, window: window, strides: strides)
    let geometry = ConvolutionGeometry(
      examples: 1, inputChannels: inputs, outputChannels: out, groups: 1, inputExtent: extent,
      kernel: [rows, columns], strides: strides, dilations: dilations, padsBefore: pads.before,
      padsAfter: pads.after)
    guard geometry.outputShape.checkedCount(limit: Self.sizeLimit) ?? 0 > 0 else {
      throw unsupported(layer, "the output would be empty or too large")
    }
    let map = Convolution(Weight(Tensor([out, inputs, rows, columns], kernel)), geometry)
    let bias = try bias(weights, layer, channels: out, shape: map.outputShape, axis: 1)
    return KerasValue(
      node: try builder.linear(map, x.node, bias: bias, name: layer.name), isTransposed: !first)
  }

  private mutating func pooling(_ layer: KerasModel.Layer, _ x: KerasValue) throws -> KerasValue {
    let first = try isChannelsFirst(layer)
    let x = first ? x : try channelsFirst(x, layer)
    let shape = builder[x.node].shape
    guard shape.rank == 4 else { throw unsupported(layer, "needs an image, not a value of shape \(shape)") }
    let window = try pair(layer, ["pool_size"], [2, 2])
    let strides = try pair(layer, ["strides"], window)
    let extent = [shape[2], shape[3]]
    let pads = try padding(layer, extent: extent, window: window, strides: strides)
    var output: [Int] = []
    for axis in 0..<2 {
      output.append((extent[axis] + pads.before[axis] + pads.after[axis] - window[axis]) / strides[axis] + 1)
    }
    guard output[0] > 0, output[1] > 0 else {
      throw unsupported(layer, "the window is larger than the image")
    }
    var windows: [[Int]] = []
    for r in 0..<output[0] {
      for c in 0..<output[1] {
        var taps: [Int] = []
        for i in 0..<window[0] {
          for j in 0..<window[1] {
            let row = r * strides[0] - pads.before[0] + i
            let column = c * strides[1] - pads.before[1] + j
            if row >= 0, row < extent[0], column >= 0, column < extent[1] {
              taps.append(row * extent[1] + column)
            }
          }
        }
        windows.append(taps)
      }
    }
    let target = Shape([1, shape[1]] + output)
    let plane = extent[0] * extent[1]
    if layer.kind == "MaxPooling2D" {
      let width = window[0] * window[1]
      var candidates: [Int32] = []
      for channel in 0..<shape[1] {
        for taps in windows {
          for k in 0..<width { candidates.append(k < taps.count ? Int32(channel * plane + taps[k]) : -1) }
        }
      }
      let selection = Selection(
        .maximum, inputShapes: [shape], outputShape: target, width: width, candidates: candidates)
      return KerasValue(
        node: try builder.selection(selection, [x.node], name: layer.name), isTransposed: !first)
    }
    // Keras averages over the taps inside the image; with padding their number differs by window.
    guard Set(windows.map(\.count)).count == 1 else {
      throw unsupported(layer, "an average over padding is not supported", attribute: "padding")
    }
    var rows: [[SparseEntry]] = []
    for channel in 0..<shape[1] {
      for taps in windows { rows.append(taps.map { SparseEntry(channel * plane + $0, 1) }) }
    }
    let map = SparseMap(shape, to: target, rows: rows, denominator: windows[0].count)
    return KerasValue(node: try builder.linear(map, x.node, name: layer.name), isTransposed: !first)
  }

  private mutating func sum(_ layer: KerasModel.Layer, _ inputs: [KerasValue]) throws -> KerasValue {
    let isTransposed = inputs[0].isTransposed
    guard inputs.allSatisfy({ $0.isTransposed == isTransposed }) else {
      throw unsupported(layer, "its inputs have different layouts")
    }
    let shape = builder[inputs[0].node].shape
    var terms: [(node: NodeID, map: any LinearMap)] = []
    for (k, input) in inputs.enumerated() {
      let negative = layer.kind == "Subtract" && k > 0
      terms.append((input.node, negative ? Diagonal.scale(-1, shape) : Reshape.identity(shape)))
    }
    return KerasValue(node: try builder.affine(terms, name: layer.name), isTransposed: isTransposed)
  }
}
