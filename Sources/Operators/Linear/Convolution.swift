import IR
import Tensors

/// The geometry of an N-dimensional convolution.
public struct ConvolutionGeometry: Sendable, Equatable {
  /// Examples in the node's own leading axis (usually 1).
  public var examples: Int
  public var inputChannels: Int
  public var outputChannels: Int
  public var groups: Int
  public var inputExtent: [Int]
  public var kernel: [Int]
  public var strides: [Int]
  public var dilations: [Int]
  /// Padding before the first and after the last element, by axis.
  public var padsBefore: [Int]
  public var padsAfter: [Int]

  public init(
    examples: Int, inputChannels: Int, outputChannels: Int, groups: Int, inputExtent: [Int], kernel: [Int],
    strides: [Int], dilations: [Int], padsBefore: [Int], padsAfter: [Int]
  ) {
    self.examples = examples
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.groups = groups
    self.inputExtent = inputExtent
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padsBefore = padsBefore
    self.padsAfter = padsAfter
  }

  /// Windows along each axis; 0 where not even one fits the padded input.
  public var outputExtent: [Int] {
    inputExtent.indices.map { axis in
      let span = dilations[axis] * (kernel[axis] - 1) + 1
      let room = inputExtent[axis] + padsBefore[axis] + padsAfter[axis] - span
      return room < 0 ? 0 : room / strides[axis] + 1
    }
  }

  public var inputShape: Shape { Shape([examples, inputChannels] + inputExtent) }
  public var outputShape: Shape { Shape([examples, outputChannels] + outputExtent) }

  /// For every kernel element and output position (row-major) the input position, or -1 in the padding.
  public func windowTable() -> [Int32] {
    let output = Shape(outputExtent)
    let strideIn = Shape(inputExtent).strides
    var table: [Int32] = []
    table.reserveCapacity(kernel.reduce(1, *) * output.count)
    for tap in coordinates(kernel) {
      for position in coordinates(output.dims) {
        var index = 0
        for axis in kernel.indices {
          let at = position[axis] * strides[axis] - padsBefore[axis] + tap[axis] * dilations[axis]
          if at < 0 || at >= inputExtent[axis] {
            index = -1
            break
          }
          index += at * strideIn[axis]
        }
        table.append(Int32(index))
      }
    }
    return table
  }
}

/// All coordinates of a box in row-major order.
func coordinates(_ dims: [Int]) -> [[Int]] {
  var result: [[Int]] = [[]]
  for extent in dims { result = result.flatMap { head in (0..<extent).map { head + [$0] } } }
  return result
}

/// Cross-correlation with constant weights, any number of spatial axes, groups, strides, dilations: Conv.
public struct Convolution: WeightedMap {
  public let geometry: ConvolutionGeometry
  /// `[outputChannels, inputChannels / groups] + kernel`.
  public let weight: Weight
  private let table: IndexTable
  /// The window of every output is the input itself (1x1 kernels), so that no gathering is needed.
  private let isPointwise: Bool

  public init(_ weight: Weight, _ geometry: ConvolutionGeometry) {
    self.weight = weight
    self.geometry = geometry
    let index = geometry.windowTable()
    let positions = geometry.inputExtent.reduce(1, *)
    table = IndexTable(index, inputCount: positions)
    isPointwise = index.count == positions && index.enumerated().allSatisfy { $0 == Int($1) }
  }

  public var inputShape: Shape { geometry.inputShape }
  public var outputShape: Shape { geometry.outputShape }
  public var fanIn: Int { geometry.inputChannels / geometry.groups * geometry.kernel.reduce(1, *) }
  public var fanOut: Int { geometry.outputChannels / geometry.groups * geometry.kernel.reduce(1, *) }
  public var weights: [Weight] { [weight] }

  private var sizes: (windows: Int, positionsIn: Int, positionsOut: Int, channelsIn: Int, channelsOut: Int) {
    let g = geometry
    return (
      fanIn, g.inputExtent.reduce(1, *), g.outputExtent.reduce(1, *), g.inputChannels / g.groups,
      g.outputChannels / g.groups
    )
  }

  private func convolve<T: Real>(_ x: Tensor<T>, _ w: Tensor<T>) -> Tensor<T> {
    let (windows, positionsIn, positionsOut, channelsIn, channelsOut) = sizes
    let samples = x.batch * geometry.examples
    let groups = geometry.groups
    return Tensor(writing: [x.batch] + outputShape) { y in
      x.withPointer { x0 in
        w.withPointer { w0 in
          withScratch(isPointwise ? 0 : windows * positionsOut, of: T.self) { column in
            for s in 0..<samples {
              for g in 0..<groups {
                let input = x0 + (s * groups + g) * channelsIn * positionsIn
                if !isPointwise { table.gather(rows: channelsIn, input, into: column, clearing: false) }
                T.gemm(
                  transposeA: false, transposeB: false, m: channelsOut, n: positionsOut, k: windows, alpha: 1,
                  w0 + g * channelsOut * windows, lda: windows, isPointwise ? input : UnsafePointer(column),
                  ldb: positionsOut, beta: 0, y + (s * groups + g) * channelsOut * positionsOut,
                  ldc: positionsOut)
              }
            }
          }
        }
      }
    }
  }

  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { convolve(x, weight.tensor(as: T.self)) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { convolve(x, weight.magnitude) }

  /// The transposed convolution with the same weights.
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { transpose(y, weight.tensor(as: T.self)) }

  func adjointMagnitude(_ y: Tensor<Double>) -> Tensor<Double> { transpose(y, weight.magnitude) }

  private func transpose<T: Real>(_ y: Tensor<T>, _ w: Tensor<T>) -> Tensor<T> {
    let (windows, positionsIn, positionsOut, channelsIn, channelsOut) = sizes
    let samples = y.batch * geometry.examples
    let groups = geometry.groups
    var result = Tensor<T>.zeros([y.batch] + inputShape)
    if samples > 1 && !isPointwise && groups == 1 && positionsOut < Self.sharedPositions {
      result.withMutablePointer { x in
        y.withPointer { y0 in w.withPointer { w0 in transposeTogether(samples, y0, w0, into: x) } }
      }
      return result
    }
    result.withMutablePointer { x in
      y.withPointer { y0 in
        w.withPointer { w0 in
          withMemory(isPointwise ? 0 : windows * positionsOut, of: T.self) { column in
            for s in 0..<samples {
              for g in 0..<groups {
                let target = x + (s * groups + g) * channelsIn * positionsIn
                T.gemm(
                  transposeA: true, transposeB: false, m: windows, n: positionsOut, k: channelsOut, alpha: 1,
                  w0 + g * channelsOut * windows, lda: windows,
                  y0 + (s * groups + g) * channelsOut * positionsOut, ldb: positionsOut, beta: 0,
                  isPointwise ? target : column, ldc: positionsOut)
                if !isPointwise { table.scatterAdd(rows: channelsIn, UnsafePointer(column), into: target) }
              }
            }
          }
        }
      }
    }
    return result
  }

  /// Below this number of positions samples share a matrix product: alone they would be too small for a good one.
  private static var sharedPositions: Int { 128 }

  /// The transposed convolution of one group, several samples at a time.
  private func transposeTogether<T: Real>(
    _ samples: Int, _ y: UnsafePointer<T>, _ w: UnsafePointer<T>, into x: UnsafeMutablePointer<T>
  ) {
    let (windows, positionsIn, positionsOut, channelsIn, channelsOut) = sizes
    let each = min(samples, max(2, 2 * Self.sharedPositions / max(positionsOut, 1)))
    let taps = windows / max(channelsIn, 1)
    withMemory(channelsOut * each * positionsOut, of: T.self) { packed in
      withMemory(windows * each * positionsOut, of: T.self) { column in
        for first in stride(from: 0, to: samples, by: each) {
          let count = min(each, samples - first)
          for s in 0..<count {
            for c in 0..<channelsOut {
              (packed + (c * count + s) * positionsOut).update(
                from: y + ((first + s) * channelsOut + c) * positionsOut, count: positionsOut)
            }
          }
          let n = count * positionsOut
          T.gemm(
            transposeA: true, transposeB: false, m: windows, n: n, k: channelsOut, alpha: 1, w, lda: windows,
            UnsafePointer(packed), ldb: n, beta: 0, column, ldc: n)
          table.index.withUnsafeBufferPointer { index in
            guard let index = index.baseAddress else { return }
            T.fold(
              rows: count, channels: channelsIn, taps: taps, positions: positionsOut, nin: positionsIn,
              index: index, UnsafePointer(column), into: x + first * channelsIn * positionsIn)
          }
        }
      }
    }
  }

  public func row(_ output: Int) -> [SparseEntry] {
    let (windows, positionsIn, positionsOut, channelsIn, channelsOut) = sizes
    let (channel, position) = output.quotientAndRemainder(dividingBy: positionsOut)
    let (sample, outChannel) = channel.quotientAndRemainder(dividingBy: geometry.outputChannels)
    let group = outChannel / channelsOut
    let taps = windows / max(channelsIn, 1)
    var entries: [SparseEntry] = []
    for c in 0..<channelsIn {
      for tap in 0..<taps {
        let source = table.index[tap * positionsOut + position]
        if source < 0 { continue }
        let channelIndex = sample * geometry.inputChannels + group * channelsIn + c
        let coefficient = weight.values[flat: outChannel * windows + c * taps + tap]
        entries.append(SparseEntry(channelIndex * positionsIn + Int(source), coefficient))
      }
    }
    return entries
  }

  public func rows(_ outputs: [Int]) -> Tensor<Double> {
    let size = inputShape.count
    var result = Tensor<Double>.zeros([outputs.count] + inputShape)
    result.withMutablePointer { y in
      for (r, output) in outputs.enumerated() {
        for entry in row(output) { y[r * size + entry.index] += entry.coefficient }
      }
    }
    return result
  }

  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    let (windows, positionsIn, positionsOut, channelsIn, channelsOut) = sizes
    let samples = x.batch * geometry.examples
    let groups = geometry.groups
    var gradient = Tensor<Double>.zeros(weight.shape)
    gradient.withMutablePointer { g0 in
      x.withPointer { x0 in
        y.withPointer { y0 in
          withScratch(windows * positionsOut, of: Double.self) { column in
            for s in 0..<samples {
              for g in 0..<groups {
                table.gather(
                  rows: channelsIn, x0 + (s * groups + g) * channelsIn * positionsIn, into: column,
                  clearing: false)
                Double.gemm(
                  transposeA: false, transposeB: true, m: channelsOut, n: windows, k: positionsOut, alpha: 1,
                  y0 + (s * groups + g) * channelsOut * positionsOut, lda: positionsOut, column,
                  ldb: positionsOut, beta: 1, g0 + g * channelsOut * windows, ldc: windows)
              }
            }
          }
        }
      }
    }
    return [WeightGradient(weight, gradient)]
  }
}

/// The transpose of a convolution as a map of its own: ConvTranspose.
public struct TransposedConvolution: WeightedMap {
  /// The convolution this is the transpose of.
  public let convolution: Convolution

  public init(_ convolution: Convolution) { self.convolution = convolution }

  public var inputShape: Shape { convolution.outputShape }
  public var outputShape: Shape { convolution.inputShape }
  public var fanIn: Int { convolution.fanOut }
  public var fanOut: Int { convolution.fanIn }
  public var weights: [Weight] { convolution.weights }
  public func apply<T: Real>(_ x: Tensor<T>) -> Tensor<T> { convolution.adjoint(x) }
  public func adjoint<T: Real>(_ y: Tensor<T>) -> Tensor<T> { convolution.apply(y) }
  public func applyMagnitude(_ x: Tensor<Double>) -> Tensor<Double> { convolution.adjointMagnitude(x) }

  public func row(_ output: Int) -> [SparseEntry] {
    (0..<inputShape.count).flatMap { input in
      convolution.row(input).filter { $0.index == output }.map { SparseEntry(input, $0.coefficient) }
    }
  }

  public func weightGradients(input x: Tensor<Double>, covector y: Tensor<Double>) -> [WeightGradient] {
    convolution.weightGradients(input: y, covector: x)
  }
}

/// Memory for the duration of a call, of any content.
func withMemory<T: Real>(_ count: Int, of type: T.Type, _ body: (UnsafeMutablePointer<T>) -> Void) {
  let memory = UnsafeMutablePointer<T>.allocate(capacity: max(count, 1))
  defer { memory.deallocate() }
  body(memory)
}

/// Zeroed memory for the duration of a call.
func withScratch<T: Real>(_ count: Int, of type: T.Type, _ body: (UnsafeMutablePointer<T>) -> Void) {
  let memory = UnsafeMutablePointer<T>.allocate(capacity: max(count, 1))
  T.clear(max(count, 1), memory)
  defer { memory.deallocate() }
  body(memory)
}
