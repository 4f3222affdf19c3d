/// Means of a subset game over all subsets of each size: one enumeration that gives the expectation under
/// independent removal for *every* probability.
///
/// With m elements, E(p) = sum_k C(m,k) p^k (1-p)^(m-k) mean_k, so a whole alpha curve costs 2^m evaluations.
public struct LevelMeans: Sendable {
  /// The number of elements m.
  public let elementCount: Int
  /// The number of values per subset.
  public let valueCount: Int
  /// Mean of value v over the subsets of size k, at [k * valueCount + v].
  public let means: [Double]
  /// Mean of the squared value, likewise.
  public let squares: [Double]
  /// The number of evaluations spent: 2^m.
  public var evaluations: Int { 1 << elementCount }

  /// Enumerates all 2^m subsets; m must be at most 30.
  /// - Complexity: 2^m evaluations, in batches on all cores.
  public init(enumerating game: SubsetGame) throws {
    let m = game.elementCount
    precondition(m <= 30, "the caller limits enumeration")
    let values = game.valueCount
    let total = 1 << m
    let chunk = min(total, SubsetGame.batch)
    let cells = (m + 1) * values
    let partial = try Parallel.map(total / chunk) { index -> [Double] in
      let first = index * chunk
      var flags = [UInt8](repeating: 0, count: chunk * m)
      for row in 0..<chunk {
        let subset = first + row
        for bit in 0..<m { flags[row * m + bit] = UInt8((subset >> bit) & 1) }
      }
      let answers = try game.evaluate(flags, chunk)
      var sums = [Double](repeating: 0, count: 2 * cells)
      for row in 0..<chunk {
        let size = (first + row).nonzeroBitCount
        for v in 0..<values {
          let x = answers[row * values + v]
          sums[size * values + v] += x
          sums[cells + size * values + v] += x * x
        }
      }
      return sums
    }
    // Partial sums are added in order: neither the threads nor their number can change the result.
    var sums = [Double](repeating: 0, count: 2 * cells)
    for part in partial { for i in 0..<(2 * cells) { sums[i] += part[i] } }
    for k in 0...m {
      let count = Binomial.coefficient(m, k)
      for v in 0..<values {
        sums[k * values + v] /= count
        sums[cells + k * values + v] /= count
      }
    }
    elementCount = m
    valueCount = values
    means = Array(sums[0..<cells])
    squares = Array(sums[cells...])
  }

  /// The expectations when every element is removed independently with probability p.
  public func expectation(removing p: Double) -> [Double] {
    let mass = Binomial.masses(elementCount, p)
    return (0..<valueCount).map { v in
      (0...elementCount).reduce(0.0) { $0 + mass[$1] * means[$1 * valueCount + v] }
    }
  }

  /// The standard deviations of the values under the same distribution.
  public func deviation(removing p: Double) -> [Double] {
    let mass = Binomial.masses(elementCount, p)
    let mean = expectation(removing: p)
    return (0..<valueCount).map { v in
      let square = (0...elementCount).reduce(0.0) { $0 + mass[$1] * squares[$1 * valueCount + v] }
      return max(0, square - mean[v] * mean[v]).squareRoot()
    }
  }
}
