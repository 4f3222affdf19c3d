/// The binomial distribution of the number of removed elements.
public enum Binomial {
  /// The number of subsets of size k of m elements, as a Double (exact below 2^53), infinite on overflow.
  public static func coefficient(_ m: Int, _ k: Int) -> Double {
    guard k >= 0, k <= m else { return 0 }
    var value = 1.0
    let j = min(k, m - k)
    for i in 0..<j {
      // The product of the first i+1 factors is itself a binomial coefficient, so the division is exact
      // as long as the numbers are below 2^53.
      value = value * Double(m - i) / Double(i + 1)
    }
    return value.rounded()
  }

  /// P[K = k] for k = 0...m, K the sum of m independent events of probability p.
  public static func masses(_ m: Int, _ p: Double) -> [Double] {
    if p <= 0 { return (0...m).map { $0 == 0 ? 1 : 0 } }
    if p >= 1 { return (0...m).map { $0 == m ? 1 : 0 } }
    if m <= 300 {
      return (0...m).map { k in
        coefficient(m, k) * power(p, Double(k)) * power(1 - p, Double(m - k))
      }
    }
    let logP = logarithm(p)
    let logQ = logarithm(1 - p)
    let top = logFactorial(m)
    return (0...m).map { k in
      let choose = top - logFactorial(k) - logFactorial(m - k)
      return exponential(choose + Double(k) * logP + Double(m - k) * logQ)
    }
  }
}
