import IR
import Operators

/// Numbers given element by element as multiples of the elements of one node: number i is `factor[i]` times element
/// `index[i]`. What broadcasting, Reshape, Expand and constant factors do between the parts of a written-out unit.
struct ElementView {
  var node: NodeID
  var index: [Int32]
  var factor: [Double]

  /// The node's own elements.
  init(_ node: NodeID, count: Int) {
    self.node = node
    index = (0..<Int32(count)).map { $0 }
    factor = [Double](repeating: 1, count: count)
  }

  /// Elements of a node, as they are.
  init(_ node: NodeID, index: [Int32]) {
    self.node = node
    self.index = index
    factor = [Double](repeating: 1, count: index.count)
  }

  /// Whether every number is the node's element of the same place.
  var isIdentity: Bool {
    factor.allSatisfy { $0 == 1 } && index.indices.allSatisfy { index[$0] == Int32($0) }
  }

  /// The factor if it is the same everywhere.
  var uniformFactor: Double? { factor.allSatisfy { $0 == factor.first } ? factor.first : nil }

  /// The same numbers as multiples of a map's input; nil if some output of the map has not exactly one term, or an
  /// inexact coefficient.
  func through(_ map: any LinearMap, of input: NodeID) -> ElementView? {
    var view = self
    view.node = input
    switch map {
    case is Reshape: return view
    case let copy as IndexMap:
      for (place, element) in index.enumerated() {
        let source = copy.table.index[Int(element)]
        if source < 0 { return nil }
        view.index[place] = source
      }
      return view
    case let map where map.fanIn <= 1 && map.coefficientRoundings == 0 && map.denominator == 1:
      if map is SumMap { return nil }
      var rows: [Int32: SparseEntry] = [:]
      for (place, element) in index.enumerated() {
        if rows[element] == nil {
          let row = map.row(Int(element))
          guard row.count == 1 else { return nil }
          rows[element] = row[0]
        }
        // Just set.
        guard let entry = rows[element] else { return nil }
        let product = factor[place] * entry.coefficient
        // The product must be the exact number; all but one factor of a unit are 1 or -1.
        guard factor[place].magnitude == 1 || entry.coefficient.magnitude == 1 else { return nil }
        view.index[place] = Int32(entry.index)
        view.factor[place] = product
      }
      return view
    default: return nil
    }
  }

  /// The same numbers behind all nodes that only copy and scale elements.
  func origin(in graph: Graph) -> ElementView {
    var view = self
    while case .affine(let affine) = graph[view.node].operation, affine.maps.count == 1, affine.bias == nil,
      let next = view.through(affine.maps[0], of: graph[view.node].inputs[0])
    { view = next }
    return view
  }

  /// The sum of elements that number i is a multiple of, if all are such: the node summed, for each of its elements the
  /// place of its sum, and what the sum is multiplied by.
  func sum(in graph: Graph) -> BlockSum? {
    let view = origin(in: graph)
    guard case .affine(let affine) = graph[view.node].operation, affine.maps.count == 1, affine.bias == nil,
      let sum = affine.maps[0] as? SumMap, let factor = view.uniformFactor
    else { return nil }
    return BlockSum(
      of: graph[view.node].inputs[0], target: sum.table.index, denominator: sum.denominator, factor: factor,
      index: view.index)
  }
}

/// Sums over blocks of a node's elements, one for every number of a view.
struct BlockSum {
  var of: NodeID
  /// For every element of the node the block it is summed in.
  var target: [Int32]
  var denominator: Int
  var factor: Double
  /// For every number its block.
  var index: [Int32]

  /// Whether number i is about the block of element i, so that every element meets the sum of its own block.
  var isOwn: Bool { index == target && !index.contains(-1) }

  /// Elements per block, if all blocks have the same number.
  var length: Int? {
    var counts: [Int32: Int] = [:]
    for block in target { counts[block, default: 0] += 1 }
    guard let first = counts.first?.value, counts.values.allSatisfy({ $0 == first }) else { return nil }
    return first
  }

  /// 1 if every number is the mean of its block, -1 if it is the negated mean. A factor that is the number of elements'
  /// inverse, rounded to the type, is read as that inverse: it is how exporters write a mean.
  func meanSign(_ type: ElementType) -> Double? {
    guard isOwn, let length else { return nil }
    if denominator == length { return factor.magnitude == 1 ? factor : nil }
    guard denominator == 1 else { return nil }
    let inverse = type == .float32 ? Double(1 / Float(length)) : 1 / Double(length)
    return factor.magnitude == inverse ? (factor < 0 ? -1 : 1) : nil
  }
}
