import Foundation

/// A safetensors file, memory-mapped: https://github.com/huggingface/safetensors, "Format".
///
/// Everything the header claims is checked when the file is opened: sizes, offsets, overlaps, holes. Reading a tensor
/// afterwards touches only its own bytes.
public final class SafetensorsFile: Sendable {
  /// The element types of the format.
  public enum ElementType: String, Sendable, Hashable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint64 = "U64"
    case uint32 = "U32"
    case uint16 = "U16"
    case uint8 = "U8"
    case bool = "BOOL"

    /// Bytes of one element.
    public var size: Int {
      switch self {
      case .float64, .int64, .uint64: 8
      case .float32, .int32, .uint32: 4
      case .float16, .bfloat16, .int16, .uint16: 2
      case .int8, .uint8, .bool: 1
      }
    }

    /// Whether the type is one of floating-point numbers.
    public var isFloatingPoint: Bool {
      switch self {
      case .float64, .float32, .float16, .bfloat16: true
      default: false
      }
    }
  }

  /// One tensor as the header describes it.
  public struct Entry: Sendable, Hashable {
    public let name: String
    public let type: ElementType
    public let shape: [Int]
    /// Bytes of the file that hold it.
    public let range: Range<Int>

    /// The number of elements.
    public var count: Int { range.count / type.size }
  }

  /// The path as the user gave it.
  public let file: String
  /// In the order of the data.
  public let entries: [Entry]
  private let index: [String: Int]
  private let map: MappedFile

  /// Opens and checks a file.
  ///
  /// - Throws: ``FileError`` if the file cannot be read, or naming the tensor whose description is wrong.
  public init(path: String) throws {
    file = path
    map = try MappedFile(path: path)
    entries = try Self.header(map, file: path)
    index = Dictionary(
      entries.enumerated().map { ($0.element.name, $0.offset) }, uniquingKeysWith: { a, _ in a })
  }

  /// Whether there is a tensor of this name.
  public func contains(_ name: String) -> Bool { index[name] != nil }

  /// The description of a tensor.
  ///
  /// - Throws: ``FileError`` naming the tensor if there is none.
  public func entry(_ name: String) throws -> Entry {
    guard let position = index[name] else {
      throw FileError(file: file, place: "tensor \(name)", reason: "the tensor is missing")
    }
    return entries[position]
  }

  /// The elements of a floating-point tensor, row-major, widened without error.
  ///
  /// - Parameter shape: the shape the caller needs, or nil to take any.
  /// - Throws: ``FileError`` naming the tensor if it is missing, has another shape, is not of floating-point numbers,
  ///   or holds a NaN or an infinity.
  public func doubles(_ name: String, shape: [Int]? = nil) throws -> [Double] {
    let entry = try checked(name, shape: shape)
    return try read(entry, entry.range)
  }

  /// Some rows of a matrix; the other rows are not read.
  ///
  /// - Throws: as ``doubles(_:shape:)``. Precondition: the rows exist.
  public func rows(_ name: String, _ rows: [Int]) throws -> [Double] {
    let entry = try checked(name, shape: nil)
    guard entry.shape.count == 2 else {
      throw error(entry, "a matrix is needed, its shape is \(entry.shape)")
    }
    let width = entry.shape[1] * entry.type.size
    var result: [Double] = []
    result.reserveCapacity(rows.count * entry.shape[1])
    for row in rows {
      precondition(row >= 0 && row < entry.shape[0], "row \(row) of \(name) does not exist")
      let start = entry.range.lowerBound + row * width
      result += try read(entry, start..<(start + width))
    }
    return result
  }

  /// Looks through every floating-point tensor.
  ///
  /// - Throws: ``FileError`` naming the first tensor that holds a NaN or an infinity.
  public func checkFinite() throws {
    for entry in entries where entry.type.isFloatingPoint {
      // A sum of x * 0 is 0 exactly if every x is finite, and costs one pass without branches.
      var probe = 0.0
      switch entry.type {
      case .float32: probe = map.sumOfZeroMultiples(entry.range, as: Float.self)
      case .float64: probe = map.sumOfZeroMultiples(entry.range, as: Double.self)
      default: _ = try read(entry, entry.range)
      }
      if !(probe == 0) { _ = try read(entry, entry.range) }
    }
  }

  private func error(_ entry: Entry, _ reason: String) -> FileError {
    FileError(file: file, place: "tensor \(entry.name)", reason: reason)
  }

  private func checked(_ name: String, shape: [Int]?) throws -> Entry {
    let entry = try entry(name)
    if let shape, shape != entry.shape {
      throw error(entry, "expected the shape \(shape), found \(entry.shape)")
    }
    guard entry.type.isFloatingPoint else {
      throw error(entry, "expected floating-point numbers, found \(entry.type.rawValue)")
    }
    return entry
  }

  private func read(_ entry: Entry, _ range: Range<Int>) throws -> [Double] {
    let count = range.count / entry.type.size
    let base = map.bytes
    let start = range.lowerBound
    let result = [Double](unsafeUninitializedCapacity: count) { out, initialized in
      switch entry.type {
      case .float64:
        for i in 0..<count { out[i] = base.loadUnaligned(fromByteOffset: start + 8 * i, as: Double.self) }
      case .float32:
        for i in 0..<count {
          out[i] = Double(base.loadUnaligned(fromByteOffset: start + 4 * i, as: Float.self))
        }
      case .bfloat16:
        for i in 0..<count {
          let bits = UInt32(base.loadUnaligned(fromByteOffset: start + 2 * i, as: UInt16.self)) << 16
          out[i] = Double(Float(bitPattern: bits))
        }
      default:
        for i in 0..<count {
          out[i] = Self.half(base.loadUnaligned(fromByteOffset: start + 2 * i, as: UInt16.self))
        }
      }
      initialized = count
    }
    if let bad = result.firstIndex(where: { !$0.isFinite }) {
      let what = result[bad].isNaN ? "NaN" : "an infinity"
      let first = (start - entry.range.lowerBound) / entry.type.size
      throw error(entry, "element \(first + bad) is \(what)")
    }
    return result
  }

  /// The value of an IEEE 754 binary16 pattern.
  private static func half(_ bits: UInt16) -> Double {
    let exponent = Int(bits >> 10) & 31
    let fraction = Double(bits & 1023)
    let sign: Double = bits >> 15 == 0 ? 1 : -1
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * Double(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
    }
  }

  private static func header(_ map: MappedFile, file: String) throws -> [Entry] {
    guard map.count >= 8 else {
      throw FileError(
        file: file, reason: "the file is truncated: \(map.count) bytes, the header's length takes 8")
    }
    let stated = UInt64(littleEndian: map.bytes.loadUnaligned(as: UInt64.self))
    guard stated <= UInt64(map.count - 8) else {
      throw FileError(
        file: file, place: "header",
        reason: "the header is said to have \(stated) bytes, the file holds \(map.count - 8) after its length"
      )
    }
    guard stated <= 100_000_000 else {
      throw FileError(file: file, place: "header", reason: "the header of \(stated) bytes is absurdly long")
    }
    let dataStart = 8 + Int(stated)
    let text = [UInt8](UnsafeRawBufferPointer(start: map.bytes + 8, count: Int(stated)))
    let root = JSONField(root: try JSONValue.parse(text, file: file), file: file)
    var entries: [Entry] = []
    for (name, field) in try root.members() where name != "__metadata__" {
      let place = "tensor \(name)"
      func wrong(_ reason: String) -> FileError { FileError(file: file, place: place, reason: reason) }
      let typeName = try field.member("dtype").string()
      guard let type = ElementType(rawValue: typeName) else {
        throw wrong("the type \(typeName) is not supported")
      }
      let shape = try field.member("shape").elements().map { try $0.int() }
      let offsets = try field.member("data_offsets").elements().map { try $0.int() }
      guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1] else {
        throw wrong("data_offsets must be a start and an end")
      }
      guard offsets[1] <= map.count - dataStart else {
        throw wrong(
          "its data end at byte \(offsets[1]), the file is truncated after \(map.count - dataStart)")
      }
      var size = type.size
      for extent in shape {
        let (product, overflow) = size.multipliedReportingOverflow(by: extent)
        guard extent >= 0, !overflow else { throw wrong("the shape \(shape) is impossible") }
        size = product
      }
      guard size == offsets[1] - offsets[0] else {
        throw wrong("the shape \(shape) takes \(size) bytes, data_offsets span \(offsets[1] - offsets[0])")
      }
      entries.append(
        Entry(
          name: name, type: type, shape: shape, range: (dataStart + offsets[0])..<(dataStart + offsets[1])))
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    var end = dataStart
    for (position, entry) in entries.enumerated() {
      if entry.range.lowerBound < end {
        let other = position > 0 ? entries[position - 1].name : "the header"
        throw FileError(
          file: file, place: "tensor \(entry.name)", reason: "its data overlap those of \(other)")
      }
      if entry.range.lowerBound > end {
        throw FileError(
          file: file, place: "tensor \(entry.name)",
          reason: "\(entry.range.lowerBound - end) bytes before its data belong to no tensor")
      }
      end = entry.range.upperBound
    }
    if end < map.count {
      throw FileError(file: file, reason: "\(map.count - end) bytes at the end belong to no tensor")
    }
    return entries
  }

  /// Writes float64 tensors as one file.
  ///
  /// - Throws: ``FileError`` if the file cannot be written.
  public static func write(
    _ tensors: [(name: String, shape: [Int], values: [Double])], metadata: [String: String] = [:],
    to file: OutputFile
  ) throws {
    try file.write(bytes(of: tensors, metadata: metadata))
  }

  private static func bytes(
    of tensors: [(name: String, shape: [Int], values: [Double])], metadata: [String: String]
  ) -> [UInt8] {
    var header = JSONObject()
    if !metadata.isEmpty {
      let entries = metadata.sorted { $0.key < $1.key }
      header["__metadata__"] = .object(
        JSONObject(entries.map { JSONObject.Entry(key: $0.key, value: .string($0.value)) }))
    }
    var offset = 0
    for tensor in tensors {
      precondition(tensor.shape.reduce(1, *) == tensor.values.count)
      let end = offset + 8 * tensor.values.count
      header[tensor.name] = [
        "dtype": "F64", "shape": JSONValue(tensor.shape),
        "data_offsets": [JSONValue(offset), JSONValue(end)],
      ]
      offset = end
    }
    var text = Array(JSONValue.object(header).text().utf8)
    // Data start at a multiple of 8; the format pads its header with blanks.
    while text.count % 8 != 0 { text.append(32) }
    var data: [UInt8] = []
    data.reserveCapacity(8 + text.count + offset)
    withUnsafeBytes(of: UInt64(text.count).littleEndian) { data.append(contentsOf: $0) }
    data += text
    for tensor in tensors { tensor.values.withUnsafeBytes { data.append(contentsOf: $0) } }
    return data
  }
}

/// The bytes of a file, mapped into memory for as long as the object lives.
final class MappedFile: @unchecked Sendable {
  // The mapping is read-only and never changes after init, so sharing the pointer between threads is safe.
  let bytes: UnsafeRawPointer
  let count: Int
  private let owned: Bool

  init(path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw FileError(file: path, reason: "cannot be opened: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    InputFiles.current?.note(descriptor: descriptor, path: path)
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(file: path, reason: "is not a regular file")
    }
    count = Int(status.st_size)
    if count == 0 {
      bytes = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8))
      owned = true
      return
    }
    guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
      throw FileError(file: path, reason: "cannot be mapped into memory: \(String(cString: strerror(errno)))")
    }
    bytes = UnsafeRawPointer(start)
    owned = false
  }

  deinit {
    if owned {
      bytes.deallocate()
    } else {
      munmap(UnsafeMutableRawPointer(mutating: bytes), count)
    }
  }

  /// The sum of 0 * x over a range: 0 if all are finite, else NaN.
  func sumOfZeroMultiples<T: BinaryFloatingPoint & BitwiseCopyable>(_ range: Range<Int>, as type: T.Type)
    -> Double
  {
    let n = range.count / MemoryLayout<T>.size
    let start = range.lowerBound
    var a: T = 0
    var b: T = 0
    var c: T = 0
    var d: T = 0
    var i = 0
    let step = MemoryLayout<T>.size
    while i + 4 <= n {
      let p = start + i * step
      a += 0 * bytes.loadUnaligned(fromByteOffset: p, as: T.self)
      b += 0 * bytes.loadUnaligned(fromByteOffset: p + step, as: T.self)
      c += 0 * bytes.loadUnaligned(fromByteOffset: p + 2 * step, as: T.self)
      d += 0 * bytes.loadUnaligned(fromByteOffset: p + 3 * step, as: T.self)
      i += 4
    }
    while i < n {
      a += 0 * bytes.loadUnaligned(fromByteOffset: start + i * step, as: T.self)
      i += 1
    }
    return Double(a + b + c + d)
  }
}
