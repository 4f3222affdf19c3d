import IR
import Tensors

/// A sparse constant matrix (CSR): AveragePool, linear Resize, CumSum, aggregation along fixed edges.
public struct SparseMap: WeightedMap {
  public let inputShape: Shape
  public let outputShape: Shape
  public let denominator: Int
  public let coefficientRoundings: Int
  public let fanIn: Int
  public let fanOut: Int
  private let forward: Rows
  private let backward: Rows
  private let values: Weight

  private struct Rows: Sendable {
    var start: [Int32]
    var column: [Int32]
    var value: Weight
  }

  /// - Parameters:
  ///   - rows: for every output its entries.
  ///   - denominator: all coefficients are divided by it.
  ///   - roundings: relative error of the coefficients in units of 2^-53.
  public init(
    _ inputShape: Shape, to outputShape: Shape, rows: [[SparseEntry]], denominator: Int = 1,
    roundings: Int = 0
  ) {
    precondition(rows.count == outputShape.count && denominator > 0)
    self.inputShape = inputShape
    self.outputShape = outputShape
    self.denominator = denominator
    coefficientRoundings = roundings
    var start: [Int32] = [0]
    var column: [Int32] = []
    var value: [Double] = []
    var transposed = [[SparseEntry]](repeating: [], count: inputShape.count)
    var exact = true
    for (output, row) in rows.enumerated() {
      for entry in row {
        column.append(Int32(entry.index))
        value.append(entry.coefficient)
        transposed[entry.index].append(SparseEntry(output, entry.coefficient))
        if entry.coefficient.magnitude != 1 { exact = false }
      }
      start.append(Int32(column.count))
    }
    let weight = Weight(Tensor([value.count], value))
    values = weight
    forward = Rows(start: start, column: column, value: weight)
    var startT: [Int32] = [0]
    var columnT: [Int32] = []
    var valueT: [Double] = []
    for row in transposed {
      for entry in row {
        columnT.append(Int32(entry.index))
        valueT.append(entry.coefficient)
      }
      startT.append(Int32(columnT.count))
    }
    backward = Rows(start: startT, column: columnT, value: Weight(Tensor([valueT.count], valueT)))
    let widest = rows.map(\.count).max() ?? 0
    let tallest = transposed.map(\.count).max() ?? 0
    let division = denominator == 1 ? 0 : 1
    fanIn = (exact && widest <= 1 ? 0 : widest) + division
    fanOut = (exact && tallest <= 1 ? 0 : tallest) + division
  }

  public var weights: [Weight] { [values] }

  private func multiply<T: Real>(
    _ x: Tensor<T>, _ rows: Rows, _ value: Tensor<T>, _ input: Shape, _ output: Shape
  )
    -> Tensor<T>
  {
    let divisor = T(denominator)
    return Tensor(writing: [x.batch] + output) { y in
      x.withPointer { x0 in
        value.withPointer { v in
          rows.start.withUnsafeBufferPointer { start in
            rows.column.withUnsafeBufferPointer { column in
              // A matrix without entries has no column array; nothing is read through the substitute.
              guard let s = start.baseAddress else { return }
              T.sparse(
                rows: x.batch, nin: input.count, nout: output.count, start: s,
                column: column.baseAddress ?? s,
                value: v, x0, into: y)
            }
          }
        }
      }
      if denominator != 1 { for i in 0..<(x.batch * output.count) { y[i] /= divisor } }
    }
  }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> {
    multiply(x, forward, forward.value.tensor(as: T.self), inputShape, outputShape)
  }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> {
    multiply(y, backward, backward.value.tensor(as: T.self), outputShape, inputShape)
  }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> {
    multiply(x, forward, forward.value.magnitude, inputShape, outputShape)
  }
  public func row(_ output: Int) -> [SparseEntry] {
    (forward.start[output]..<forward.start[output + 1]).map {
      SparseEntry(Int(forward.column[Int($0)]), forward.value.values[flat: Int($0)])
    }
  }
}
