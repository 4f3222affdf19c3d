import Tensors

/// The rows of a tensor along one axis: elements `start + i * stride` for i below `length`.
struct AxisRows: Sendable {
  let length: Int
  let stride: Int
  let starts: [Int]

  /// Precondition: `axis` is an axis of `shape`.
  init(_ shape: Shape, axis: Int) {
    length = shape[axis]
    stride = shape.strides[axis]
    let block = length * stride
    var starts: [Int] = []
    if shape.count > 0 {
      for outer in 0..<(shape.count / max(block, 1)) {
        for inner in 0..<stride { starts.append(outer * block + inner) }
      }
    }
    self.starts = starts
  }

  func indices(_ start: Int) -> [Int32] { (0..<length).map { Int32(start + $0 * stride) } }

  func gather(_ x: UnsafePointer<Double>, _ start: Int, into row: inout [Double]) {
    for i in 0..<length { row[i] = x[start + i * stride] }
  }
}
