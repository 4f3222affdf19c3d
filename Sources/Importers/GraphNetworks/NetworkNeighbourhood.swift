import Operators

/// Some nodes of a graph with the arcs between them: what values have rows for while a node is computed.
///
/// Towards the output fewer and fewer nodes matter; rows of the others are dropped. Coefficients are those of the whole
/// graph, so that dropping rows changes nothing.
struct NetworkNeighbourhood {
  /// The nodes in the order of the rows.
  let nodes: [Int]
  /// Arcs between them, numbered by rows.
  let arcs: ArcList
  /// For every arc its position in the whole graph's list.
  let arcIndex: [Int32]
  /// `arcs` followed by a self-loop per row.
  let looped: ArcList
  /// For every arc of `looped` its position among the whole graph's arcs followed by its self-loops.
  let loopedIndex: [Int32]
  let isWhole: Bool

  init(whole arcs: ArcList) {
    nodes = Array(0..<arcs.nodeCount)
    self.arcs = arcs
    arcIndex = (0..<arcs.count).map { Int32($0) }
    looped = arcs.withSelfLoops()
    loopedIndex = (0..<looped.count).map { Int32($0) }
    isWhole = true
  }

  init(_ nodes: [Int], of whole: ArcList) {
    self.nodes = nodes
    var row = [Int32](repeating: -1, count: whole.nodeCount)
    for (position, node) in nodes.enumerated() { row[node] = Int32(position) }
    arcIndex = (0..<whole.count).filter { row[Int(whole.source[$0])] >= 0 && row[Int(whole.target[$0])] >= 0 }
      .map { Int32($0) }
    arcs = ArcList(
      nodeCount: nodes.count, source: arcIndex.map { row[Int(whole.source[Int($0)])] },
      target: arcIndex.map { row[Int(whole.target[Int($0)])] })
    looped = arcs.withSelfLoops()
    loopedIndex = arcIndex + nodes.map { Int32(whole.count + $0) }
    isWhole = nodes.count == whole.nodeCount
  }
}
