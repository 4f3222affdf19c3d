import FileFormats
import IR
import OnnxFormat
import Operators
import Tensors

// Layers that move, repeat or drop elements.
extension KerasLayers {
  static let shapes: [String: Lower] = {
    var table: [String: Lower] = [
      "Flatten": { call in [try flatten(call)] },
      "Reshape": { call in [try reshape(call)] },
      "Permute": { call in
        let x = try call.plain()
        let dims = try call.config.member("dims")
        let order = try dims.elements().map { try $0.int() }
        guard order.sorted() == Array(1..<x.rank) else {
          throw dims.error("\(order) does not order the axes of a value of shape \(x.shape)")
        }
        return [call.named(KerasValue(try call.l.transpose(x, [0] + order)))]
      },
      "RepeatVector": { call in
        let x = try call.plain()
        guard let count = try call.config.extent("n"), x.rank == 2 else {
          throw call.config.unsupported("needs a vector and a number of copies")
        }
        let row = try call.l.unsqueeze(x, axis: 1)
        try call.l.checkSize([1, count, x.shape[1]])
        return [call.named(KerasValue(try call.l.broadcast(row, to: [1, count, x.shape[1]])))]
      },
    ]
    for spatial in 1...3 {
      table["ZeroPadding\(spatial)D"] = { call in
        [try resized(call, spatial, try sides(call, "padding", spatial, default: 1))]
      }
      table["Cropping\(spatial)D"] = { call in
        let crop = try sides(call, "cropping", spatial, default: spatial == 1 ? 1 : 0)
        return [try resized(call, spatial, crop.map { (-$0.before, -$0.after) })]
      }
      table["UpSampling\(spatial)D"] = { call in [try upSampling(call, spatial)] }
    }
    return table
  }()

  private static func flatten(_ call: KerasCall) throws -> KerasValue {
    var x = try call.plain()
    // With channels first the model moves them to the end before it counts the elements.
    if try call.config.optional("data_format") != nil, try call.isChannelsFirst(), x.rank > 2 {
      x = try call.l.transpose(x, [0] + Array(2..<x.rank) + [1])
    }
    return call.named(KerasValue(try call.l.reshape(x, [1, x.shape.count])))
  }

  private static func reshape(_ call: KerasCall) throws -> KerasValue {
    let x = try call.plain()
    let field = try call.config.member("target_shape")
    var dims = try field.elements().map { try $0.int() }
    let open = dims.indices.filter { dims[$0] == -1 }
    let known = Shape(dims.filter { $0 != -1 })
    guard open.count <= 1, known.dims.allSatisfy({ $0 > 0 }),
      let count = known.checkedCount(limit: Lowering.sizeLimit)
    else { throw field.error("\(dims) is no shape") }
    if let place = open.first { dims[place] = x.shape.count / count }
    guard let total = Shape(dims).checkedCount(limit: Lowering.sizeLimit), total == x.shape.count else {
      throw call.config.unsupported("the target shape does not fit \(x.shape)", member: "target_shape")
    }
    return call.named(KerasValue(try call.l.reshape(x, Shape([1] + dims))))
  }

  /// Elements before and after by spatial axis: one number for all, one for each axis, or a pair for each.
  private static func sides(_ call: KerasCall, _ key: String, _ spatial: Int, default value: Int) throws -> [(
    before: Int, after: Int
  )] {
    func count(_ field: JSONField) throws -> Int {
      let count = try field.int()
      guard count >= 0, count < KerasConfiguration.extentLimit else {
        throw field.error("\(count) is no number of elements")
      }
      return count
    }
    guard let field = try call.config.optional(key) else {
      return [(before: Int, after: Int)](repeating: (value, value), count: spatial)
    }
    if field.value.intValue != nil {
      let one = try count(field)
      return [(before: Int, after: Int)](repeating: (one, one), count: spatial)
    }
    let elements = try field.elements()
    if spatial == 1, elements.count == 2 { return [(try count(elements[0]), try count(elements[1]))] }
    guard elements.count == spatial else { throw field.error("expected \(spatial) entries") }
    return try elements.map { element in
      if element.value.intValue != nil { return (try count(element), try count(element)) }
      let pair = try element.elements()
      guard pair.count == 2 else { throw element.error("expected two numbers") }
      return (try count(pair[0]), try count(pair[1]))
    }
  }

  /// Adds zeros around an image; negative amounts cut off.
  private static func resized(_ call: KerasCall, _ spatial: Int, _ sides: [(before: Int, after: Int)]) throws
    -> KerasValue
  {
    let image = try call.image(spatial)
    for (extent, side) in zip(image.extents, sides) where extent + side.before + side.after < 1 {
      throw call.config.unsupported("nothing of an extent of \(extent) would be left")
    }
    let y = try call.l.padZero(
      image.value, before: [0, 0] + sides.map(\.before), after: [0, 0] + sides.map(\.after))
    return call.named(call.like(image, y))
  }

  private static func upSampling(_ call: KerasCall, _ spatial: Int) throws -> KerasValue {
    let image = try call.image(spatial)
    let factors =
      try call.config.extents(["size", "length"], rank: spatial) ?? [Int](repeating: 2, count: spatial)
    var y = image.value
    switch try call.config.string("interpolation", default: "nearest") {
    case "nearest":
      for (axis, factor) in factors.enumerated() {
        let extent = image.extents[axis]
        var dims = y.shape.dims
        dims[axis + 2] = extent * factor
        try call.l.checkSize(Shape(dims))
        y = try call.l.take(y, axis: axis + 2, (0..<(extent * factor)).map { $0 / factor })
      }
    case "bilinear":
      let sizes = zip(image.extents, factors).map { $0 * $1 }
      try call.l.checkSize(Shape([1, image.channels] + sizes))
      y = try call.onnx(
        "Resize", [y, nil, nil, Value(integers: [1, image.channels] + sizes)], [.string("mode", "linear")])[0]
    case let other:
      throw call.config.unsupported("'\(other)' is not supported", member: "interpolation")
    }
    return call.named(call.like(image, y))
  }
}
