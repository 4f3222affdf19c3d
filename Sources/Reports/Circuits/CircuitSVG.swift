import FileFormats

/// Draws a circuit without Graphviz: positions along, layers upwards.
struct CircuitLayout {
  let picture: CircuitPicture
  /// The column of every node and its centre; nodes without a position share one column.
  let columns: [Int]
  let columnCentres: [Double]
  let width: Double
  let height: Double
  let centres: [(x: Double, y: Double)]
  let radius = 13.0
  let left = 54.0
  let top = 34.0
  let rowHeight: Double = 84
  let output: (x: Double, y: Double)

  init(_ picture: CircuitPicture) {
    self.picture = picture
    let byPosition = picture.nodes.allSatisfy { $0.position != nil }
    let columnCount = max(1, byPosition ? picture.tokens.count : 1)
    columns = picture.nodes.map { byPosition ? min($0.position ?? 0, columnCount - 1) : 0 }
    // A column is as wide as its fullest cell, or as its word.
    var cells: [[Int]] = Array(repeating: [], count: columnCount * max(1, picture.layers))
    for (index, node) in picture.nodes.enumerated() where node.layer < picture.layers {
      cells[node.layer * columnCount + columns[index]].append(index)
    }
    var widths = [Double](repeating: 40, count: columnCount)
    for layer in 0..<max(1, picture.layers) {
      for column in 0..<columnCount {
        widths[column] = max(widths[column], Double(cells[layer * columnCount + column].count) * 32 + 12)
      }
    }
    if byPosition {
      for (column, token) in picture.tokens.enumerated() {
        widths[column] = max(widths[column], min(Double(token.count) * 7.2 + 12, 110))
      }
    }
    var centres = [Double]()
    var x = left
    for w in widths {
      centres.append(x + w / 2)
      x += w
    }
    columnCentres = centres
    width = x + 20
    let rows = Double(max(1, picture.layers))
    height = top + rowHeight * (rows + 1) + 48
    var places = [(x: Double, y: Double)](repeating: (0, 0), count: picture.nodes.count)
    for layer in 0..<max(1, picture.layers) {
      for column in 0..<columnCount {
        let cell = cells[layer * columnCount + column].sorted {
          picture.nodes[$0].head < picture.nodes[$1].head
        }
        for (place, index) in cell.enumerated() {
          let offset = (Double(place) - Double(cell.count - 1) / 2) * 32
          let y = top + rowHeight * (rows - Double(layer)) + 10
          places[index] = (centres[column] + offset, y)
        }
      }
    }
    self.centres = places
    output = (centres[columnCount - 1], top + 12)
  }

  func layerY(_ layer: Int) -> Double { top + rowHeight * Double(max(1, picture.layers) - layer) + 10 }
}

extension CircuitPicture {
  /// The picture as a self-contained SVG document. Hovering over a node or an edge shows its numbers.
  public func svg() -> String { drawing(standalone: true) }

  /// `standalone` adds the XML namespace, a background and the title; without it the drawing is a part of the page.
  func drawing(standalone: Bool) -> String {
    let layout = CircuitLayout(self)
    let c = Markup.coordinate
    let titleHeight = standalone ? 58.0 : 0
    let width = max(layout.width, standalone ? 420 : 0)
    let height = layout.height + titleHeight
    var s = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(c(width)) \(c(height))\" "
    s += "width=\"\(c(width))\" height=\"\(c(height))\" role=\"img\" "
    // On a page the drawing shrinks with the window, but not beyond what can be read.
    if !standalone { s += "style=\"min-width:\(c(min(width, max(420, width * 0.6))))px\" " }
    s += "font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
    s += "<title>\(MarkupText.xml(title))</title>\n"
    if standalone {
      s += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      s +=
        "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\" fill=\"#1a1a1a\">\(MarkupText.xml(title))</text>\n"
      s += "<text x=\"16\" y=\"46\" font-size=\"12\" fill=\"#555555\">\(MarkupText.xml(subtitle))</text>\n"
    }
    s += "<g transform=\"translate(0 \(c(titleHeight)))\">\n"
    s += grid(layout)
    s += edgeMarks(layout)
    s += nodeMarks(layout)
    s += "</g>\n</svg>\n"
    return s
  }

  private func grid(_ layout: CircuitLayout) -> String {
    let c = Markup.coordinate
    var s = ""
    for layer in 0..<layers {
      let y = layout.layerY(layer)
      s += "<line x1=\"\(c(layout.left))\" x2=\"\(c(layout.width - 12))\" y1=\"\(c(y))\" y2=\"\(c(y))\" "
      s += "stroke=\"#e6e6e6\"/>\n"
      s += "<text x=\"10\" y=\"\(c(y + 4))\" font-size=\"12\" fill=\"#666666\">L\(layer)</text>\n"
    }
    let wordsY = layout.height - 36
    for (column, x) in layout.columnCentres.enumerated() {
      let used = layout.columns.contains(column)
      let word: String
      if nodes.contains(where: { $0.position == nil }) {
        word = "all positions"
      } else {
        word = column < tokens.count ? tokens[column] : ""
      }
      let shown = word.count > 15 ? String(word.prefix(14)) + "…" : word
      s += "<text x=\"\(c(x))\" y=\"\(c(wordsY))\" font-size=\"12\" text-anchor=\"middle\" "
      s += "fill=\"\(used ? "#1a1a1a" : "#999999")\">\(MarkupText.xml(shown))</text>\n"
      var under = "\(column)"
      if let name = positionNames[column] { under = "\(name)" }
      s += "<text x=\"\(c(x))\" y=\"\(c(wordsY + 16))\" font-size=\"10\" text-anchor=\"middle\" "
      s += "fill=\"#888888\">\(MarkupText.xml(under))</text>\n"
    }
    let (x, y) = layout.output
    s +=
      "<g><rect x=\"\(c(x - 32))\" y=\"\(c(y - 12))\" width=\"64\" height=\"24\" rx=\"6\" fill=\"#f2f2f2\" "
    s += "stroke=\"#666666\"/><text x=\"\(c(x))\" y=\"\(c(y + 4))\" font-size=\"12\" text-anchor=\"middle\" "
    s += "fill=\"#1a1a1a\">\(MarkupText.xml(outputName))</text></g>\n"
    return s
  }

  private func edgeMarks(_ layout: CircuitLayout) -> String {
    let c = Markup.coordinate
    let inner = largestEdge(toOutput: false)
    let outer = largestEdge(toOutput: true)
    var s = "<g fill=\"none\" stroke-linecap=\"round\">\n"
    // Strong edges are drawn last, on top.
    let order = edges.indices.sorted { edges[$0].score.magnitude < edges[$1].score.magnitude }
    for index in order {
      let edge = edges[index]
      guard edge.score != 0, edge.score.isFinite else { continue }
      let from = layout.centres[edge.from]
      let to = edge.to.map { layout.centres[$0] } ?? layout.output
      let fraction = edge.score.magnitude / (edge.to == nil ? outer : inner)
      let width = 0.6 + 5.4 * fraction
      let y1 = from.y - layout.radius
      let y2 = to.y + (edge.to == nil ? 12 : layout.radius)
      let bend = max(18, (y1 - y2) * 0.45)
      let colour = Markup.colour(sign: edge.score, fraction: 0.35 + 0.65 * fraction)
      let target = edge.to.map { nodes[$0].name } ?? outputName
      s += "<path class=\"edge\" data-f=\"\(Markup.fixed(fraction, 4))\" data-a=\"\(edge.from)\" "
      s +=
        "data-b=\"\(edge.to.map(String.init) ?? "")\" d=\"M\(c(from.x)) \(c(y1)) C\(c(from.x)) \(c(y1 - bend)) "
      s +=
        "\(c(to.x)) \(c(y2 + bend)) \(c(to.x)) \(c(y2))\" stroke=\"\(colour)\" stroke-width=\"\(c(width))\" "
      s += "stroke-opacity=\"0.75\"><title>\(MarkupText.xml("\(nodes[edge.from].name) → \(target)"))\n"
      s += "score \(Markup.score(edge.score))</title></path>\n"
    }
    return s + "</g>\n"
  }

  private func nodeMarks(_ layout: CircuitLayout) -> String {
    let c = Markup.coordinate
    let largest = largestScore
    var s = "<g font-size=\"11\" text-anchor=\"middle\">\n"
    for (index, node) in nodes.enumerated() where node.layer < layers {
      let (x, y) = layout.centres[index]
      let fraction = node.score.isFinite ? node.score.magnitude / largest : 0
      let shade = 0.12 + 0.88 * fraction
      let colour = Markup.colour(sign: node.score, fraction: shade)
      let text = Markup.wantsWhiteText(fraction: shade) ? "#ffffff" : "#1a1a1a"
      var hover = "layer \(node.layer), head \(node.head)"
      if let position = node.position {
        let word = position < tokens.count ? tokens[position] : ""
        hover += ", position \(position) “\(word)”"
        if let name = positionNames[position] { hover += " (\(name))" }
      }
      s += "<g class=\"node\" data-i=\"\(index)\" data-f=\"\(Markup.fixed(fraction, 4))\">"
      s += "<circle cx=\"\(c(x))\" cy=\"\(c(y))\" r=\"\(c(layout.radius))\" fill=\"\(colour)\" "
      s +=
        "stroke=\"\(node.score < 0 ? "#8a1216" : "#17476f")\" stroke-width=\"\(c(0.8 + 2.2 * fraction))\"/>"
      s += "<text x=\"\(c(x))\" y=\"\(c(y + 4))\" fill=\"\(text)\">\(node.head)</text>"
      s += "<title>\(MarkupText.xml(hover))\nscore \(Markup.score(node.score))</title></g>\n"
    }
    return s + "</g>\n"
  }

  /// The circuit in the language of Graphviz.
  public func dot() -> String {
    func quoted(_ text: String) -> String {
      var result = "\""
      for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case "\n": result += "\\n"
        // As in SVG, which Graphviz makes of it.
        case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value): result += "\u{FFFD}"
        default: result.unicodeScalars.append(scalar)
        }
      }
      return result + "\""
    }
    let largest = largestScore
    let inner = largestEdge(toOutput: false)
    let outer = largestEdge(toOutput: true)
    var s = "digraph circuit {\n  rankdir=BT;\n  label=\(quoted(title));\n"
    s += "  node [shape=circle, style=filled, fontname=\"sans-serif\"];\n"
    for node in nodes {
      let shade = 0.12 + 0.88 * (node.score.isFinite ? node.score.magnitude / largest : 0)
      let (r, g, b) = Markup.rgb(sign: node.score, fraction: shade)
      var label = "\(node.layer).\(node.head)"
      if let position = node.position {
        label += "\n" + (position < tokens.count ? tokens[position] : "") + " \(position)"
      }
      s += "  \(quoted(node.name)) [label=\(quoted(label)), fillcolor=\"#\(hex(r))\(hex(g))\(hex(b))\", "
      s += "fontcolor=\(Markup.wantsWhiteText(fraction: shade) ? "white" : "black"), "
      s += "tooltip=\(quoted(Markup.score(node.score)))];\n"
    }
    s += "  \(quoted(outputName)) [shape=box, fillcolor=\"#f2f2f2\"];\n"
    for layer in 0..<layers {
      let row = nodes.filter { $0.layer == layer }
      if row.count > 1 { s += "  { rank=same; \(row.map { quoted($0.name) }.joined(separator: "; ")); }\n" }
    }
    for edge in edges where edge.score != 0 && edge.score.isFinite {
      let fraction = edge.score.magnitude / (edge.to == nil ? outer : inner)
      let target = edge.to.map { nodes[$0].name } ?? outputName
      s +=
        "  \(quoted(nodes[edge.from].name)) -> \(quoted(target)) [penwidth=\(Markup.fixed(0.5 + 4.5 * fraction, 2)), "
      s +=
        "color=\"\(edge.score < 0 ? "#cb181d" : "#2166ac")\", tooltip=\(quoted(Markup.score(edge.score)))];\n"
    }
    return s + "}\n"
  }

  private func hex(_ x: Int) -> String {
    let text = String(x, radix: 16)
    return text.count == 1 ? "0" + text : text
  }
}
