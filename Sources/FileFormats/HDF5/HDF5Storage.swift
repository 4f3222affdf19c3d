import CZlib

/// The stored elements of a data set, as bytes in row-major order.
///
/// Elements lie in the file itself: other files and virtual data sets are refused, since a network must not be able to
/// read what else its user has.
struct HDF5Storage {
  let bytes: HDF5Bytes
  /// The data set, for errors.
  let name: String
  let extents: [Int]
  /// Bytes of one element, and of all.
  let elementSize: Int
  let size: Int

  init(_ bytes: HDF5Bytes, name: String, space: HDF5Dataspace, type: HDF5Datatype) throws(FileError) {
    self.bytes = bytes
    self.name = name
    extents = space.extents
    elementSize = type.size
    // At most 2^28 elements of 2^32 bytes.
    size = space.count * type.size
  }

  private func error(_ reason: String) -> FileError {
    FileError(file: bytes.file, place: name, reason: reason)
  }

  /// The elements, from the messages of the data set.
  func read(_ header: HDF5ObjectHeader) throws(FileError) -> ArraySlice<UInt8> {
    guard header.message(.externalFiles) == nil else {
      throw error("its numbers are stored in another file, which is not followed")
    }
    guard let layout = header.message(.layout), !layout.isShared else { throw error("has no storage") }
    let place = layout.range.lowerBound
    let version = try bytes.byte(place)
    switch version {
    case 1, 2:
      let kind = try bytes.byte(place + 2)
      guard kind == 1 else { throw error("is stored in chunks of an old format, which is not supported") }
      return try contiguous(place + 8)
    case 3, 4, 5:
      switch try bytes.byte(place + 1) {
      case 0:
        let count = try bytes.integer(place + 2, size: 2)
        guard count >= size, place + 4 + count <= layout.range.upperBound else { throw damaged }
        return bytes.bytes[try bytes.range(place + 4, size)]
      case 1: return try contiguous(place + 2)
      case 2 where version == 3: return try chunked(place, header)[...]
      case 2: throw error("is stored in chunks of a format that is not supported")
      case 3: throw error("is a virtual data set, put together from other files, which are not followed")
      default: throw damaged
      }
    default: throw error("has an unknown kind of storage")
    }
  }

  private var damaged: FileError {
    error("the HDF5 file is damaged: the data set's storage does not fit its shape")
  }

  private func contiguous(_ place: Int) throws(FileError) -> ArraySlice<UInt8> {
    if size == 0 { return [] }
    guard let start = try bytes.address(place) else { throw error("its numbers were never written") }
    return bytes.bytes[try bytes.range(start, size)]
  }

  // MARK: Chunks

  /// A step from stored bytes back to elements.
  private enum Filter {
    case deflate
    case shuffle
    /// A checksum of 4 bytes at the end.
    case checksum
  }

  /// Chunks indexed by a tree. Every chunk of the shape must be stored, each once: what a small file leaves out is not
  /// filled in, so that it cannot announce a huge array.
  private func chunked(_ place: Int, _ header: HDF5ObjectHeader) throws(FileError) -> [UInt8] {
    let rank = try bytes.byte(place + 2) - 1
    guard rank == extents.count, rank > 0 else { throw damaged }
    var chunk: [Int] = []
    var chunkSize = elementSize
    var chunks = 1
    for axis in 0..<rank {
      let extent = try bytes.integer(place + 3 + bytes.addressSize + 4 * axis, size: 4)
      guard extent > 0 else { throw damaged }
      let (product, overflow) = chunkSize.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw damaged }
      chunkSize = product
      chunk.append(extent)
      chunks *= (extents[axis] + extent - 1) / extent  // at most the number of elements
    }
    if size == 0 { return [] }
    guard let root = try bytes.address(place + 3) else { throw error("its numbers were never written") }
    let filters = try self.filters(header)
    let tree = try HDF5Tree(bytes, at: root, type: 1, keySize: 8 + 8 * (rank + 1))
    // A compressed file may be much smaller than its contents, but not without limit.
    guard tree.leaves.count == chunks,
      filters.isEmpty || size <= ReaderLimits.inflatedFloor
        || size / ReaderLimits.inflationRatio <= bytes.bytes.count,
      chunkSize <= max(size, ReaderLimits.inflatedFloor)
    else { throw error("only a part of its numbers is stored, or they are compressed beyond reason") }
    var result = [UInt8](repeating: 0, count: size)
    var seen: Set<[Int]> = []
    for leaf in tree.leaves {
      let stored = try bytes.range(leaf.child, try bytes.integer(leaf.key, size: 4))
      let skipped = try bytes.integer(leaf.key + 4, size: 4)
      var origin: [Int] = []
      for axis in 0..<rank {
        let at = try bytes.integer(leaf.key + 8 + 8 * axis, size: 8)
        guard at < extents[axis], at % chunk[axis] == 0 else { throw damaged }
        origin.append(at)
      }
      guard seen.insert(origin).inserted else { throw damaged }
      let content = try unfiltered(stored, filters, skipped: skipped, size: chunkSize)
      copy(content, chunk, to: origin, &result)
    }
    return result
  }

  /// Copies the rows of a chunk that lie inside the shape.
  private func copy(_ content: [UInt8], _ chunk: [Int], to origin: [Int], _ result: inout [UInt8]) {
    let last = extents.count - 1
    let row = min(chunk[last], extents[last] - origin[last]) * elementSize
    var at = [Int](repeating: 0, count: extents.count)
    while true {
      var source = 0
      var target = 0
      for axis in extents.indices {
        source = source * chunk[axis] + at[axis]
        target = target * extents[axis] + origin[axis] + at[axis]
      }
      let from = source * elementSize
      let to = target * elementSize
      result.replaceSubrange(to..<(to + row), with: content[from..<(from + row)])
      var axis = last - 1
      while axis >= 0 {
        at[axis] += 1
        if at[axis] < chunk[axis], origin[axis] + at[axis] < extents[axis] { break }
        at[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }

  /// The filters that were applied, in their order.
  private func filters(_ header: HDF5ObjectHeader) throws(FileError) -> [Filter] {
    guard let message = header.message(.filters) else { return [] }
    let start = message.range.lowerBound
    let version = try bytes.byte(start)
    let count = try bytes.byte(start + 1)
    var place = start + (version == 1 ? 8 : 2)
    var result: [Filter] = []
    for _ in 0..<count {
      let id = try bytes.integer(place, size: 2)
      place += 2
      var nameLength = 0
      if version == 1 || id >= 256 {
        nameLength = try bytes.integer(place, size: 2)
        place += 2
      }
      let values = try bytes.integer(place + 2, size: 2)
      place += 4 + (version == 1 ? (nameLength + 7) / 8 * 8 : nameLength) + 4 * values
      if version == 1, values % 2 == 1 { place += 4 }
      switch id {
      case 1: result.append(.deflate)
      case 2: result.append(.shuffle)
      case 3: result.append(.checksum)
      default: throw error("is compressed by a method that is not supported (\(id))")
      }
    }
    return result
  }

  private func unfiltered(_ stored: Range<Int>, _ filters: [Filter], skipped: Int, size: Int)
    throws(FileError)
    -> [UInt8]
  {
    var content = Array(bytes.bytes[stored])
    for (i, filter) in filters.enumerated().reversed() where i < 32 && skipped >> i & 1 == 0 {
      switch filter {
      case .checksum: content.removeLast(min(4, content.count))
      case .deflate:
        var inflated = [UInt8](repeating: 0, count: size + 4)
        var count = uLongf(inflated.count)
        guard uncompress(&inflated, &count, content, uLong(content.count)) == Z_OK else { throw damaged }
        content = Array(inflated[..<Int(count)])
      case .shuffle:
        // The first bytes of all elements stand together, then the second ones, and so on.
        let elements = content.count / elementSize
        var ordered = content
        for e in 0..<elements {
          for b in 0..<elementSize { ordered[e * elementSize + b] = content[b * elements + e] }
        }
        content = ordered
      }
    }
    guard content.count >= size else { throw damaged }
    return content
  }
}
