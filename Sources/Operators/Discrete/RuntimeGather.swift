import IR
import Tensors

/// Look-up with indices that are known at run time only: Gather, GatherElements, GatherND.
///
/// Output o copies the data element `base[o] + sum over c of index_c(o) * stride_c`, where index_c(o) is the element
/// `positions[o * components + c]` of the index tensor. Negative indices count from the end of their axis.
public struct RuntimeGather: DiscreteFunction {
  public let inputShapes: [Shape]
  public let outputShape: Shape
  /// For every output the data element at index 0.
  private let base: [Int32]
  private let positions: [Int32]
  /// By component: the extent of the indexed axis and the distance of its elements.
  private let axes: [(extent: Int, stride: Int)]
  /// How many data elements an output may come from before bounds are refused.
  public static let unionLimit = 1 << 16

  public init(
    data: Shape, indices: Shape, output: Shape, base: [Int32], positions: [Int32],
    axes: [(extent: Int, stride: Int)]
  ) {
    precondition(base.count == output.count && positions.count == output.count * axes.count)
    inputShapes = [data, indices]
    outputShape = output
    self.base = base
    self.positions = positions
    self.axes = axes
  }

  /// ONNX Gather along one axis.
  public static func gather(data: Shape, indices: Shape, axis: Int) -> RuntimeGather {
    let inner = data.dims[(axis + 1)...].reduce(1, *)
    let outer = data.dims[..<axis].reduce(1, *)
    let output = Shape(Array(data.dims[..<axis]) + indices.dims + Array(data.dims[(axis + 1)...]))
    var base: [Int32] = []
    var positions: [Int32] = []
    for o in 0..<outer {
      for i in 0..<indices.count {
        for n in 0..<inner {
          base.append(Int32(o * data[axis] * inner + n))
          positions.append(Int32(i))
        }
      }
    }
    return RuntimeGather(
      data: data, indices: indices, output: output, base: base, positions: positions,
      axes: [(data[axis], inner)])
  }

  /// ONNX GatherElements: output and indices have one shape.
  public static func elements(data: Shape, indices: Shape, axis: Int) -> RuntimeGather {
    let strides = data.strides
    var steps = strides
    steps[axis] = 0
    return RuntimeGather(
      data: data, indices: indices, output: indices, base: indices.stridedIndices(steps: steps),
      positions: (0..<indices.count).map { Int32($0) }, axes: [(data[axis], strides[axis])])
  }

  /// ONNX GatherND: the last axis of the indices holds coordinates of the axes after the first `batch` ones.
  public static func coordinates(data: Shape, indices: Shape, batch: Int) -> RuntimeGather {
    let components = indices[indices.rank - 1]
    let lookups = Array(indices.dims.dropLast())
    let slice = Array(data.dims[(batch + components)...])
    let output = Shape(lookups + slice)
    let strides = data.strides
    let sliceCount = slice.reduce(1, *)
    let batchCount = data.dims[..<batch].reduce(1, *)
    let perBatch = lookups[batch...].reduce(1, *)
    let batchStride = data.dims[batch...].reduce(1, *)
    var base: [Int32] = []
    var positions: [Int32] = []
    for b in 0..<batchCount {
      for l in 0..<perBatch {
        for s in 0..<sliceCount {
          base.append(Int32(b * batchStride + s))
          for c in 0..<components { positions.append(Int32((b * perBatch + l) * components + c)) }
        }
      }
    }
    return RuntimeGather(
      data: data, indices: indices, output: output, base: base, positions: positions,
      axes: (0..<components).map { (data[batch + $0], strides[batch + $0]) })
  }

  public var name: String { "Gather" }

  private func offset(_ index: Double, _ c: Int) throws -> Int {
    let extent = axes[c].extent
    guard index >= Double(-extent), index < Double(extent) else {
      throw GraphError(node: "", reason: "the index \(index) lies outside an axis of extent \(extent)")
    }
    let position = Int(index)
    return (position < 0 ? position + extent : position) * axes[c].stride
  }

  /// For every output the data element it copies under the given indices.
  public func table(for indices: Tensor<Double>) throws -> [Int32] {
    try base.indices.map { o in
      var place = Int(base[o])
      for c in axes.indices { place += try offset(indices[flat: Int(positions[o * axes.count + c])], c) }
      return Int32(place)
    }
  }

  public func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double> {
    Tensor(outputShape, try table(for: x[1]).map { x[0][flat: Int($0)] })
  }

  /// The data elements that output o may copy.
  private func sources(_ o: Int, _ lower: Tensor<Double>, _ upper: Tensor<Double>) throws -> [Int] {
    var places = [Int(base[o])]
    for c in axes.indices {
      let position = Int(positions[o * axes.count + c])
      let first = lower[flat: position].rounded(.up)
      let last = upper[flat: position].rounded(.down)
      // Both ends are checked against the axis before the range is walked.
      _ = try offset(first, c)
      _ = try offset(last, c)
      guard first <= last else { throw GraphError(node: "", reason: "no integer lies in an index's bounds") }
      let offsets = try (Int(first)...Int(last)).map { try offset(Double($0), c) }
      guard places.count * offsets.count <= Self.unionLimit else {
        throw UnsupportedOperator(
          node: "", operatorName: name,
          reason: "an output may come from more than \(Self.unionLimit) elements (limit)")
      }
      places = places.flatMap { place in offsets.map { place + $0 } }
    }
    return places
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = [Double](repeating: .infinity, count: base.count)
    var high = [Double](repeating: -.infinity, count: base.count)
    for o in low.indices {
      for place in try sources(o, lower[1], upper[1]) {
        low[o] = min(low[o], lower[0][flat: place])
        high[o] = max(high[o], upper[0][flat: place])
      }
    }
    return (Tensor(outputShape, low), Tensor(outputShape, high))
  }

  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    let table = base.indices.map { o -> Int32 in
      guard let places = try? sources(o, lower[1], upper[1]), places.count == 1 else { return -1 }
      return Int32(places[0])
    }
    return [table, nil]
  }
}
