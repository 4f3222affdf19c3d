import Domains
import IR
import Tensors

extension VerificationProblem {
  /// The values of rows at points, `points * rows`, in float64 on the stored weights.
  func rowValues(_ points: Tensor<Double>, rows numbers: [Int]) throws -> [Double] {
    var domain = ConcreteDomain(.float64)
    let trace = try graph.interpret([.double(points)], in: &domain)
    let values = trace.outputs.map(\.float64)
    let count = points.batch
    var result = [Double](repeating: 0, count: count * numbers.count)
    let outputIndex = Dictionary(graph.outputs.enumerated().map { ($1.node, $0) }) { first, _ in first }
    for (r, number) in numbers.enumerated() {
      let row = rows[number]
      for b in 0..<count { result[b * numbers.count + r] = row.nearestConstant }
      for term in row.terms {
        switch term.source {
        case .input(let j):
          for b in 0..<count {
            result[b * numbers.count + r] += term.coefficient * points[flat: b * inputCount + j]
          }
        case .value(let node, let j):
          guard let output = outputIndex[node] else { continue }
          let tensor = values[output]
          let size = graph[node].shape.count
          for b in 0..<count {
            let place = (tensor.batch == 1 ? 0 : b) * size + j
            result[b * numbers.count + r] += term.coefficient * tensor[flat: place]
          }
        }
      }
    }
    return result
  }
}
