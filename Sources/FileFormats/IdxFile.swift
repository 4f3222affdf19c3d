/// An array in the idx format of the MNIST database, plain or gzip-compressed.
///
/// The format: two zero bytes, a type code, the number of axes, each extent as a big-endian 32-bit integer, the
/// elements row-major and big-endian (LeCun, Cortes, Burges, "The MNIST database of handwritten digits").
public struct IdxFile: Sendable {
  /// The type of the elements, with the code that the file carries.
  public enum ElementType: UInt8, Sendable {
    case unsignedByte = 0x08
    case signedByte = 0x09
    case short = 0x0B
    case int = 0x0C
    case float = 0x0D
    case double = 0x0E

    /// The size of one element in bytes.
    public var size: Int {
      switch self {
      case .unsignedByte, .signedByte: return 1
      case .short: return 2
      case .int, .float: return 4
      case .double: return 8
      }
    }
  }

  public let elementType: ElementType
  /// The extents; the first one counts the items.
  public let shape: [Int]
  private let bytes: [UInt8]
  private let start: Int

  /// The number of items along the first axis.
  public var count: Int { shape.first ?? 0 }
  /// The shape of one item.
  public var itemShape: [Int] { Array(shape.dropFirst()) }
  /// The number of elements in one item.
  public var itemSize: Int { shape.dropFirst().reduce(1, *) }

  /// Reads a file.
  ///
  /// - Throws: ``FileError`` when the file is not idx, or is shorter or longer than its header says.
  public init(contentsOf path: String, limit: Int = Gzip.defaultLimit) throws {
    try self.init(Gzip.contents(ofFile: path, limit: limit), file: path)
  }

  /// Reads uncompressed bytes.
  public init(_ bytes: [UInt8], file: String) throws {
    guard bytes.count >= 4, bytes[0] == 0, bytes[1] == 0, let type = ElementType(rawValue: bytes[2]) else {
      throw FileError(file: file, reason: "is not an idx file")
    }
    let rank = Int(bytes[3])
    guard rank >= 1, rank <= 8 else {
      throw FileError(file: file, place: "byte 3", reason: "an array of \(rank) axes is not supported")
    }
    let start = 4 + 4 * rank
    guard bytes.count >= start else { throw FileError(file: file, reason: "ends inside the header") }
    var shape: [Int] = []
    var total = type.size
    // The product without extents of 0, which hide what the others multiply to.
    var size = type.size
    for axis in 0..<rank {
      let p = 4 + 4 * axis
      var extent = 0
      for k in 0..<4 { extent = extent << 8 | Int(bytes[p + k]) }
      shape.append(extent)
      let (product, overflow) = total.multipliedReportingOverflow(by: extent)
      let (item, overflow2) = size.multipliedReportingOverflow(by: max(extent, 1))
      guard !overflow, !overflow2 else {
        throw FileError(file: file, place: "byte \(p)", reason: "the extents overflow")
      }
      total = product
      size = item
    }
    guard bytes.count - start == total else {
      throw FileError(
        file: file, reason: "holds \(bytes.count - start) bytes of data where its header announces \(total)")
    }
    self.elementType = type
    self.shape = shape
    self.bytes = bytes
    self.start = start
  }

  /// The elements of one item, row-major. All types but `double` fit exactly; so does `double`.
  ///
  /// - Precondition: `index` is in `0..<count`.
  public func item(_ index: Int) -> [Double] {
    precondition(index >= 0 && index < count, "no item \(index)")
    let size = elementType.size
    let first = start + index * itemSize * size
    return (0..<itemSize).map { element(at: first + $0 * size) }
  }

  private func element(at offset: Int) -> Double {
    var bits: UInt64 = 0
    for k in 0..<elementType.size { bits = bits << 8 | UInt64(bytes[offset + k]) }
    switch elementType {
    case .unsignedByte: return Double(bits)
    case .signedByte: return Double(Int8(truncatingIfNeeded: bits))
    case .short: return Double(Int16(truncatingIfNeeded: bits))
    case .int: return Double(Int32(truncatingIfNeeded: bits))
    case .float: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
    case .double: return Double(bitPattern: bits)
    }
  }
}
