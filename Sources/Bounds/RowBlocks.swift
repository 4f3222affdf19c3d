import IR
import Operators
import Tensors

/// Rows of a node in the blocks that are walked together.
///
/// The rows of a convolution are grouped by neighbourhood, because together they then see a small box of earlier
/// layers; all others in order.
struct RowBlocks {
  /// Places in the list of rows; every row is in one block.
  private(set) var blocks: [[Int]] = []

  /// - Parameters:
  ///   - rows: flat indices of elements of the node.
  ///   - size: the most rows of one block.
  init(_ rows: [Int], of node: Node, size: Int) {
    let groups = Self.tiles(rows, of: node) ?? [Array(rows.indices)]
    for group in groups {
      for start in stride(from: 0, to: group.count, by: size) {
        blocks.append(Array(group[start..<min(start + size, group.count)]))
      }
    }
  }

  /// Rows of one tile of the grid: enough to share what a block costs besides its products.
  private static let tileRows = 128.0

  /// The rows by tiles of a convolution's grid; nil if the node is something else.
  private static func tiles(_ rows: [Int], of node: Node) -> [[Int]]? {
    guard rows.count > Int(tileRows), case .affine(let map) = node.operation,
      map.maps.contains(where: { $0 is Convolution }), let grid = GridWindow(whole: node.shape)
    else { return nil }
    let perPosition = Double(rows.count) / Double(grid.count)
    var side = 1
    while Self.power(side + 1, grid.extent.count) * perPosition <= tileRows { side += 1 }
    guard grid.extent.contains(where: { side < $0 }) else { return nil }
    let across = grid.extent.map { ($0 + side - 1) / side }
    var groups = [[Int]](repeating: [], count: across.reduce(1, *))
    for (place, row) in rows.enumerated() {
      var rest = row % grid.count
      var tile = 0
      var weight = 1
      for axis in grid.extent.indices.reversed() {
        tile += (rest % grid.extent[axis]) / side * weight
        weight *= across[axis]
        rest /= grid.extent[axis]
      }
      groups[tile].append(place)
    }
    return groups.filter { !$0.isEmpty }
  }

  private static func power(_ base: Int, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1.0) { product, _ in product * Double(base) }
  }
}
