import FileFormats
import Foundation

/// The cactus plot of solver comparisons: how many instances are solved (across) when each may take the given
/// time (up, logarithmic). One curve per family.
public struct CactusPlot: Sendable {
  /// A curve: the sorted times of the solved instances.
  public struct Curve: Sendable, Equatable {
    public var name: String
    public var seconds: [Double]

    public init(name: String, seconds: [Double]) {
      self.name = name
      self.seconds = seconds.sorted()
    }
  }

  public var curves: [Curve]

  public init(curves: [Curve]) { self.curves = curves }

  /// A curve of all solved instances and one per family with any, the largest families first.
  public init(_ results: [InstanceResult]) {
    let solved = results.filter(\.isDecided)
    var families: [String: [Double]] = [:]
    for result in solved { families[result.key.family, default: []].append(result.seconds) }
    curves = families.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
      .map { Curve(name: $0.key, seconds: $0.value) }
    if families.count > 1 { curves.insert(Curve(name: "all", seconds: solved.map(\.seconds)), at: 0) }
  }

  private static let colours = [
    "#333333", "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988",
    "#882255", "#999933", "#777777",
  ]

  /// The plot as an SVG document.
  public func svg(width: Double = 840, height: Double = 480) -> String {
    let left = 64.0
    let right = width - 170
    let top = 40.0
    let bottom = height - 52
    let times = curves.flatMap(\.seconds).map { max($0, 0.001) }
    let low = floor(log10(times.min() ?? 0.01))
    let high = max(ceil(log10(times.max() ?? 1)), low + 1)
    let most = max(1, curves.map(\.seconds.count).max() ?? 1)
    func x(_ count: Int) -> String { text(left + (right - left) * Double(count) / Double(most)) }
    func y(_ seconds: Double) -> String {
      text(bottom - (bottom - top) * (log10(max(seconds, 0.001)) - low) / (high - low))
    }
    func text(_ value: Double) -> String { String(format: "%.1f", value) }
    var lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(text(width)) \(text(height))" \
      font-family="sans-serif" font-size="12">
      """,
      "<title>Solved instances by time</title>",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      "<text x=\"\(text(left))\" y=\"22\" font-size=\"15\">Solved instances by time per instance</text>",
    ]
    for power in Int(low)...Int(high) {
      let position = y(pow(10, Double(power)))
      let label =
        power >= 0 ? "\(Int(pow(10, Double(power))))" : String(format: "%.\(-power)f", pow(10, Double(power)))
      lines.append(
        "<path d=\"M\(text(left)) \(position)H\(text(right))\" stroke=\"#dddddd\"/>"
          + "<text x=\"\(text(left - 8))\" y=\"\(position)\" dy=\"4\" text-anchor=\"end\">\(label)</text>")
    }
    let step = Self.step(most)
    for count in stride(from: 0, through: most, by: step) {
      lines.append(
        "<text x=\"\(x(count))\" y=\"\(text(bottom + 18))\" text-anchor=\"middle\">\(count)</text>"
          + "<path d=\"M\(x(count)) \(text(bottom))v5\" stroke=\"#333333\"/>")
    }
    lines.append(
      "<path d=\"M\(text(left)) \(text(top))V\(text(bottom))H\(text(right))\" fill=\"none\" stroke=\"#333333\"/>"
    )
    lines.append(
      "<text x=\"\(text((left + right) / 2))\" y=\"\(text(height - 12))\" text-anchor=\"middle\">"
        + "instances solved</text>")
    lines.append(
      "<text transform=\"translate(16 \(text((top + bottom) / 2))) rotate(-90)\" text-anchor=\"middle\">"
        + "seconds</text>")
    for (i, curve) in curves.enumerated() {
      let colour = Self.colours[i % Self.colours.count]
      var path = ""
      for (k, seconds) in curve.seconds.enumerated() {
        path += (k == 0 ? "M" : "L") + "\(x(k + 1)) \(y(seconds))"
      }
      if !path.isEmpty {
        lines.append(
          "<path d=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\" stroke-linecap=\"round\"/>"
        )
      }
      let row = top + 18 * Double(i)
      lines.append(
        "<path d=\"M\(text(right + 12)) \(text(row))h18\" stroke=\"\(colour)\" stroke-width=\"3\"/>"
          + "<text x=\"\(text(right + 36))\" y=\"\(text(row + 4))\">"
          + "\(MarkupText.xml(curve.name)) (\(curve.seconds.count))</text>")
    }
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  /// A round distance between labels that gives at most ten of them.
  private static func step(_ most: Int) -> Int {
    var step = 1
    for factor in [2, 5, 10].cycled(6) where most / step > 10 { step = factor }
    return step
  }
}

extension [Int] {
  /// The list, then ten times it, a hundred times it, and so on.
  fileprivate func cycled(_ rounds: Int) -> [Int] {
    var scale = 1
    var result: [Int] = []
    for _ in 0..<rounds {
      result += map { $0 * scale }
      scale *= 10
    }
    return result
  }
}
