import IR
import Tensors
import Testing

import Operators

/// Rows kept to the window they see are the rows, and their adjoint is the adjoint.
@Suite struct WindowTests {
  private func numbers(_ count: Int, _ seed: Int) -> [Double] {
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Int64(bitPattern: state) >> 40) / Double(1 << 20)
    }
  }

  private func convolution(
    _ channelsIn: Int, _ channelsOut: Int, groups: Int = 1, extent: [Int], kernel: [Int], strides: [Int],
    dilations: [Int], before: [Int], after: [Int]
  ) -> Convolution {
    let geometry = ConvolutionGeometry(
      examples: 1, inputChannels: channelsIn, outputChannels: channelsOut, groups: groups,
      inputExtent: extent,
      kernel: kernel, strides: strides, dilations: dilations, padsBefore: before, padsAfter: after)
    let shape = Shape([channelsOut, channelsIn / groups] + kernel)
    return Convolution(Weight(Tensor(shape, numbers(shape.count, 7))), geometry)
  }

  private var maps: [Convolution] {
    [
      convolution(
        3, 4, extent: [9, 8], kernel: [3, 3], strides: [1, 1], dilations: [1, 1], before: [1, 1],
        after: [1, 1]),
      convolution(
        2, 5, extent: [12, 11], kernel: [4, 3], strides: [2, 3], dilations: [1, 2], before: [1, 0],
        after: [2, 1]),
      convolution(
        4, 6, groups: 2, extent: [7, 7], kernel: [3, 2], strides: [2, 1], dilations: [2, 1], before: [0, 1],
        after: [3, 0]),
      convolution(
        3, 2, extent: [17], kernel: [5], strides: [2], dilations: [1], before: [2], after: [2]),
    ]
  }

  private func close(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Bool {
    a.count == b.count
      && zip(a.elements, b.elements).allSatisfy { abs($0 - $1) <= 1e-12 * max(1, abs($0), abs($1)) }
  }

  @Test func unitRows() throws {
    for map in maps {
      let whole = try #require(GridWindow(whole: map.inputShape))
      let count = map.outputShape.count
      for picks in [[0], [count - 1], [count / 2, count / 2 + 1], Array(0..<count)] {
        let (window, rows) = try #require(map.windowRows(picks))
        #expect(close(window.embed(rows, into: whole), map.rows(picks)))
        #expect(picks.count > 2 || window.count < whole.count)
      }
    }
  }

  @Test func adjointOnAWindow() throws {
    for map in maps {
      let whole = try #require(GridWindow(whole: map.inputShape))
      let grid = try #require(GridWindow(whole: map.outputShape))
      let channels = map.outputShape.dims[1]
      for start in [0, 1] {
        let window = GridWindow(
          origin: grid.extent.map { min(start, $0 - 1) }, extent: grid.extent.map { max(1, $0 - 1 - start) })
        let shape = Shape([3] + window.shape(channels: channels).dims)
        let rows = Tensor(shape, numbers(shape.count, 3 + start))
        let (box, result) = try #require(map.adjoint([rows], in: window))
        let expected = map.adjoint(window.embed(rows, into: grid))
        #expect(close(box.embed(result[0], into: whole), expected))
        #expect(box.crop(expected, from: whole).count == result[0].count)
      }
    }
  }

  /// Many samples share one product where the grid is small; each is what it is alone.
  @Test func samplesDoNotMix() {
    for map in maps {
      let shape = Shape([5] + map.outputShape.dims)
      let rows = Tensor(shape, numbers(shape.count, 11))
      let together = map.adjoint(rows)
      for r in 0..<5 { #expect(close(together.example(r), map.adjoint(rows.example(r)))) }
      // And the transpose of the convolution: <y, A x> = <A^T y, x>.
      let x = Tensor<Double>([1] + map.inputShape, numbers(map.inputShape.count, 13))
      let forward = map.apply(x)
      for r in 0..<5 {
        let left = zip(rows.example(r).elements, forward.elements).reduce(0) { $0 + $1.0 * $1.1 }
        let right = zip(together.example(r).elements, x.elements).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(left - right) <= 1e-10 * max(1, abs(left)))
      }
    }
  }

  /// Columns of zeros, as inactive neurons leave them, change nothing.
  @Test(arguments: [true, false]) func columnsOfZeros(transposed: Bool) {
    let (k, n, count) = (7, 40, 33)
    let weight = Weight(Tensor(transposed ? [n, k] : [k, n], numbers(n * k, 5)))
    let map = Dense(weight, inputShape: [k], transposed: transposed)
    for used in [0, 1, 9, 40] {
      var rows = Tensor([count, n], numbers(count * n, 17))
      for r in 0..<count {
        for j in 0..<n where j % 40 >= used { rows[flat: r * n + j] = 0 }
      }
      let result = map.adjoint(rows)
      for r in 0..<count { #expect(close(result.example(r), map.adjoint(rows.example(r)))) }
    }
  }

  @Test func mergedWindowsCoverBoth() {
    let a = GridWindow(origin: [0, 2], extent: [2, 3])
    let b = GridWindow(origin: [3, 0], extent: [1, 1])
    #expect(a.union(b) == GridWindow(origin: [0, 0], extent: [4, 5]))
  }
}
