/// A node of a circuit: the `d` numbers that a head produces at a position before the output projection.
public struct HeadNode: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var layer: Int
  public var position: Int
  public var head: Int

  public init(layer: Int, position: Int, head: Int) {
    self.layer = layer
    self.position = position
    self.head = head
  }

  public init(_ layer: Int, _ position: Int, _ head: Int) {
    self.init(layer: layer, position: position, head: head)
  }

  public static func < (a: HeadNode, b: HeadNode) -> Bool {
    (a.layer, a.position, a.head) < (b.layer, b.position, b.head)
  }

  public var description: String { "\(layer).\(position).\(head)" }
}

/// Something that is scored or removed as one: a node, or a head at all positions.
public struct CircuitUnit: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var layer: Int
  /// nil for the head at all positions.
  public var position: Int?
  public var head: Int

  public init(layer: Int, position: Int?, head: Int) {
    self.layer = layer
    self.position = position
    self.head = head
  }

  public init(_ node: HeadNode) { self.init(layer: node.layer, position: node.position, head: node.head) }

  public static func < (a: CircuitUnit, b: CircuitUnit) -> Bool {
    (a.layer, a.position ?? -1, a.head) < (b.layer, b.position ?? -1, b.head)
  }

  public var description: String {
    if let position { return "\(layer).\(position).\(head)" }
    return "\(layer).\(head)"
  }

  /// The nodes the unit consists of in sequences of `positions` tokens.
  public func nodes(positions: Int) -> [HeadNode] {
    if let position { return [HeadNode(layer, position, head)] }
    return (0..<positions).map { HeadNode(layer, $0, head) }
  }

  /// All units of a model in the order (layer, position, head).
  public static func all(layers: Int, positions: Int?, heads: Int) -> [CircuitUnit] {
    var result: [CircuitUnit] = []
    for layer in 0..<layers {
      for position in positions.map({ Array(0..<$0) as [Int?] }) ?? [nil] {
        for head in 0..<heads { result.append(CircuitUnit(layer: layer, position: position, head: head)) }
      }
    }
    return result
  }
}
