import IR
import Tensors

/// A LayerNorm without the division by the standard deviation: `(x - mean) * gain + shift`, which is linear.
enum Centering {
  /// The matrix of `(x - mean) * gain` for row vectors x, `[n, n]`.
  static func matrix(_ gain: Weight) -> Weight {
    let n = gain.values.count
    let share = 1 / Double(n)
    var result = Tensor<Double>.zeros([n, n])
    for i in 0..<n {
      for j in 0..<n { result[flat: i * n + j] = ((i == j ? 1 : 0) - share) * gain.values[flat: j] }
    }
    return Weight(result)
  }
}

extension Tensor<Double> {
  /// A vector as every row of a matrix.
  func repeatedRows(_ rows: Int) -> Tensor<Double> {
    reshaped([1, count]).repeatedBatch(rows)
  }
}
