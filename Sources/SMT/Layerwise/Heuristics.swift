/// How manipulated coordinates are chosen.
public enum FeatureHeuristic: String, Sendable, CaseIterable {
  /// The activations farthest from the mean of their layer.
  case activation
  /// The largest product of weights along any path to an output (max-product, cut at inactive ReLUs).
  case derivative
}

/// Chooses the coordinates of features.
package enum FeatureSelection {
  /// The `count` best coordinates of a layer that are not used yet, best first; ties go to the lower index.
  package static func pick(
    _ scores: [Double], count: Int, excluding used: Set<Int>, among allowed: Set<Int>? = nil
  )
    -> [Int]
  {
    let candidates = scores.indices.filter { !used.contains($0) && (allowed?.contains($0) ?? true) }
    return Array(
      candidates.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }.prefix(count))
  }

  /// `|a - mean(a)|` of every coordinate.
  package static func activation(_ values: [Double]) -> [Double] {
    let mean = values.reduce(0, +) / Double(max(1, values.count))
    return values.map { abs($0 - mean) }
  }

  /// The backward recursion `score = max over users of |weight| * score`, from the outputs to the inputs of a network.
  package static func derivative(_ network: PiecewiseLinearNetwork, at x: [Double]) -> [Double] {
    let values = network.evaluate(x)
    var score = [Double](repeating: 0, count: network.variableCount)
    for v in network.outputs { score[v] = 1 }
    for block in network.raw.reversed() {
      for i in 0..<block.count {
        let v = block.first + i
        if score[v] == 0 || (block.kind == .relu && values[v] <= 0) { continue }
        for k in block.entries(i) {
          let c = Int(block.column[k])
          score[c] = max(score[c], abs(block.value[k]) / block.denominator * score[v])
        }
      }
    }
    return Array(score[0..<network.inputCount])
  }
}
