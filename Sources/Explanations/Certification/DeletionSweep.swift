import Domains
import IR
import Tensors

/// Rigorous margins of many deletions at once: masks are the batch axis of interval arithmetic on points, so that the
/// rounding of every single evaluation is enclosed.
struct DeletionSweep: Sendable {
  let bound: Graph
  let arcsPerEdge: Int
  let edgeCount: Int
  let classCount: Int
  /// Rows of logits per evaluation.
  let readouts: Int

  private static let rowsAtOnce = 64

  /// The least margin of every row of logits over deletions, and which deletion has it.
  func least(
    _ sets: ArraySlice<[Int]>, targets: [Int]
  ) throws -> (lower: [Double], deletion: [Int]) {
    let arcs = edgeCount * arcsPerEdge
    let size = readouts * classCount
    var lower = [Double](repeating: .infinity, count: readouts)
    var deletion = [Int](repeating: sets.startIndex, count: readouts)
    var domain = IntervalDomain()
    var first = sets.startIndex
    while first < sets.endIndex {
      let count = min(Self.rowsAtOnce, sets.endIndex - first)
      var factors = [Double](repeating: 1, count: count * arcs)
      for row in 0..<count {
        for edge in sets[first + row] {
          for k in 0..<arcsPerEdge { factors[row * arcs + edge * arcsPerEdge + k] = 0 }
        }
      }
      let mask = Interval(point: Tensor([count, arcs], factors))
      let output = try bound.interpret([mask], in: &domain).outputs[0]
      let (low, high) = (output.lower.elements, output.upper.elements)
      for row in 0..<count {
        for r in 0..<readouts {
          let base = row * size + r * classCount
          var rival = -Double.infinity
          for c in 0..<classCount where c != targets[r] { rival = max(rival, high[base + c]) }
          let value = (low[base + targets[r]] - rival).nextDown
          if value < lower[r] {
            lower[r] = value
            deletion[r] = first + row
          }
        }
      }
      first += count
    }
    return (lower, deletion)
  }

  /// All sets of at most `most` of the elements, by size and then lexicographically.
  static func subsets(of elements: [Int], upTo most: Int) -> [[Int]] {
    var result: [[Int]] = []
    for k in 0...min(most, elements.count) {
      var places = Array(0..<k)
      while true {
        result.append(places.map { elements[$0] })
        var i = k - 1
        while i >= 0 && places[i] == elements.count - k + i { i -= 1 }
        if i < 0 { break }
        places[i] += 1
        var j = i + 1
        while j < k {
          places[j] = places[j - 1] + 1
          j += 1
        }
      }
    }
    return result
  }
}
