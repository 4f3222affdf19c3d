/// A read-only HDF5 file, as far as network weight files need it: groups, numeric data sets, text attributes.
///
/// The reader is written for files from strangers: every offset and size is checked against the file, every walk visits
/// a place once, and nothing outside the file is followed (external links, external storage, virtual data sets). It
/// reads what Keras and h5py write: both formats of groups and attributes, contiguous and compact storage, and chunks
/// indexed by a tree, plain or by deflate, shuffle and checksum.
public struct HDF5File: ~Copyable {
  /// The path as the user gave it.
  public let path: String
  private let contents: Contents

  /// A data set of numbers in row-major order.
  public struct Dataset: Sendable, Equatable {
    public var shape: [Int]
    public var values: [Float]
  }

  /// Opens a file and gives it to `body`.
  ///
  /// - Throws: ``FileError`` when the file is missing, is no regular file or is not HDF5, and whatever `body` throws.
  public static func read<Result>(_ path: String, _ body: (borrowing HDF5File) throws -> Result) throws
    -> Result
  {
    let bytes = HDF5Bytes(file: path, bytes: try RegularFile.contents(path))
    let file = HDF5File(path: path, contents: try Contents(bytes))
    return try body(file)
  }

  private init(path: String, contents: Contents) {
    self.path = path
    self.contents = contents
  }

  /// What has been read so far: each object is read once.
  private final class Contents {
    let bytes: HDF5Bytes
    let root: Int
    private var headers: [Int: HDF5ObjectHeader] = [:]
    private var groups: [Int: HDF5Group?] = [:]
    var heap = HDF5GlobalHeap()

    init(_ bytes: HDF5Bytes) throws(FileError) {
      let superblock = try HDF5Superblock(bytes)
      self.bytes = superblock.bytes
      root = superblock.root
    }

    func header(_ place: Int) throws(FileError) -> HDF5ObjectHeader {
      if let known = headers[place] { return known }
      let header = try HDF5ObjectHeader(bytes, at: place)
      headers[place] = header
      return header
    }

    func group(_ place: Int) throws(FileError) -> HDF5Group? {
      if let known = groups[place] { return known }
      let group = try HDF5Group(try header(place), bytes)
      groups[place] = group
      return group
    }
  }

  private func error(_ place: String, _ reason: String) -> FileError {
    FileError(file: path, place: place, reason: reason)
  }

  /// The place of an object's header; nil if there is none of this path.
  private func find(_ object: String) throws(FileError) -> Int? {
    var place = contents.root
    var parts = object.split(separator: "/").map(String.init)[...]
    var softLinks = 0
    while let part = parts.popFirst() {
      guard let link = try contents.group(place)?.links[part] else { return nil }
      switch link {
      case .object(let next): place = next
      case .path(let path):
        softLinks += 1
        guard softLinks <= 16 else { throw error(object, "soft links go round in circles") }
        if path.hasPrefix("/") { place = contents.root }
        parts = (path.split(separator: "/").filter { $0 != "." }.map(String.init) + parts)[...]
      case .outside: throw error(object, "\(part) is a link to another file, which is not followed")
      }
    }
    return place
  }

  private func header(_ object: String) throws(FileError) -> HDF5ObjectHeader {
    guard let place = try find(object) else { throw error(object, "there is no such object") }
    return try contents.header(place)
  }

  /// Whether there is an object at a path such as `model_weights/dense_1`.
  ///
  /// Something that cannot be read counts as there: reading it says what is wrong.
  public func exists(_ object: String) -> Bool {
    do { return try find(object) != nil } catch { return true }
  }

  /// The names of a group's members in alphabetical order; the empty path is the root.
  public func members(of group: String) throws -> [String] {
    guard let place = try find(group) else { throw error(group, "there is no such object") }
    guard let found = try contents.group(place) else { throw error(group, "is not a group") }
    return found.links.keys.sorted()
  }

  /// The strings of an attribute (of fixed or variable length), or nil when the object has no such attribute.
  ///
  /// - Parameters:
  ///   - name: The attribute.
  ///   - object: The group or data set it belongs to; the empty path is the root.
  public func strings(attribute name: String, of object: String) throws -> [String]? {
    let place = object.isEmpty ? "attribute \(name)" : "\(object): attribute \(name)"
    guard let attribute = try attribute(name, of: try header(object)) else { return nil }
    let count = attribute.space.count
    guard count <= ReaderLimits.groupMembers else { throw error(place, "has an unreasonable size") }
    // An empty list of names is stored as a list of numbers by some writers.
    if count == 0 { return [] }
    let size = attribute.type.size
    guard size <= attribute.data.count, count <= attribute.data.count / size else {
      throw error(place, "the HDF5 file is damaged: the attribute is longer than its message")
    }
    let elements = (0..<count).map { attribute.data.lowerBound + $0 * size }
    switch attribute.type.kind {
    case .text: return elements.map { contents.bytes.text($0..<($0 + size)) }
    case .heapText: return try heapTexts(elements, place)
    case .integer, .float, .other: throw error(place, "is not text")
    }
  }

  private func attribute(_ name: String, of header: HDF5ObjectHeader) throws(FileError) -> HDF5Attribute? {
    let bytes = contents.bytes
    for message in header.messages where message.kind == .attribute && !message.isShared {
      if let found = try HDF5Attribute(bytes, message.range, named: name) { return found }
    }
    guard let info = header.message(.attributeInfo) else { return nil }
    let place = info.range.lowerBound
    let start = place + 2 + (try bytes.byte(place + 1) & 1 != 0 ? 2 : 0)
    guard let heap = try bytes.address(start) else { return nil }
    let index = try bytes.definedAddress(start + bytes.addressSize)
    let objects = try HDF5FractalHeap(bytes, at: heap)
    // Records of type 8: the attribute's place in the heap, then flags, order and a hash.
    for record in try HDF5RecordTree(bytes, at: index, type: 8).records {
      let range = try objects.object(record.lowerBound)
      if let found = try HDF5Attribute(bytes, range, named: name) { return found }
    }
    return nil
  }

  /// Texts of variable length: each element is a length, and a heap and a number in it.
  private func heapTexts(_ elements: [Int], _ place: String) throws -> [String] {
    let bytes = contents.bytes
    var result: [String] = []
    // Texts lie in the file side by side; together they cannot be longer than the file.
    var rest = bytes.bytes.count
    for element in elements {
      let length = try bytes.integer(element, size: 4)
      guard length > 0, let heap = try bytes.address(element + 4) else {
        result.append("")
        continue
      }
      let index = try bytes.integer(element + 4 + bytes.addressSize, size: 4)
      let range = try contents.heap.object(index, in: heap, bytes)
      rest -= length
      guard length <= range.count, rest >= 0 else {
        throw error(place, "the HDF5 file is damaged: a text is longer than its place in the heap")
      }
      result.append(bytes.text(range.prefix(length)))
    }
    return result
  }

  /// The single string of an attribute, or nil when the object has no such attribute.
  public func string(attribute name: String, of object: String = "") throws -> String? {
    guard let all = try strings(attribute: name, of: object) else { return nil }
    guard all.count == 1 else {
      throw error(object.isEmpty ? "attribute \(name)" : "\(object): attribute \(name)", "is not one text")
    }
    return all[0]
  }

  /// A data set of numbers, converted to float32.
  public func dataset(_ object: String) throws -> Dataset {
    let bytes = contents.bytes
    let header = try header(object)
    guard let space = header.message(.dataspace), let type = header.message(.datatype),
      header.message(.layout) != nil
    else { throw error(object, "is not a data set") }
    guard !space.isShared, !type.isShared else {
      throw error(object, "has a named type, which is not supported")
    }
    let shape = try HDF5Dataspace(bytes, space.range)
    let element = try HDF5Datatype(bytes, type.range)
    switch element.kind {
    case .integer, .float: break
    case .text, .heapText, .other: throw error(object, "does not hold numbers")
    }
    guard shape.extents.count <= 8 else { throw error(object, "has more than 8 axes") }
    let stored = try HDF5Storage(bytes, name: object, space: shape, type: element).read(header)
    return Dataset(shape: shape.extents, values: Self.numbers(stored, element, count: shape.count))
  }

  private static func numbers(_ stored: ArraySlice<UInt8>, _ type: HDF5Datatype, count: Int) -> [Float] {
    stored.withUnsafeBytes { raw in
      (0..<count).map { i in
        var bits: UInt64 = 0
        for b in 0..<type.size {
          bits = bits << 8 | UInt64(raw[i * type.size + (type.isBigEndian ? b : type.size - 1 - b)])
        }
        // Only number types get here.
        return type.number(bits) ?? .nan
      }
    }
  }
}
