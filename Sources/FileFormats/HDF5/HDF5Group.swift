/// The links of an HDF5 group.
struct HDF5Group {
  enum Link {
    /// An object of the same file, by the place of its header.
    case object(Int)
    /// A soft link: the path of an object of the same file, from the root if it starts with `/`.
    case path(String)
    /// A link to another file, or of a kind that is not known. Such links are not followed.
    case outside
  }

  private(set) var links: [String: Link] = [:]

  /// - Returns: nil if the object is no group.
  init?(_ header: HDF5ObjectHeader, _ bytes: HDF5Bytes) throws(FileError) {
    var isGroup = false
    if let table = header.message(.symbolTable) {
      isGroup = true
      try readSymbolTable(table, bytes)
    }
    for message in header.messages where message.kind == .link {
      isGroup = true
      try readLink(message.range, bytes)
    }
    if let info = header.message(.linkInfo) {
      isGroup = true
      let place = info.range.lowerBound
      let start = place + 2 + (try bytes.byte(place + 1) & 1 != 0 ? 8 : 0)
      if let heap = try bytes.address(start) {
        let index = try bytes.definedAddress(start + bytes.addressSize)
        // Records of type 5: a hash, then the link's place in the heap.
        let objects = try HDF5FractalHeap(bytes, at: heap)
        for record in try HDF5RecordTree(bytes, at: index, type: 5).records {
          try readLink(try objects.object(record.lowerBound + 4), bytes)
        }
      }
    }
    if !isGroup { return nil }
  }

  private mutating func add(_ name: String, _ link: Link, _ bytes: HDF5Bytes, _ place: Int) throws(FileError)
  {
    guard links.count < ReaderLimits.groupMembers else {
      throw bytes.damaged(place, "a group has more than \(ReaderLimits.groupMembers) members")
    }
    guard !name.isEmpty, links.updateValue(link, forKey: name) == nil else {
      throw bytes.damaged(place, "the HDF5 file is damaged: a name is empty or occurs twice in a group")
    }
  }

  // MARK: Groups of the old format: a tree of tables of symbols, names in a heap.

  private mutating func readSymbolTable(_ message: HDF5ObjectHeader.Message, _ bytes: HDF5Bytes)
    throws(FileError)
  {
    let tree = try bytes.definedAddress(message.range.lowerBound)
    let heap = try bytes.definedAddress(message.range.lowerBound + bytes.addressSize)
    try bytes.expect("HEAP", at: heap)
    let size = try bytes.length(heap + 8)
    let start = try bytes.definedAddress(heap + 8 + 2 * bytes.lengthSize)
    let names = try bytes.range(start, size)
    for leaf in try HDF5Tree(bytes, at: tree, type: 0, keySize: bytes.lengthSize).leaves {
      try bytes.expect("SNOD", at: leaf.child)
      let count = try bytes.integer(leaf.child + 6, size: 2)
      let width = 2 * bytes.addressSize + 24
      for i in 0..<count {
        let entry = leaf.child + 8 + i * width
        let offset = try bytes.integer(entry, size: bytes.addressSize)
        guard offset < names.count else {
          throw bytes.damaged(entry, "the HDF5 file is damaged: a name is missing")
        }
        let name = try bytes.terminatedText(names.lowerBound + offset, before: names.upperBound)
        // Cache type 2: a soft link, its text in the heap too.
        let cache = entry + 2 * bytes.addressSize
        let link: Link
        if try bytes.integer(cache, size: 4) == 2 {
          let place = try bytes.integer(cache + 8, size: 4)
          guard place < names.count else {
            throw bytes.damaged(entry, "the HDF5 file is damaged: a link is missing")
          }
          link = .path(try bytes.terminatedText(names.lowerBound + place, before: names.upperBound))
        } else {
          link = .object(try bytes.definedAddress(entry + bytes.addressSize))
        }
        try add(name, link, bytes, entry)
      }
    }
  }

  // MARK: Groups of the new format: one message per link, in the header or in a heap.

  private mutating func readLink(_ range: Range<Int>, _ bytes: HDF5Bytes) throws(FileError) {
    let flags = try bytes.byte(range.lowerBound + 1)
    var place = range.lowerBound + 2
    var type = 0
    if flags & 8 != 0 {
      type = try bytes.byte(place)
      place += 1
    }
    if flags & 4 != 0 { place += 8 }  // order of creation
    if flags & 16 != 0 { place += 1 }  // character set
    let width = 1 << (flags & 3)
    let length = try bytes.integer(place, size: width)
    place += width
    guard length <= ReaderLimits.nameBytes, place + length <= range.upperBound else {
      throw bytes.damaged(place, "the HDF5 file is damaged: a name is longer than its link")
    }
    let name = bytes.text(try bytes.range(place, length))
    place += length
    let link: Link
    switch type {
    case 0: link = .object(try bytes.definedAddress(place))
    case 1:
      let size = try bytes.integer(place, size: 2)
      guard size <= range.upperBound - place - 2 else {
        throw bytes.damaged(place, "the HDF5 file is damaged: a link is longer than its message")
      }
      link = .path(bytes.text(try bytes.range(place + 2, size)))
    default: link = .outside
    }
    try add(name, link, bytes, place)
  }
}
