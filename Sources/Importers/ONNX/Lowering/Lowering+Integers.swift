import Domains
import IR
import Operators
import Tensors

// Integers wrap around at the ends of their type. A result that may leave the range, whatever the inputs are, is
// followed by a node that wraps it; all others are not, so ordinary index and quantised arithmetic stays as it is.
extension Lowering {
  /// Bounds of all elements of a value that hold for every input.
  func knownRange(_ value: Value) -> ClosedRange<Double> {
    if let elements = value.constant?.values.elements {
      let (least, greatest) = (elements.min() ?? 0, elements.max() ?? 0)
      if least <= greatest { return least...greatest }
    }
    if case .node(let id) = value.content, let range = ranges[id] { return range }
    if value.type == .bool { return 0...1 }
    return value.type.integerRange ?? -Double.infinity...Double.infinity
  }

  /// The folded result of an operation, in the range of its type.
  ///
  /// - Throws: `GraphError` for 64-bit integers that wrap: Float64 does not hold them.
  func wrapped(_ result: Tensor<Double>, _ type: ElementType) throws -> Tensor<Double> {
    guard let range = type.integerRange, !result.elements.allSatisfy(range.contains),
      let wrap = IntegerWrap(type)
    else { return result }
    let values = result.map { wrap.value($0) as Double }
    try require(
      !values.elements.contains(where: \.isNaN), "an integer beyond 2^53 cannot be computed exactly")
    return values
  }

  /// A new node's value, wrapped where it may leave its type.
  func inRange(_ value: Value, _ operation: Operation, of inputs: [Value]) throws -> Value {
    guard case .node(let id) = value.content else { return value }
    let limits = value.type.integerRange
    if limits == nil {
      // A Clip limits what a later conversion meets.
      if case .elementwise(let f) = operation, f is Operators.Clip {
        ranges[id] = try resultRange(operation, inputs, value)
      }
      return value
    }
    guard let limits else { return value }
    let reach = try resultRange(operation, inputs, value)
    if let reach, limits.lowerBound <= reach.lowerBound, reach.upperBound <= limits.upperBound {
      ranges[id] = reach
      return value
    }
    let converts = inputs.contains { $0.type.isFloatingPoint }
    guard let wrap = IntegerWrap(value.type, isDefinedOutside: !converts) else { return value }
    let node = builder.append(.elementwise(wrap), inputs: [id], shape: value.shape, type: value.type)
    var result = Value(node, value.shape, value.type)
    result.estimate = value.estimate
    return result
  }

  /// Bounds of an operation's result before it wraps; nil where nothing is known.
  private func resultRange(_ operation: Operation, _ inputs: [Value], _ value: Value) throws
    -> ClosedRange<Double>?
  {
    let ranges = inputs.map(knownRange)
    func hull(_ a: Double, _ b: Double) -> ClosedRange<Double>? { a <= b ? a...b : nil }
    switch operation {
    case .affine(let affine):
      let node = Node(
        id: 0, name: "", origin: "", operation: operation, inputs: [], shape: value.shape,
        elementType: value.type)
      let x = zip(inputs, ranges).map { input, range in
        Interval(
          lower: Tensor(repeating: range.lowerBound, [1] + input.shape),
          upper: Tensor(repeating: range.upperBound, [1] + input.shape))
      }
      let result = try IntervalDomain().affine(affine, x, at: node)
      return hull(result.lower.elements.min() ?? 0, result.upper.elements.max() ?? 0)
    case .elementwise(let f):
      let (least, greatest) = f.range(ranges[0].lowerBound, ranges[0].upperBound)
      return hull(least, greatest)
    case .product(let form):
      let corners = [ranges[0].lowerBound, ranges[0].upperBound].flatMap { a in
        [ranges[1].lowerBound, ranges[1].upperBound].map { a * $0 }
      }
      guard let least = corners.min(), let greatest = corners.max() else { return nil }
      // Sums of at most fanIn products.
      return form.fanIn <= 1
        ? hull(least, greatest)
        : hull(min(0, least) * Double(form.fanIn), max(0, greatest) * Double(form.fanIn))
    case .discrete(let f):
      if let scatter = f as? RuntimeScatter, scatter.reduction == .add || scatter.reduction == .mul {
        return nil
      }
      switch (f as? PointwiseDiscrete)?.function {
      case .shiftLeft, .power: return nil
      // Only the least number divided by -1 leaves a type.
      case .integerDivide:
        let size = max(-ranges[0].lowerBound, ranges[0].upperBound, 0)
        return ranges[0].lowerBound >= 0 && ranges[1].lowerBound >= 0 ? 0...size : -size...size
      default: return value.type.integerRange
      }
    case .selection, .composite: return value.type.integerRange
    case .input, .constant: return nil
    }
  }
}
