import Foundation
import IR
import Operators
import Rigor
import Tensors

// Windows of signal processing and the mel filter bank; their size is known at import.
extension OnnxOperators {
  /// With s = sin^2(pi i / n), where cos(2 pi i / n) = 1 - 2 s, every window is a polynomial in s without negative
  /// coefficients. Nothing cancels, so each element has a relative error: s of 13 roundings (``sine(_:_:)`` has 6), the
  /// rest of one for each operation.
  static let signalWindows: [String: Lower] = [
    // 1/2 - 1/2 cos
    "HannWindow": { node, l in [try window(node, l, roundings: 13) { $0 }] },
    // The coefficients of the ONNX definition: 25/46 - 21/46 cos
    "HammingWindow": { node, l in [try window(node, l, roundings: 16) { (2 + 21 * $0) / 23 }] },
    // 0.42 - 0.5 cos + 0.08 cos of the double angle
    "BlackmanWindow": { node, l in [try window(node, l, roundings: 31) { $0 * (9 + 16 * $0) / 25 }] },
    "MelWeightMatrix": { node, l in [try melWeights(node, l)] },
  ]

  private static func window(
    _ node: OnnxNode, _ l: Lowering, roundings: Int, _ polynomial: (Double) -> Double
  ) throws -> Value {
    let size = try l.int(try node.input(0), "the size")
    guard size >= 0, size <= l.foldingLimit else { throw node.malformed("\(size) is no window size") }
    let type = try elementType(try node.int("output_datatype", default: 1), node, "output_datatype")
    let periodic = try node.bool("periodic", default: true)
    let period = periodic ? size : size - 1
    guard period > 0 || size == 0 else {
      throw node.unsupported("a symmetric window of one element is not defined", attribute: "periodic")
    }
    let elements = (0..<size).map { i -> Double in
      let sine = sine(i, 2 * period)
      return polynomial(sine * sine)
    }
    let window = Value(
      Weight(Tensor([size], elements)), type.isFloatingPoint ? type : .float64, roundings: roundings)
    return try l.cast(window, to: type)
  }

  /// Triangular filters whose edges are equally spaced on the mel scale; an edge is the integer part of a real number.
  private static func melWeights(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let bins = try l.int(try node.input(0), "the number of mel bins")
    let length = try l.int(try node.input(1), "the DFT length")
    let rate = try l.int(try node.input(2), "the sample rate")
    let low = try l.scalar(try node.input(3), "the lower edge")
    let high = try l.scalar(try node.input(4), "the upper edge")
    let type = try elementType(try node.int("output_datatype", default: 1), node, "output_datatype")
    guard bins > 0, length > 0, rate > 0, bins < 1 << 16, length < 1 << 20 else {
      throw node.malformed("\(bins) bins of a DFT of length \(length) at rate \(rate) are not possible")
    }
    guard low >= 0, high >= low, high < 0x1p30 else {
      throw node.malformed("filters from \(low) to \(high) Hz are not possible")
    }
    let spectrum = length / 2 + 1
    let edges = try (0..<(bins + 2)).map { i in
      try melEdge(i, of: bins + 2, low, high, Rational(length + 1) / Rational(rate), node)
    }
    var result = [Rational](repeating: .zero, count: spectrum * bins)
    for bin in 0..<bins {
      let (left, center, right) = (edges[bin], edges[bin + 1], edges[bin + 2])
      if left == center, center < spectrum { result[center * bins + bin] = .one }
      for i in left..<max(left, min(center + 1, spectrum)) where center > left {
        result[i * bins + bin] = Rational(i - left, center - left)
      }
      for i in center..<max(center, min(right, spectrum)) where right > center {
        result[i * bins + bin] = Rational(right - i, right - center)
      }
    }
    return try ExactRows.constant(result, [spectrum, bins], type)
  }

  /// The element of the spectrum on which edge `i` of `count` lies. The first edge is `low` exactly; the others are
  /// irrational, and one so close to an integer that rounding could decide is refused.
  private static func melEdge(
    _ i: Int, of count: Int, _ low: Double, _ high: Double, _ perHertz: Rational, _ node: OnnxNode
  ) throws -> Int {
    // Edges beyond the spectrum reach nothing; below 2^30 Hz and 2^20 elements they fit an Int.
    if i == 0 || low == high { return (Rational(low) * perHertz).floor.int ?? Int.max }
    // mel(f) = 2595 log10(1 + f / 700), so that 1 + f / 700 moves from a = 1 + low / 700 to b by the factor
    // (b / a)^(i / count).
    let (a, b) = (1 + low / 700, 1 + high / 700)
    let factor = exp(log(b / a) * Double(i) / Double(count))
    let edge = 700 * (a * factor - 1) * perHertz.nearestDouble
    // The logarithm is below 22 and errs by a few units of 2^-53 of itself and of its argument; 2^-40 of everything that
    // is added is far more than all steps can be off by.
    let slack = (edge.magnitude + 700 * perHertz.nearestDouble) * 0x1p-40
    guard (edge - slack).rounded(.down) == (edge + slack).rounded(.down) else {
      throw node.unsupported("edge \(i) of the filters lies too close to an element to tell its side")
    }
    return max(0, Int(edge.rounded(.down)))
  }
}
