/// A block's arrays at fixed addresses, for the inner loops of bound passes.
final class RawBlock: @unchecked Sendable {
  let kind: PiecewiseLinearNetwork.Kind
  let first: Int
  let count: Int
  let denominator: Double
  let start: UnsafeMutablePointer<Int32>
  let column: UnsafeMutablePointer<Int32>
  let value: UnsafeMutablePointer<Double>
  let bias: UnsafeMutablePointer<Double>
  /// The blocks that the rows read, as block number + 1 (0 for the inputs).
  let sources: [Int]

  init(_ block: PiecewiseLinearNetwork.Block, owners: [Int32]) {
    kind = block.kind
    first = block.first
    count = block.count
    denominator = Double(block.denominator)
    start = Self.copy(block.start)
    column = Self.copy(block.column)
    value = Self.copy(block.value)
    bias = Self.copy(block.bias)
    var isRead = [Bool](repeating: false, count: Int(owners.max() ?? -1) + 2)
    for c in block.column { isRead[Int(owners[Int(c)]) + 1] = true }
    sources = isRead.indices.filter { isRead[$0] }
  }

  private static func copy<T>(_ array: [T]) -> UnsafeMutablePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: max(1, array.count))
    array.withUnsafeBufferPointer { source in
      // An empty array may lack an address; then there is nothing to copy.
      if let base = source.baseAddress { memory.initialize(from: base, count: source.count) }
    }
    return memory
  }

  deinit {
    start.deallocate()
    column.deallocate()
    value.deallocate()
    bias.deallocate()
  }

  var range: Range<Int> { first..<(first + count) }
  @inline(__always)
  func entries(_ i: Int) -> Range<Int> { Int(start[i])..<Int(start[i + 1]) }
}
