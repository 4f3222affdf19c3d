import IR
import Tensors

/// The label of the largest (or smallest) candidate of every output: ArgMax, ArgMin, the indices of MaxPool.
public struct ArgExtremum: DiscreteFunction {
  public let extremum: Selection.Extremum
  public let inputShapes: [Shape]
  public let outputShape: Shape
  private let width: Int
  /// By output, `width` places: flat input indices, -1 for none (these come last).
  private let candidates: [Int32]
  /// What each candidate is called in the output.
  private let labels: [Int32]
  /// Whether the last of equal candidates is taken, not the first.
  private let takesLast: Bool

  public init(
    _ extremum: Selection.Extremum, input: Shape, output: Shape, width: Int, candidates: [Int32],
    labels: [Int32], takesLast: Bool = false
  ) {
    precondition(candidates.count == output.count * width && labels.count == candidates.count)
    self.extremum = extremum
    inputShapes = [input]
    outputShape = output
    self.width = width
    self.candidates = candidates
    self.labels = labels
    self.takesLast = takesLast
  }

  /// The position along an axis, which the output keeps with extent 1.
  public static func along(axis: Int, _ extremum: Selection.Extremum, _ shape: Shape, takesLast: Bool)
    -> ArgExtremum
  {
    var dims = shape.dims
    dims[axis] = 1
    let output = Shape(dims)
    let stride = shape.strides[axis]
    var steps = shape.strides
    steps[axis] = 0
    let width = shape[axis]
    let candidates = output.stridedIndices(steps: steps).flatMap { base in
      (0..<width).map { base + Int32($0 * stride) }
    }
    let labels = (0..<output.count).flatMap { _ in (0..<width).map { Int32($0) } }
    return ArgExtremum(
      extremum, input: shape, output: output, width: width, candidates: candidates, labels: labels,
      takesLast: takesLast)
  }

  public var name: String { extremum == .maximum ? "ArgMax" : "ArgMin" }

  public func evaluate(_ x: [Tensor<Double>]) throws -> Tensor<Double> {
    let result = try (0..<outputShape.count).map { o -> Double in
      var winner = -1
      for place in (o * width)..<((o + 1) * width) where candidates[place] >= 0 {
        let value = x[0][flat: Int(candidates[place])]
        guard winner >= 0 else {
          winner = place
          continue
        }
        let best = x[0][flat: Int(candidates[winner])]
        if best.isNaN { break }
        let better = value.isNaN || (extremum == .maximum ? value > best : value < best)
        if better || (takesLast && value == best) { winner = place }
      }
      guard winner >= 0 else { throw GraphError(node: "", reason: "the extremum of nothing is asked for") }
      return Double(labels[winner])
    }
    return Tensor(outputShape, result)
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) throws -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = [Double](repeating: .infinity, count: outputShape.count)
    var high = [Double](repeating: -.infinity, count: outputShape.count)
    for o in low.indices {
      let places = ((o * width)..<((o + 1) * width)).filter { candidates[$0] >= 0 }
      // A candidate can win unless another is surely better.
      let bar =
        extremum == .maximum
        ? places.map { lower[0][flat: Int(candidates[$0])] }.max() ?? 0
        : places.map { upper[0][flat: Int(candidates[$0])] }.min() ?? 0
      for place in places {
        let element = Int(candidates[place])
        let possible =
          extremum == .maximum ? upper[0][flat: element] >= bar : lower[0][flat: element] <= bar
        guard possible else { continue }
        low[o] = min(low[o], Double(labels[place]))
        high[o] = max(high[o], Double(labels[place]))
      }
    }
    return (Tensor(outputShape, low), Tensor(outputShape, high))
  }
}
