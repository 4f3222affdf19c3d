import IR
import Tensors

/// The k largest (or smallest) elements along an axis in order, or their positions: TopK. Of equal elements the
/// one at the lower position comes first.
public struct TopK: DiscreteFunction {
  public enum Result: Sendable { case values, positions }
  public let result: Result
  public let largest: Bool
  public let inputShapes: [Shape]
  public let outputShape: Shape
  private let axis: Int
  private let k: Int

  /// Precondition: k is at most the extent of the axis.
  public init(_ result: Result, _ shape: Shape, axis: Int, k: Int, largest: Bool) {
    precondition(k >= 0 && k <= shape[axis])
    self.result = result
    self.largest = largest
    self.axis = axis
    self.k = k
    inputShapes = [shape]
    var dims = shape.dims
    dims[axis] = k
    outputShape = Shape(dims)
  }

  public var name: String { "TopK" }

  /// Calls `body` for every line along the axis with the elements of the line and the first `k` output places.
  private func lines(_ body: (_ elements: [Int], _ outputs: [Int]) -> Void) {
    let shape = inputShapes[0]
    let inner = shape.dims[(axis + 1)...].reduce(1, *)
    let outer = shape.dims[..<axis].reduce(1, *)
    let extent = shape[axis]
    for o in 0..<outer {
      for i in 0..<inner {
        body(
          (0..<extent).map { (o * extent + $0) * inner + i }, (0..<k).map { (o * k + $0) * inner + i })
      }
    }
  }

  /// Positions on a line in the order of its elements.
  private func order(_ values: [Double]) -> [Int] {
    values.indices.sorted { a, b in
      if values[a] == values[b] { return a < b }
      return largest ? values[a] > values[b] : values[a] < values[b]
    }
  }

  public func evaluate(_ x: [Tensor<Double>]) -> Tensor<Double> {
    var answer = [Double](repeating: 0, count: outputShape.count)
    lines { elements, outputs in
      let values = elements.map { x[0][flat: $0] }
      for (rank, position) in order(values).prefix(k).enumerated() {
        answer[outputs[rank]] = result == .values ? values[position] : Double(position)
      }
    }
    return Tensor(outputShape, answer)
  }

  /// Whether the element at position j precedes the one at i for all values in the bounds.
  private func surelyPrecedes(_ j: Int, _ i: Int, _ low: [Double], _ high: [Double]) -> Bool {
    let strict = largest ? low[j] > high[i] : high[j] < low[i]
    let equal = largest ? low[j] == high[i] : high[j] == low[i]
    return strict || (equal && j < i)
  }

  /// The positions that may stand at each of the first k ranks.
  private func possible(_ low: [Double], _ high: [Double]) -> [[Int]] {
    var ranks = [[Int]](repeating: [], count: k)
    for i in low.indices {
      var before = 0
      var after = 0
      for j in low.indices where j != i {
        if surelyPrecedes(j, i, low, high) { before += 1 }
        if surelyPrecedes(i, j, low, high) { after += 1 }
      }
      // i has at least `before` elements in front of it and at least `after` behind.
      let last = min(k - 1, low.count - 1 - after)
      if before <= last { for rank in before...last { ranks[rank].append(i) } }
    }
    return ranks
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = [Double](repeating: 0, count: outputShape.count)
    var high = low
    lines { elements, outputs in
      let lowers = elements.map { lower[0][flat: $0] }
      let uppers = elements.map { upper[0][flat: $0] }
      switch result {
      case .values:
        // Order statistics are monotone in every element.
        let lowerOrder = order(lowers)
        let upperOrder = order(uppers)
        for rank in 0..<k {
          low[outputs[rank]] = lowers[lowerOrder[rank]]
          high[outputs[rank]] = uppers[upperOrder[rank]]
        }
      case .positions:
        for (rank, positions) in possible(lowers, uppers).enumerated() {
          low[outputs[rank]] = Double(positions.min() ?? 0)
          high[outputs[rank]] = Double(positions.max() ?? lowers.count - 1)
        }
      }
    }
    return (Tensor(outputShape, low), Tensor(outputShape, high))
  }

  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    guard result == .values else { return [nil] }
    var table = [Int32](repeating: -1, count: outputShape.count)
    lines { elements, outputs in
      let ranks = possible(elements.map { lower[0][flat: $0] }, elements.map { upper[0][flat: $0] })
      for (rank, positions) in ranks.enumerated() where positions.count == 1 {
        table[outputs[rank]] = Int32(elements[positions[0]])
      }
    }
    return [table]
  }
}
