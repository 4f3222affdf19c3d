import Domains
import Foundation
import IR
import Operators
import Rigor
import Tensors
import Testing

/// A composite's value, gradient and bounds against its expansion and against sampling.
@Suite struct CompositeTests {
  static func composites() throws -> [any RelaxedComposite] {
    let scale = Weight(Tensor([4], [1, -2, 0.5, 3]))
    let bias = Weight(Tensor([4], [0.1, 0, -1, 2]))
    return [
      try Softmax([2, 5], axis: 1), try Softmax([3, 4], axis: 0), try Softmax([2, 3, 2], axis: -2),
      try Softmax([1, 40], axis: -1), try LogSoftmax([2, 5], axis: 1), try LogSoftmax([40, 2], axis: 0),
      try Normalization.layer([3, 4], scale: scale, bias: bias), try Normalization.layer([2, 3, 4], axis: 1),
      try Normalization.rootMeanSquare([3, 4], scale: scale),
      try Normalization.channels([2, 4, 3], scale: scale, bias: bias),
      try Normalization.channels([1, 4, 2, 2], groups: 2, scale: scale, bias: bias),
    ]
  }

  private func random(_ shape: Shape, _ scale: Double, _ g: inout SplitMix) -> Tensor<Double> {
    Tensor(shape, (0..<shape.count).map { _ in Double.random(in: -scale...scale, using: &g) })
  }

  @Test func valueAndGradientEqualTheExpansion() throws {
    var g = SplitMix(state: 2)
    for composite in try Self.composites() {
      let x = random([3] + composite.inputShapes[0], 2, &g)
      let whole = try #require(composite.evaluate([x]))
      var domain = ConcreteDomain(.float64)
      let expanded = try composite.expansion.interpret([.double(x)], in: &domain).outputs[0].float64
      for (a, b) in zip(whole.elements, expanded.elements) {
        #expect((a - b).magnitude <= 1e-12 * max(1, b.magnitude), "\(composite.name)")
      }
      let narrow = try #require(composite.evaluate([x.float32]))
      for (a, b) in zip(narrow.elements, expanded.elements) { #expect((Double(a) - b).magnitude <= 1e-5) }
      let seed = random([3] + composite.outputShape, 1, &g)
      let gradient = try #require(composite.adjoint(seed, inputs: [x]))[0]
      let reference = try composite.expansion.gradients(inputs: [x], seed: seed, precision: .float64)
        .gradients
      for (a, b) in zip(gradient.elements, try #require(reference[0]).elements) {
        #expect((a - b).magnitude <= 1e-10 * max(1, b.magnitude), "\(composite.name)")
      }
    }
  }

  /// Samples include the corners that one-at-a-time extremes need.
  private func samples(_ l: Tensor<Double>, _ u: Tensor<Double>, _ g: inout SplitMix) -> [Tensor<Double>] {
    (0..<60).map { k in
      Tensor(
        l.shape,
        (0..<l.count).map { i in
          let choice = k < 40 ? Double(Int.random(in: 0...1, using: &g)) : Double.random(in: 0...1, using: &g)
          return choice == 1
            ? u[flat: i] : choice == 0 ? l[flat: i] : l[flat: i] + choice * (u[flat: i] - l[flat: i])
        })
    }
  }

  @Test(arguments: [1e-9, 1e-3, 0.1, 1, 10, 300]) func boundsHold(_ radius: Double) throws {
    var g = SplitMix(state: UInt64(radius * 1e9) + 1)
    for composite in try Self.composites() {
      for trial in 0..<12 {
        let center = random(composite.inputShapes[0], trial % 3 == 0 ? 50 : 2, &g)
        var r = random(center.shape, radius, &g).magnitude
        if trial % 4 == 1 { r = r.map { $0 > radius / 2 ? 0 : $0 } }
        let l = Tensor(center.shape, zip(center.elements, r.elements).map { $0 - $1 })
        let u = Tensor(center.shape, zip(center.elements, r.elements).map { $0 + $1 })
        let range = composite.enclose(lower: [l], upper: [u])
        let lines = composite.relax(lower: [l], upper: [u])
        if let lines {
          #expect(
            lines.groups.flatMap(\.outputs).sorted() == (0..<Int32(composite.outputShape.count)).map { $0 })
        }
        for x in samples(l, u, &g) {
          let y = try #require(composite.evaluate([x.reshaped([1] + x.shape)]))
          for i in 0..<y.count {
            let tolerance = 1e-14 * max(1, y[flat: i].magnitude)
            #expect(range.lower[flat: i] <= y[flat: i] + tolerance, "\(composite.name) \(radius)")
            #expect(range.upper[flat: i] >= y[flat: i] - tolerance, "\(composite.name) \(radius)")
          }
          for group in lines?.groups ?? [] {
            for (j, output) in group.outputs.enumerated() {
              var low = group.belowIntercept[j]
              var high = group.aboveIntercept[j]
              var size = low.magnitude + high.magnitude + 1
              for (i, input) in group.inputs.enumerated() {
                low += group.below[j, i] * x[flat: Int(input)]
                high += group.above[j, i] * x[flat: Int(input)]
                size += (group.below[j, i] * x[flat: Int(input)]).magnitude
                size += (group.above[j, i] * x[flat: Int(input)]).magnitude
              }
              let value = y[flat: Int(output)]
              #expect(low <= value + 1e-14 * size, "\(composite.name) \(radius)")
              #expect(high >= value - 1e-14 * size, "\(composite.name) \(radius)")
            }
          }
        }
      }
    }
  }

  /// The interval bounds of softmax are attained, and its lines touch at the middle of a small box.
  @Test func softmaxIsTight() throws {
    var g = SplitMix(state: 9)
    for n in [1, 2, 5, 33] {
      for logarithm in [false, true] {
        let composite: any RelaxedComposite =
          logarithm ? try LogSoftmax([n], axis: 0) : try Softmax([n], axis: 0)
        let center = random([n], 3, &g)
        let l = center.map { $0 - 0.2 }
        let u = center.map { $0 + 0.3 }
        let range = composite.enclose(lower: [l], upper: [u])
        for k in 0..<n {
          var low = u.reshaped([1, n])
          low[flat: k] = l[flat: k]
          var high = l.reshaped([1, n])
          high[flat: k] = u[flat: k]
          let a = try #require(composite.evaluate([low]))[flat: k]
          let b = try #require(composite.evaluate([high]))[flat: k]
          #expect((range.lower[flat: k] - a).magnitude <= 1e-12 * max(1, a.magnitude))
          #expect((range.upper[flat: k] - b).magnitude <= 1e-12 * max(1, b.magnitude))
        }
        let near = 1e-4
        let lines = try #require(
          composite.relax(lower: [center.map { $0 - near }], upper: [center.map { $0 + near }]))
        let value = try #require(composite.evaluate([center.reshaped([1, n])]))
        let group = lines.groups[0]
        for k in 0..<n {
          var below = group.belowIntercept[k]
          var above = group.aboveIntercept[k]
          for i in 0..<n {
            below += group.below[k, i] * center[flat: i]
            above += group.above[k, i] * center[flat: i]
          }
          // The gap is of second order.
          #expect(value[flat: k] - below <= 10 * near * near)
          #expect(above - value[flat: k] <= 10 * near * near)
        }
      }
    }
  }

  @Test func extremeLogits() throws {
    let softmax = try Softmax([3], axis: 0)
    let cases: [([Double], [Double])] = [
      ([-1e308, 0, 0], [1e308, 0, 0]), ([-.infinity, 0, 0], [0, 0, 0]),
      ([-3.4e38, 1, 2], [-3.4e38, 1.5, 2.5]),
      ([800, -800, 0], [801, -700, 1]),
      ([-.infinity, -.infinity, -.infinity], [.infinity, .infinity, .infinity]),
    ]
    let composites: [any RelaxedComposite] = [softmax, try LogSoftmax([3], axis: 0)]
    for (l, u) in cases {
      for composite in composites {
        let range = composite.enclose(lower: [Tensor([3], l)], upper: [Tensor([3], u)])
        for i in 0..<3 { #expect(range.lower[flat: i] <= range.upper[flat: i]) }
        let group = try #require(composite.relax(lower: [Tensor([3], l)], upper: [Tensor([3], u)])).groups[0]
        for j in 0..<3 {
          for i in 0..<3 { #expect(group.below[j, i].isFinite && group.above[j, i].isFinite) }
        }
        #expect(!(group.belowIntercept + group.aboveIntercept).contains { $0.isNaN })
      }
    }
    // Bounds wider than 27 do not collapse.
    let range = softmax.enclose(lower: [Tensor([3], [-50, -50, -50])], upper: [Tensor([3], [50, 50, 50])])
    #expect(range.upper[flat: 0] > 0.999 && range.upper[flat: 0] <= 1 && range.lower[flat: 0] >= 0)
  }

  /// Planes below and above c / sqrt(v + e): they hold wherever v is the mean square of c, and are never worse in the
  /// middle of the box than the constants.
  @Test func deviationScaling() throws {
    var g = SplitMix(state: 4)
    let n = 3
    for trial in 0..<200 {
      let isCentered = trial % 2 == 0
      let epsilon = 1e-5
      let unit = try DeviationScaling(
        name: "", blocks: 1, length: n, epsilon: epsilon, isCentered: isCentered)
      let spread = pow(10, Double.random(in: -6...1, using: &g))
      let sizes = random([n], 1, &g).elements
      let center = isCentered ? sizes.map { $0 - sizes.reduce(0, +) / 3 } : sizes
      let samples = (0..<40).map { _ -> [Double] in
        let move = random([n], spread / 2, &g).elements
        let shift = isCentered ? move.reduce(0, +) / 3 : 0
        return zip(center, move).map { $0 + $1 - shift }
      }
      let squares = samples.map { sample in sample.map { $0 * $0 }.reduce(0, +) / 3 }
      let c = (Tensor([n], center.map { $0 - spread }), Tensor([n], center.map { $0 + spread }))
      let v = (
        (squares.min() ?? 0) * Double.random(in: 0...1, using: &g),
        (squares.max() ?? 0) * Double.random(in: 1...2, using: &g)
      )
      let lower = [c.0.reshaped([1, n]), Tensor([1, 1], [v.0])]
      let upper = [c.1.reshaped([1, n]), Tensor([1, 1], [v.1])]
      let range = unit.enclose(lower: lower, upper: upper)
      let lines = try #require(unit.relax(lower: lower, upper: upper))
      #expect(lines.groups.count == n)
      for (k, group) in lines.groups.enumerated() {
        let limit = (isCentered ? 2.0 : 3.0).squareRoot()
        #expect(range.upper[flat: k] <= limit * 1.0001 && range.lower[flat: k] >= -limit * 1.0001)
        func below(_ x: Double, _ y: Double) -> Double {
          group.below[0, 0] * x + group.below[0, 1] * y + group.belowIntercept[0]
        }
        func above(_ x: Double, _ y: Double) -> Double {
          group.above[0, 0] * x + group.above[0, 1] * y + group.aboveIntercept[0]
        }
        #expect(below(center[k], v.0 / 2 + v.1 / 2) >= range.lower[flat: k] - 1e-9)
        #expect(above(center[k], v.0 / 2 + v.1 / 2) <= range.upper[flat: k] + 1e-9)
        for (sample, y) in zip(samples, squares) {
          let x = sample[k]
          let value = x / (y + epsilon).squareRoot()
          let size =
            (group.below[0, 1] * y).magnitude + (group.above[0, 1] * y).magnitude
            + group.above[0, 0].magnitude
          let tolerance = 1e-13 * (1 + value.magnitude + size)
          #expect(below(x, y) <= value + tolerance)
          #expect(above(x, y) >= value - tolerance)
          #expect(range.lower[flat: k] <= value + tolerance && range.upper[flat: k] >= value - tolerance)
        }
      }
    }
  }

  @Test func normalisedValuesStayBelowTheirLimit() throws {
    let layer = try Normalization.layer([5])
    let range = layer.enclose(
      lower: [Tensor(repeating: -1e6, [5])], upper: [Tensor(repeating: 1e6, [5])])
    for i in 0..<5 {
      #expect(range.upper[flat: i] <= 2.0001 && range.upper[flat: i] >= 2 && range.lower[flat: i] >= -2.0001)
    }
    #expect(throws: GraphError.self) { _ = try Normalization.layer([5], axis: 3) }
    #expect(throws: GraphError.self) { _ = try Softmax([2, 3], axis: 2) }
  }
}
