/// The directed edges (arcs) of a graph, indexed by both ends.
///
/// An undirected edge is two arcs. Values of arcs are indexed by their position in the list.
public struct ArcList: Sendable, Equatable {
  public let nodeCount: Int
  public let source: [Int32]
  public let target: [Int32]
  /// Arcs grouped by target: what a node aggregates.
  public let incoming: Grouping
  /// Arcs grouped by source: the transpose.
  public let outgoing: Grouping

  /// Places `start[i]..<start[i + 1]` of node i name an arc and the node at its other end.
  public struct Grouping: Sendable, Equatable {
    public let start: [Int32]
    public let arc: [Int32]
    public let other: [Int32]
    /// The largest number of arcs of one node.
    public let width: Int

    init(nodeCount: Int, key: [Int32], other: [Int32]) {
      var start = [Int32](repeating: 0, count: nodeCount + 1)
      for k in key { start[Int(k) + 1] += 1 }
      width = Int(start.max() ?? 0)
      for i in 0..<nodeCount { start[i + 1] += start[i] }
      var next = start
      var arc = [Int32](repeating: 0, count: key.count)
      var ends = arc
      for (e, k) in key.enumerated() {
        let place = Int(next[Int(k)])
        arc[place] = Int32(e)
        ends[place] = other[e]
        next[Int(k)] += 1
      }
      self.start = start
      self.arc = arc
      self.other = ends
    }

    /// The arcs of a node.
    public func arcs(of node: Int) -> ArraySlice<Int32> { arc[Int(start[node])..<Int(start[node + 1])] }
  }

  /// Precondition: all ends are nodes.
  public init(nodeCount: Int, source: [Int32], target: [Int32]) {
    precondition(source.count == target.count)
    precondition((source + target).allSatisfy { $0 >= 0 && Int($0) < nodeCount })
    self.nodeCount = nodeCount
    self.source = source
    self.target = target
    incoming = Grouping(nodeCount: nodeCount, key: target, other: source)
    outgoing = Grouping(nodeCount: nodeCount, key: source, other: target)
  }

  public var count: Int { source.count }

  /// The list with one self-loop per node appended.
  public func withSelfLoops() -> ArcList {
    let loops = (0..<nodeCount).map { Int32($0) }
    return ArcList(nodeCount: nodeCount, source: source + loops, target: target + loops)
  }

  public static func == (a: ArcList, b: ArcList) -> Bool {
    a.nodeCount == b.nodeCount && a.source == b.source && a.target == b.target
  }
}
