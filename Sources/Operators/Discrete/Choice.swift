import IR
import Tensors

/// One of two operands by a condition that is known at run time only: Where.
public struct Choice: DiscreteFunction {
  public let inputShapes: [Shape]
  public let outputShape: Shape
  private let tables: [[Int32]]

  /// Fails if the shapes do not broadcast.
  public init?(condition: Shape, _ a: Shape, _ b: Shape) {
    guard let branches = Shape.broadcast(a, b), let shape = Shape.broadcast(condition, branches) else {
      return nil
    }
    inputShapes = [condition, a, b]
    outputShape = shape
    tables = [condition, a, b].map { $0.broadcastIndices(to: shape) }
  }

  public var name: String { "Where" }

  public func evaluate(_ x: [Tensor<Double>]) -> Tensor<Double> {
    let result = (0..<outputShape.count).map { o -> Double in
      let side = x[0][flat: Int(tables[0][o])] != 0 ? 1 : 2
      return x[side][flat: Int(tables[side][o])]
    }
    return Tensor(outputShape, result)
  }

  /// Whether the condition can be true and can be false.
  private func possible(_ lower: [Tensor<Double>], _ upper: [Tensor<Double>], _ o: Int) -> (Bool, Bool) {
    let low = lower[0][flat: Int(tables[0][o])]
    let high = upper[0][flat: Int(tables[0][o])]
    return (low != 0 || high != 0, low <= 0 && high >= 0)
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = [Double](repeating: .infinity, count: outputShape.count)
    var high = [Double](repeating: -.infinity, count: outputShape.count)
    for o in low.indices {
      let (first, second) = possible(lower, upper, o)
      for side in 1...2 where side == 1 ? first : second {
        low[o] = min(low[o], lower[side][flat: Int(tables[side][o])])
        high[o] = max(high[o], upper[side][flat: Int(tables[side][o])])
      }
    }
    return (Tensor(outputShape, low), Tensor(outputShape, high))
  }

  public func copies(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> [[Int32]?] {
    var first = [Int32](repeating: -1, count: outputShape.count)
    var second = first
    for o in first.indices {
      switch possible(lower, upper, o) {
      case (true, false): first[o] = tables[1][o]
      case (false, true): second[o] = tables[2][o]
      default: break
      }
    }
    return [nil, first, second]
  }
}
