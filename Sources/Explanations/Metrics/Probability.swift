/// Softmax probabilities and decisions.
public enum Probability {
  /// softmax of one row of logits, with the usual shift by the maximum.
  public static func softmax(_ logits: some Collection<Double>) -> [Double] {
    let top = logits.max() ?? 0
    let weights = logits.map { exponential($0 - top) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  /// The index of the largest value, ties to the lowest index.
  public static func argmax(_ values: some Collection<Double>) -> Int {
    var best = 0
    var top = -Double.infinity
    for (index, value) in values.enumerated() where value > top {
      best = index
      top = value
    }
    return best
  }

  /// Kullback-Leibler divergence KL(p || q) of the softmax distributions of two rows of logits, in nats,
  /// computed from log-probabilities so that a vanishing q gives a large number and not a NaN.
  public static func divergence(_ p: [Double], _ q: [Double]) -> Double {
    let lp = logSoftmax(p)
    let lq = logSoftmax(q)
    var sum = 0.0
    for i in p.indices { sum += exponential(lp[i]) * (lp[i] - lq[i]) }
    return max(0, sum)
  }

  static func logSoftmax(_ logits: [Double]) -> [Double] {
    let top = logits.max() ?? 0
    let normaliser = top + logarithm(logits.reduce(0.0) { $0 + exponential($1 - top) })
    return logits.map { $0 - normaliser }
  }
}
