/// The start of an HDF5 file: sizes of addresses, and the root group.
struct HDF5Superblock {
  var bytes: HDF5Bytes
  /// The object header of the root group.
  var root: Int

  /// - Throws: `FileError` for a file that is no HDF5, or ends before it says.
  init(_ bytes: HDF5Bytes) throws(FileError) {
    var bytes = bytes
    // At 0, or behind a user block of 512 bytes or a power of two more.
    var start = 0
    while !Self.isMagic(bytes, start) {
      start = start == 0 ? 512 : start * 2
      guard start < bytes.bytes.count else {
        throw FileError(file: bytes.file, reason: "is not an HDF5 file")
      }
    }
    let version = try bytes.byte(start + 8)
    let end: Int
    let rootPlace: Int
    switch version {
    case 0, 1:
      bytes.addressSize = try bytes.byte(start + 13)
      bytes.lengthSize = try bytes.byte(start + 14)
      try Self.checkSizes(bytes, start)
      let addresses = start + (version == 0 ? 24 : 28)
      bytes.base = try bytes.integer(addresses, size: bytes.addressSize)
      end = try bytes.integer(addresses + 2 * bytes.addressSize, size: bytes.addressSize)
      // Behind four addresses stands the root's symbol table entry: a name, then the object header.
      rootPlace = addresses + 5 * bytes.addressSize
    case 2, 3:
      bytes.addressSize = try bytes.byte(start + 9)
      bytes.lengthSize = try bytes.byte(start + 10)
      try Self.checkSizes(bytes, start)
      bytes.base = try bytes.integer(start + 12, size: bytes.addressSize)
      end = try bytes.integer(start + 12 + 2 * bytes.addressSize, size: bytes.addressSize)
      rootPlace = start + 12 + 3 * bytes.addressSize
    default:
      throw FileError(file: bytes.file, reason: "has the unknown HDF5 version \(version)")
    }
    guard bytes.base <= start, end <= bytes.bytes.count - bytes.base else {
      throw FileError(file: bytes.file, reason: "is a truncated HDF5 file")
    }
    root = try bytes.definedAddress(rootPlace)
    self.bytes = bytes
  }

  private static let magic: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]

  private static func isMagic(_ bytes: HDF5Bytes, _ start: Int) -> Bool {
    start <= bytes.bytes.count - magic.count && bytes.bytes[start...].starts(with: magic)
  }

  private static func checkSizes(_ bytes: HDF5Bytes, _ start: Int) throws(FileError) {
    guard [4, 8].contains(bytes.addressSize), [4, 8].contains(bytes.lengthSize) else {
      throw bytes.damaged(start, "the HDF5 file is damaged or has addresses of an unusual size")
    }
  }
}
