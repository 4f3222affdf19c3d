import IR
import Operators
import Tensors

// Arithmetic with multidirectional broadcasting.
extension Lowering {
  func add(_ a: Value, _ b: Value) throws -> Value {
    if case (.node(let x), .node(let y)) = (a.content, b.content), x == y { return try scale(a, 2) }
    let shape = try commonShape([a.shape, b.shape])
    return try affine(
      [(a, IndexMap.broadcast(a.shape, to: shape)), (b, IndexMap.broadcast(b.shape, to: shape))], type: a.type
    )
  }

  func add(_ a: Value, _ number: Double) throws -> Value { try add(a, Value(scalar: number, a.type)) }

  func sum(_ terms: [Value]) throws -> Value {
    let shape = try commonShape(terms.map(\.shape))
    return try affine(terms.map { ($0, IndexMap.broadcast($0.shape, to: shape)) }, type: terms[0].type)
  }

  func sub(_ a: Value, _ b: Value) throws -> Value {
    let shape = try commonShape([a.shape, b.shape])
    if b.isConstant || b.shape != shape { return try add(a, try negate(b)) }
    return try affine(
      [(a, IndexMap.broadcast(a.shape, to: shape)), (b, Diagonal.scale(-1, shape))], type: a.type)
  }

  func negate(_ x: Value) throws -> Value { try scale(x, -1) }

  /// - Parameter roundings: relative error of the factor in units of 2^-53.
  func scale(_ x: Value, _ factor: Double, roundings: Int = 0) throws -> Value {
    if factor == 1 && roundings == 0 { return x }
    return try linear(Diagonal.scale(factor, x.shape, roundings: roundings), x)
  }

  func mul(_ a: Value, _ b: Value) throws -> Value {
    if case (.node(let x), .node(let y)) = (a.content, b.content), x == y { return try square(a) }
    let shape = try commonShape([a.shape, b.shape])
    guard let form = Multiply(a.shape, b.shape) else {
      throw GraphError(node: builder.scope, reason: "shapes \(a.shape) and \(b.shape) do not broadcast")
    }
    if let weight = b.weight { return try linear(form.fixing(right: weight), a) }
    if let weight = a.weight { return try linear(form.fixing(left: weight), b) }
    if !a.isKnown, let weight = b.constant {
      return try linear(RoundedCoefficients(form.fixing(right: weight), roundings: b.roundings), a)
    }
    if !b.isKnown, let weight = a.constant {
      return try linear(RoundedCoefficients(form.fixing(left: weight), roundings: a.roundings), b)
    }
    return try emit(.product(form), [a, b], shape, a.type)
  }

  /// Division of real numbers: by constants a multiplication, otherwise a product with the reciprocal.
  func div(_ a: Value, _ b: Value) throws -> Value {
    let shape = try commonShape([a.shape, b.shape])
    if let weight = b.weight {
      if a.isKnown { return try composite(Quotient(a.shape, b.shape), [a, b]) }
      let inverse = weight.values.map { 1 / $0 }
      // An inverse below the normal range, or of 0, has no relative error.
      let isInRange = inverse.elements.allSatisfy { $0.isFinite && ($0.magnitude > 0x1p-900 || $0 == 0) }
      if !isInRange { return try composite(Quotient(a.shape, b.shape), [a, b]) }
      // The inverse of a power of two is exact; any other carries one rounding.
      let exact = weight.values.elements.allSatisfy { $0.significand == 1 || $0 == 0 || !$0.isFinite }
      let spread = try broadcast(a, to: shape)
      let table = weight.shape.broadcastIndices(to: shape)
      let scale = Weight(Tensor(shape, table.map { inverse[flat: Int($0)] }))
      let first = weight.values.elements.first
      let divisor = weight.values.elements.allSatisfy { $0 == first } ? first : nil
      return try linear(
        Diagonal(scale, shape: shape, roundings: exact ? 0 : 1, divisor: exact ? nil : divisor), spread)
    }
    if case (.node(let x), .node(let y)) = (a.content, b.content), x == y, a.type.isFloatingPoint == false {
      return try filled(1, shape, a.type)
    }
    if let numerator = a.elements {
      let inverse = try reciprocal(b)
      return numerator.allSatisfy { $0 == 1 } ? try broadcast(inverse, to: shape) : try mul(a, inverse)
    }
    if b.constant != nil && !a.isKnown { return try mul(a, try reciprocal(b)) }
    return try composite(Quotient(a.shape, b.shape), [a, b])
  }

  /// Integer division that truncates towards zero.
  func integerDivide(_ a: Value, _ b: Value) throws -> Value {
    try pointwise(.integerDivide, a, b, type: a.type)
  }

  /// A binary function of the discrete kind.
  func pointwise(_ function: PointwiseDiscrete.Function, _ a: Value, _ b: Value, type: ElementType) throws
    -> Value
  {
    _ = try commonShape([a.shape, b.shape])
    guard let f = PointwiseDiscrete(function, a.shape, b.shape) else {
      throw GraphError(node: builder.scope, reason: "shapes \(a.shape) and \(b.shape) do not broadcast")
    }
    return try discrete(f, [a, b], type: type)
  }

  /// x to a power that is the same for all elements.
  func power(_ x: Value, _ exponent: Double) throws -> Value {
    if arithmetic != .real && exponent != 0 && exponent != 1 {
      // Runs compute some powers by other functions, others not.
      return try generalPower(x, exponent)
    }
    switch exponent {
    case 0: return try filled(1, x.shape, x.type)
    case 1: return x
    case 2: return try square(x)
    case 0.5: return try sqrt(x)
    case -1: return try reciprocal(x)
    case -0.5: return try reciprocal(try sqrt(x))
    default: return try generalPower(x, exponent)
    }
  }

  /// The matrix product with numpy's rules for vectors and leading axes.
  func matmul(_ a: Value, _ b: Value) throws -> Value {
    if a.rank == 0 || b.rank == 0 {
      throw GraphError(node: builder.scope, reason: "a matrix product of \(a.shape) and \(b.shape)")
    }
    if a.rank == 1 {
      let row = try matmul(try unsqueeze(a, axis: 0), b)
      var dims = row.shape.dims
      dims.remove(at: b.rank == 1 ? dims.count - 1 : dims.count - 2)
      return try reshape(row, Shape(dims))
    }
    if b.rank == 1 {
      let column = try matmul(a, try unsqueeze(b, axis: 1))
      return try reshape(column, Shape(Array(column.shape.dims.dropLast())))
    }
    guard let form = MatrixProduct(a.shape, b.shape) else {
      throw GraphError(node: builder.scope, reason: "a matrix product of \(a.shape) and \(b.shape)")
    }
    if form.outputShape.count == 0 || a.shape.count == 0 {
      return try filled(0, form.outputShape, a.type)
    }
    if let weight = b.weight { return try linear(form.fixing(right: weight), a) }
    if let weight = a.weight { return try linear(form.fixing(left: weight), b) }
    if !a.isKnown, let weight = b.constant {
      return try linear(RoundedCoefficients(form.fixing(right: weight), roundings: b.roundings), a)
    }
    if !b.isKnown, let weight = a.constant {
      return try linear(RoundedCoefficients(form.fixing(left: weight), roundings: a.roundings), b)
    }
    return try emit(.product(form), [a, b], form.outputShape, a.type)
  }

  // MARK: Reductions; `axes` are in range and the result keeps them with extent 1.

  func reduceSum(_ x: Value, _ axes: Set<Int>) throws -> Value {
    if axes.allSatisfy({ x.shape[$0] == 1 }) { return x }
    return try linear(SumMap.reduce(x.shape, axes: axes, mean: false), x)
  }

  func reduceMean(_ x: Value, _ axes: Set<Int>) throws -> Value {
    if axes.allSatisfy({ x.shape[$0] == 1 }) { return x }
    return try linear(SumMap.reduce(x.shape, axes: axes, mean: true), x)
  }

  /// The largest (or smallest) element along axes.
  func reduceExtremum(_ extremum: Selection.Extremum, _ x: Value, _ axes: Set<Int>) throws -> Value {
    var dims = x.shape.dims
    for axis in axes { dims[axis] = 1 }
    let target = Shape(dims)
    let width = x.shape.count / max(1, target.count)
    if width <= 1 { return x }
    let home = target.broadcastIndices(to: x.shape)
    var candidates = [Int32](repeating: -1, count: target.count * width)
    var filled = [Int](repeating: 0, count: target.count)
    for (element, place) in home.enumerated() {
      let o = Int(place)
      candidates[o * width + filled[o]] = Int32(element)
      filled[o] += 1
    }
    return try selection(
      Selection(
        extremum, inputShapes: [x.shape], outputShape: target, width: width, candidates: candidates), [x])
  }

  /// The elementwise maximum (or minimum) of operands with broadcasting.
  func extremum(_ extremum: Selection.Extremum, _ operands: [Value]) throws -> Value {
    if operands.count == 1 { return operands[0] }
    let shape = try commonShape(operands.map(\.shape))
    if let clipped = try clip(extremum, operands, to: shape) { return clipped }
    if shape.count == 0 { return try filled(0, shape, operands[0].type) }
    var tables: [[Int32]] = []
    var offset: Int32 = 0
    for operand in operands {
      tables.append(operand.shape.broadcastIndices(to: shape).map { $0 + offset })
      offset += Int32(operand.shape.count)
    }
    var candidates: [Int32] = []
    candidates.reserveCapacity(shape.count * operands.count)
    for o in 0..<shape.count { for table in tables { candidates.append(table[o]) } }
    return try selection(
      Selection(
        extremum, inputShapes: operands.map(\.shape), outputShape: shape, width: operands.count,
        candidates: candidates), operands)
  }

  /// The maximum of one variable and numbers as a function of every element; nil if it is something else.
  private func clip(_ extremum: Selection.Extremum, _ operands: [Value], to shape: Shape) throws -> Value? {
    let variable = operands.filter { !$0.isConstant }
    guard variable.count == 1, variable[0].type.isFloatingPoint else { return nil }
    var numbers: [Double] = []
    for operand in operands {
      guard let elements = operand.elements else { continue }
      guard let first = elements.first, elements.allSatisfy({ $0 == first }), !first.isNaN else { return nil }
      numbers.append(first)
    }
    let x = try broadcast(variable[0], to: shape)
    switch extremum {
    case .maximum:
      let bound = numbers.max() ?? -.infinity
      if bound == -.infinity { return x }
      return try elementwise(bound == 0 ? Relu() : Operators.Clip(bound, .infinity), x)
    case .minimum:
      return try elementwise(Operators.Clip(-.infinity, numbers.min() ?? .infinity), x)
    }
  }

  // MARK: Conditions

  func compare(_ function: PointwiseDiscrete.Function, _ a: Value, _ b: Value) throws -> Value {
    try pointwise(function, a, b, type: .bool)
  }

  func not(_ x: Value) throws -> Value {
    try elementwise(Not(), x, type: .bool)
  }

  /// `a` where the condition holds, else `b`. A constant condition moves data only.
  func choose(_ condition: Value, _ a: Value, _ b: Value) throws -> Value {
    let shape = try commonShape([condition.shape, a.shape, b.shape])
    guard let mask = condition.weight else {
      guard let f = Choice(condition: condition.shape, a.shape, b.shape) else {
        throw GraphError(node: builder.scope, reason: "condition and branches do not broadcast")
      }
      return try discrete(f, [condition, a, b], type: a.type)
    }
    let chosen = mask.shape.broadcastIndices(to: shape).map { mask.values[flat: Int($0)] != 0 }
    if chosen.allSatisfy({ $0 }) { return try broadcast(a, to: shape) }
    if !chosen.contains(true) { return try broadcast(b, to: shape) }
    func part(_ x: Value, _ side: Bool) -> (value: Value, map: any LinearMap) {
      let table = x.shape.broadcastIndices(to: shape)
      return (x, IndexMap(x.shape, to: shape, index: zip(table, chosen).map { $1 == side ? $0 : -1 }))
    }
    return try affine([part(a, true), part(b, false)], disjoint: true, type: a.type)
  }

  // MARK: Types

  /// The same number in another type: truncation towards zero from floating point to integers.
  func cast(_ x: Value, to type: ElementType) throws -> Value {
    if x.type == type { return x }
    if type == .bool { return try elementwise(NonZero(), x, type: .bool) }
    if x.type.isFloatingPoint && !type.isFloatingPoint { return try elementwise(Truncate(), x, type: type) }
    if arithmetic != .real {
      if let weight = x.weight {
        return Value(Weight(weight.values.map { DeployedFolding.rounded($0, type) }), type)
      }
      if !x.type.isContained(in: type) { return try elementwise(Conversion(), x, type: type) }
      return try linear(Reshape.identity(x.shape), x, type: type)
    }
    if let weight = x.constant, type.isFloatingPoint, let exact = rounded(weight, x.roundings, to: type) {
      var value = Value(exact, type, roundings: type == .float64 ? x.roundings : 0)
      if type == .float64 { value.rationals = x.rationals }
      return value
    }
    return try linear(Reshape.identity(x.shape), x, type: type)
  }

  /// A constant rounded to the nearest values of a floating-point type; nil where the constant's own error leaves open
  /// which these are.
  private func rounded(_ weight: Weight, _ roundings: Int, to type: ElementType) -> Weight? {
    let round: (Double) -> Double
    switch type {
    case .float16: round = { Double(Float16($0)) }
    case .float32: round = { Double(Float($0)) }
    case .bfloat16: round = { Double(Self.bfloat16(Float($0))) }
    default: return weight
    }
    // A little more than the error, for the rounding of these products.
    let slack = Double(roundings) * 0x1.1p-53
    for value in weight.values.elements where roundings > 0 {
      if round(value * (1 - slack)) != round(value * (1 + slack)) { return nil }
    }
    if weight.values.elements.allSatisfy({ round($0) == $0 || $0.isNaN }) { return weight }
    return Weight(weight.values.map(round))
  }

  static func bfloat16(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let bits = x.bitPattern
    return Float(bitPattern: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) & 0xffff_0000)
  }
}
