/// What is masked in one instance: edges, nodes' features, or feature columns and entries.
enum MaskElements: Sendable {
  /// Edges of the running graph.
  case edges
  /// All features of a node at once.
  case nodes
  /// A feature of all nodes at once.
  case columns
  /// Single feature entries.
  case entries

  func count(_ graph: AttributedGraph) -> Int {
    switch self {
    case .edges: return graph.edges.count
    case .nodes: return graph.nodeCount
    case .columns: return graph.featureCount
    case .entries: return graph.nodeCount * graph.featureCount
    }
  }
}

/// An instance bound to the engine: logits of any choice of factors on its elements.
struct MaskedElements: Sendable {
  let network: MaskedNetwork
  let elements: MaskElements
  /// Replacement per feature column.
  let baseline: [Double]

  init(_ network: MaskedNetwork, _ elements: MaskElements, baseline: FeatureBaseline) {
    self.network = network
    self.elements = elements
    let graph = network.graph
    var values = [Double](repeating: 0, count: graph.featureCount)
    if baseline == .mean {
      for i in 0..<graph.nodeCount {
        for j in 0..<graph.featureCount {
          values[j] += graph.features[i * graph.featureCount + j] / Double(graph.nodeCount)
        }
      }
    }
    self.baseline = values
  }

  var count: Int { elements.count(network.graph) }

  /// Logits for factors row-major [rows, count].
  func logits(_ factors: [Double], rows: Int) throws -> [Double] {
    if case .edges = elements { return try network.logits(edgeFactors: factors, rows: rows) }
    let graph = network.graph
    let width = graph.featureCount
    let size = graph.nodeCount * width
    var features = [Double](repeating: 0, count: rows * size)
    for r in 0..<rows {
      for i in 0..<graph.nodeCount {
        for j in 0..<width {
          let element: Int
          switch elements {
          case .nodes: element = i
          case .columns: element = j
          default: element = i * width + j
          }
          let factor = factors[r * count + element]
          let value = graph.features[i * width + j]
          // Factors 0 and 1 give the baseline and the value without rounding.
          let blended =
            factor == 1 ? value : factor == 0 ? baseline[j] : factor * value + (1 - factor) * baseline[j]
          features[r * size + i * width + j] = blended
        }
      }
    }
    return try network.logits(features: features, rows: rows)
  }

  /// The game of removing elements of `universe` from the full graph; values are the probability of the target class
  /// and whether it is predicted.
  func game(universe: [Int], target: Int) -> SubsetGame {
    let classes = network.classCount
    let total = count
    let perEdge = network.arcsPerEdge
    return SubsetGame(elementCount: universe.count, valueCount: 2, keys: universe) { removed, rows in
      let logits: [Double]
      if case .edges = elements {
        var arcs = [Double](repeating: 1, count: rows * total * perEdge)
        for r in 0..<rows {
          for (position, edge) in universe.enumerated() where removed[r * universe.count + position] == 1 {
            for k in 0..<perEdge { arcs[(r * total + edge) * perEdge + k] = 0 }
          }
        }
        logits = try network.logits(arcFactors: arcs, rows: rows)
      } else {
        var factors = [Double](repeating: 1, count: rows * total)
        for r in 0..<rows {
          for (position, element) in universe.enumerated() where removed[r * universe.count + position] == 1 {
            factors[r * total + element] = 0
          }
        }
        logits = try self.logits(factors, rows: rows)
      }
      var values = [Double](repeating: 0, count: rows * 2)
      logits.withUnsafeBufferPointer { all in
        for r in 0..<rows {
          let row = UnsafeBufferPointer(rebasing: all[(r * classes)..<((r + 1) * classes)])
          var top = -Double.infinity
          var best = 0
          for (index, value) in row.enumerated() where value > top {
            top = value
            best = index
          }
          var sum = 0.0
          for value in row { sum += exponential(value - top) }
          values[2 * r] = exponential(row[target] - top) / sum
          values[2 * r + 1] = best == target ? 1 : 0
        }
      }
      return values
    }
  }
}
