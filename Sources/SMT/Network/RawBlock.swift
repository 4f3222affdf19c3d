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
    sources = Set(block.column.map { Int(owners[Int($0)]) + 1 }).sorted()
  }

  private static func copy<T>(_ array: [T]) -> UnsafeMutablePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: max(1, array.count))
    for (i, element) in array.enumerated() { (memory + i).initialize(to: element) }
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
