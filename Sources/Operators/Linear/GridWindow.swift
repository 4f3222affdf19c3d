import IR
import Tensors

/// A box of positions of a node of shape `[1, C] + spatial`: all channels, a range of every spatial axis.
///
/// What a convolution's output sees of an earlier layer is such a box, mostly a small one: rows of a backward walk that
/// end in neighbouring outputs are stored and multiplied there only.
public struct GridWindow: Sendable, Equatable {
  /// The first position by spatial axis, and the number of positions.
  public var origin: [Int]
  public var extent: [Int]

  public init(origin: [Int], extent: [Int]) {
    self.origin = origin
    self.extent = extent
  }

  /// All positions of a node; nil if its shape is no grid.
  public init?(whole shape: Shape) {
    guard shape.dims.count >= 3, shape.dims[0] == 1, shape.count > 0 else { return nil }
    extent = Array(shape.dims[2...])
    origin = extent.map { _ in 0 }
  }

  /// Positions in the box.
  public var count: Int { extent.reduce(1, *) }

  /// The shape of the box with this many channels.
  public func shape(channels: Int) -> Shape { Shape([1, channels] + extent) }

  public func union(_ other: GridWindow) -> GridWindow {
    let low = zip(origin, other.origin).map { min($0, $1) }
    let high = origin.indices.map { max(origin[$0] + extent[$0], other.origin[$0] + other.extent[$0]) }
    return GridWindow(origin: low, extent: zip(high, low).map { $0 - $1 })
  }

  /// The part in the box of values `[B] + shape`: `[B, 1, C] + extent`. Precondition: the box lies in the grid.
  public func crop(_ x: Tensor<Double>, from whole: GridWindow) -> Tensor<Double> {
    let channels = x.shape.dims[2]
    let rows = x.batch * channels
    return Tensor(writing: [x.batch] + shape(channels: channels)) { y in
      x.withPointer { x0 in
        for r in 0..<rows {
          let (from, to) = (x0 + r * whole.count, y + r * count)
          eachRun(in: whole) { (to + $1).update(from: from + $0, count: $2) }
        }
      }
    }
  }

  /// Values of the box in a larger one, zero elsewhere. Precondition: this box lies in `whole`.
  public func embed(_ x: Tensor<Double>, into whole: GridWindow) -> Tensor<Double> {
    if whole == self { return x }
    let channels = x.shape.dims[2]
    let rows = x.batch * channels
    var result = Tensor<Double>.zeros([x.batch] + whole.shape(channels: channels))
    result.withMutablePointer { y in
      x.withPointer { x0 in
        for r in 0..<rows {
          let (from, to) = (x0 + r * count, y + r * whole.count)
          eachRun(in: whole) { (to + $0).update(from: from + $1, count: $2) }
        }
      }
    }
    return result
  }

  /// Calls `body(place in the larger box, place in this box, length)` for every contiguous stretch.
  private func eachRun(in whole: GridWindow, _ body: (Int, Int, Int) -> Void) {
    let length = extent[extent.count - 1]
    let last = extent.count - 1
    // Two spatial axes are nearly all there is.
    if extent.count == 2 {
      let width = whole.extent[1]
      var place = (origin[0] - whole.origin[0]) * width + origin[1] - whole.origin[1]
      for y in 0..<extent[0] {
        body(place, y * length, length)
        place += width
      }
      return
    }
    for (index, outer) in coordinates(Array(extent.dropLast())).enumerated() {
      var place = 0
      for axis in 0..<last {
        place = place * whole.extent[axis] + origin[axis] - whole.origin[axis] + outer[axis]
      }
      body(place * whole.extent[last] + origin[last] - whole.origin[last], index * length, length)
    }
  }
}

/// A linear map between grids whose adjoint keeps to a box of its input.
public protocol WindowedMap: LinearMap {
  /// The matrix rows of some outputs in the smallest box that holds all their inputs, `[outputs, 1, C] + extent`; nil
  /// where there is none.
  func windowRows(_ outputs: [Int]) -> (window: GridWindow, rows: Tensor<Double>)?

  /// The adjoint of rows that vanish outside a box of the output; nil where the input's box does not exist.
  func adjoint(_ y: [Tensor<Double>], in window: GridWindow) -> (window: GridWindow, rows: [Tensor<Double>])?
}

extension Reshape: WindowedMap {
  public func windowRows(_ outputs: [Int]) -> (window: GridWindow, rows: Tensor<Double>)? {
    guard inputShape == outputShape, let whole = GridWindow(whole: outputShape),
      let window = whole.hull(of: outputs)
    else { return nil }
    let channels = outputShape.dims[1]
    let size = window.count
    var rows = Tensor<Double>.zeros([outputs.count] + window.shape(channels: channels))
    for (r, output) in outputs.enumerated() {
      let (channel, position) = output.quotientAndRemainder(dividingBy: whole.count)
      rows[flat: (r * channels + channel) * size + window.place(of: whole.indices(of: position))] = 1
    }
    return (window, rows)
  }

  public func adjoint(_ y: [Tensor<Double>], in window: GridWindow)
    -> (window: GridWindow, rows: [Tensor<Double>])?
  {
    inputShape == outputShape ? (window, y) : nil
  }
}

extension GridWindow {
  /// The place of a position by its coordinates in the whole grid.
  func place(of position: [Int]) -> Int {
    var place = 0
    for axis in extent.indices { place = place * extent[axis] + position[axis] - origin[axis] }
    return place
  }

  /// The coordinates of a flat position of this box.
  func indices(of position: Int) -> [Int] {
    var rest = position
    var result = [Int](repeating: 0, count: extent.count)
    for axis in extent.indices.reversed() {
      result[axis] = origin[axis] + rest % extent[axis]
      rest /= extent[axis]
    }
    return result
  }

  /// The smallest box around some elements of a node with this grid; nil if there are none.
  func hull(of elements: [Int]) -> GridWindow? {
    guard let first = elements.first else { return nil }
    var low = indices(of: first % count)
    var high = low
    for element in elements.dropFirst() {
      let position = indices(of: element % count)
      for axis in low.indices {
        low[axis] = min(low[axis], position[axis])
        high[axis] = max(high[axis], position[axis])
      }
    }
    return GridWindow(origin: low, extent: low.indices.map { high[$0] - low[$0] + 1 })
  }
}
