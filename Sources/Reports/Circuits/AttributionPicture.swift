import FileFormats

/// A text with a score for each of its pieces, to be shown in colours.
public struct AttributionPicture: Sendable {
  public struct Piece: Sendable {
    public var text: String
    public var score: Double
    /// Token positions `start ..< end`, for hovering.
    public var start: Int
    public var end: Int
    /// Height in a hierarchy; 0 for the words themselves.
    public var level: Int
    public init(text: String, score: Double, start: Int, end: Int, level: Int = 0) {
      self.text = text
      self.score = score
      self.start = start
      self.end = end
      self.level = level
    }
  }

  public var title: String
  public var subtitle: String
  public var pieces: [Piece]
  public var full: Double
  /// Whether pieces overlap (phrases): they are then a list, not a sentence.
  public var overlapping: Bool

  public init(title: String, subtitle: String, pieces: [Piece], full: Double, overlapping: Bool = false) {
    self.title = title
    self.subtitle = subtitle
    self.pieces = pieces
    self.full = full
    self.overlapping = overlapping
  }

  private var largest: Double {
    let largest = pieces.map(\.score.magnitude).filter(\.isFinite).max() ?? 0
    return largest > 0 ? largest : 1
  }

  private var words: [Piece] { pieces.filter { $0.level == 0 } }

  /// The sentence for a terminal: 24-bit colours if `colours`, else the plain words; then one line per piece.
  public func terminal(colours: Bool, width: Int = 100) -> String {
    var s = ""
    if !overlapping {
      var column = 0
      for piece in words {
        let text = " " + VisibleText.line(piece.text) + " "
        if column + text.count > width {
          s += "\n"
          column = 0
        }
        column += text.count
        if colours {
          let fraction = piece.score.magnitude / largest
          let (r, g, b) = Markup.rgb(sign: piece.score, fraction: fraction)
          let ink = Markup.wantsWhiteText(fraction: fraction) ? "255;255;255" : "20;20;20"
          s += "\u{1B}[48;2;\(r);\(g);\(b)m\u{1B}[38;2;\(ink)m\(text)\u{1B}[0m"
        } else {
          s += text
        }
      }
      s += "\n\n"
    }
    let shown = pieces.map { ($0.level > 0 ? "level \($0.level): " : "") + VisibleText.line($0.text) }
    let wide = min(48, shown.map(\.count).max() ?? 0)
    for (piece, text) in zip(pieces, shown) {
      let score = Markup.score(piece.score)
      let cells = Int((20 * piece.score.magnitude / largest).rounded())
      let bar = String(repeating: piece.score < 0 ? "-" : "+", count: cells.magnitude > 20 ? 20 : cells)
      let gap = String(repeating: " ", count: max(1, wide + 2 - text.count))
      s += text + gap + String(repeating: " ", count: max(0, 11 - score.count)) + score + "  " + bar + "\n"
    }
    return s
  }

  /// The sentence as a self-contained page.
  public func html() -> String {
    var spans = ""
    for piece in overlapping ? [] : words {
      let fraction = piece.score.magnitude / largest
      spans += "<span class=\"w\" style=\"background:\(Markup.colour(sign: piece.score, fraction: fraction));"
      spans += "color:\(Markup.wantsWhiteText(fraction: fraction) ? "#fff" : "#1a1a1a")\" "
      spans +=
        "title=\"\(MarkupText.xml(piece.text)): \(Markup.score(piece.score))\">\(MarkupText.xml(piece.text))</span>\n"
    }
    let order = pieces.indices.sorted {
      overlapping || pieces[$0].level > 0 || pieces[$1].level > 0
        ? pieces[$0].score.magnitude > pieces[$1].score.magnitude : $0 < $1
    }
    var rows = ""
    for index in order {
      let piece = pieces[index]
      let share = Int((50 * piece.score.magnitude / largest).rounded())
      let side = piece.score < 0 ? "right:50%" : "left:50%"
      rows += "<tr><td>\(MarkupText.xml(piece.text))</td><td class=\"n\">\(piece.start)–\(piece.end - 1)</td>"
      rows +=
        "<td class=\"n\">\(Markup.score(piece.score))</td><td class=\"b\"><i style=\"\(side);width:\(share)%;"
      rows += "background:\(Markup.colour(sign: piece.score, fraction: 1))\"></i></td></tr>\n"
    }
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(MarkupText.xml(title))</title>
      <style>
      body{margin:0;padding:18px 22px;font:15px/1.5 system-ui,'DejaVu Sans',sans-serif;color:#1a1a1a;background:#fff;
      max-width:980px}
      h1{font-size:19px;margin:0}p{margin:2px 0 14px;color:#555}
      .s{font-size:18px;line-height:2.1;margin:0 0 18px}
      .w{display:inline-block;line-height:1.5;padding:1px 6px;border-radius:5px;margin:0 1px;cursor:default}
      table{border-collapse:collapse;width:100%;font-size:14px}
      th,td{text-align:left;padding:3px 10px;border-bottom:1px solid #eee}
      .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
      .b{position:relative;width:38%;min-width:110px}
      .b i{position:absolute;top:6px;bottom:6px;border-radius:2px}
      .b::after{content:'';position:absolute;left:50%;top:2px;bottom:2px;border-left:1px solid #bbb}
      .w:hover{outline:2px solid #d95f02}
      </style>
      </head>
      <body>
      <h1>\(MarkupText.xml(title))</h1>
      <p>\(MarkupText.xml(subtitle)); whole text \(Markup.score(full)). Blue supports, red opposes; hover shows the score.</p>
      <div class="s">
      \(spans)</div>
      <table>
      <thead><tr><th>piece</th><th class="n">tokens</th><th class="n">score</th><th></th></tr></thead>
      <tbody>
      \(rows)</tbody>
      </table>
      </body>
      </html>

      """
  }

  /// The sentence as a self-contained SVG document.
  public func svg(width: Double = 820) -> String {
    let c = Markup.coordinate
    var body = ""
    var x = 16.0
    var y = 76.0
    let shown = overlapping ? pieces : words
    for piece in shown {
      // DejaVu Sans at 15 px is about 9 px wide per character.
      let label = Markup.score(piece.score)
      let wide = max(Double(piece.text.count) * 9.2 + 14, Double(label.count) * 6.4)
      if x + wide > width - 16, x > 16 {
        x = 16
        y += 46
      }
      let fraction = piece.score.magnitude / largest
      body += "<g><rect x=\"\(c(x))\" y=\"\(c(y))\" width=\"\(c(wide))\" height=\"26\" rx=\"5\" "
      body += "fill=\"\(Markup.colour(sign: piece.score, fraction: fraction))\"/>"
      body += "<text x=\"\(c(x + wide / 2))\" y=\"\(c(y + 18))\" text-anchor=\"middle\" font-size=\"15\" "
      body += "fill=\"\(Markup.wantsWhiteText(fraction: fraction) ? "#ffffff" : "#1a1a1a")\">"
      body += "\(MarkupText.xml(piece.text))</text>"
      body += "<text x=\"\(c(x + wide / 2))\" y=\"\(c(y + 38))\" text-anchor=\"middle\" font-size=\"10\" "
      body += "fill=\"#666666\">\(label)</text>"
      body += "<title>\(MarkupText.xml(piece.text)): \(label)</title></g>\n"
      x += wide + 6
    }
    let height = y + 56
    var s =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(c(width)) \(c(height))\" width=\"\(c(width))\" "
    s += "height=\"\(c(height))\" role=\"img\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
    s += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    s +=
      "<text x=\"16\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"#1a1a1a\">\(MarkupText.xml(title))</text>\n"
    s += "<text x=\"16\" y=\"50\" font-size=\"12\" fill=\"#555555\">\(MarkupText.xml(subtitle)); whole text "
    s += "\(Markup.score(full)); blue supports, red opposes</text>\n"
    return s + body + "</svg>\n"
  }
}
