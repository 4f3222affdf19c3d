import IR
import Tensors

/// Multiplication of every element by its own constant: Mul and Div by constants, Neg, the scale of
/// BatchNormalization.
public struct Diagonal: WeightedMap {
  public let inputShape: Shape
  public let coefficientRoundings: Int
  public let fanIn: Int
  public let isNonnegative: Bool
  public let isNonpositive: Bool
  private let scale: Weight

  /// - Parameters:
  ///   - scale: one coefficient per element of `shape`, or a single one for all.
  ///   - roundings: relative error of the coefficients in units of 2^-53.
  public init(_ scale: Weight, shape: Shape, roundings: Int = 0) {
    inputShape = shape
    coefficientRoundings = roundings
    let values = scale.values
    if values.count == shape.count && values.shape == shape {
      self.scale = scale
    } else {
      precondition(values.count == 1, "a diagonal of shape \(values.shape) does not fit \(shape)")
      self.scale = Weight(Tensor(repeating: values[flat: 0], shape))
    }
    isNonnegative = values.elements.allSatisfy { $0 >= 0 }
    isNonpositive = values.elements.allSatisfy { $0 <= 0 }
    // Multiplying by 0 and by +-1 is exact.
    fanIn = values.elements.allSatisfy { $0 == 0 || $0.magnitude == 1 } ? 0 : 1
  }

  public static func scale(_ factor: Double, _ shape: Shape, roundings: Int = 0) -> Diagonal {
    Diagonal(Weight(Tensor(scalar: factor)), shape: shape, roundings: roundings)
  }

  public var outputShape: Shape { inputShape }
  public var fanOut: Int { fanIn }
  public var weights: [Weight] { [scale] }

  private func multiply<T: Real>(_ x: Tensor<T>, by scale: Tensor<T>) -> Tensor<T> {
    let n = scale.count
    return Tensor(writing: [x.batch] + inputShape) { z in
      x.withPointer { x0 in
        scale.withPointer { s in
          for r in 0..<x.batch { T.multiply(n, x0 + r * n, s, into: z + r * n) }
        }
      }
    }
  }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { multiply(x, by: scale.tensor(as: T.self)) }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { apply(y) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { multiply(x, by: scale.magnitude) }
  public func row(_ output: Int) -> [SparseEntry] { [SparseEntry(output, scale.values[flat: output])] }

  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    var sum = Tensor<Double>.zeros(inputShape)
    let product = x * y
    for r in 0..<x.batch { sum += product.example(r).reshaped(inputShape) }
    return [WeightGradient(scale, sum)]
  }
}
