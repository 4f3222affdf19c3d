import IR
import Tensors

extension Convolution: WindowedMap {
  /// The inputs that a box of outputs sees, and the convolution between the two boxes; nil if they all lie in the
  /// padding.
  private func restricted(to outputs: GridWindow) -> (window: GridWindow, map: ConvolutionGeometry)? {
    guard geometry.examples == 1 else { return nil }
    var part = geometry
    var origin: [Int] = []
    for axis in geometry.kernel.indices {
      let stride = geometry.strides[axis]
      let start = outputs.origin[axis] * stride - geometry.padsBefore[axis]
      let span = geometry.dilations[axis] * (geometry.kernel[axis] - 1) + 1
      let end = start + (outputs.extent[axis] - 1) * stride + span
      let low = max(start, 0)
      let high = min(end, geometry.inputExtent[axis])
      guard low < high else { return nil }
      origin.append(low)
      part.inputExtent[axis] = high - low
      part.padsBefore[axis] = low - start
      part.padsAfter[axis] = end - high
    }
    return (GridWindow(origin: origin, extent: part.inputExtent), part)
  }

  public func windowRows(_ outputs: [Int]) -> (window: GridWindow, rows: Tensor<Double>)? {
    guard let grid = GridWindow(whole: outputShape), let hull = grid.hull(of: outputs),
      let (window, _) = restricted(to: hull)
    else { return nil }
    let channels = geometry.inputChannels
    let size = window.count
    let positions = geometry.inputExtent.reduce(1, *)
    let input = GridWindow(origin: window.origin.map { _ in 0 }, extent: geometry.inputExtent)
    var rows = Tensor<Double>.zeros([outputs.count] + window.shape(channels: channels))
    rows.withMutablePointer { y in
      for (r, output) in outputs.enumerated() {
        for entry in row(output) {
          let (channel, position) = entry.index.quotientAndRemainder(dividingBy: positions)
          y[(r * channels + channel) * size + window.place(of: input.indices(of: position))] +=
            entry.coefficient
        }
      }
    }
    return (window, rows)
  }

  public func adjoint(_ y: [Tensor<Double>], in window: GridWindow)
    -> (window: GridWindow, rows: [Tensor<Double>])?
  {
    guard let (input, part) = restricted(to: window) else { return nil }
    let map = Convolution(weight, part)
    return (input, y.map { map.adjoint($0) })
  }
}
