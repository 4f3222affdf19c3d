import Foundation
import IR
import Operators
import Rigor
import TestSupport
import Testing

/// Planes and ranges of f(z + d) - f(z) against exact rational values at random points and at all corners.
@Suite struct DifferenceTests {
  private static let functions: [any ElementwiseFunction] = [
    Relu(), Relu(negativeSlope: 0.25), Relu(negativeSlope: -0.5), Abs(), HardSigmoid(alpha: 0.25, beta: 0.5),
  ]

  /// The function in exact arithmetic, from its pieces.
  private func exact(_ pieces: PiecewiseLinear, _ x: Rational) -> Rational {
    let index = pieces.breakpoints.firstIndex { x <= Rational($0) } ?? pieces.breakpoints.count
    return Rational(pieces.lines[index].slope) * x + Rational(pieces.lines[index].intercept)
  }

  private func plane(_ p: DifferencePlane, _ z: Rational, _ d: Rational) -> Rational {
    Rational(p.value) * z + Rational(p.difference) * d + Rational(p.intercept)
  }

  @Test func planesContainEveryExactValue() throws {
    var random = UnitGenerator(state: 17)
    for function in Self.functions {
      let pieces = try #require(function.pieces)
      let relaxation = try #require(DifferenceRelaxation(function))
      for trial in 0..<300 {
        // Boxes of very different sizes, some with ends at breakpoints or without width.
        let scale = pow(10, 6 * random.unit() - 4)
        var lower = (2 * random.unit() - 1) * scale
        if trial % 7 == 0 { lower = pieces.breakpoints[0] }
        let upper = trial % 11 == 0 ? lower : lower + 2 * random.unit() * scale
        let least = (2 * random.unit() - 1) * scale * pow(10, -3 * random.unit())
        let most = trial % 13 == 0 ? least : least + random.unit() * scale * 0.1
        let box = DifferenceBox(lower, upper, by: least, most)
        let (below, above) = relaxation.lines(box)
        let range = relaxation.range(box)
        for point in 0..<24 {
          let s = point < 4 ? Double(point & 1) : random.unit()
          let t = point < 4 ? Double(point >> 1) : random.unit()
          let z = Rational(min(max(lower + s * (upper - lower), lower), upper))
          let d = Rational(min(max(least + t * (most - least), least), most))
          let value = exact(pieces, z + d) - exact(pieces, z)
          #expect(plane(below, z, d) <= value)
          #expect(plane(above, z, d) >= value)
          #expect(Rational(range.lower) <= value && value <= Rational(range.upper))
        }
      }
    }
  }

  /// Where both runs keep to one piece the planes are the difference itself; around a kink they are the chords of the two pieces in
  /// d, unless bounding each run by itself is tighter.
  @Test func planesAreTight() throws {
    let relu = try #require(DifferenceRelaxation(Relu()))
    let active = relu.lines(DifferenceBox(1, 2, by: -0.5, 0.5))
    #expect(active.below == DifferencePlane(value: 0, difference: 1, intercept: 0))
    #expect(active.above == active.below)
    let crossing = relu.lines(DifferenceBox(1, 2, by: -5, -4))
    #expect(crossing.below == DifferencePlane(value: -1, difference: 0, intercept: 0))
    let kink = relu.lines(DifferenceBox(-1, 1, by: -0.01, 0.01))
    // min(0, d) and max(0, d) by their chords: half of d, and half the largest |d| apart.
    #expect(abs(kink.below.difference - 0.5) < 1e-9 && abs(kink.below.intercept + 0.005) < 1e-9)
    #expect(abs(kink.above.difference - 0.5) < 1e-9 && abs(kink.above.intercept - 0.005) < 1e-9)
    let range = relu.range(DifferenceBox(-1, 1, by: -0.01, 0.02))
    #expect(abs(range.lower + 0.01) < 1e-12 && abs(range.upper - 0.02) < 1e-12)
  }

  @Test func smoothFunctionsStayInsideTheirBowTie() throws {
    var random = UnitGenerator(state: 5)
    let functions: [any ElementwiseFunction] = [Sigmoid(), Tanh(), Atan(), Exp(), Gelu()]
    for function in functions {
      let relaxation = try #require(DifferenceRelaxation(function))
      for _ in 0..<200 {
        let lower = 6 * random.unit() - 3
        let upper = lower + 2 * random.unit()
        let least = random.unit() - 0.6
        let most = least + 0.5 * random.unit()
        let (below, above) = relaxation.lines(DifferenceBox(lower, upper, by: least, most))
        for _ in 0..<20 {
          let z = lower + random.unit() * (upper - lower)
          let d = least + random.unit() * (most - least)
          let value: Double = function.value(z + d) - function.value(z)
          #expect(below.value * z + below.difference * d + below.intercept <= value + 1e-12)
          #expect(above.value * z + above.difference * d + above.intercept >= value - 1e-12)
        }
      }
    }
  }
}
