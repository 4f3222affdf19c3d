import IR
import Tensors

// What walks do with the coefficients of a composite's lines; linear in time and memory for outer products.
extension LineCoefficients {
  /// For every row j: sum over i of |c_ji| size_i, where an element that is a sum counts with both terms.
  func reach(_ size: [Double]) -> [Double] {
    switch self {
    case .dense(let elements, let columns):
      return (0..<(elements.count / max(columns, 1))).map { j in
        var sum = 0.0
        for i in 0..<columns {
          let coefficient = abs(elements[j * columns + i])
          if coefficient != 0 { sum += coefficient * size[i] }
        }
        return sum
      }
    case .outer(let scale, let vector, let diagonal):
      var shared = 0.0
      for (v, s) in zip(vector, size) where v != 0 { shared += abs(v) * s }
      return scale.indices.map { j in
        (scale[j] == 0 ? 0 : abs(scale[j]) * shared) + (diagonal[j] == 0 ? 0 : abs(diagonal[j]) * size[j])
      }
    }
  }

  /// For every row j: sum over i of c_ji x_i.
  func products(_ x: [Double]) -> [Double] {
    switch self {
    case .dense(let elements, let columns):
      return (0..<(elements.count / max(columns, 1))).map { j in
        var sum = 0.0
        for i in 0..<columns { sum += elements[j * columns + i] * x[i] }
        return sum
      }
    case .outer(let scale, let vector, let diagonal):
      var shared = 0.0
      for (v, y) in zip(vector, x) { shared += v * y }
      return scale.indices.map { scale[$0] * shared + diagonal[$0] * x[$0] }
    }
  }

  /// y[r, i] += sum over j of a[r, j] c_ji, for `a` of `rows x outputs` and `y` with rows `stride` apart.
  func accumulate(
    _ a: UnsafePointer<Double>, rows: Int, outputs: Int, inputs: Int, into y: UnsafeMutablePointer<Double>,
    _ stride: Int
  ) {
    switch self {
    case .dense(let elements, _):
      elements.withUnsafeBufferPointer { lines in
        guard let lines = lines.baseAddress else { return }
        Double.gemm(
          transposeA: false, transposeB: false, m: rows, n: inputs, k: outputs, alpha: 1, a, lda: outputs,
          lines, ldb: inputs, beta: 1, y, ldc: stride)
      }
    case .outer(let scale, let vector, let diagonal):
      scale.withUnsafeBufferPointer { scale in
        vector.withUnsafeBufferPointer { vector in
          diagonal.withUnsafeBufferPointer { diagonal in
            for r in 0..<rows {
              let (row, target) = (a + r * outputs, y + r * stride)
              var sum = 0.0
              for j in 0..<outputs { sum += row[j] * scale[j] }
              for i in 0..<inputs { target[i] += sum * vector[i] + row[i] * diagonal[i] }
            }
          }
        }
      }
    }
  }
}
