import IR
import Tensors

/// Writing updates to places that are known at run time only: ScatterElements, ScatterND, MaxUnpool.
///
/// Inputs are data, indices and updates; update u goes to the data element
/// `base[u] + sum over c of index_c(u) * stride_c`, as in ``RuntimeGather``.
public struct RuntimeScatter: DiscreteFunction {
  /// How an update meets what is already there.
  public enum Reduction: String, Sendable, CaseIterable {
    case none, add, mul, max, min
  }

  public let reduction: Reduction
  public let inputShapes: [Shape]
  public var outputShape: Shape { inputShapes[0] }
  let base: [Int32]
  let positions: [Int32]
  let axes: [(extent: Int, stride: Int)]

  public init(
    _ reduction: Reduction, data: Shape, indices: Shape, updates: Shape, base: [Int32], positions: [Int32],
    axes: [(extent: Int, stride: Int)]
  ) {
    precondition(base.count == updates.count && positions.count == updates.count * axes.count)
    self.reduction = reduction
    inputShapes = [data, indices, updates]
    self.base = base
    self.positions = positions
    self.axes = axes
  }

  /// ONNX ScatterElements: indices and updates have one shape.
  public static func elements(_ reduction: Reduction, data: Shape, indices: Shape, axis: Int)
    -> RuntimeScatter
  {
    let strides = data.strides
    var steps = strides
    steps[axis] = 0
    return RuntimeScatter(
      reduction, data: data, indices: indices, updates: indices, base: indices.stridedIndices(steps: steps),
      positions: (0..<indices.count).map { Int32($0) }, axes: [(data[axis], strides[axis])])
  }

  /// ONNX ScatterND: the last axis of the indices holds coordinates of the leading axes of the data.
  public static func coordinates(_ reduction: Reduction, data: Shape, indices: Shape, updates: Shape)
    -> RuntimeScatter
  {
    let components = indices[indices.rank - 1]
    let sliceCount = data.dims[components...].reduce(1, *)
    let strides = data.strides
    var base: [Int32] = []
    var positions: [Int32] = []
    for lookup in 0..<(updates.count / max(1, sliceCount)) {
      for s in 0..<sliceCount {
        base.append(Int32(s))
        for c in 0..<components { positions.append(Int32(lookup * components + c)) }
      }
    }
    return RuntimeScatter(
      reduction, data: data, indices: indices, updates: updates, base: base, positions: positions,
      axes: (0..<components).map { (data[$0], strides[$0]) })
  }

  public var name: String { "Scatter" }

  /// In the worst case all updates meet in one place.
  public var deployedRoundings: Int { reduction == .add || reduction == .mul ? base.count : 0 }

  public func deployedSizes(_ magnitudes: [Tensor<Double>]) -> Tensor<Double>? {
    guard reduction == .add else { return nil }
    let total = magnitudes[2].elements.reduce(0, +) * (1 + 0x1p-20)
    return magnitudes[0].map { $0 + total }
  }

  /// The place of update u for the given indices.
  public func target(_ u: Int, _ indices: Tensor<Double>) throws -> Int {
    var place = Int(base[u])
    for c in axes.indices {
      let index = indices[flat: Int(positions[u * axes.count + c])]
      let extent = axes[c].extent
      guard index >= Double(-extent), index < Double(extent) else {
        throw GraphError(node: "", reason: "the index \(index) lies outside an axis of extent \(extent)")
      }
      let position = Int(index)
      place += (position < 0 ? position + extent : position) * axes[c].stride
    }
    return place
  }

  /// The places of all updates.
  public func targets(_ indices: Tensor<Double>) throws -> [Int] {
    try base.indices.map { try target($0, indices) }
  }

  public func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double> {
    var result = x[0]
    for u in base.indices {
      let place = try target(u, x[1])
      let update = x[2][flat: u]
      let present = result[flat: place]
      switch reduction {
      case .none: result[flat: place] = update
      case .add: result[flat: place] = present + update
      case .mul: result[flat: place] = present * update
      case .max: result[flat: place] = update > present || update.isNaN ? update : present
      case .min: result[flat: place] = update < present || update.isNaN ? update : present
      }
    }
    return result
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    guard lower[1] == upper[1] else { return try encloseVarying(lower: lower, upper: upper) }
    var low = lower[0]
    var high = upper[0]
    for u in base.indices {
      let place = try target(u, lower[1])
      let update = (lower[2][flat: u], upper[2][flat: u])
      let present = (low[flat: place], high[flat: place])
      switch reduction {
      case .none: (low[flat: place], high[flat: place]) = update
      case .add:
        // One rounding each way.
        low[flat: place] = (present.0 + update.0).nextDown
        high[flat: place] = (present.1 + update.1).nextUp
      case .mul:
        let corners = [
          present.0 * update.0, present.0 * update.1, present.1 * update.0, present.1 * update.1,
        ]
        low[flat: place] = (corners.min() ?? 0).nextDown
        high[flat: place] = (corners.max() ?? 0).nextUp
      case .max:
        low[flat: place] = max(present.0, update.0)
        high[flat: place] = max(present.1, update.1)
      case .min:
        low[flat: place] = min(present.0, update.0)
        high[flat: place] = min(present.1, update.1)
      }
    }
    return (low, high)
  }

  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    if lower[1] != upper[1] { return copiesVarying(lower: lower, upper: upper) }
    guard let places = try? targets(lower[1]) else { return [nil, nil, nil] }
    var data = (0..<outputShape.count).map { Int32($0) }
    var updates = [Int32](repeating: -1, count: outputShape.count)
    for (u, place) in places.enumerated() {
      data[place] = -1
      if reduction == .none { updates[place] = Int32(u) }
    }
    return [data, nil, updates]
  }
}
