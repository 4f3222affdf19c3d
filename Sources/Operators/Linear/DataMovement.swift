import IR
import Tensors

/// The same elements under another shape: Reshape, Flatten, Squeeze, Unsqueeze, Identity.
public struct Reshape: LinearMap {
  public let inputShape: Shape
  public let outputShape: Shape

  /// Precondition: equal counts.
  public init(_ inputShape: Shape, to outputShape: Shape) {
    precondition(inputShape.count == outputShape.count)
    self.inputShape = inputShape
    self.outputShape = outputShape
  }
  public static func identity(_ shape: Shape) -> Reshape { Reshape(shape, to: shape) }

  public var fanIn: Int { 0 }
  public var isNonnegative: Bool { true }
  public var fanOut: Int { 0 }
  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { x.reshaped([x.batch] + outputShape) }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { y.reshaped([y.batch] + inputShape) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { apply(x) }
  public func row(_ output: Int) -> [SparseEntry] { [SparseEntry(output, 1)] }
}

/// Every output copies one input element or is zero: Transpose, Slice, Gather by constants, Expand, Tile, Pad,
/// Concat's parts, DepthToSpace, nearest-neighbour Resize.
public struct IndexMap: LinearMap {
  public let inputShape: Shape
  public let outputShape: Shape
  public let table: IndexTable
  public let fanOut: Int

  /// - Parameter index: for every output element the flat input index, or -1 for zero.
  public init(_ inputShape: Shape, to outputShape: Shape, index: [Int32]) {
    precondition(index.count == outputShape.count)
    self.inputShape = inputShape
    self.outputShape = outputShape
    table = IndexTable(index, inputCount: inputShape.count)
    let multiplicity = table.multiplicity
    fanOut = multiplicity <= 1 ? 0 : multiplicity
  }

  /// Multidirectional broadcasting of one operand. Precondition: it is possible.
  public static func broadcast(_ shape: Shape, to target: Shape) -> any LinearMap {
    if shape.count == target.count { return Reshape(shape, to: target) }
    return IndexMap(shape, to: target, index: shape.broadcastIndices(to: target))
  }

  /// Axis i of the output is axis `permutation[i]` of the input.
  public static func transpose(_ shape: Shape, _ permutation: [Int]) -> IndexMap {
    let strides = shape.strides
    let target = Shape(permutation.map { shape[$0] })
    return IndexMap(shape, to: target, index: target.stridedIndices(steps: permutation.map { strides[$0] }))
  }

  /// start + step * i along every axis.
  public static func slice(_ shape: Shape, starts: [Int], counts: [Int], steps: [Int]) -> IndexMap {
    let strides = shape.strides
    var offset = 0
    for axis in starts.indices { offset += starts[axis] * strides[axis] }
    let target = Shape(counts)
    let index = target.stridedIndices(steps: zip(strides, steps).map { $0 * $1 }, offset: offset)
    return IndexMap(shape, to: target, index: index)
  }

  /// Places the input at `offset` along `axis` of the output, zeros elsewhere: one part of a Concat.
  public static func embed(_ shape: Shape, into target: Shape, axis: Int, offset: Int) -> IndexMap {
    var index = [Int32](repeating: -1, count: target.count)
    let inner = shape.dims[(axis + 1)...].reduce(1, *)
    let outer = shape.dims[..<axis].reduce(1, *)
    let own = shape[axis] * inner
    let full = target[axis] * inner
    for o in 0..<outer {
      for i in 0..<own { index[o * full + offset * inner + i] = Int32(o * own + i) }
    }
    return IndexMap(shape, to: target, index: index)
  }

  public var fanIn: Int { 0 }
  public var isNonnegative: Bool { true }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> {
    Tensor(writing: [x.batch] + outputShape) { y in
      x.withPointer { table.gather(rows: x.batch, $0, into: y) }
    }
  }

  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    var result = Tensor<T>.zeros([y.batch] + inputShape)
    result.withMutablePointer { x in y.withPointer { table.scatterAdd(rows: y.batch, $0, into: x) } }
    return result
  }

  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { apply(x) }

  public func row(_ output: Int) -> [SparseEntry] {
    table.sources(of: output).map { [SparseEntry($0, 1)] } ?? []
  }
}

/// Sums of inputs, optionally divided by an integer: ReduceSum, ReduceMean, GlobalAveragePool, segment sums.
///
/// The transpose of an index map: input i is added to output `target[i]`.
public struct SumMap: LinearMap {
  public let inputShape: Shape
  public let outputShape: Shape
  public let denominator: Int
  public let table: IndexTable
  private let terms: Int

  /// - Parameter target: for every input element the flat output index, or -1 to drop it.
  public init(_ inputShape: Shape, to outputShape: Shape, target: [Int32], denominator: Int = 1) {
    precondition(target.count == inputShape.count && denominator > 0)
    self.inputShape = inputShape
    self.outputShape = outputShape
    self.denominator = denominator
    table = IndexTable(target, inputCount: outputShape.count)
    terms = table.multiplicity
  }

  /// The sum or mean over `axes`, which the output keeps with extent 1.
  public static func reduce(_ shape: Shape, axes: Set<Int>, mean: Bool) -> SumMap {
    var dims = shape.dims
    var divisor = 1
    for axis in axes {
      divisor *= dims[axis]
      dims[axis] = 1
    }
    let reduced = Shape(dims)
    return SumMap(
      shape, to: reduced, target: reduced.broadcastIndices(to: shape), denominator: mean ? max(1, divisor) : 1
    )
  }

  public var isNonnegative: Bool { true }
  /// The division by the denominator is one more rounding.
  public var fanIn: Int { (terms <= 1 ? 0 : terms) + (denominator == 1 ? 0 : 1) }
  public var fanOut: Int { denominator == 1 ? 0 : 1 }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> {
    var result = Tensor<T>.zeros([x.batch] + outputShape)
    let divisor = T(denominator)
    let count = result.count
    result.withMutablePointer { y in
      x.withPointer { table.scatterAdd(rows: x.batch, $0, into: y) }
      if denominator != 1 { for i in 0..<count { y[i] /= divisor } }
    }
    return result
  }

  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    let divisor = T(denominator)
    let scaled = denominator == 1 ? y : y.map { $0 / divisor }
    return Tensor(writing: [y.batch] + inputShape) { x in
      scaled.withPointer { table.gather(rows: y.batch, $0, into: x) }
    }
  }

  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { apply(x) }

  public func row(_ output: Int) -> [SparseEntry] {
    table.index.indices.compactMap { table.index[$0] == Int32(output) ? SparseEntry($0, 1) : nil }
  }
}
