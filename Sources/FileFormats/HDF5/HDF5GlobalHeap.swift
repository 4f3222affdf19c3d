/// The heaps that texts of variable length lie in, read as they are needed.
struct HDF5GlobalHeap {
  private var collections: [Int: [Int: Range<Int>]] = [:]

  /// The bytes of an object.
  mutating func object(_ index: Int, in collection: Int, _ bytes: HDF5Bytes) throws(FileError) -> Range<Int> {
    if collections[collection] == nil { collections[collection] = try Self.objects(bytes, collection) }
    guard let range = collections[collection]?[index] else {
      throw bytes.damaged(collection, "the HDF5 file is damaged: a text is missing from its heap")
    }
    return range
  }

  /// Every object of a heap. Each takes at least its header of 16 bytes, so the walk ends.
  private static func objects(_ bytes: HDF5Bytes, _ start: Int) throws(FileError) -> [Int: Range<Int>] {
    try bytes.expect("GCOL", at: start)
    let all = try bytes.range(start, try bytes.length(start + 8))
    var result: [Int: Range<Int>] = [:]
    var place = start + 8 + bytes.lengthSize
    let header = 8 + bytes.lengthSize
    while place + header <= all.upperBound {
      let index = try bytes.integer(place, size: 2)
      // Index 0 is the free space that ends a heap.
      if index == 0 { break }
      let size = try bytes.length(place + 8)
      guard size <= all.upperBound - place - header else {
        throw bytes.damaged(place, "the HDF5 file is damaged: a heap's object is longer than the heap")
      }
      guard result.updateValue((place + header)..<(place + header + size), forKey: index) == nil else {
        throw bytes.damaged(place, "the HDF5 file is damaged: a heap holds an object twice")
      }
      place += header + (size + 7) / 8 * 8
    }
    return result
  }
}
