import Domains
import Importers
import OnnxFormat
import Rigor
import Tensors
import Testing

/// Resize against the definition of the ONNX standard in fractions, on all small extents.
@Suite("Resize takes the elements that the exact coordinates say")
struct ResizeTests {
  typealias M = ModelBuilder

  /// The position in the input in integers: numerator over a positive denominator, straight from the formulas.
  private func position(_ mode: String, _ x: Int, _ extent: Int, _ size: Int) -> (p: Int, q: Int) {
    switch mode {
    case "half_pixel", "half_pixel_symmetric": ((2 * x + 1) * extent - size, 2 * size)
    case "pytorch_half_pixel": size == 1 ? (0, 1) : ((2 * x + 1) * extent - size, 2 * size)
    case "align_corners": size == 1 ? (0, 1) : (x * (extent - 1), size - 1)
    default: (x * extent, size)
    }
  }

  private func floor(_ p: Int, _ q: Int) -> Int { p >= 0 ? p / q : -((-p + q - 1) / q) }

  private func nearest(_ mode: String, _ p: Int, _ q: Int) -> Int {
    switch mode {
    case "floor": floor(p, q)
    case "ceil": -floor(-p, q)
    // Halves go down, or up.
    case "round_prefer_floor": -floor(-(2 * p - q), 2 * q)
    default: floor(2 * p + q, 2 * q)
    }
  }

  private func network(_ extent: Int, _ size: Int, _ mode: String, _ coordinates: String, _ rule: String)
    throws
    -> [[Double]]
  {
    var builder = ModelBuilder(opset: 19)
    builder.input("x", [1, 1, extent], .float64)
    builder.constant("s", ints: [1, 1, size])
    builder.add(
      "Resize", ["x", "", "", "s"], ["y"],
      [
        M.text("mode", mode), M.text("coordinate_transformation_mode", coordinates),
        M.text("nearest_mode", rule),
      ])
    builder.output("y")
    let network = try builder.load()
    return try network.run([(0..<extent).map { Double($0 + 1) }])
  }

  @Test(arguments: [
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
  ])
  func nearest(coordinates: String) throws {
    for rule in ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"] {
      for extent in 2...14 {
        for size in 2...30 {
          let y = try network(extent, size, "nearest", coordinates, rule)[0]
          for x in 0..<size where size != extent {
            let (p, q) = position(coordinates, x, extent, size)
            let place = max(0, min(extent - 1, nearest(rule, p, q)))
            #expect(y[x] == Double(place + 1), "\(coordinates) \(rule) \(extent) to \(size) at \(x)")
          }
        }
      }
    }
  }

  /// The bounds of a linear Resize contain the exact value of every element, with weights that are 0 exactly.
  @Test(arguments: ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
  func linear(coordinates: String) throws {
    for extent in 2...10 {
      for size in 2...16 where size != extent {
        var builder = ModelBuilder(opset: 19)
        builder.input("x", [1, 1, extent], .float64)
        builder.constant("s", ints: [1, 1, size])
        builder.add(
          "Resize", ["x", "", "", "s"], ["y"],
          [M.text("mode", "linear"), M.text("coordinate_transformation_mode", coordinates)])
        builder.output("y")
        let graph = try builder.load().graph
        // Neighbours of very different size.
        let input = (0..<extent).map { $0 % 2 == 0 ? 1e17 : Double($0) }
        let point = Tensor<Double>([1, 1, 1, extent], input)
        let output = graph.outputs[0].node
        let bounds = try #require(graph.intervals(over: Region([.fixed(point)])).values[output])
        for x in 0..<size {
          let (p, q) = position(coordinates, x, extent, size)
          let low = floor(p, q)
          let rest = Rational(p, q) - Rational(low)
          func element(_ i: Int) -> Rational { Rational(input[max(0, min(extent - 1, i))]) }
          let exact = element(low) * (1 - rest) + element(low + 1) * rest
          let (lower, upper) = (Rational(bounds.lower[flat: x]), Rational(bounds.upper[flat: x]))
          #expect(lower <= exact && exact <= upper, "\(coordinates) \(extent) to \(size) at \(x)")
          #expect(
            upper - lower <= exact.magnitude * Rational(1e-13), "\(coordinates) \(extent) to \(size) at \(x)")
        }
      }
    }
  }
}
