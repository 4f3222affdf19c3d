/// The messages that describe one object, a group or a data set.
struct HDF5ObjectHeader {
  /// The kinds of message that are read.
  enum Kind: Int {
    case dataspace = 0x01
    case linkInfo = 0x02
    case datatype = 0x03
    case link = 0x06
    case externalFiles = 0x07
    case layout = 0x08
    case filters = 0x0b
    case attribute = 0x0c
    case continuation = 0x10
    case symbolTable = 0x11
    case attributeInfo = 0x15
  }

  struct Message {
    var kind: Kind
    /// Whether the content stands elsewhere in the file, shared by several objects.
    var isShared: Bool
    var range: Range<Int>
  }

  private(set) var messages: [Message] = []

  /// Reads the header at a place.
  ///
  /// Blocks of messages may follow one another anywhere in the file. None is read twice, so that reading ends.
  init(_ bytes: HDF5Bytes, at place: Int) throws(FileError) {
    let isNew = bytes.hasSignature("OHDR", at: place)
    var hasOrder = false
    var blocks: [Range<Int>]
    if isNew {
      guard try bytes.byte(place + 4) == 2 else { throw bytes.damaged(place, "unknown HDF5 object header") }
      let flags = try bytes.byte(place + 5)
      hasOrder = flags & 4 != 0
      var start = place + 6
      if flags & 0x20 != 0 { start += 16 }  // four times
      if flags & 0x10 != 0 { start += 4 }  // limits of compact attribute storage
      let width = 1 << (flags & 3)
      blocks = [try bytes.range(start + width, try bytes.integer(start, size: width))]
    } else {
      guard try bytes.byte(place) == 1 else { throw bytes.damaged(place, "unknown HDF5 object header") }
      blocks = [try bytes.range(place + 16, try bytes.integer(place + 8, size: 4))]
    }
    var seen: Set<Int> = []
    var next = 0
    while next < blocks.count {
      let block = blocks[next]
      next += 1
      guard seen.insert(block.lowerBound).inserted, next <= 10_000 else {
        throw bytes.damaged(
          block.lowerBound, "the HDF5 file is damaged: an object header goes round in circles")
      }
      try read(bytes, block, isNew: isNew, hasOrder: hasOrder, &blocks)
    }
  }

  private mutating func read(
    _ bytes: HDF5Bytes, _ block: Range<Int>, isNew: Bool, hasOrder: Bool, _ blocks: inout [Range<Int>]
  ) throws(FileError) {
    let head = isNew ? (hasOrder ? 6 : 4) : 8
    var place = block.lowerBound
    while place + head <= block.upperBound {
      let type = try bytes.integer(place, size: isNew ? 1 : 2)
      let size = try bytes.integer(place + (isNew ? 1 : 2), size: 2)
      let flags = try bytes.byte(place + (isNew ? 3 : 4))
      let content = place + head
      guard size <= block.upperBound - content else {
        throw bytes.damaged(place, "the HDF5 file is damaged: a message is longer than its header")
      }
      place = content + size
      guard let kind = Kind(rawValue: type) else { continue }
      if kind == .continuation {
        let start = try bytes.definedAddress(content)
        let count = try bytes.length(content + bytes.addressSize)
        let range = try bytes.range(start, count)
        if isNew {
          // A signature before the messages, a checksum behind them.
          try bytes.expect("OCHK", at: start)
          guard count >= 8 else {
            throw bytes.damaged(start, "the HDF5 file is damaged: an empty header block")
          }
          blocks.append((start + 4)..<(range.upperBound - 4))
        } else {
          blocks.append(range)
        }
        continue
      }
      messages.append(Message(kind: kind, isShared: flags & 2 != 0, range: content..<(content + size)))
    }
  }

  /// The only message of a kind, nil if there is none.
  func message(_ kind: Kind) -> Message? { messages.first { $0.kind == kind } }
}
