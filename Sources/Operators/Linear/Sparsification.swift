import IR
import Tensors

extension Graph {
  /// The graph with matrices that are nearly all zeros stored sparsely; node numbers stay.
  ///
  /// The functions are the same. Products take time in proportion to the entries, and fewer roundings are accounted for.
  public func sparsified() -> Graph {
    let nodes = nodes.map { node -> Node in
      guard case .affine(var affine) = node.operation else { return node }
      var isChanged = false
      affine.maps = affine.maps.map { map in
        guard let dense = map as? Dense, let sparse = dense.sparsified() else { return map }
        isChanged = true
        return sparse
      }
      guard isChanged else { return node }
      return Node(
        id: node.id, name: node.name, origin: node.origin, operation: .affine(affine), inputs: node.inputs,
        shape: node.shape, elementType: node.elementType)
    }
    return Graph(nodes: nodes, inputs: inputs, outputs: outputs)
  }
}

extension Dense {
  /// A dense product does about this many multiplications in the time of a sparse one.
  private static let sparseCost = 16

  /// The same map with its entries only; nil where they are too many, or where rows of several axes share the matrix.
  func sparsified() -> SparseMap? {
    let n = outputShape.count
    let k = inputShape.count
    guard n * k == weight.shape.count, n * k >= 256 else { return nil }
    let values = weight.values.elements
    let entries = values.lazy.filter { $0 != 0 }.count
    guard entries * Self.sparseCost <= n * k else { return nil }
    let rows = (0..<n).map { o in
      (0..<k).compactMap { i -> SparseEntry? in
        let value = values[isTransposed ? o * k + i : i * n + o]
        return value == 0 ? nil : SparseEntry(i, value)
      }
    }
    return SparseMap(inputShape, to: outputShape, rows: rows)
  }
}
