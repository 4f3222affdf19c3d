import Domains
import IR
import Tensors

extension Graph {
  /// The outputs at a point in Float64, or rows on one of them. No bounds: plain evaluation, rounding and all.
  public func values(at point: [Tensor<Double>], rows: OutputRows? = nil) throws -> [Tensor<Double>] {
    var domain = ConcreteDomain(.float64)
    let outputs = try interpret(point.map { .double($0) }, in: &domain).outputs.map(\.float64)
    guard let rows else { return outputs }
    let value = outputs[rows.output]
    let n = rows.rows.shape[1]
    var result = Tensor<Double>.zeros([value.batch, rows.rows.shape[0]])
    for b in 0..<value.batch {
      for r in 0..<rows.rows.shape[0] {
        var sum = 0.0
        for i in 0..<n { sum += rows.rows[flat: r * n + i] * value[flat: b * n + i] }
        result[flat: b * rows.rows.shape[0] + r] = sum
      }
    }
    return [result]
  }
}
