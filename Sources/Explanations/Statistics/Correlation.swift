/// Correlations and summary statistics. Undefined values are nil, never NaN.
public enum Correlation {
  /// Pearson's r; nil when a side is constant or fewer than two pairs are given.
  public static func pearson(_ x: [Double], _ y: [Double]) -> Double? {
    guard x.count == y.count, x.count > 1 else { return nil }
    let n = Double(x.count)
    let mx = x.reduce(0, +) / n
    let my = y.reduce(0, +) / n
    var xx = 0.0
    var yy = 0.0
    var xy = 0.0
    for i in x.indices {
      xx += (x[i] - mx) * (x[i] - mx)
      yy += (y[i] - my) * (y[i] - my)
      xy += (x[i] - mx) * (y[i] - my)
    }
    let scale = (xx * yy).squareRoot()
    guard scale > 0, scale.isFinite else { return nil }
    return max(-1, min(1, xy / scale))
  }

  /// Spearman's rank correlation, ties by average rank; nil when a side is constant.
  public static func spearman(_ x: [Double], _ y: [Double]) -> Double? {
    pearson(ranks(x), ranks(y))
  }

  /// Ranks 1...n, ties sharing their average.
  public static func ranks(_ x: [Double]) -> [Double] {
    let order = x.indices.sorted { x[$0] != x[$1] ? x[$0] < x[$1] : $0 < $1 }
    var result = [Double](repeating: 0, count: x.count)
    var i = 0
    while i < order.count {
      var j = i
      while j + 1 < order.count && x[order[j + 1]] == x[order[i]] { j += 1 }
      let rank = Double(i + j) / 2 + 1
      for k in i...j { result[order[k]] = rank }
      i = j + 1
    }
    return result
  }

  /// Percentile bootstrap interval of a statistic of paired data, resampling pairs; nil when the statistic is
  /// undefined on most resamples.
  public static func bootstrapInterval(
    _ x: [Double], _ y: [Double], confidence: Double = 0.95, resamples: Int = 1000, random: CounterRandom,
    statistic: ([Double], [Double]) -> Double?
  ) -> ClosedRange<Double>? {
    guard x.count > 2 else { return nil }
    var generator = random.generator()
    var values: [Double] = []
    for _ in 0..<resamples {
      var a = x
      var b = y
      for i in x.indices {
        let j = generator.index(below: x.count)
        a[i] = x[j]
        b[i] = y[j]
      }
      if let value = statistic(a, b) { values.append(value) }
    }
    guard values.count * 2 > resamples else { return nil }
    values.sort()
    let tail = (1 - confidence) / 2
    let low = values[Int(tail * Double(values.count - 1))]
    return low...max(low, values[Int(((1 - tail) * Double(values.count - 1)).rounded(.up))])
  }
}
