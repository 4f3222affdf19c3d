/// The heap that links and attributes of large objects lie in.
struct HDF5FractalHeap {
  private let bytes: HDF5Bytes
  private let offsetSize: Int
  private let lengthSize: Int
  private let width: Int
  private let startSize: Int
  private let largestDirect: Int
  private let root: Int
  private let rootRows: Int

  init(_ bytes: HDF5Bytes, at header: Int) throws(FileError) {
    self.bytes = bytes
    try bytes.expect("FRHP", at: header)
    let filters = try bytes.integer(header + 7, size: 2)
    let largestManaged = try bytes.integer(header + 10, size: 4)
    // Ten lengths and two addresses about free space and objects of other kinds lie between.
    let table = header + 14 + 10 * bytes.lengthSize + 2 * bytes.addressSize
    width = try bytes.integer(table, size: 2)
    startSize = try bytes.length(table + 2)
    largestDirect = try bytes.length(table + 2 + bytes.lengthSize)
    let bits = try bytes.integer(table + 2 + 2 * bytes.lengthSize, size: 2)
    let end = table + 6 + 2 * bytes.lengthSize
    root = try bytes.definedAddress(end)
    rootRows = try bytes.integer(end + bytes.addressSize, size: 2)
    guard filters == 0 else {
      throw bytes.damaged(header, "compressed HDF5 attributes or links are not supported")
    }
    guard (1...1024).contains(width), startSize > 0, startSize & (startSize - 1) == 0,
      largestDirect >= startSize, largestDirect & (largestDirect - 1) == 0, (1...64).contains(bits),
      rootRows <= 64
    else { throw bytes.damaged(header, "the HDF5 file is damaged: a heap has absurd sizes") }
    offsetSize = (bits + 7) / 8
    lengthSize = min(
      (largestDirect.trailingZeroBitCount + 7) / 8, HDF5RecordTree.bytesNeeded(largestManaged))
  }

  /// The bytes of the object whose identifier stands at a place.
  func object(_ identifier: Int) throws(FileError) -> Range<Int> {
    guard try bytes.byte(identifier) & 0xf0 == 0 else {
      throw bytes.damaged(identifier, "a very large HDF5 attribute is stored in a form that is not supported")
    }
    let offset = try bytes.integer(identifier + 1, size: offsetSize)
    let length = try bytes.integer(identifier + 1 + offsetSize, size: lengthSize)
    if rootRows == 0 {
      guard offset <= largestDirect, length <= largestDirect - offset else {
        throw bytes.damaged(identifier, "the HDF5 file is damaged: an object lies outside its heap")
      }
      return try bytes.range(root + offset, length)
    }
    return try find(offset, length, block: root, rows: rootRows, depth: 0)
  }

  /// The size of the blocks in a row of the doubling table.
  private func blockSize(_ row: Int) -> Int? {
    let shift = max(0, row - 1)
    guard shift < startSize.leadingZeroBitCount - 1 else { return nil }
    return startSize << shift
  }

  private func find(_ offset: Int, _ length: Int, block: Int, rows: Int, depth: Int) throws(FileError)
    -> Range<Int>
  {
    let damaged = bytes.damaged(block, "the HDF5 file is damaged: an object lies outside its heap")
    guard depth < 8 else { throw damaged }
    try bytes.expect("FHIB", at: block)
    var rest = offset
    var child = block + 5 + bytes.addressSize + offsetSize
    for row in 0..<rows {
      guard let size = blockSize(row) else { throw damaged }
      let (all, overflow) = size.multipliedReportingOverflow(by: width)
      if !overflow, rest >= all {
        rest -= all
        child += width * bytes.addressSize
        continue
      }
      child += rest / size * bytes.addressSize
      let place = try bytes.definedAddress(child)
      let inside = rest % size
      if size <= largestDirect {
        guard length <= size - inside else { throw damaged }
        try bytes.expect("FHDB", at: place)
        return try bytes.range(place + inside, length)
      }
      // An indirect block spans `size` bytes: rows until the first one beyond that.
      let firstRow = startSize.trailingZeroBitCount + width.trailingZeroBitCount
      return try find(
        inside, length, block: place, rows: max(1, size.trailingZeroBitCount - firstRow + 1), depth: depth + 1
      )
    }
    throw damaged
  }
}
