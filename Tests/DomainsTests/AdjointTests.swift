import Domains
import IR
import Operators
import Tensors
import Testing

/// Every map against its own coefficients: apply, adjoint, magnitude and rows must describe one matrix.
@Suite struct AdjointTests {
  private func sample(_ count: Int, _ seed: UInt64) -> [Double] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) / 0x1p53 * 2 - 1
    }
  }

  private var maps: [any LinearMap] {
    let geometry = ConvolutionGeometry(
      examples: 2, inputChannels: 4, outputChannels: 6, groups: 2, inputExtent: [5, 4], kernel: [3, 2],
      strides: [2, 1], dilations: [1, 2], padsBefore: [1, 0], padsAfter: [1, 1])
    let convolution = Convolution(Weight(Tensor([6, 2, 3, 2], sample(72, 1))), geometry)
    let pointwise = Convolution(
      Weight(Tensor([3, 2, 1], sample(6, 2))),
      ConvolutionGeometry(
        examples: 1, inputChannels: 2, outputChannels: 3, groups: 1, inputExtent: [4], kernel: [1],
        strides: [1],
        dilations: [1], padsBefore: [0], padsAfter: [0]))
    return [
      Reshape([2, 6], to: [3, 4]),
      IndexMap.transpose([2, 3, 4], [2, 0, 1]),
      IndexMap.slice([4, 6], starts: [3, 5], counts: [4, 2], steps: [-1, -3]),
      IndexMap.embed([2, 3], into: [2, 7], axis: 1, offset: 2),
      IndexMap.broadcast([3, 1], to: [2, 3, 4]),
      SumMap.reduce([2, 3, 4], axes: [0, 2], mean: false),
      SumMap.reduce([2, 3, 4], axes: [1], mean: true),
      Diagonal(Weight(Tensor([6], sample(6, 3))), shape: [6]),
      Diagonal.scale(-1, [3, 2]),
      Dense(Weight(Tensor([4, 3], sample(12, 4))), inputShape: [2, 4]),
      Dense(Weight(Tensor([3, 4], sample(12, 5))), inputShape: [2, 4], transposed: true),
      convolution, pointwise, TransposedConvolution(convolution),
      SparseMap(
        [4], to: [3],
        rows: [[SparseEntry(0, 0.5), SparseEntry(3, -2)], [], [SparseEntry(1, 1), SparseEntry(1, 0.25)]],
        denominator: 3),
      MatrixProduct([2, 3, 4], [4, 5])!.fixing(left: Weight(Tensor([2, 3, 4], sample(24, 6)))),
      MatrixProduct([3, 4], [2, 4, 5])!.fixing(right: Weight(Tensor([2, 4, 5], sample(40, 7)))),
      Multiply([3, 1], [2, 3, 4])!.fixing(left: Weight(Tensor([3, 1], sample(3, 8)))),
      Multiply([3, 1], [2, 3, 4])!.fixing(right: Weight(Tensor([2, 3, 4], sample(24, 9)))),
    ]
  }

  @Test func applyAdjointMagnitudeAndRowsAgree() {
    for (number, map) in maps.enumerated() {
      let n = map.inputShape.count
      let m = map.outputShape.count
      var matrix = [Double](repeating: 0, count: m * n)
      for o in 0..<m {
        for entry in map.row(o) { matrix[o * n + entry.index] += entry.coefficient / Double(map.denominator) }
      }
      let x = Tensor([2] + map.inputShape, sample(2 * n, 21))
      let y = Tensor([2] + map.outputShape, sample(2 * m, 22))
      let image = map.apply(x)
      let back = map.adjoint(y)
      let size = map.applyMagnitude(x.magnitude)
      let single = map.apply(x.float32)
      for b in 0..<2 {
        for o in 0..<m {
          let exact = (0..<n).reduce(0) { $0 + matrix[o * n + $1] * x[flat: b * n + $1] }
          let bound = (0..<n).reduce(0) { $0 + abs(matrix[o * n + $1]) * abs(x[flat: b * n + $1]) }
          #expect(abs(image[flat: b * m + o] - exact) < 1e-13, "map \(number)")
          #expect(abs(Double(single[flat: b * m + o]) - exact) < 1e-5, "map \(number)")
          #expect(size[flat: b * m + o] >= bound - 1e-13, "map \(number)")
        }
        for i in 0..<n {
          let exact = (0..<m).reduce(0) { $0 + matrix[$1 * n + i] * y[flat: b * m + $1] }
          #expect(abs(back[flat: b * n + i] - exact) < 1e-13, "map \(number)")
        }
      }
      let rows = map.rows(Array(0..<m))
      for k in 0..<(m * n) { #expect(abs(rows[flat: k] - matrix[k]) < 1e-15, "map \(number)") }
      if map.isNonnegative { #expect(matrix.allSatisfy { $0 >= 0 }, "map \(number)") }
      // The accumulation lengths that the rounding account relies on.
      for o in 0..<m {
        let terms = (0..<n).filter { matrix[o * n + $0] != 0 }.count
        #expect(map.fanIn >= terms || terms <= 1, "map \(number)")
      }
      for i in 0..<n {
        let terms = (0..<m).filter { matrix[$0 * n + i] != 0 }.count
        #expect(map.fanOut >= terms || terms <= 1, "map \(number)")
      }
    }
  }

  @Test func bilinearFormsAgreeWithTheirTerms() throws {
    let forms: [any BilinearForm] = [
      try #require(Multiply([2, 3], [2, 3])), try #require(Multiply([3, 1], [2, 1, 4])),
      try #require(MatrixProduct([2, 3, 4], [4, 2])), try #require(MatrixProduct([1, 3, 4], [5, 4, 2])),
    ]
    for (number, form) in forms.enumerated() {
      let (n, k, m) = (form.leftShape.count, form.rightShape.count, form.outputShape.count)
      let a = Tensor([2] + form.leftShape, sample(2 * n, 31))
      let b = Tensor([2] + form.rightShape, sample(2 * k, 32))
      let y = Tensor([4] + form.outputShape, sample(4 * m, 33))
      let image = form.apply(a, b)
      let left = form.adjointLeft(y, right: b)
      let right = form.adjointRight(y, left: a)
      var exactLeft = [Double](repeating: 0, count: 4 * n)
      var exactRight = [Double](repeating: 0, count: 4 * k)
      for o in 0..<m {
        let terms = form.terms(o)
        #expect(terms.count <= form.fanIn, "form \(number)")
        for e in 0..<2 {
          let exact = terms.reduce(0) { $0 + a[flat: e * n + $1.left] * b[flat: e * k + $1.right] }
          #expect(abs(image[flat: e * m + o] - exact) < 1e-13, "form \(number)")
        }
        for r in 0..<4 {
          for (i, j) in terms {
            exactLeft[r * n + i] += y[flat: r * m + o] * b[flat: (r / 2) * k + j]
            exactRight[r * k + j] += y[flat: r * m + o] * a[flat: (r / 2) * n + i]
          }
        }
      }
      for i in exactLeft.indices { #expect(abs(left[flat: i] - exactLeft[i]) < 1e-13, "form \(number)") }
      for i in exactRight.indices { #expect(abs(right[flat: i] - exactRight[i]) < 1e-13, "form \(number)") }
    }
  }
}
