import FileFormats

/// The edges of a file, checked, and how they stand there.
///
/// Undirected edges may be listed once each, as `[u, v]` with `u < v`, or each in both directions, as graph libraries
/// keep them; the first of the two gives the order.
struct EdgeList {
  /// Undirected edges once each.
  private(set) var edges: [GraphEdge] = []
  /// For every listed edge its position in `edges`.
  private var position: [Int] = []
  /// For every listed edge its arc, where the list holds both directions.
  private(set) var arcs: [Int]?
  /// How many nodes some edge names.
  private(set) var namedNodes = 0

  /// - Parameter error: makes the error about a listed edge.
  init(
    _ list: [GraphEdge], directed: Bool, nodes: Int, error: (Int, String) throws -> FileError
  ) throws {
    var known: [GraphEdge: Int] = [:]
    var named: Set<Int> = []
    for (i, edge) in list.enumerated() {
      for node in [edge.source, edge.target] where node < 0 || node >= nodes {
        throw try error(i, "node \(node) does not exist: the graph has nodes 0 to \(nodes - 1)")
      }
      if edge.source == edge.target {
        throw try error(
          i, "a self-loop on node \(edge.source): list it under self_loops, where it is never masked")
      }
      guard known.updateValue(i, forKey: edge) == nil else {
        throw try error(i, "the edge [\(edge.source), \(edge.target)] is listed twice")
      }
      named.insert(edge.source)
      named.insert(edge.target)
    }
    namedNodes = named.count
    if directed {
      edges = list
      position = Array(list.indices)
      return
    }
    let isDoubled = list.first.map { known[GraphEdge($0.target, $0.source)] != nil } ?? false
    var places: [GraphEdge: Int] = [:]
    for (i, edge) in list.enumerated() {
      let reverse = GraphEdge(edge.target, edge.source)
      if (known[reverse] != nil) != isDoubled {
        let odd =
          isDoubled
          ? "has no reverse, other edges have one" : "has its reverse in the list, other edges have none"
        throw try error(
          i,
          "[\(edge.source), \(edge.target)] \(odd): undirected edges are listed once, or all in both directions "
            + "(or set \"directed\": true)")
      }
      if !isDoubled, edge.source > edge.target {
        throw try error(
          i,
          "[\(edge.source), \(edge.target)] looks directed: undirected edges are listed as [u, v] with u < v, or in "
            + "both directions")
      }
      if let place = places[reverse] {
        position.append(place)
      } else {
        position.append(edges.count)
        places[edge] = edges.count
        edges.append(edge.source < edge.target ? edge : reverse)
      }
    }
    if isDoubled {
      arcs = list.indices.map { 2 * position[$0] + (list[$0].source < list[$0].target ? 0 : 1) }
    }
  }

  /// One value per edge from one per listed edge.
  ///
  /// - Parameter error: makes the error about a listed edge whose value differs from its reverse's.
  func merged<Value: Equatable>(_ values: [Value], error: (Int) throws -> FileError) throws -> [Value] {
    var result: [Value] = []
    for (i, value) in values.enumerated() {
      if position[i] == result.count {
        result.append(value)
      } else if result[position[i]] != value {
        throw try error(i)
      }
    }
    return result
  }
}
