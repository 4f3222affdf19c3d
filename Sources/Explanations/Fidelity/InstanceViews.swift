extension ExplanationInstance {
  /// The edges that scores are ranked on against the true explanation, and that truth; nil without one. Node tasks rank
  /// the edges of the subgraph within the network's depth.
  public func groundTruthScope(depth: Int) -> (edges: [Int], truth: [Bool])? {
    guard let flags = graph.explanation else { return nil }
    guard let node else { return (Array(graph.edges.indices), flags) }
    let distance = graph.distances(from: node)
    let edges = graph.edges.indices.filter { index in
      let edge = graph.edges[index]
      return max(distance[edge.source] ?? .max, distance[edge.target] ?? .max) <= depth
    }
    return (Array(edges), edges.map { flags[$0] })
  }

  /// What a picture shows: the graph, or the neighbourhood of the node; with the numbers of nodes and edges in the file.
  public func neighbourhood(depth: Int) -> (graph: AttributedGraph, nodes: [Int], edges: [Int], center: Int?)
  {
    guard let node else {
      return (graph, Array(0..<graph.nodeCount), Array(graph.edges.indices), nil)
    }
    let distance = graph.distances(from: node)
    let near = (0..<graph.nodeCount).filter { distance[$0].map { $0 <= depth } ?? false }
    let (slice, edges) = graph.induced(on: near)
    return (slice, near, edges, near.firstIndex(of: node))
  }
}
