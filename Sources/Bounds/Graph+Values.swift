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
    let n = value.count / max(value.batch, 1)
    let results = value.withPointer { x in (0..<value.batch).flatMap { rows.values(x + $0 * n) } }
    return [Tensor([value.batch, rows.count], results)]
  }
}
