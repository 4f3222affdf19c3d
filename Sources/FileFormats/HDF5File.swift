import CHDF5
import Foundation

/// A read-only HDF5 file, as far as network weight files need it: groups, numeric data sets, string attributes.
///
/// Everything goes through libhdf5. The library is not thread-safe, so a file is only reachable inside
/// ``read(_:_:)``, which lets one thread at a time in.
public struct HDF5File: ~Copyable {
  /// The path as the user gave it.
  public let path: String
  private let file: hid_t
  private let size: Int

  /// A data set of numbers in row-major order.
  public struct Dataset: Sendable, Equatable {
    public var shape: [Int]
    public var values: [Float]
  }

  /// The most numbers a data set may hold.
  public static let elementLimit = 1 << 28
  /// The most members that a group may have, and the most strings an attribute.
  public static let memberLimit = 100_000

  /// Guards libhdf5, which keeps its tables in global variables.
  private static let lock = NSLock()

  /// Opens a file, gives it to `body` and closes it.
  ///
  /// - Throws: ``FileError`` when the file is missing or is not HDF5, and whatever `body` throws.
  public static func read<Result>(_ path: String, _ body: (borrowing HDF5File) throws -> Result) throws
    -> Result
  {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw FileError(file: path, reason: "cannot be opened: \(String(cString: strerror(errno)))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(file: path, reason: "is not a regular file")
    }
    return try lock.withLock {
      chdf5_silence()
      let handle = chdf5_file_open_read_only(path)
      guard handle >= 0 else {
        throw FileError(file: path, reason: "is not an HDF5 file, is truncated or cannot be read")
      }
      InputFiles.current?.note(path: path)
      let file = HDF5File(path: path, file: handle, size: Int(status.st_size))
      return try body(file)
    }
  }

  private init(path: String, file: hid_t, size: Int) {
    self.path = path
    self.file = file
    self.size = size
  }

  deinit {
    H5Fclose(file)
  }

  private func error(_ place: String, _ reason: String) -> FileError {
    FileError(file: path, place: place, reason: reason)
  }

  /// Whether there is an object at a path such as `model_weights/dense_1`.
  public func exists(_ object: String) -> Bool {
    var prefix = ""
    for part in object.split(separator: "/") {
      prefix += prefix.isEmpty ? String(part) : "/" + part
      if chdf5_link_exists(file, prefix) == 0 { return false }
    }
    return true
  }

  private func withObject<Result>(_ object: String, _ body: (hid_t) throws -> Result) throws -> Result {
    guard exists(object) else { throw error(object, "there is no such object") }
    let handle = chdf5_object_open(file, object.isEmpty ? "/" : object)
    guard handle >= 0 else { throw error(object, "the object cannot be opened") }
    defer { H5Oclose(handle) }
    return try body(handle)
  }

  /// The names of a group's members in alphabetical order; the empty path is the root.
  public func members(of group: String) throws -> [String] {
    try withObject(group) { handle in
      guard chdf5_is_group(handle) != 0 else { throw error(group, "is not a group") }
      let count = chdf5_member_count(handle)
      guard count >= 0, count <= Self.memberLimit else { throw error(group, "the group cannot be listed") }
      var names: [String] = []
      for i in 0..<count {
        var buffer = [CChar](repeating: 0, count: 1024)
        let length = chdf5_member_name(handle, UInt(i), &buffer, buffer.count)
        guard length > 0, length < buffer.count else {
          throw error(group, "member \(i) has no readable name")
        }
        names.append(Self.string(buffer[..<length]))
      }
      return names
    }
  }

  private static func string(_ bytes: ArraySlice<CChar>) -> String {
    String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The strings of an attribute (of fixed or variable length), or nil when the object has no such attribute.
  ///
  /// - Parameters:
  ///   - name: The attribute.
  ///   - object: The group or data set it belongs to; the empty path is the root.
  public func strings(attribute name: String, of object: String) throws -> [String]? {
    let place = object.isEmpty ? "attribute \(name)" : "\(object): attribute \(name)"
    return try withObject(object) { handle in
      guard H5Aexists(handle, name) > 0 else { return nil }
      let attribute = H5Aopen(handle, name, 0)
      guard attribute >= 0 else { throw error(place, "cannot be opened") }
      defer { H5Aclose(attribute) }
      let stored = H5Aget_type(attribute)
      guard stored >= 0 else { throw error(place, "has no readable type") }
      defer { H5Tclose(stored) }
      let space = H5Aget_space(attribute)
      guard space >= 0 else { throw error(place, "has no readable shape") }
      defer { H5Sclose(space) }
      let count = Int(H5Sget_simple_extent_npoints(space))
      guard count >= 0, count <= Self.memberLimit else { throw error(place, "has an unreasonable size") }
      // An empty list of names is stored as a list of numbers by some writers.
      if count == 0 { return [] }
      guard chdf5_is_string(stored) != 0 else { throw error(place, "is not text") }
      return try H5Tis_variable_str(stored) > 0
        ? variable(attribute, stored: stored, space: space, count: count, place: place)
        : fixed(attribute, stored: stored, count: count, place: place)
    }
  }

  private func variable(
    _ attribute: hid_t, stored: hid_t, space: hid_t, count: Int, place: String
  ) throws -> [String] {
    let memory = chdf5_variable_string_type(stored)
    defer { H5Tclose(memory) }
    var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
    guard H5Aread(attribute, memory, &pointers) >= 0 else { throw error(place, "cannot be read") }
    defer { chdf5_reclaim(memory, space, &pointers) }
    return pointers.map { $0.map { String(cString: $0) } ?? "" }
  }

  private func fixed(_ attribute: hid_t, stored: hid_t, count: Int, place: String) throws -> [String] {
    let width = Int(H5Tget_size(stored))
    guard width > 0, width <= size, count <= size / width + 1 else {
      throw error(place, "has an unreasonable size")
    }
    // Read with the stored type: a type of C strings would lose the last character of padded text.
    var buffer = [CChar](repeating: 0, count: width * count + 1)
    guard H5Aread(attribute, stored, &buffer) >= 0 else { throw error(place, "cannot be read") }
    return (0..<count).map { Self.string(buffer[($0 * width)..<($0 * width + width)]) }
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
    try withObject(object) { handle in
      guard chdf5_is_dataset(handle) != 0 else { throw error(object, "is not a data set") }
      let type = H5Dget_type(handle)
      guard type >= 0 else { throw error(object, "has no readable type") }
      defer { H5Tclose(type) }
      guard chdf5_is_number(type) != 0 else { throw error(object, "does not hold numbers") }
      let space = H5Dget_space(handle)
      guard space >= 0 else { throw error(object, "has no readable shape") }
      defer { H5Sclose(space) }
      let rank = Int(H5Sget_simple_extent_ndims(space))
      guard rank >= 0, rank <= 8 else { throw error(object, "has more than 8 axes") }
      var extents = [hsize_t](repeating: 0, count: max(rank, 1))
      if rank > 0, H5Sget_simple_extent_dims(space, &extents, nil) < 0 {
        throw error(object, "has no readable shape")
      }
      var count = 1
      for extent in extents.prefix(rank) {
        guard extent <= hsize_t(Self.elementLimit) else { throw error(object, "has an unreasonable size") }
        let (product, overflow) = count.multipliedReportingOverflow(by: Int(extent))
        guard !overflow, product <= Self.elementLimit else { throw error(object, "has an unreasonable size") }
        count = product
      }
      if chdf5_is_contiguous(handle) != 0, count * Int(H5Tget_size(type)) > size {
        throw error(object, "claims more numbers than the file holds")
      }
      var values = [Float](repeating: 0, count: count)
      if count > 0, chdf5_dataset_read(handle, chdf5_native_float(), &values) < 0 {
        throw error(object, "cannot be read; the file may be truncated")
      }
      return Dataset(shape: extents.prefix(rank).map { Int($0) }, values: values)
    }
  }
}
