import FileFormats

/// The paired difference of two explanations of the same instances.
public struct FidelityComparison: Sendable {
  /// One compared quantity.
  public struct Difference: Sendable {
    public var name: String
    /// Mean over instances of first minus second.
    public var mean: Double
    /// Standard error over instances of the paired differences.
    public var standardError: Double
    /// Standard error of the mean due to sampling masks (0 when exact). With naive sampling both sides use common
    /// random numbers, so this is an upper bound.
    public var samplingError: Double
    /// 95 % normal interval from both errors.
    public var interval: ClosedRange<Double> {
      let radius = 1.96 * (standardError * standardError + samplingError * samplingError).squareRoot()
      return (mean - radius)...(mean + radius)
    }
  }

  public let count: Int
  public let differences: [Difference]

  /// Pairs instances by id; instances that only one side has are left out.
  public init(_ first: FidelityReport, _ second: FidelityReport) {
    let others = Dictionary(second.instances.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
    let pairs = first.instances.compactMap { a in others[a.id].map { (a, $0) } }
    count = pairs.count
    var result: [Difference] = []
    func add(_ name: String, _ value: (InstanceFidelity) -> (Double, Double)) {
      var moments = Moments()
      var sampling = 0.0
      for (a, b) in pairs {
        let (x, ex) = value(a)
        let (y, ey) = value(b)
        moments.add(x - y)
        sampling += ex * ex + ey * ey
      }
      let n = Double(max(1, pairs.count))
      result.append(
        Difference(
          name: name, mean: moments.mean, standardError: (moments.variance / n).squareRoot(),
          samplingError: sampling.squareRoot() / n))
    }
    add("plus") { ($0.original.plus.probability, 0) }
    add("minus") { ($0.original.minus.probability, 0) }
    add("delta") { ($0.original.delta.probability, 0) }
    for index in first.instances.first?.robust.indices ?? 0..<0 {
      let point = first.instances[0].robust[index]
      let tag = "(\(point.alpha1), \(point.alpha2))"
      add("robust plus \(tag)") { ($0.robust[index].plus.probability, $0.robust[index].plus.standardError) }
      add("robust minus \(tag)") {
        ($0.robust[index].minus.probability, $0.robust[index].minus.standardError)
      }
      add("robust delta \(tag)") {
        ($0.robust[index].delta.probability, $0.robust[index].delta.standardError)
      }
    }
    differences = result
  }

  public var json: JSONValue {
    .object(
      JSONObject([
        .init(key: "instances", value: JSONValue(count)),
        .init(
          key: "differences",
          value: .array(
            differences.map {
              [
                "name": .string($0.name), "mean": JSONValue($0.mean),
                "standard_error": JSONValue($0.standardError), "sampling_error": JSONValue($0.samplingError),
                "interval_95": JSONValue([$0.interval.lowerBound, $0.interval.upperBound]),
              ]
            })),
      ]))
  }
}
