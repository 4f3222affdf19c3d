import IR
import Operators
import Tensors

extension ProblemBuilder {
  /// A graph with all rows as its one output; nil without rows.
  static func rowGraph(_ networks: GraphBuilder, _ rows: [VerificationProblem.Row], input: NodeID) -> Graph? {
    if rows.isEmpty { return nil }
    var entries: [NodeID: [[SparseEntry]]] = [:]
    for (r, row) in rows.enumerated() {
      for term in row.terms {
        let (node, place): (NodeID, Int)
        switch term.source {
        case .input(let j): (node, place) = (input, j)
        case .value(let id, let j): (node, place) = (id, j)
        }
        entries[node, default: Array(repeating: [], count: rows.count)][r].append(
          SparseEntry(place, term.coefficient))
      }
    }
    // Rows without any terms (equal networks) are constants, which still need a node to stand on.
    if entries.isEmpty { entries[input] = Array(repeating: [], count: rows.count) }
    var builder = networks
    let nodes = entries.keys.sorted()
    let maps = nodes.map { node -> any LinearMap in
      SparseMap(builder.nodes[node].shape, to: [rows.count], rows: entries[node] ?? [])
    }
    // Rows are not part of the deployed network: float64 keeps its rounding out.
    let node = builder.append(
      .affine(Affine(maps, bias: Weight(Tensor([rows.count], rows.map(\.constant))))), inputs: nodes,
      shape: [rows.count], type: .float64, name: "rows")
    builder.output(node)
    return builder.build().sparsified()
  }
}
