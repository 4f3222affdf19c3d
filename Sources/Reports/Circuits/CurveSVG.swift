extension CircuitPicture {
  /// The faithfulness curve with its random baseline as an SVG document.
  public func curveSVG(width: Double = 380, height: Double = 260) -> String {
    let c = Markup.coordinate
    let left = 44.0
    let right = width - 14
    let top = 30.0
    let bottom = height - 40
    var values = curve.map(\.faithfulness) + randomCurve.flatMap { [$0.low, $0.high] } + [0, 1]
    if let faithfulness { values.append(faithfulness) }
    values = values.filter(\.isFinite)
    let low = values.min() ?? 0
    let high = values.max() ?? 1
    let pad = 0.06 * max(high - low, 1e-9)
    let largest = max(curve.map(\.size).max() ?? 1, randomCurve.map(\.size).max() ?? 1, 1)
    func x(_ size: Double) -> Double { left + (right - left) * size / Double(largest) }
    func y(_ f: Double) -> Double { bottom - (bottom - top) * (f - low + pad) / (high - low + 2 * pad) }

    var s = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(c(width)) \(c(height))\" "
    s += "width=\"\(c(width))\" height=\"\(c(height))\" role=\"img\" font-size=\"11\" "
    s +=
      "font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n<title>Faithfulness by circuit size</title>\n"
    s +=
      "<text x=\"\(c(left))\" y=\"16\" font-size=\"12\" fill=\"#1a1a1a\">Faithfulness F by number of nodes kept</text>\n"
    for tick in CircuitPicture.ticks(low - pad, high + pad) {
      s += "<line x1=\"\(c(left))\" x2=\"\(c(right))\" y1=\"\(c(y(tick)))\" y2=\"\(c(y(tick)))\" "
      s += "stroke=\"\(tick == 0 || tick == 1 ? "#bbbbbb" : "#ececec")\"/>"
      s += "<text x=\"\(c(left - 6))\" y=\"\(c(y(tick) + 4))\" text-anchor=\"end\" fill=\"#666666\">"
      s += "\(Markup.fixed(tick, tick == tick.rounded() ? 0 : 2))</text>\n"
    }
    for tick in CircuitPicture.ticks(0, Double(largest)) where tick == tick.rounded() {
      s += "<text x=\"\(c(x(tick)))\" y=\"\(c(bottom + 16))\" text-anchor=\"middle\" fill=\"#666666\">"
      s += "\(Int(tick))</text>\n"
    }
    s +=
      "<text x=\"\(c((left + right) / 2))\" y=\"\(c(height - 6))\" text-anchor=\"middle\" fill=\"#666666\">"
    s += "nodes kept</text>\n"

    let random = randomCurve.filter { $0.mean.isFinite && $0.low.isFinite && $0.high.isFinite }
    if let first = random.first {
      var area = "M\(c(x(Double(first.size)))) \(c(y(first.high)))"
      for point in random.dropFirst() { area += " L\(c(x(Double(point.size)))) \(c(y(point.high)))" }
      for point in random.reversed() { area += " L\(c(x(Double(point.size)))) \(c(y(point.low)))" }
      s += "<path d=\"\(area) Z\" fill=\"#999999\" fill-opacity=\"0.22\"/>\n"
      s += path(random.map { (x(Double($0.size)), y($0.mean)) }, colour: "#888888", dashed: true)
      s += "<text x=\"\(c(right))\" y=\"\(c(bottom - 6))\" text-anchor=\"end\" fill=\"#777777\">"
      s += "random order, mean and 95 % interval</text>\n"
    }
    let points = curve.filter(\.faithfulness.isFinite)
    s += path(points.map { (x(Double($0.size)), y($0.faithfulness)) }, colour: "#2166ac", dashed: false)
    for point in points {
      s +=
        "<circle cx=\"\(c(x(Double(point.size))))\" cy=\"\(c(y(point.faithfulness)))\" r=\"2.4\" fill=\"#2166ac\">"
      s += "<title>\(point.size) nodes: F = \(Markup.score(point.faithfulness))</title></circle>\n"
    }
    if let faithfulness, faithfulness.isFinite {
      s += "<circle cx=\"\(c(x(Double(nodes.count))))\" cy=\"\(c(y(faithfulness)))\" r=\"4.5\" fill=\"none\" "
      s += "stroke=\"#d95f02\" stroke-width=\"2\"><title>the circuit, \(nodes.count) nodes: F = "
      s += "\(Markup.score(faithfulness))</title></circle>\n"
    }
    return s + "</svg>\n"
  }

  private func path(_ points: [(Double, Double)], colour: String, dashed: Bool) -> String {
    guard points.count > 1 else { return "" }
    let c = Markup.coordinate
    let d = points.enumerated().map { "\($0.offset == 0 ? "M" : "L")\(c($0.element.0)) \(c($0.element.1))" }
    return "<path d=\"\(d.joined(separator: " "))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.6\""
      + (dashed ? " stroke-dasharray=\"4 3\"" : "") + "/>\n"
  }

  /// Round numbers inside an interval, about five of them.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    guard high > low, (high - low).isFinite else { return [] }
    let raw = (high - low) / 5
    var step = 1.0
    while step > raw { step /= 10 }
    while step * 10 <= raw { step *= 10 }
    for factor in [2.0, 5.0, 10.0] where step * factor >= raw {
      step *= factor
      break
    }
    var result: [Double] = []
    var k = (low / step).rounded(.up)
    while k * step <= high && result.count < 20 {
      result.append(k * step)
      k += 1
    }
    return result
  }
}
