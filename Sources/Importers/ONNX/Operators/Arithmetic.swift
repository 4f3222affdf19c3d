import IR
import Operators
import Tensors

// Binary and n-ary arithmetic with broadcasting.
extension OnnxOperators {
  static let arithmetic: [String: Lower] = [
    "Add": { node, l in
      let (a, b) = (try node.input(0), try node.input(1))
      if node.proto.output.contains(where: l.radicands.contains) {
        return [try l.add(a.asEpsilon, b.asEpsilon)]
      }
      return [try l.add(a, b)]
    },
    "Sub": { node, l in [try l.sub(try node.input(0), try node.input(1))] },
    "Mul": { node, l in [try l.mul(try node.input(0).asFactor, try node.input(1).asFactor)] },
    "Div": { node, l in
      let (a, b) = (try node.input(0).asFactor, try node.input(1).asFactor)
      return [a.type.isFloatingPoint ? try l.div(a, b) : try l.integerDivide(a, b)]
    },
    "Mod": { node, l in
      let truncated = try node.bool("fmod", default: false)
      let a = try node.input(0)
      // Real numbers may have Python's remainder from opset 28 on.
      if a.type.isFloatingPoint && !truncated && node.version < 28 {
        throw node.malformed("must be 1 for real numbers", attribute: "fmod")
      }
      return [try l.pointwise(truncated ? .remainder : .modulo, a, try node.input(1), type: a.type)]
    },
    "Pow": { node, l in [try pow(try node.input(0), try node.input(1), l)] },
    "Sum": { node, l in [try l.sum(try node.allInputs())] },
    "Mean": { node, l in
      let terms = try node.allInputs()
      if terms.count == 1 { return terms }
      return [try l.div(try l.sum(terms), Value(scalar: Double(terms.count), terms[0].type))]
    },
    "Max": { node, l in [try l.extremum(.maximum, try node.allInputs())] },
    "Min": { node, l in [try l.extremum(.minimum, try node.allInputs())] },
    "BitwiseAnd": { node, l in [try bits(.bitAnd, node, l)] },
    "BitwiseOr": { node, l in [try bits(.bitOr, node, l)] },
    "BitwiseXor": { node, l in [try bits(.bitXor, node, l)] },
    "BitwiseNot": { node, l in
      // -1 - x in two's complement, the largest value minus x for unsigned types.
      let x = try node.input(0)
      let top: Double
      switch x.type {
      case .uint8: top = 255
      case .uint16: top = 65535
      case .uint32: top = 4_294_967_295
      case .uint64: throw node.unsupported("uint64 exceeds the integers that are computed exactly")
      default: top = -1
      }
      return [try l.add(try l.negate(x), top)]
    },
    "BitShift": { node, l in
      let direction = try node.require("direction", try node.string("direction"))
      guard direction == "LEFT" || direction == "RIGHT" else {
        throw node.malformed("'\(direction)' is neither LEFT nor RIGHT", attribute: "direction")
      }
      return [try bits(direction == "LEFT" ? .shiftLeft : .shiftRight, node, l)]
    },
    "Cast": { node, l in
      node.ignore("saturate", "round_mode")
      let target = try node.require("to", try node.int("to"))
      return [try l.cast(try node.input(0), to: try elementType(target, node, "to"))]
    },
    "CastLike": { node, l in
      node.ignore("saturate", "round_mode")
      return [try l.cast(try node.input(0), to: try node.input(1).type)]
    },
  ]

  static let comparisons: [String: Lower] = [
    "Equal": { node, l in [try compare(.equal, node, l)] },
    "Greater": { node, l in [try compare(.greater, node, l)] },
    "GreaterOrEqual": { node, l in [try compare(.greaterOrEqual, node, l)] },
    "Less": { node, l in [try compare(.less, node, l)] },
    "LessOrEqual": { node, l in [try compare(.lessOrEqual, node, l)] },
    "And": { node, l in [try l.extremum(.minimum, [try node.input(0), try node.input(1)])] },
    "Or": { node, l in [try l.extremum(.maximum, [try node.input(0), try node.input(1)])] },
    "Xor": { node, l in [try compare(.exclusiveOr, node, l)] },
    "Not": { node, l in [try l.not(try node.input(0))] },
    "Where": { node, l in [try l.choose(try node.input(0), try node.input(1), try node.input(2))] },
  ]

  private static func compare(_ function: PointwiseDiscrete.Function, _ node: OnnxNode, _ l: Lowering) throws
    -> Value
  {
    try l.compare(function, try node.input(0), try node.input(1))
  }

  private static func bits(_ function: PointwiseDiscrete.Function, _ node: OnnxNode, _ l: Lowering) throws
    -> Value
  {
    let a = try node.input(0)
    return try l.pointwise(function, a, try node.input(1), type: a.type)
  }

  /// The engine's type for a number in `TensorProto.DataType`.
  static func elementType(_ number: Int, _ node: OnnxNode, _ attribute: String) throws -> ElementType {
    guard let type = OnnxElementTypes.type(number) else {
      throw node.unsupported(
        "the element type \(OnnxElementTypes.name(number)) is not supported", attribute: attribute)
    }
    return type
  }

  /// Powers: by a constant a function of every element, by a variable a discrete function.
  private static func pow(_ x: Value, _ exponent: Value, _ l: Lowering) throws -> Value {
    let shape = try l.commonShape([x.shape, exponent.shape])
    guard let exponents = exponent.elements, let first = exponents.first, x.type.isFloatingPoint else {
      if x.type.isFloatingPoint { return try l.pointwise(.power, x, exponent, type: x.type) }
      // Powers of integers are computed as real numbers and cut.
      return try l.elementwise(Truncate(), try l.pointwise(.power, x, exponent, type: .float64), type: x.type)
    }
    if exponents.allSatisfy({ $0 == first }) { return try l.power(try l.broadcast(x, to: shape), first) }
    if x.isConstant { return try l.pointwise(.power, x, exponent, type: x.type) }
    // One function per distinct exponent, each on the elements that have it.
    let spread = try l.broadcast(x, to: shape)
    let table = exponent.shape.broadcastIndices(to: shape).map { exponents[Int($0)] }
    var terms: [(value: Value, map: any LinearMap)] = []
    for exponent in Set(exponents).sorted() {
      let places = table.indices.filter { table[$0] == exponent }.map { Int32($0) }
      let part = try l.power(try l.moved(spread, to: [places.count], places), exponent)
      var home = [Int32](repeating: -1, count: shape.count)
      for (source, place) in places.enumerated() { home[Int(place)] = Int32(source) }
      terms.append((part, IndexMap(part.shape, to: shape, index: home)))
    }
    return try l.affine(terms, disjoint: true, type: x.type)
  }
}
