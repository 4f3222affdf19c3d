import FileFormats

/// Draws a graph with edge scores and the true explanation as SVG.
public struct GraphPicture: Sendable {
  public var title: String
  public var subtitle: String
  /// One score per edge in [0, 1], or nil for an unscored graph.
  public var scores: [Double]?
  /// A node to mark, for node tasks.
  public var center: Int?
  public var width = 640.0
  public var height = 520.0

  public init(title: String, subtitle: String = "", scores: [Double]? = nil, center: Int? = nil) {
    self.title = title
    self.subtitle = subtitle
    self.scores = scores
    self.center = center
  }

  private static let palette = [
    "#9db4c0", "#e07a5f", "#81b29a", "#f2cc8f", "#6d6875", "#3d5a80", "#ee6c4d", "#98c1d9",
  ]

  /// The drawing of `graph`; node numbers are those of `names` where given (a neighbourhood of a larger graph).
  public func svg(_ graph: AttributedGraph, names: [Int]? = nil) -> String {
    let positions = GraphLayout.positions(nodes: graph.nodeCount, edges: graph.edges)
    let margin = 40.0
    let head = 64.0
    func place(_ i: Int) -> (Double, Double) {
      (
        margin + positions[i].x * (width - 2 * margin),
        head + positions[i].y * (height - head - 2 * margin)
      )
    }
    var out = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" \
      width="\(Int(width))" height="\(Int(height))" font-family="sans-serif">
      <rect width="100%" height="100%" fill="white"/>
      <text x="16" y="26" font-size="16" font-weight="bold">\(MarkupText.xml(title))</text>
      <text x="16" y="46" font-size="12" fill="#555">\(MarkupText.xml(subtitle))</text>

      """
    let range = Self.range(scores)
    for (index, edge) in graph.edges.enumerated() {
      let (x1, y1) = place(edge.source)
      let (x2, y2) = place(edge.target)
      let line =
        "x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\""
      if graph.explanation?[index] == true {
        out +=
          "<line \(line) stroke=\"#f4a259\" stroke-opacity=\"0.55\" stroke-width=\"12\" stroke-linecap=\"round\"/>\n"
      }
      let score = scores.map { range.scale($0[index]) } ?? 0.4
      let shade = Int((205 * (1 - score)).rounded())
      let thickness = Self.number(1 + 4 * score)
      out +=
        "<line \(line) stroke=\"rgb(\(shade),\(shade),\(min(255, shade + 20)))\" stroke-width=\"\(thickness)\">"
      if let scores { out += "<title>edge \(index): \(scores[index])</title>" }
      out += "</line>\n"
    }
    let radius = graph.nodeCount > 60 ? 5.0 : 10.0
    for i in 0..<graph.nodeCount {
      let (x, y) = place(i)
      let colour = graph.nodeLabels.map { Self.palette[$0[i] % Self.palette.count] } ?? "#dbe7f0"
      let border = i == center ? "#c1121f\" stroke-width=\"3" : "#334\" stroke-width=\"1"
      out +=
        "<circle cx=\"\(Self.number(x))\" cy=\"\(Self.number(y))\" r=\"\(radius)\" fill=\"\(colour)\" stroke=\"\(border)\"/>\n"
      if graph.nodeCount <= 60 {
        let name = names.map { $0[i] } ?? i
        out +=
          "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y + 3.5))\" font-size=\"9\" text-anchor=\"middle\">\(name)</text>\n"
      }
    }
    let legend = Self.number(height - 14)
    if scores != nil {
      out += "<text x=\"16\" y=\"\(legend)\" font-size=\"11\" fill=\"#555\">dark and thick: high score"
      out += graph.explanation == nil ? "</text>\n" : "; orange: true explanation</text>\n"
    } else if graph.explanation != nil {
      out += "<text x=\"16\" y=\"\(legend)\" font-size=\"11\" fill=\"#555\">orange: true explanation</text>\n"
    }
    return out + "</svg>\n"
  }

  /// Scores outside [0, 1] (gradients, Shapley values) are drawn relative to their range.
  private struct Scale {
    var low: Double
    var high: Double
    func scale(_ x: Double) -> Double { high > low ? max(0, min(1, (x - low) / (high - low))) : 0.5 }
  }

  private static func range(_ scores: [Double]?) -> Scale {
    let low = scores?.min() ?? 0
    let high = scores?.max() ?? 1
    return Scale(low: low, high: high)
  }

  static func number(_ x: Double) -> String { String((x * 10).rounded() / 10) }
}
