import IR

extension Graph {
  /// For every operator of the file's vocabulary the bound methods that cover all its uses in this graph.
  ///
  /// Every method covers every kind of operation; a composite is covered through its expansion.
  public func methodsByOperator() -> [String: [BoundMethod]] {
    var result: [String: [BoundMethod]] = [:]
    for node in nodes {
      switch node.operation {
      case .input, .constant: continue
      default:
        let own = node.operation.methods
        result[node.origin] = (result[node.origin] ?? own).filter { own.contains($0) }
      }
    }
    return result
  }
}

extension Operation {
  /// The bound methods that cover the operation.
  var methods: [BoundMethod] {
    switch self {
    case .input, .constant, .affine, .elementwise, .product, .selection, .discrete: BoundMethod.allCases
    case .composite(let composite):
      composite.expansion.nodes.reduce(BoundMethod.allCases) { known, node in
        let own = node.operation.methods
        return known.filter { own.contains($0) }
      }
    }
  }
}
