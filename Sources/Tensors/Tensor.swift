/// A dense row-major tensor.
///
/// In the engine the leading axis is the batch: the value of a node of shape `s` is a tensor of shape `[B] + s`.
public struct Tensor<Scalar: Real>: Sendable, Equatable {
  public let shape: Shape
  /// Row-major; the count never changes.
  public var elements: [Scalar]

  /// Precondition: `elements.count == shape.count`.
  @inlinable
  public init(_ shape: Shape, _ elements: [Scalar]) {
    precondition(elements.count == shape.count, "a tensor of shape \(shape) needs \(shape.count) elements")
    self.init(unchecked: shape, elements)
  }

  @usableFromInline
  init(unchecked shape: Shape, _ elements: [Scalar]) {
    self.shape = shape
    self.elements = elements
  }

  // Inlined so that the loop is one over numbers: through the generic entry every element is copied by a call.
  @inlinable
  public init(repeating value: Scalar, _ shape: Shape) {
    let count = shape.count
    self.init(writing: shape) { $0.initialize(repeating: value, count: count) }
  }

  public static func zeros(_ shape: Shape) -> Tensor {
    let count = shape.count
    return Tensor(writing: shape) { Scalar.clear(count, $0) }
  }

  public init(scalar: Scalar) { self.init(unchecked: [], [scalar]) }

  /// A tensor whose elements `body` writes, all of them.
  @inlinable
  public init(writing shape: Shape, _ body: (UnsafeMutablePointer<Scalar>) throws -> Void) rethrows {
    let count = shape.count
    let elements = try [Scalar](unsafeUninitializedCapacity: max(count, 1)) { buffer, initialized in
      // The capacity asked for is at least 1, so the buffer has a base address.
      try body(buffer.baseAddress!)
      initialized = count
    }
    self.init(unchecked: shape, elements)
  }

  @inlinable public var count: Int { elements.count }

  /// The extent of the leading (batch) axis; 1 for a scalar.
  @inlinable public var batch: Int { shape.dims.first ?? 1 }

  /// The shape without the leading axis.
  public var exampleShape: Shape { Shape(Array(shape.dims.dropFirst())) }

  /// The same elements under another shape. Precondition: equal counts.
  public func reshaped(_ newShape: Shape) -> Tensor {
    precondition(newShape.count == count, "cannot reshape \(shape) to \(newShape)")
    return Tensor(unchecked: newShape, elements)
  }

  @inlinable
  public subscript(flat index: Int) -> Scalar {
    get { elements[index] }
    set { elements[index] = newValue }
  }

  @inlinable
  public func withPointer<R>(_ body: (UnsafePointer<Scalar>) throws -> R) rethrows -> R {
    try elements.withUnsafeBufferPointer { buffer in
      if let base = buffer.baseAddress { return try body(base) }
      // An empty array may lack an address; nothing is read through this one.
      return try withUnsafeTemporaryAllocation(of: Scalar.self, capacity: 1) {
        try body(UnsafePointer($0.baseAddress!))
      }
    }
  }

  @inlinable
  public mutating func withMutablePointer<R>(_ body: (UnsafeMutablePointer<Scalar>) throws -> R) rethrows -> R
  {
    try elements.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { return try body(base) }
      // As above: an empty tensor has nothing to write.
      return try withUnsafeTemporaryAllocation(of: Scalar.self, capacity: 1) { try body($0.baseAddress!) }
    }
  }

  /// Example `index` of the batch, with a leading axis of 1.
  public func example(_ index: Int) -> Tensor { examples(index..<(index + 1)) }

  /// A range of the batch.
  public func examples(_ range: Range<Int>) -> Tensor {
    let size = batch == 0 ? 0 : count / batch
    var dims = shape.dims
    dims[0] = range.count
    return Tensor(
      unchecked: Shape(dims), Array(elements[(range.lowerBound * size)..<(range.upperBound * size)]))
  }

  /// The tensor repeated along a leading batch axis that had extent 1.
  public func repeatedBatch(_ batch: Int) -> Tensor {
    if self.batch == batch { return self }
    precondition(self.batch == 1, "only a batch of 1 can be repeated")
    var dims = shape.dims
    dims[0] = batch
    var result = [Scalar]()
    result.reserveCapacity(count * batch)
    for _ in 0..<batch { result.append(contentsOf: elements) }
    return Tensor(unchecked: Shape(dims), result)
  }

  /// Tensors of equal example shape joined along the batch axis.
  public static func concatenatingBatches(_ parts: [Tensor]) -> Tensor {
    guard let first = parts.first else { return Tensor(unchecked: [0], []) }
    var dims = first.shape.dims
    dims[0] = parts.reduce(0) { $0 + $1.batch }
    return Tensor(unchecked: Shape(dims), parts.flatMap(\.elements))
  }

  @inlinable
  public func map(_ f: (Scalar) throws -> Scalar) rethrows -> Tensor {
    Tensor(unchecked: shape, try elements.map(f))
  }
}

extension Tensor {
  /// Elementwise sum. Precondition: equal shapes.
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    var result = a
    result += b
    return result
  }

  public static func += (a: inout Tensor, b: Tensor) {
    precondition(a.count == b.count, "cannot add \(a.shape) and \(b.shape)")
    let n = a.count
    a.withMutablePointer { y in b.withPointer { x in Scalar.add(n, x, into: y) } }
  }

  public static func * (a: Tensor, b: Tensor) -> Tensor {
    precondition(a.count == b.count, "cannot multiply \(a.shape) and \(b.shape)")
    return Tensor(writing: a.shape) { z in
      a.withPointer { x in b.withPointer { y in Scalar.multiply(a.count, x, y, into: z) } }
    }
  }

  /// Adds `bias` (one example) to every example of the batch.
  public mutating func addToEveryExample(_ bias: Tensor) {
    let n = bias.count
    if n == 0 { return }
    precondition(count % n == 0, "bias of shape \(bias.shape) does not fit \(shape)")
    let rows = count / n
    withMutablePointer { y in
      bias.withPointer { b in for r in 0..<rows { Scalar.add(n, b, into: y + r * n) } }
    }
  }
}

extension Tensor where Scalar == Double {
  public var float32: Tensor<Float> {
    Tensor<Float>(writing: shape) { y in
      withPointer { x in for i in 0..<count { y[i] = Float(x[i]) } }
    }
  }

  public var magnitude: Tensor { map { Swift.abs($0) } }
}

extension Tensor where Scalar == Float {
  public var float64: Tensor<Double> {
    Tensor<Double>(writing: shape) { y in
      withPointer { x in for i in 0..<count { y[i] = Double(x[i]) } }
    }
  }
}
