/// The bytes of an HDF5 file and checked reading from them: no offset or size that the file claims is believed.
///
/// Structures are those of the HDF5 File Format Specification, version 3.0
/// (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html). All integers are little-endian.
struct HDF5Bytes {
  let file: String
  let bytes: [UInt8]
  /// What the file's addresses count from.
  var base = 0
  /// Bytes of an address and of a length: 4 or 8.
  var addressSize = 8
  var lengthSize = 8

  init(file: String, bytes: [UInt8]) {
    self.file = file
    self.bytes = bytes
  }

  func damaged(_ place: Int, _ reason: String) -> FileError {
    FileError(file: file, place: "byte \(place)", reason: reason)
  }

  /// The bytes `place..<place + count`.
  func range(_ place: Int, _ count: Int) throws(FileError) -> Range<Int> {
    guard place >= 0, count >= 0, place <= bytes.count, count <= bytes.count - place else {
      throw damaged(place, "the HDF5 file is damaged: something lies beyond its end")
    }
    return place..<(place + count)
  }

  /// An unsigned integer of up to 8 bytes.
  func unsigned(_ place: Int, size: Int) throws(FileError) -> UInt64 {
    var value: UInt64 = 0
    for i in try range(place, size).reversed() { value = value << 8 | UInt64(bytes[i]) }
    return value
  }

  /// A size or a count.
  func integer(_ place: Int, size: Int) throws(FileError) -> Int {
    guard let value = Int(exactly: try unsigned(place, size: size)) else {
      throw damaged(place, "the HDF5 file is damaged: a size is out of range")
    }
    return value
  }

  func byte(_ place: Int) throws(FileError) -> Int { try integer(place, size: 1) }

  func length(_ place: Int) throws(FileError) -> Int { try integer(place, size: lengthSize) }

  /// An address as a place in the file; nil for the undefined address, all bits set.
  func address(_ place: Int) throws(FileError) -> Int? {
    let raw = try unsigned(place, size: addressSize)
    if raw == UInt64.max >> UInt64(64 - 8 * addressSize) { return nil }
    guard let value = Int(exactly: raw), value < bytes.count - base else {
      throw damaged(place, "the HDF5 file is damaged: an address lies beyond its end")
    }
    return base + value
  }

  /// An address that must be defined.
  func definedAddress(_ place: Int) throws(FileError) -> Int {
    guard let address = try address(place) else {
      throw damaged(place, "the HDF5 file is damaged: an address is undefined")
    }
    return address
  }

  func hasSignature(_ text: StaticString, at place: Int) -> Bool {
    guard place >= 0, place <= bytes.count - text.utf8CodeUnitCount else { return false }
    for i in 0..<text.utf8CodeUnitCount where bytes[place + i] != text.utf8Start[i] { return false }
    return true
  }

  func expect(_ text: StaticString, at place: Int) throws(FileError) {
    guard hasSignature(text, at: place) else {
      throw damaged(place, "the HDF5 file is damaged: expected a structure \(text)")
    }
  }

  /// The text of a range, up to its first zero.
  func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range].prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The text that starts at a place and ends with a zero before `end`.
  func terminatedText(_ place: Int, before end: Int) throws(FileError) -> String {
    let limit = min(end, place + ReaderLimits.nameBytes)
    guard place >= 0, place < limit, limit <= bytes.count,
      let zero = bytes[place..<limit].firstIndex(of: 0)
    else { throw damaged(place, "the HDF5 file is damaged: a name does not end") }
    return text(place..<zero)
  }
}
