import IR
import Tensors

/// The elementwise product with broadcasting: Mul.
public struct Multiply: BilinearForm {
  public let leftShape: Shape
  public let rightShape: Shape
  public let outputShape: Shape
  /// Where each output's factor stands; nil if the operand has the output's shape.
  private let left: IndexTable?
  private let right: IndexTable?
  public let fanOut: Int

  /// Fails if the shapes do not broadcast.
  public init?(_ a: Shape, _ b: Shape) {
    guard let shape = Shape.broadcast(a, b) else { return nil }
    leftShape = a
    rightShape = b
    outputShape = shape
    left = a.count == shape.count ? nil : IndexTable(a.broadcastIndices(to: shape), inputCount: a.count)
    right = b.count == shape.count ? nil : IndexTable(b.broadcastIndices(to: shape), inputCount: b.count)
    fanOut = max(left?.multiplicity ?? 1, right?.multiplicity ?? 1)
  }

  public var fanIn: Int { 1 }

  private func spread<T: Real>(_ x: Tensor<T>, _ table: IndexTable?) -> Tensor<T> {
    guard let table else { return x }
    return Tensor(writing: [x.batch] + outputShape) { y in
      x.withPointer { table.gather(rows: x.batch, $0, into: y) }
    }
  }

  private func collect<T: Real>(_ y: Tensor<T>, _ table: IndexTable?, _ shape: Shape) -> Tensor<T> {
    guard let table else { return y.reshaped([y.batch] + shape) }
    var result = Tensor<T>.zeros([y.batch] + shape)
    result.withMutablePointer { x in y.withPointer { table.scatterAdd(rows: y.batch, $0, into: x) } }
    return result
  }

  private func multiply<T: Real>(_ a: Tensor<T>, _ b: Tensor<T>) -> Tensor<T> {
    let n = outputShape.count
    let (batch, da, db) = batchRatio(a.batch, b.batch)
    return Tensor(writing: [batch] + outputShape) { z in
      a.withPointer { x in
        b.withPointer { y in
          for r in 0..<batch { T.multiply(n, x + (r / da) * n, y + (r / db) * n, into: z + r * n) }
        }
      }
    }
  }

  public func apply<T: Real>(_ a: Tensor<T>, _ b: Tensor<T>) -> Tensor<T> {
    multiply(spread(a, left), spread(b, right))
  }
  public func adjointLeft<T: Real>(_ y: Tensor<T>, right b: Tensor<T>) -> Tensor<T> {
    collect(multiply(y, spread(b, right)), left, leftShape)
  }
  public func adjointRight<T: Real>(_ y: Tensor<T>, left a: Tensor<T>) -> Tensor<T> {
    collect(multiply(y, spread(a, left)), right, rightShape)
  }

  public func fixing(left weight: Weight) -> any LinearMap { fixed(weight, .left, left, right, rightShape) }
  public func fixing(right weight: Weight) -> any LinearMap { fixed(weight, .right, right, left, leftShape) }

  private func fixed(
    _ weight: Weight, _ side: FixedFactor<Multiply>.Side, _ own: IndexTable?, _ other: IndexTable?,
    _ shape: Shape
  ) -> any LinearMap {
    // A constant that broadcasts onto the variable is a diagonal.
    guard other == nil, shape == outputShape else { return FixedFactor(self, side, weight) }
    if weight.values.count == 1 {
      return Diagonal(Weight(Tensor(scalar: weight.values[flat: 0])), shape: shape)
    }
    guard let own else { return Diagonal(Weight(weight.values.reshaped(shape)), shape: shape) }
    let spread = own.index.map { weight.values[flat: Int($0)] }
    return Diagonal(Weight(Tensor(shape, spread)), shape: shape)
  }

  public func terms(_ output: Int) -> [(left: Int, right: Int)] {
    [(left.map { Int($0.index[output]) } ?? output, right.map { Int($0.index[output]) } ?? output)]
  }
}
