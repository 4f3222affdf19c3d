import FileFormats
import Foundation
import IR
import Rigor

extension RegionSession {
  /// Draws what a run found: for images the original, the manipulated one and their difference; for two inputs the region,
  /// the lattice, the classes and the way from the original to the witness.
  ///
  /// - Returns: The contents of the file; PNG if the name ends in `.png`, SVG if it ends in `.svg`.
  /// - Throws: `FileError` for another ending, or inputs of a form that cannot be drawn.
  public func picture(_ record: RegionRecord, _ answer: RegionAnswer, path: String) throws -> [UInt8] {
    let isPNG = path.hasSuffix(".png")
    guard isPNG || path.hasSuffix(".svg") else {
      throw FileError(file: path, reason: "a picture must end in .svg or .png")
    }
    let loaded = try load(record)
    let drawing: Drawing
    let original = try answer.layerwise?.original ?? center(record, loaded)
    if loaded.inputCount == 2 {
      drawing = try planePicture(record, answer, loaded, original)
    } else if let (channels, height, width, lastAxis) = Self.imageShape(loaded.graph), let original {
      drawing = Self.imagePicture(
        original, answer.witness?.point, channels: channels, height: height, width: width,
        channelsLast: lastAxis)
    } else {
      throw FileError(file: path, reason: "only images and two-dimensional inputs can be drawn")
    }
    return isPNG ? drawing.png : Array(drawing.svg.utf8)
  }

  /// Channels, height, width and whether channels come last.
  private static func imageShape(_ graph: Graph) -> (Int, Int, Int, Bool)? {
    guard let dims = graph.inputNodes.first?.shape.dims else { return nil }
    let shape = dims.first == 1 && dims.count >= 3 ? Array(dims.dropFirst()) : dims
    if shape.count == 3 {
      if shape[0] == 1 || shape[0] == 3 { return (shape[0], shape[1], shape[2], false) }
      if shape[2] == 1 || shape[2] == 3 { return (shape[2], shape[0], shape[1], true) }
      return nil
    }
    if shape.count == 2, shape[0] > 1, shape[1] > 1 { return (1, shape[0], shape[1], false) }
    // A flat vector of a square number of pixels.
    let count = dims.reduce(1, *)
    let side = Int(Double(count).squareRoot().rounded())
    return side > 2 && side * side == count ? (1, side, side, false) : nil
  }

  private static func imagePicture(
    _ original: [Rational], _ witness: [Rational]?, channels: Int, height: Int, width: Int, channelsLast: Bool
  ) -> Drawing {
    let scale = max(1, 224 / max(height, width))
    let gap = 12
    let panel = width * scale
    var drawing = Drawing(width: 3 * panel + 4 * gap, height: height * scale + 2 * gap + 16)
    let x = original.map(\.nearestDouble)
    let y = witness?.map(\.nearestDouble) ?? x
    func value(_ v: [Double], _ c: Int, _ row: Int, _ column: Int) -> Double {
      channelsLast ? v[(row * width + column) * channels + c] : v[(c * height + row) * width + column]
    }
    func colour(_ v: [Double], _ row: Int, _ column: Int) -> Drawing.Colour {
      func level(_ c: Int) -> UInt8 {
        UInt8(max(0, min(255, value(v, min(c, channels - 1), row, column) * 255)))
      }
      return Drawing.Colour(red: level(0), green: level(1), blue: level(2))
    }
    func difference(_ row: Int, _ column: Int) -> Drawing.Colour {
      var sum = 0.0
      for c in 0..<channels { sum += value(y, c, row, column) - value(x, c, row, column) }
      let d = max(-1, min(1, sum / Double(channels)))
      let fade = UInt8(255 * (1 - abs(d)))
      // Brighter than before is red, darker blue.
      return d >= 0
        ? Drawing.Colour(red: 255, green: fade, blue: fade)
        : Drawing.Colour(red: fade, green: fade, blue: 255)
    }
    for (k, label) in ["original", "manipulated", "difference"].enumerated() {
      let left = Double(gap + k * (panel + gap))
      drawing.shapes.append(.text(x: left, y: 14, label))
      for row in 0..<height {
        for column in 0..<width {
          let c =
            k == 0 ? colour(x, row, column) : (k == 1 ? colour(y, row, column) : difference(row, column))
          drawing.shapes.append(
            .rectangle(
              x: left + Double(column * scale), y: Double(gap + 8 + row * scale), width: Double(scale),
              height: Double(scale), c))
        }
      }
      drawing.shapes.append(
        .frame(x: left, y: Double(gap + 8), width: Double(panel), height: Double(height * scale), .black))
    }
    return drawing
  }

  private static let classColours = [
    Drawing.Colour(red: 198, green: 219, blue: 239), Drawing.Colour(red: 253, green: 208, blue: 162),
    Drawing.Colour(red: 199, green: 233, blue: 192), Drawing.Colour(red: 218, green: 218, blue: 235),
    Drawing.Colour(red: 250, green: 229, blue: 129), Drawing.Colour(red: 188, green: 226, blue: 232),
    Drawing.Colour(red: 244, green: 202, blue: 228), Drawing.Colour(red: 217, green: 217, blue: 217),
  ]

  private func planePicture(
    _ record: RegionRecord, _ answer: RegionAnswer, _ loaded: Loaded, _ original: [Rational]?
  ) throws -> Drawing {
    var low: [Double]
    var high: [Double]
    let region = answer.layerwise?.region ?? (answer.minimal == nil ? try? box(record, loaded) : nil)
    var points: [[Double]] = answer.layerwise?.grid.map(\.point) ?? []
    if let original { points.append(original.map(\.nearestDouble)) }
    if let witness = answer.witness { points.append(witness.point.map(\.nearestDouble)) }
    if let region {
      points.append(region.lower.map(\.nearestDouble))
      points.append(region.upper.map(\.nearestDouble))
    }
    if let radius = answer.minimal ?? answer.upperBound, let original {
      points.append(original.map { ($0 + radius).nearestDouble })
      points.append(original.map { ($0 - radius).nearestDouble })
    }
    low = (0..<2).map { axis in points.map { $0[axis] }.min() ?? 0 }
    high = (0..<2).map { axis in points.map { $0[axis] }.max() ?? 1 }
    let extent = max(max(high[0] - low[0], high[1] - low[1]), 1e-6) * 1.4
    for axis in 0..<2 {
      let middle = (low[axis] + high[axis]) / 2
      low[axis] = middle - extent / 2
      high[axis] = middle + extent / 2
    }
    let side = 480
    let cells = 120
    var drawing = Drawing(width: side, height: side)
    func at(_ p: [Double]) -> (Double, Double) {
      ((p[0] - low[0]) / extent * Double(side), (high[1] - p[1]) / extent * Double(side))
    }
    var batch: [Float] = []
    for row in 0..<cells {
      for column in 0..<cells {
        batch.append(Float(low[0] + (Double(column) + 0.5) / Double(cells) * extent))
        batch.append(Float(high[1] - (Double(row) + 0.5) / Double(cells) * extent))
      }
    }
    let outputs = try loaded.runner.run(batch, count: cells * cells, precision: .deployed)
    let size = loaded.outputCount
    let step = Double(side) / Double(cells)
    for k in 0..<(cells * cells) {
      var best = 0
      for i in 1..<max(1, size) where outputs[k * size + i] > outputs[k * size + best] { best = i }
      drawing.shapes.append(
        .rectangle(
          x: Double(k % cells) * step, y: Double(k / cells) * step, width: step, height: step,
          Self.classColours[best % Self.classColours.count]))
    }
    func frame(_ lower: [Double], _ upper: [Double]) {
      let (x1, y1) = at([lower[0], upper[1]])
      let (x2, y2) = at([upper[0], lower[1]])
      drawing.shapes.append(.frame(x: x1, y: y1, width: x2 - x1, height: y2 - y1, .black))
    }
    if let region { frame(region.lower.map(\.nearestDouble), region.upper.map(\.nearestDouble)) }
    if let radius = answer.minimal ?? answer.upperBound, let original {
      frame(original.map { ($0 - radius).nearestDouble }, original.map { ($0 + radius).nearestDouble })
    }
    let red = Drawing.Colour(red: 203, green: 24, blue: 29)
    for node in answer.layerwise?.grid ?? [] {
      let (x, y) = at(node.point)
      drawing.shapes.append(.dot(x: x, y: y, radius: 1.5, node.isMisclassified ? red : .grey(0.35)))
    }
    if let original {
      let (x, y) = at(original.map(\.nearestDouble))
      if let witness = answer.witness {
        let (wx, wy) = at(witness.point.map(\.nearestDouble))
        drawing.shapes.append(.line(x1: x, y1: y, x2: wx, y2: wy, red))
        drawing.shapes.append(.dot(x: wx, y: wy, radius: 4, red))
      }
      drawing.shapes.append(.dot(x: x, y: y, radius: 4, .black))
    } else if let witness = answer.witness {
      let (wx, wy) = at(witness.point.map(\.nearestDouble))
      drawing.shapes.append(.dot(x: wx, y: wy, radius: 4, red))
    }
    return drawing
  }
}
