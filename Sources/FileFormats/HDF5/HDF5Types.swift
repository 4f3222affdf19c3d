/// The element types that weight files use.
struct HDF5Datatype {
  enum Kind {
    case integer(isSigned: Bool)
    case float
    /// Text of a fixed number of bytes.
    case text
    /// Text that lies in a heap of the file.
    case heapText
    case other
  }

  var kind: Kind
  /// Bytes of one element.
  var size: Int
  var isBigEndian = false

  init(_ bytes: HDF5Bytes, _ range: Range<Int>) throws(FileError) {
    let place = range.lowerBound
    let first = try bytes.byte(place)
    let flags = try bytes.byte(place + 1)
    size = try bytes.integer(place + 4, size: 4)
    guard size > 0 else { throw bytes.damaged(place, "the HDF5 file is damaged: elements have no size") }
    kind = .other
    switch first & 15 {
    case 0:
      // Whole bytes only: offset 0 and as many bits as the element has.
      if [1, 2, 4, 8].contains(size), try bytes.integer(place + 8, size: 2) == 0,
        try bytes.integer(place + 10, size: 2) == 8 * size
      {
        kind = .integer(isSigned: flags & 8 != 0)
        isBigEndian = flags & 1 != 0
      }
    case 1:
      // IEEE 754 only, told by the number of exponent and mantissa bits and the bias.
      let layout = [
        try bytes.byte(place + 13), try bytes.byte(place + 15), try bytes.integer(place + 16, size: 4),
      ]
      let known = [2: [5, 10, 15], 4: [8, 23, 127], 8: [11, 52, 1023]]
      if known[size] == layout, flags & 0x40 == 0 {
        kind = .float
        isBigEndian = flags & 1 != 0
      }
    case 3: kind = .text
    case 9: if flags & 15 == 1, size == 8 + bytes.addressSize { kind = .heapText }
    default: break
    }
  }

  /// One number, rounded to the nearest float.
  func number(_ bits: UInt64) -> Float? {
    switch kind {
    case .float:
      switch size {
      case 2: return Float(Float16(bitPattern: UInt16(truncatingIfNeeded: bits)))
      case 4: return Float(bitPattern: UInt32(truncatingIfNeeded: bits))
      default: return Float(Double(bitPattern: bits))
      }
    case .integer(let isSigned):
      if !isSigned { return Float(bits) }
      let shift = UInt64(64 - 8 * size)
      return Float(Int64(bitPattern: bits << shift) >> Int64(shift))
    case .text, .heapText, .other: return nil
    }
  }
}

/// The shape of a data set or an attribute.
struct HDF5Dataspace {
  var extents: [Int] = []
  /// The number of elements.
  var count = 1

  init(_ bytes: HDF5Bytes, _ range: Range<Int>) throws(FileError) {
    let place = range.lowerBound
    let version = try bytes.byte(place)
    let rank = try bytes.byte(place + 1)
    let first: Int
    switch version {
    case 1: first = place + 8
    case 2:
      first = place + 4
      // Type 2: an empty space.
      if try bytes.byte(place + 3) == 2 { count = 0 }
    default: throw bytes.damaged(place, "unknown HDF5 shape")
    }
    guard rank <= 32, first + rank * bytes.lengthSize <= range.upperBound else {
      throw bytes.damaged(place, "the HDF5 file is damaged: a shape is longer than its message")
    }
    for axis in 0..<rank {
      let extent = try bytes.length(first + axis * bytes.lengthSize)
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product <= ReaderLimits.arrayElements, extent <= ReaderLimits.arrayElements else {
        throw bytes.damaged(place, "an array has more than \(ReaderLimits.arrayElements) elements")
      }
      extents.append(extent)
      count = product
    }
  }
}

/// A named value of an object.
struct HDF5Attribute {
  var name: String
  var type: HDF5Datatype
  var space: HDF5Dataspace
  /// Where the elements start, and what they must not go beyond.
  var data: Range<Int>

  /// - Returns: nil for an attribute of another name.
  init?(_ bytes: HDF5Bytes, _ range: Range<Int>, named wanted: String) throws(FileError) {
    let place = range.lowerBound
    let version = try bytes.byte(place)
    guard (1...3).contains(version) else { throw bytes.damaged(place, "unknown HDF5 attribute") }
    let isShared = version > 1 ? try bytes.byte(place + 1) & 3 != 0 : false
    let sizes = [
      try bytes.integer(place + 2, size: 2), try bytes.integer(place + 4, size: 2),
      try bytes.integer(place + 6, size: 2),
    ]
    // Version 1 fills each part up to a multiple of 8 bytes.
    let lengths = version == 1 ? sizes.map { ($0 + 7) / 8 * 8 } : sizes
    var start = place + (version == 3 ? 9 : 8)
    guard start + lengths.reduce(0, +) <= range.upperBound else {
      throw bytes.damaged(place, "the HDF5 file is damaged: an attribute is longer than its message")
    }
    name = bytes.text(try bytes.range(start, sizes[0]))
    guard name == wanted else { return nil }
    guard !isShared else { throw bytes.damaged(place, "attributes of named HDF5 types are not supported") }
    start += lengths[0]
    type = try HDF5Datatype(bytes, start..<(start + sizes[1]))
    start += lengths[1]
    space = try HDF5Dataspace(bytes, start..<(start + sizes[2]))
    data = (start + lengths[2])..<range.upperBound
  }
}
