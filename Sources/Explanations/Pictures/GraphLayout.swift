/// Node positions for drawing: a force-directed layout, the same for the same graph.
///
/// Fruchterman and Reingold, "Graph drawing by force-directed placement" (1991).
public enum GraphLayout {
  /// Positions in the unit square.
  /// - Complexity: O(iterations * nodes^2); callers draw neighbourhoods, not whole data sets.
  public static func positions(nodes: Int, edges: [GraphEdge], iterations: Int = 300) -> [(
    x: Double, y: Double
  )] {
    guard nodes > 0 else { return [] }
    var x = [Double](repeating: 0, count: nodes)
    var y = x
    var generator = CounterRandom(seed: 7).generator()
    for i in 0..<nodes {
      // A circle with a little jitter: symmetric starts would never unfold.
      let angle = 2 * Double.pi * Double(i) / Double(nodes)
      x[i] = cosine(angle) + 0.05 * (generator.uniform() - 0.5)
      y[i] = sine(angle) + 0.05 * (generator.uniform() - 0.5)
    }
    let ideal = (4 / Double(nodes)).squareRoot()
    var fx = x
    var fy = y
    for step in 0..<iterations {
      for i in 0..<nodes {
        fx[i] = -0.02 * x[i]
        fy[i] = -0.02 * y[i]
      }
      for i in 0..<nodes {
        for j in (i + 1)..<max(nodes, i + 1) {
          let dx = x[i] - x[j]
          let dy = y[i] - y[j]
          let square = max(dx * dx + dy * dy, 1e-6)
          let force = ideal * ideal / square
          fx[i] += dx * force
          fy[i] += dy * force
          fx[j] -= dx * force
          fy[j] -= dy * force
        }
      }
      for edge in edges {
        let dx = x[edge.source] - x[edge.target]
        let dy = y[edge.source] - y[edge.target]
        let length = (dx * dx + dy * dy).squareRoot()
        let force = length / ideal
        fx[edge.source] -= dx * force
        fy[edge.source] -= dy * force
        fx[edge.target] += dx * force
        fy[edge.target] += dy * force
      }
      let heat = 0.2 * (1 - Double(step) / Double(iterations)) + 0.002
      for i in 0..<nodes {
        let size = max((fx[i] * fx[i] + fy[i] * fy[i]).squareRoot(), 1e-12)
        let move = min(size, heat)
        x[i] += fx[i] / size * move
        y[i] += fy[i] / size * move
      }
    }
    return normalised(x, y)
  }

  private static func normalised(_ x: [Double], _ y: [Double]) -> [(x: Double, y: Double)] {
    let left = x.min() ?? 0
    let top = y.min() ?? 0
    let width = max((x.max() ?? 1) - left, 1e-9)
    let height = max((y.max() ?? 1) - top, 1e-9)
    return zip(x, y).map { (($0 - left) / width, ($1 - top) / height) }
  }
}
