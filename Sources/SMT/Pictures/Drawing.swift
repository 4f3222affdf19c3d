import FileFormats

/// A picture made of a few shapes, written as SVG or PNG.
struct Drawing {
  struct Colour {
    var red: UInt8
    var green: UInt8
    var blue: UInt8

    static let black = Colour(red: 0, green: 0, blue: 0)
    static let white = Colour(red: 255, green: 255, blue: 255)

    static func grey(_ level: Double) -> Colour {
      let value = UInt8(max(0, min(255, level * 255)))
      return Colour(red: value, green: value, blue: value)
    }

    var hex: String {
      "#" + [red, green, blue].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
  }

  enum Shape {
    case rectangle(x: Double, y: Double, width: Double, height: Double, Colour)
    case frame(x: Double, y: Double, width: Double, height: Double, Colour)
    case line(x1: Double, y1: Double, x2: Double, y2: Double, Colour)
    case dot(x: Double, y: Double, radius: Double, Colour)
    /// Only in SVG.
    case text(x: Double, y: Double, String)
  }

  let width: Int
  let height: Int
  var shapes: [Shape] = []

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  // MARK: SVG

  var svg: String {
    var text =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
      + "viewBox=\"0 0 \(width) \(height)\" shape-rendering=\"crispEdges\">\n"
    text += "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>\n"
    for shape in shapes {
      switch shape {
      case .rectangle(let x, let y, let w, let h, let c):
        text += "<rect x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(w))\" height=\"\(n(h))\" fill=\"\(c.hex)\"/>\n"
      case .frame(let x, let y, let w, let h, let c):
        text +=
          "<rect x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(w))\" height=\"\(n(h))\" fill=\"none\" "
          + "stroke=\"\(c.hex)\" stroke-width=\"1.5\"/>\n"
      case .line(let x1, let y1, let x2, let y2, let c):
        text +=
          "<line x1=\"\(n(x1))\" y1=\"\(n(y1))\" x2=\"\(n(x2))\" y2=\"\(n(y2))\" stroke=\"\(c.hex)\" "
          + "stroke-width=\"1.5\" shape-rendering=\"auto\"/>\n"
      case .dot(let x, let y, let r, let c):
        text +=
          "<circle cx=\"\(n(x))\" cy=\"\(n(y))\" r=\"\(n(r))\" fill=\"\(c.hex)\" shape-rendering=\"auto\"/>\n"
      case .text(let x, let y, let label):
        text +=
          "<text x=\"\(n(x))\" y=\"\(n(y))\" font-family=\"sans-serif\" font-size=\"12\">\(MarkupText.xml(label))</text>\n"
      }
    }
    return text + "</svg>\n"
  }

  private func n(_ value: Double) -> String {
    let scaled = (value * 100).rounded() / 100
    return scaled == scaled.rounded() ? "\(Int(scaled))" : "\(scaled)"
  }

  // MARK: PNG

  var png: [UInt8] {
    var pixels = [UInt8](repeating: 255, count: 3 * width * height)
    func set(_ x: Int, _ y: Int, _ c: Colour) {
      guard x >= 0, x < width, y >= 0, y < height else { return }
      let at = 3 * (y * width + x)
      pixels[at] = c.red
      pixels[at + 1] = c.green
      pixels[at + 2] = c.blue
    }
    func fill(_ x: Double, _ y: Double, _ w: Double, _ h: Double, _ c: Colour) {
      for row in max(
        0, Int(y.rounded()))..<max(0, min(height, Int((y + h).rounded()))).clamped(above: Int(y.rounded()))
      {
        for column in max(
          0, Int(x.rounded()))..<max(0, min(width, Int((x + w).rounded()))).clamped(above: Int(x.rounded()))
        {
          set(column, row, c)
        }
      }
    }
    for shape in shapes {
      switch shape {
      case .rectangle(let x, let y, let w, let h, let c): fill(x, y, w, h, c)
      case .frame(let x, let y, let w, let h, let c):
        fill(x, y, w, 1, c)
        fill(x, y + h - 1, w, 1, c)
        fill(x, y, 1, h, c)
        fill(x + w - 1, y, 1, h, c)
      case .line(let x1, let y1, let x2, let y2, let c):
        let steps = max(1, Int(max(abs(x2 - x1), abs(y2 - y1)) * 2))
        for k in 0...steps {
          let t = Double(k) / Double(steps)
          set(Int((x1 + t * (x2 - x1)).rounded()), Int((y1 + t * (y2 - y1)).rounded()), c)
        }
      case .dot(let x, let y, let r, let c):
        let reach = Int(r.rounded(.up))
        for dy in -reach...reach {
          for dx in -reach...reach where Double(dx * dx + dy * dy) <= r * r + 0.5 {
            set(Int(x.rounded()) + dx, Int(y.rounded()) + dy, c)
          }
        }
      case .text: break
      }
    }
    return PNGWriter.encode(width: width, height: height, rgb: pixels)
  }
}

extension Int {
  /// At least 0 and at least the start of the range it closes.
  fileprivate func clamped(above start: Int) -> Int { Swift.max(self, Swift.max(0, start)) }
}
