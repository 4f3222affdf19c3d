import IR
import Operators
import Tensors

/// The sliding windows of convolutions and pooling, read from a node's attributes and checked.
struct SlidingWindows {
  var kernel: [Int]
  var strides: [Int]
  var dilations: [Int]
  var before: [Int]
  var after: [Int]

  /// - Parameter extent: the spatial extents of the input.
  init(_ node: OnnxNode, kernel: [Int], extent: [Int]) throws {
    let rank = extent.count
    guard kernel.count == rank, kernel.allSatisfy({ $0 > 0 && $0 < 1 << 24 }) else {
      throw node.malformed("\(kernel) is no kernel for \(rank) spatial axes", attribute: "kernel_shape")
    }
    self.kernel = kernel
    strides = try Self.list(node, "strides", rank)
    dilations = try Self.list(node, "dilations", rank)
    before = [Int](repeating: 0, count: rank)
    after = before
    let mode = try node.string("auto_pad") ?? "NOTSET"
    switch mode {
    case "NOTSET":
      guard let pads = try node.ints("pads") else { break }
      guard pads.count == 2 * rank, pads.allSatisfy({ $0 >= 0 && $0 < 1 << 24 }) else {
        throw node.malformed("\(pads) is no padding of \(rank) spatial axes", attribute: "pads")
      }
      before = Array(pads[..<rank])
      after = Array(pads[rank...])
    case "VALID": node.ignore("pads")
    case "SAME_UPPER", "SAME_LOWER":
      node.ignore("pads")
      for axis in 0..<rank {
        let outputs = (extent[axis] + strides[axis] - 1) / strides[axis]
        let total = max(0, (outputs - 1) * strides[axis] + span(axis) - extent[axis])
        before[axis] = mode == "SAME_UPPER" ? total / 2 : total - total / 2
        after[axis] = total - before[axis]
      }
    default: throw node.malformed("'\(mode)' is no way to pad", attribute: "auto_pad")
    }
  }

  private static func list(_ node: OnnxNode, _ name: String, _ rank: Int) throws -> [Int] {
    let values = try node.ints(name) ?? [Int](repeating: 1, count: rank)
    guard values.count == rank, values.allSatisfy({ $0 > 0 && $0 < 1 << 24 }) else {
      throw node.malformed("\(values) does not fit \(rank) spatial axes", attribute: name)
    }
    return values
  }

  /// Elements that a window reaches over along an axis.
  func span(_ axis: Int) -> Int { dilations[axis] * (kernel[axis] - 1) + 1 }

  /// Refuses windows that reach over more than the padded input: there is no place for one, and deployed runtimes refuse
  /// such models, too.
  func requireRoom(_ extent: [Int], _ node: OnnxNode) throws {
    for axis in extent.indices where span(axis) > extent[axis] + before[axis] + after[axis] {
      throw node.malformed(
        "a window of \(span(axis)) elements does not fit the \(extent[axis]) elements of spatial axis \(axis)"
          + " with \(before[axis] + after[axis]) of padding")
    }
  }

  /// Windows along each axis; with `ceiling` the last may hang over the end (but must start inside).
  func outputExtent(_ extent: [Int], ceiling: Bool = false) -> [Int] {
    extent.indices.map { axis in
      let room = extent[axis] + before[axis] + after[axis] - span(axis)
      if room < 0 { return 0 }
      var count = room / strides[axis] + 1
      if ceiling && room % strides[axis] != 0 {
        count += 1
        // A window that starts in the padding after the input is left out.
        if (count - 1) * strides[axis] >= extent[axis] + before[axis] { count -= 1 }
      }
      return count
    }
  }

  /// For every window (row-major) the input positions it covers and whether each lies inside the padded input.
  func taps(_ extent: [Int], _ output: [Int]) -> [[(position: Int, tap: Int)]] {
    let strides = Shape(extent).strides
    let kernelStrides = Shape(kernel).strides
    var windows: [[(position: Int, tap: Int)]] = [[(0, 0)]]
    for axis in extent.indices {
      let lines = (0..<output[axis]).map { o in
        (0..<kernel[axis]).compactMap { tap -> (Int, Int)? in
          let at = o * self.strides[axis] - before[axis] + tap * dilations[axis]
          return at >= 0 && at < extent[axis] ? (at * strides[axis], tap * kernelStrides[axis]) : nil
        }
      }
      windows = windows.flatMap { window in
        lines.map { line in window.flatMap { entry in line.map { (entry.0 + $0.0, entry.1 + $0.1) } } }
      }
    }
    return windows
  }

  func geometry(examples: Int, inputs: Int, outputs: Int, groups: Int, extent: [Int]) -> ConvolutionGeometry {
    ConvolutionGeometry(
      examples: examples, inputChannels: inputs, outputChannels: outputs, groups: groups, inputExtent: extent,
      kernel: kernel, strides: strides, dilations: dilations, padsBefore: before, padsAfter: after)
  }
}
